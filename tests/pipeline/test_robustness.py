"""``mllm-rec robustness``: the data with something taken away, and what that costs."""

import json

import numpy as np
import pytest
import torch
from small_bench import folder, in_this_process

from mllm_rec.cli import main
from mllm_rec.data.files import read_json, write_json
from mllm_rec.errors import InputError
from mllm_rec.evaluation import over_seeds, paired_bootstrap
from mllm_rec.evaluation.significance import holm
from mllm_rec.pipeline import contest
from mllm_rec.pipeline.results import Bench, conditions, read_result, table_of
from mllm_rec.pipeline.robustness import robustness


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Pictures say which items go together; sounds say nothing."""
    name = folder(tmp_path_factory.mktemp("bench") / "toys")
    path = name.partition(":")[2]
    np.save(f"{path}/audio_feat.npy", np.random.default_rng(1).normal(size=(80, 3)).astype(np.float32))
    return name


def test_missing_modalities_are_nested_and_as_many_as_said(data):
    bench = Bench.load(data)
    before = None
    for share in (30, 60, 90):
        thin = Bench.load(f"{data}@missing-{share}")
        assert thin.name == f"toys@missing-{share}" and thin.key != bench.key
        for name, feature in thin.data.features.items():
            assert (~feature.present).sum() == round(0.8 * share) and not feature.values[~feature.present].any()
            np.testing.assert_array_equal(feature.values[feature.present], bench.data.features[name].values[feature.present])
        present = {name: feature.present for name, feature in thin.data.features.items()}
        assert (present["image"] != present["audio"]).any()
        assert before is None or all((present[name] <= before[name]).all() for name in present)
        before = present
    assert torch.equal(thin.data.edges, bench.data.edges) and torch.equal(thin.test, bench.test)


def test_a_modality_that_is_not_there(data):
    assert list(Bench.load(f"{data}@without-audio").data.features) == ["image"]
    bare = Bench.load(f"{data}@without-audio").harder("without-image")
    assert list(bare.data.features) == ["none"] and not bare.data.features["none"].present.any()


def test_cold_items_are_in_no_training_row_and_alone_to_be_found(data):
    bench, cold = Bench.load(data), Bench.load(f"{data}@cold-items")
    everything = {tuple(pair) for part in (bench.data.edges, bench.validation, bench.test) for pair in part.T.tolist()}
    items = set(cold.test[1].tolist())
    assert len(items) == len(set(bench.data.edges[1].tolist())) // 10 and bench.data.item_counts[list(items)].min() > 0
    assert {tuple(pair) for pair in cold.test.T.tolist()} == {pair for pair in everything if pair[1] in items}
    for part, whole in ((cold.data.edges, bench.data.edges), (cold.validation, bench.validation)):
        assert part.T.tolist() == [pair for pair in whole.T.tolist() if pair[1] not in items]
    assert cold.data.item_counts[list(items)].sum() == 0 and (cold.data.user_counts[cold.test[0]] > 0).all()
    assert torch.equal(Bench.load(f"{data}@cold-items").test, cold.test)


def test_conditions_that_there_are_not(data):
    assert conditions(["image"]) == ["missing-30", "missing-60", "missing-90", "without-image", "cold-items"]
    assert conditions([]) == ["cold-items"]
    with pytest.raises(
        InputError, match=r"'without-smell' is no condition of toys; there are missing-30, .*without-audio, without-image, cold"
    ):
        Bench.load(f"{data}@without-smell")
    with pytest.raises(InputError, match="'@missing-0' takes nothing away"):
        Bench.load(f"{data}@missing-0")


def test_the_table(data, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(contest, "apart", in_this_process)
    monkeypatch.chdir(tmp_path)
    short = {"fit.epochs": 40, "fit.batch_size": 64, "fit.lr": 0.01}
    for name, more in (("vbpr", {"projection_decay": 0.0}), ("bpr", {})):
        write_json(tmp_path / "results" / "toys" / name / "tuned.json", {"data": "toys", "settings": short | more})
    words = ["robustness", "--data", data, "--systems", "vbpr,bpr", "--results", "results", "--out", "out", "--json"]
    assert main(words) == 0
    value = json.loads(capsys.readouterr().out)
    assert read_json(tmp_path / "out" / "table.json") == value
    rows = {row["system"]: row for row in value["systems"]}
    assert set(rows) == {"vbpr", "bpr", "popularity"} and set(rows["bpr"]["conditions"]) == {"cold-items"}

    def kept(system, condition):
        (path,) = (tmp_path / "results" / f"toys{condition}" / system).glob("*-0.json")
        return over_seeds([table_of(read_result(path))])

    names = ["missing-30", "missing-60", "missing-90", "without-audio", "without-image"]
    pairs = [paired_bootstrap(kept("vbpr", f"@{name}"), kept("vbpr", ""), "recall@20") for name in names]
    pairs.append(paired_bootstrap(kept("vbpr", "@cold-items"), kept("popularity", "@cold-items"), "recall@20"))
    for name, pair, p in zip([*names, "cold-items"], pairs, holm(one.p for one in pairs), strict=True):
        found = rows["vbpr"]["conditions"][name]
        assert found["difference"]["mean"] == pair.mean and found["difference"]["p"] == p
    cold, lost = rows["vbpr"]["conditions"]["cold-items"], rows["vbpr"]["conditions"]["without-image"]
    assert cold["difference"]["to"] == "popularity" and cold["mean"] > 0.4 and cold["difference"]["p"] < 0.05
    assert rows["bpr"]["conditions"]["cold-items"]["mean"] < 0.3
    table = (tmp_path / "out" / "table.md").read_text(encoding="utf-8")
    change = 100 * lost["difference"]["mean"] / rows["vbpr"]["whole"]
    assert f"{lost['mean']:.4f} ({change:+.0f} %)" in table and f"{cold['mean']:.4f}*" in table
    assert "| bpr |" in table and "| = | = | = | = | = |" in table
    monkeypatch.setattr(contest, "apart", lambda run, work, jobs: iter(()) if not work else pytest.fail(f"trains {work}"))
    assert robustness(data, ["vbpr", "bpr"], results=tmp_path / "results")[0] == value


def test_strategies_stand_behind_a_plus(data, tmp_path, monkeypatch):
    monkeypatch.setattr(contest, "apart", in_this_process)
    short = {"fit.epochs": 3, "fit.batch_size": 64}
    write_json(tmp_path / "toys" / "vbpr" / "tuned.json", {"data": "toys", "settings": short})
    value, text = contest.compare_systems(data, ["vbpr", "vbpr+mirror-gradient", "vbpr+modality-balancing"], results=tmp_path)
    rows = {row["system"]: row for row in value["systems"]}
    assert all(row["settings"] == short for row in rows.values()) and len({row["validation"] for row in rows.values()}) == 3
    assert "vbpr+modality-balancing (r)" in text and rows["vbpr+mirror-gradient"]["reconstructed"] is False
    with pytest.raises(InputError, match="did you mean 'mirror-gradient'"):
        contest.compare_systems(data, ["vbpr+miror-gradient"], results=tmp_path)
    with pytest.raises(InputError, match="mllm-rec train W --systems vbpr --strategy end-to-end"):
        contest.compare_systems(data, ["vbpr+end-to-end"], results=tmp_path)
