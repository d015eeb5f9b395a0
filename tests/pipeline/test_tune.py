"""``mllm-rec tune``: the same budget for every system, beginning with the defaults, chosen on validation alone."""

import json
from dataclasses import replace

import pytest
from small_bench import folder, in_this_process

from mllm_rec.cli import main
from mllm_rec.data.files import read_json
from mllm_rec.evaluation import validator
from mllm_rec.optimization.fit import FitSettings, fit
from mllm_rec.pipeline import tune as tuning
from mllm_rec.pipeline.contest import trial_of, tuned_settings
from mllm_rec.pipeline.results import Bench
from mllm_rec.pipeline.tune import searched, tune_system
from mllm_rec.recommender import create
from mllm_rec.systems import SYSTEMS

EPOCHS, TRIALS = 4, 6


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return folder(tmp_path_factory.mktemp("tuned") / "toys")


@pytest.fixture
def short(monkeypatch):
    """Trainings of a few epochs; the list says with which settings each began."""
    began = []

    def train(system, data, validate, settings):
        began.append((system.settings, settings.lr, settings.weight_decay))
        return fit(system, data, validate, replace(settings, epochs=EPOCHS, batch_size=64))

    monkeypatch.setattr(tuning, "fit", train)
    monkeypatch.setattr(tuning, "STARTING", 2)
    return began


def same(value):
    return {name: one for name, one in value.items() if name not in ("seconds", "climb")}, [best for _, best in value["climb"]]


def test_the_best_of_the_trials_which_begin_with_the_defaults(data, short, tmp_path):
    bench = Bench.load(data)
    assert bench.key
    object.__setattr__(bench, "test", None)  # whoever looks at it fails
    value = tune_system(bench, "lightgcn", 1.0, TRIALS, tmp_path / "results", tmp_path / "cache")
    usual, lr = SYSTEMS["lightgcn"].Settings(), FitSettings().lr
    assert short[:4] == [(usual, lr, 0.0), (usual, 1e-3, 0.0), (usual, lr, 1e-4), (usual, 1e-3, 1e-4)] and len(short) == TRIALS
    assert all(1 <= made.layers <= 4 and made.dim == 64 and 3e-4 <= step <= 3e-2 for made, step, _ in short)
    assert len({(made.layers, step) for made, step, _ in short[4:]} - {(usual.layers, lr), (usual.layers, 1e-3)}) == TRIALS - 4
    assert sum(value["trials"].values()) == TRIALS and value["budget"] == {"minutes": 1.0, "trials": TRIALS} and 0 < value["seconds"] < 60
    trial = trial_of("lightgcn", tuned_settings(bench, "lightgcn", tmp_path / "results"), 0)
    assert value == read_json(tmp_path / "results" / "toys" / "lightgcn" / "tuned.json") and value["settings"]
    made = SYSTEMS["lightgcn"].Settings(**trial.settings)
    best = fit(
        create(SYSTEMS["lightgcn"], bench.data, made, 0),
        bench.data,
        validator(bench.validation, bench.data.edges),
        FitSettings(epochs=EPOCHS, batch_size=64, **trial.fit),
    )
    assert value["validation"] == best.best == pytest.approx(value["climb"][-1][1], abs=1e-6)
    assert value["default"] == pytest.approx(value["climb"][0][1], abs=1e-6) and value["default"] < value["validation"]
    tune_system(bench, "lightgcn", 1.0, TRIALS - 1, tmp_path / "results", tmp_path / "cache")
    assert len(short) == TRIALS  # it had as much already


def test_interrupted_it_goes_on_to_the_same_end(data, short, tmp_path, monkeypatch):
    bench, whole = Bench.load(data), tuning.fit
    straight = tune_system(bench, "lightgcn", 1.0, TRIALS, tmp_path / "straight", tmp_path / "cache1")

    def stopped(*args):
        if len(short) == TRIALS + 3:
            raise KeyboardInterrupt
        return whole(*args)

    monkeypatch.setattr(tuning, "fit", stopped)
    with pytest.raises(KeyboardInterrupt):
        tune_system(bench, "lightgcn", 1.0, TRIALS, tmp_path / "parts", tmp_path / "cache2")
    monkeypatch.setattr(tuning, "fit", whole)
    assert not (tmp_path / "parts").exists() and len(short) == TRIALS + 3
    found = tune_system(bench, "lightgcn", 1.0, TRIALS, tmp_path / "parts", tmp_path / "cache2")
    assert same(found) == same(straight) and short[:TRIALS] == short[TRIALS:]


