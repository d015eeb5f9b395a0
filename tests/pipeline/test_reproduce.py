"""``mllm-rec reproduce``: experiment files, and what is wrong in them."""

import functools
import json
import shutil
import tomllib
from pathlib import Path

import pytest
from small_bench import folder, in_this_process

from mllm_rec.cli import main
from mllm_rec.data.files import read_json, write_json
from mllm_rec.errors import InputError
from mllm_rec.pipeline import contest
from mllm_rec.pipeline.contest import compare_systems
from mllm_rec.pipeline.reproduce import Experiment, reproduce, write_experiments
from mllm_rec.pipeline.results import Bench, Trial, result
from mllm_rec.systems import SYSTEMS

EXPERIMENTS = Path(__file__).parent.parent.parent / "experiments"
DEMO = EXPERIMENTS / "lightgcn-demo.toml"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The demo experiment, run by the command."""
    root = tmp_path_factory.mktemp("reproduced")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(contest, "apart", in_this_process)
        patch.setattr(Bench, "load", functools.cache(Bench.load))
        patch.chdir(root)
        assert main(["reproduce", str(DEMO), "--results", "results"]) == 0
        yield root / "results"


def test_the_demo_experiment_comes_out_as_expected(run, capsys):
    assert main(["reproduce", str(DEMO), "--results", str(run), "--json"]) == 0
    out, err = capsys.readouterr()
    value = json.loads(out)
    assert not err  # read, not trained again
    said = tomllib.loads(DEMO.read_text(encoding="utf-8"))
    for metric, (low, high) in said["expected"].items():
        assert value["metrics"][metric]["within"] and low < value["metrics"][metric]["came"] < high
    (path,) = (run / "demo" / "lightgcn").glob("*.json")
    found = read_json(path)
    assert found["settings"] == said["settings"] and found["fit"] == said["fit"]
    assert value["metrics"]["recall@20"]["came"] == found["test"]["recall@20"]


def test_outside_of_what_is_expected_it_fails(run, tmp_path, capsys):
    shutil.copytree(run, tmp_path / "results")
    (path,) = (tmp_path / "results" / "demo" / "lightgcn").glob("*.json")
    found = read_json(path)
    write_json(path, {**found, "test": {**found["test"], "ndcg@20": 0.3}})
    assert main(["reproduce", str(DEMO), "--results", str(tmp_path / "results")]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("  recall@20") and lines[1].endswith("as expected")
    assert lines[2].startswith("  ndcg@20 0.3000, expected ") and lines[2].endswith("OUTSIDE")


def test_seeds_are_averaged(tmp_path):
    data = folder(tmp_path / "toys")
    bench = Bench.load(data)
    came = [result(bench, Trial("bpr", {}, {"epochs": 2}, seed), tmp_path / "r", tmp_path / "c")["test"]["recall@20"] for seed in (0, 1)]
    mean = sum(came) / 2
    path = tmp_path / "bpr.toml"
    text = f'data = "{data}"\nsystem = "bpr"\nseeds = 2\nfit = {{epochs = 2}}\n[expected]\n"recall@20" = [{mean - 1e-6}, {mean + 1e-6}]\n'
    path.write_text(text, encoding="utf-8")
    value, _ = reproduce(path, tmp_path / "r")
    assert value["metrics"]["recall@20"]["came"] == pytest.approx(mean) and not value["failed"] and came[0] != came[1]


def test_what_compare_writes_is_reproduced(tmp_path):
    data = folder(tmp_path / "toys")
    bench = Bench.load(data)
    result(bench, Trial("ease", {"regularization": 20.0}, {}), tmp_path / "r", tmp_path / "c")
    result(bench, Trial("popularity", {}, {}), tmp_path / "r", tmp_path / "c")
    write_json(tmp_path / "r" / "toys" / "ease" / "tuned.json", {"data": "toys", "settings": {"regularization": 20.0}})
    value, _ = compare_systems(data, ["ease", "popularity"], results=tmp_path / "r", only_done=True)
    write_experiments(data, value["systems"], tmp_path / "experiments")
    assert sorted(path.stem for path in (tmp_path / "experiments").iterdir()) == ["ease", "popularity"]
    assert Experiment.load(tmp_path / "experiments" / "ease.toml").settings == {"regularization": 20.0}
    came, _ = reproduce(tmp_path / "experiments" / "ease.toml", tmp_path / "r")
    row = next(row for row in value["systems"] if row["system"] == "ease")
    assert came["metrics"]["ndcg@20"]["low"] == pytest.approx(row["metrics"]["ndcg@20"]["low"], abs=5e-5) and not came["failed"]


@pytest.mark.parametrize("name", SYSTEMS)
def test_every_system_has_its_experiment(name):
    said = Experiment.load(EXPERIMENTS / f"{name}.toml")
    assert said.system == name and "recall@20" in said.expected


GOOD = {"data": '"demo"', "system": '"lightgcn"', "expected": '{ "recall@20" = [0.1, 0.2] }'}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sedes": "3"}, "there is no 'sedes'; did you mean 'seeds'"),
        ({"xyz": "3"}, "there are data, system, seeds, settings, fit, expected"),
        ({"system": '"lightgnc"'}, "did you mean 'lightgcn'"),
        ({"settings": "{ layer = 2 }"}, "no setting 'layer'; did you mean 'layers'"),
        ({"settings": '{ layers = "two" }'}, "layers='two': wanted a number, like 3"),
        ({"fit": "{ epoch = 2 }"}, "no setting 'fit.epoch'; did you mean 'fit.epochs'"),
        ({"fit": "{ seed = 2 }"}, "no setting 'fit.seed'"),
        ({"fit": "{ epochs = 0 }"}, "'epochs' is 0"),
        ({"seeds": "0"}, "'seeds' is 0; wanted how many"),
        ({"seeds": "true"}, "'seeds' is True; wanted a whole number"),
        ({"settings": "3"}, "'settings' is 3; wanted a table"),
        ({"data": None}, "lacks 'data'"),
        ({"expected": "{}"}, "lacks 'expected'"),
        ({"expected": '{ "recal@20" = [0, 1] }'}, "did you mean 'recall@20'"),
        ({"expected": '{ "recall@20" = [0.3, 0.2] }'}, r"'recall@20' is \[0.3, 0.2\]; wanted \[low, high\]"),
        ({"expected": '{ "recall@20" = ["a", 0.2] }'}, "wanted"),
        ({"data": "="}, "is no TOML"),
    ],
)
def test_mistakes_in_a_file_are_named(changes, said, tmp_path):
    path = tmp_path / "one.toml"
    path.write_text("\n".join(f"{name} = {value}" for name, value in {**GOOD, **changes}.items() if value), encoding="utf-8")
    with pytest.raises(InputError, match=said) as error:
        Experiment.load(path)
    assert str(path) in str(error.value)


def test_a_metric_that_is_not_measured_is_named(run, tmp_path, capsys):
    path = tmp_path / "one.toml"
    path.write_text(DEMO.read_text(encoding="utf-8") + '"recall@50" = [0, 1]\n', encoding="utf-8")
    assert main(["reproduce", str(path), "--results", str(run)]) == 1
    assert "[expected] names 'recall@50'; what is measured are recall@10" in capsys.readouterr().err
    assert main(["reproduce", str(tmp_path / "none.toml")]) == 1
    assert "there is no file" in capsys.readouterr().err
