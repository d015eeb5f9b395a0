"""``mllm-rec compare``: a file for each training, and the table that is made of them."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from html_page import EVIL, read
from small_bench import folder

from mllm_rec.cli import main
from mllm_rec.data.files import read_json, write_json
from mllm_rec.errors import InputError
from mllm_rec.evaluation import evaluate, over_seeds, paired_bootstrap, training_sample, validator
from mllm_rec.optimization.fit import FitSettings, fit
from mllm_rec.pipeline import contest
from mllm_rec.pipeline.contest import compare_systems, trial_of
from mllm_rec.pipeline.contest_page import write_page
from mllm_rec.pipeline.processes import apart
from mllm_rec.pipeline.results import Bench, Trial, code_of, read_result, result, table_of
from mllm_rec.recommender import create
from mllm_rec.systems import SYSTEMS

SHORT = {"epochs": 4, "batch_size": 64, "lr": 0.02}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return folder(tmp_path_factory.mktemp("bench") / "toys")


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    """Results of popularity and LightGCN, two seeds each, trained here."""
    root = tmp_path_factory.mktemp("results")
    bench = Bench.load(data)
    for seed in (0, 1):
        for name, fit_settings in (("popularity", {}), ("lightgcn", SHORT)):
            result(bench, Trial(name, {}, fit_settings, seed), root / "results", root / "cache")
    write_json(
        root / "results" / "toys" / "lightgcn" / "tuned.json", {"data": "toys", "settings": {f"fit.{k}": v for k, v in SHORT.items()}}
    )
    return root


def test_a_file_says_all_that_came_of_a_training(data, trained):
    bench, trial = Bench.load(data), Trial("lightgcn", {}, SHORT, 1)
    path = trial.path(trained / "results", bench)
    said = read_result(path)
    assert path.stat().st_size < 6_000 and not (trained / "cache" / "toys" / "lightgcn" / path.stem).exists()
    assert (said["data"], said["system"], said["seed"], said["settings"], said["fit"]) == ("toys", "lightgcn", 1, {}, SHORT)
    system = create(SYSTEMS["lightgcn"], bench.data, None, 1)
    sample, others = training_sample(bench.data.edges)
    run = fit(
        system, bench.data, validator(bench.validation, bench.data.edges), FitSettings(**SHORT, seed=1), watch=validator(sample, others)
    )
    table = evaluate(system, bench.test, torch.cat([bench.data.edges, bench.validation], 1))
    assert said["validation"]["ndcg@20"] == run.best and said["epoch"] == run.best_epoch and said["code"] == code_of("lightgcn")
    assert said["test"] == {name: pytest.approx(table.mean(name), abs=1e-6) for name in said["test"]} and "recall@10" in said["test"]
    for name in ("recall@20", "ndcg@20"):
        assert table_of(said).per_user(name) == pytest.approx(table.per_user(name), abs=5e-4)
    for point, line in zip(said["curve"], run.history, strict=True):
        assert point == pytest.approx([line["epoch"], sum(line["loss"].values()), line["validation"], line["watched"]], abs=1e-5)


def test_what_is_there_is_read_and_not_trained(data, trained, monkeypatch):
    monkeypatch.setattr(contest, "apart", lambda run, work, jobs: iter(()) if not work else pytest.fail(f"trains {work}"))
    value, text = compare_systems(data, ["popularity", "lightgcn"], 2, results=trained / "results")
    first, second = value["systems"]
    assert (first["system"], first["seeds"], first["tuned"]) == ("lightgcn", 2, "toys")
    assert first["settings"] == {f"fit.{name}": number for name, number in SHORT.items()}
    bench = Bench.load(data)
    found = {
        name: [read_result(Trial(name, {}, how, seed).path(trained / "results", bench)) for seed in (0, 1)]
        for name, how in (("lightgcn", SHORT), ("popularity", {}))
    }
    means = [one["test"]["recall@20"] for one in found["lightgcn"]]
    assert first["metrics"]["recall@20"]["mean"] == pytest.approx(np.mean(means), abs=5e-4)
    assert first["metrics"]["recall@20"]["spread"] == pytest.approx(np.std(means, ddof=1))
    pair = paired_bootstrap(*(over_seeds([table_of(one) for one in found[name]]) for name in ("lightgcn", "popularity")), "recall@20")
    assert first["difference"]["recall@20"]["mean"] == pair.mean and "difference" not in second
    assert second["training"] is None and first["training"] > first["validation"] > 0
    assert f"{pair.mean:+.4f}" in text and "tuned (toys)" in text and text.index("| lightgcn") < text.index("| popularity")


def test_what_is_missing_is_trained_and_what_fails_is_told(data, trained, tmp_path, monkeypatch, capsys):
    results = shutil.copytree(trained / "results", tmp_path / "results")
    tuned = {"fit.epochs": 2, "fit.lr": 1e30}
    write_json(results / "toys" / "bpr" / "tuned.json", {"data": "toys", "settings": tuned})
    monkeypatch.chdir(tmp_path)
    words = ["compare", "--data", data, "--systems", "lightgcn,popularity,ease,bpr", "--results", "results", "--jobs", "2"]
    assert main([*words, "--out", "out", "--json"]) == 1
    out, err = capsys.readouterr()
    value = json.loads(out)
    assert {row["system"] for row in value["systems"]} == {"lightgcn", "popularity", "ease"}
    assert [one["system"] for one in value["failed"]] == ["bpr"] and "try a smaller lr" in value["failed"][0]["why"]
    assert "ease, seed 0: recall@20" in err and "bpr, seed 0: failed" in err and "(2 of 2)" in err
    assert read_json(tmp_path / "out" / "table.json") == value
    table = (tmp_path / "out" / "table.md").read_text(encoding="utf-8")
    assert "| ease |" in table and "bpr, seed 0, failed: loss term" in table
    (path,) = results.glob("toys/ease/*-0.json")
    assert 50 * 2**20 < read_result(path)["peak_memory"] < 2**31


def test_a_process_that_dies_is_told_of():
    ((name, error),) = apart(os._exit, {"one": (7,)}, 1)
    assert name == "one" and isinstance(error, InputError) and "ended with status 7" in str(error)


def test_the_page_holds_the_figures_and_needs_nothing_else(data, trained, tmp_path, capsys):
    words = ["compare", "--data", data, "--systems", "popularity,lightgcn", "--seeds", "2", "--results", trained / "results", "--only-done"]
    assert main([*map(str, words), "--out", str(tmp_path)]) == 0
    value, page = read_json(tmp_path / "table.json"), read(tmp_path / "index.html")
    for row in value["systems"]:
        one = row["metrics"]["recall@20"]
        assert f"{one['mean']:.4f} ±{one['spread']:.4f}" in page.text and f"{one['low']:.4f} to {one['high']:.4f}" in page.text
        assert all(f"{share:.3f}" in page.text for share in row["popularity"].values())
    best = value["systems"][0]
    assert f": validation {best['validation']:.3f}, training {best['training']:.3f}" in page.text and "tuned on toys" in page.text
    found = [attributes for tag, attributes in page.found if tag == "img"]
    assert [one["alt"] for one in found] == [
        "recall@20 against seconds of a training (1: at most 1)",
        "recall@20 against peak memory, MiB",
        f"curve of lightgcn, epoch {read_result(Trial('lightgcn', {}, SHORT).path(trained / 'results', Bench.load(data)))['epoch']} kept",
    ]
    assert sorted(path.name for path in (tmp_path / "plots").iterdir()) == ["curve-lightgcn.png", "peak_memory.png", "seconds.png"]


def test_what_is_not_ours_is_escaped(data, trained, tmp_path):
    value, _ = compare_systems(data, ["popularity", "lightgcn"], results=trained / "results", only_done=True)
    found = {row["system"]: [read_result(next(trained.glob(f"results/toys/{row['system']}/*-0.json")))] for row in value["systems"]}
    said = {**value, "data": EVIL, "split": EVIL, "failed": [{"system": EVIL, "seed": 0, "why": EVIL}]}
    said["systems"] = [{**row, "tuned": EVIL, "settings": {EVIL: EVIL}} for row in value["systems"]]
    write_page(tmp_path / "index.html", said, found)
    page = read(tmp_path / "index.html")
    assert any(EVIL in text for text in page.text)


def test_another_setting_or_other_data_is_another_file(data, tmp_path):
    bench, root = Bench.load(data), tmp_path
    paths = {
        Trial(name, settings, how, seed).path(root, one)
        for one in (bench, Bench.load(folder(tmp_path / "others", seed=1)))
        for name, settings, how, seed in (
            ("lightgcn", {}, {}, 0),
            ("lightgcn", {}, {}, 1),
            ("lightgcn", {"layers": 2}, {}, 0),
            ("lightgcn", {}, {"lr": 0.1}, 0),
            ("bpr", {}, {}, 0),
        )
    }
    assert len(paths) == 10
    assert Trial("lightgcn", {"layers": 3}, {}, 0).path(root, bench) in paths  # said, but the default


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--systems", "popularity", "--baseline", "ease"], "the baseline 'ease' is not among the systems popularity; name it"),
        (["--systems", ""], "no system is named; name some, or 'all'"),
    ],
)
def test_what_cannot_be_compared_is_said_before_anything_is_trained(data, tmp_path, monkeypatch, capsys, words, said):
    monkeypatch.setattr(contest, "apart", None)
    assert main(["compare", "--data", data, "--results", str(tmp_path), *words]) == 1
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("condition", ["missing-200", "coold", "without"])
def test_a_condition_that_takes_nothing_away_is_named(data, condition):
    with pytest.raises(InputError, match=f"'@{condition}' takes nothing away from '.*toys'; say @missing-60"):
        Bench.load(f"{data}@{condition}")


def test_settings_of_another_data_set_serve_where_there_are_none(data, tmp_path):
    bench = Bench.load(data)
    write_json(tmp_path / "big" / "lightgcn" / "tuned.json", {"data": "big", "settings": {"layers": 1, "fit.lr": 0.1}})
    found = contest.tuned_settings(bench, "lightgcn", tmp_path)
    assert trial_of("lightgcn", found, 3) == Trial("lightgcn", {"layers": 1}, {"lr": 0.1}, 3)
    write_json(tmp_path / "toys" / "lightgcn" / "tuned.json", {"data": "toys", "data_key": bench.key, "settings": {}})
    assert contest.tuned_settings(bench, "lightgcn", tmp_path)["data"] == "toys"
    write_json(tmp_path / "toys" / "lightgcn" / "tuned.json", {"data": "toys", "data_key": "of others", "settings": {}})
    assert contest.tuned_settings(bench, "lightgcn", tmp_path)["data"] == "another toys"
    assert trial_of("bpr", contest.tuned_settings(bench, "bpr", tmp_path), 0) == Trial("bpr", {}, {}, 0)


def test_code_that_changed_is_told(data, trained, tmp_path):
    results = shutil.copytree(trained / "results", tmp_path / "results")
    for path in results.glob("toys/lightgcn/*-0.json"):
        write_json(path, {**read_json(path), "code": "0"})
    value, text = compare_systems(data, ["popularity", "lightgcn"], results=results)
    assert {row["system"]: row["changed"] for row in value["systems"]} == {"popularity": False, "lightgcn": True}
    assert "other code than there is now (remove their files to train anew): lightgcn." in text


def test_systems_that_need_features_are_left_out_where_there_are_none(data, trained, tmp_path):
    bare = Path(shutil.copytree(data.partition(":")[2], tmp_path / "toys"))
    (bare / "image_feat.npy").unlink()
    with pytest.raises(InputError, match="'pmgt' needs at least one feature of the items"):
        compare_systems(f"mmrec:{bare}", ["pmgt"], results=tmp_path)
    bench = Bench.load(f"mmrec:{bare}")
    result(bench, Trial("popularity", {}, {}), tmp_path / "results", tmp_path / "cache")
    value, text = compare_systems(f"mmrec:{bare}", results=tmp_path / "results", only_done=True)
    assert "pmgt" in value["lacking"] and "lightgcn" not in value["lacking"] and "bring no features: " in text


def test_users_without_a_past_do_not_count_where_time_splits(workspace):
    bench = Bench.load(str(workspace.root))
    assert bench.split == "global-time" and bench.name == "shop" and set(bench.data.features) == {"attributes", "image", "text"}
    assert bench.data.user_counts[bench.test[0]].min() > 0 and bench.data.user_counts[bench.validation[0]].min() > 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--data", "tiktok"], "did you mean 'tiktok-va'"),
        (["--data", "{data}", "--systems", "lightgnc"], "did you mean 'lightgcn'"),
        (["--data", "{data}", "--baseline", "popularty"], "did you mean 'popularity'"),
        (["--data", "{data}", "--systems", "popularity", "--baseline", "ease", "--results", "{results}"], "baseline 'ease' is not among"),
        (["--data", "{data}", "--only-done", "--results", "{data}/none"], "run the same without --only-done"),
    ],
)
def test_mistakes_are_named(words, said, data, trained, capsys):
    filled = [word.format(data=data, results=trained / "results") for word in words]
    assert main(["compare", *filled]) == 1
    assert said in capsys.readouterr().err


def test_a_broken_file_is_named(tmp_path):
    path = tmp_path / "x.json"
    for text in ("{", "{}", '{"per_user": {"recall@20": "AAAA"}, "users": 1, "left_out": 0}'):
        path.write_text(text)
        with pytest.raises(InputError, match=r"x.json is not what 'mllm-rec compare' wrote"):
            read_result(path)