def test_when_time_is_up_the_best_so_far_counts(data, tmp_path):
    bench = Bench.load(data)
    value = tune_system(bench, "bpr", 1e-6, None, tmp_path / "results", tmp_path / "cache")
    assert value["trials"] == {"complete": 0, "pruned": 0, "cut": 1, "failed": 0} and value["settings"] == {}
    first = fit(
        create(SYSTEMS["bpr"], bench.data, None, 0), bench.data, validator(bench.validation, bench.data.edges), FitSettings(epochs=1)
    )
    assert value["validation"] == value["default"] == first.best
    value = tune_system(bench, "bpr", 1.0, 2, tmp_path / "results", tmp_path / "cache")  # more: goes on
    assert sum(value["trials"].values()) == 2 and value["validation"] >= first.best


def test_a_trial_that_fails_or_is_worse_does_not_end_the_search(data, tmp_path, monkeypatch):
    bench, tried = Bench.load(data), []

    def train(system, data, validate, settings):
        tried.append(settings.lr)
        if len(tried) == 2:
            return fit(system, data, validate, FitSettings(epochs=4, lr=1e30))
        values = iter([0.5] * 10 if len(tried) < 7 else [0.1] * 10)
        monkeypatch.setattr(validate, "validate", lambda system: next(values))
        return fit(system, data, validate, FitSettings(epochs=8, lr=settings.lr))

    monkeypatch.setattr(tuning, "fit", train)
    value = tune_system(bench, "bpr", 1.0, 8, tmp_path / "results", tmp_path / "cache")
    assert value["trials"] == {"complete": 5, "pruned": 2, "cut": 0, "failed": 1} and value["validation"] == 0.5
    assert value["settings"] == {}  # of equals the first: the defaults


def test_the_space_follows_names_and_defaults():
    space = searched("freedom")
    assert space.pop("fit.weight_decay").choices[0] == FitSettings().weight_decay == 0
    space = {name: (one.low, one.high) for name, one in space.items()}
    assert space == {
        "user_layers": (1, 4),
        "item_layers": (1, 4),
        "neighbors": (5, 20),
        "drop": (0.0, 0.9),
        "content_weight": pytest.approx((1e-5, 1e-1)),
        "fit.lr": pytest.approx((3e-4, 3e-2)),
    }
    assert list(searched("ease")) == ["regularization"] and not searched("popularity")
    for name in SYSTEMS:
        defaults = tuning._defaults(name)
        assert all(one._contains(one.to_internal_repr(defaults[key])) for key, one in searched(name).items()), name


def test_the_command_tunes_what_compare_then_uses(data, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tuning, "apart", in_this_process)
    words = ["--data", data, "--systems", "popularity,ease", "--results", "results", "--json"]
    assert main(["tune", *words, "--trials", "4"]) == 0
    popularity, ease = json.loads(capsys.readouterr().out)["systems"]
    assert popularity["trials"]["complete"] == 1 and not popularity["settings"]
    assert ease["trials"]["complete"] == 4 and ease["validation"] >= ease["default"]
    assert trial_of("ease", tuned_settings(Bench.load(data), "ease", tmp_path / "results"), 0).settings == ease["settings"]
    assert main(["tune", "--data", data, "--systems", "ease+ips", "--minutes", "1"]) == 1
    assert "'ease+ips' is trained with what was found for 'ease'; tune that" in capsys.readouterr().err
    assert main(["tune", "--data", data, "--minutes", "0"]) == 1
    assert "0.0 minutes are no budget" in capsys.readouterr().err
