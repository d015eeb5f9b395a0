"""The training loop: what is kept, what repeats, what is refused."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from small_training import parts

from mllm_rec.errors import InputError
from mllm_rec.optimization.fit import FitSettings, fit
from mllm_rec.recommender import create
from mllm_rec.systems import SYSTEMS
from mllm_rec.systems.topn.bpr import BPR

QUICK = FitSettings(epochs=4, batch_size=64, lr=0.02)


@pytest.fixture(scope="module")
def data():
    return parts()[0]


class Scripted:
    """A validation that gives these values one after the other, and remembers the states it saw."""

    def __init__(self, *values):
        self.values, self.states = list(values), []

    def __call__(self, system):
        assert not system.training
        self.states.append({name: tensor.clone() for name, tensor in system.state().items()})
        return self.values[len(self.states) - 1]


def same(state, other):
    return all(torch.equal(state[name], other[name]) for name in state) and state.keys() == other.keys()


def test_early_stopping_keeps_the_best_epoch(data):
    system, validate = create(BPR, data), Scripted(0.1, 0.4, 0.3, 0.4, 0.2, 0.9)
    run = fit(system, data, validate, replace(QUICK, epochs=50, patience=3))
    assert (run.best_epoch, run.epochs, run.best) == (2, 5, 0.4)  # a value as good is not better
    assert same(system.state(), validate.states[1]) and not same(system.state(), validate.states[4])
    assert [line["validation"] for line in run.history] == [0.1, 0.4, 0.3, 0.4, 0.2]
    assert not system.training


def test_scores_are_those_of_the_best_epoch(data):
    system, validate = create(BPR, data), Scripted(0.2, 0.1)
    fit(system, data, validate, replace(QUICK, epochs=2))
    users, items = system.vectors()
    assert torch.equal(users, validate.states[0]["users"]) and torch.equal(items, validate.states[0]["items"])


def test_without_validation_the_last_epoch_is_kept(data):
    system, seen = create(BPR, data), Scripted(0.1, 0.2, 0.3, 0.4)
    fit(create(BPR, data), data, seen, QUICK)
    run = fit(system, data, settings=QUICK)
    assert (run.best_epoch, run.epochs, run.best) == (4, 4, None) and same(system.state(), seen.states[-1])


def test_validation_every_few_epochs_and_at_the_end(data):
    validate = Scripted(0.1, 0.3, 0.2)
    run = fit(create(BPR, data), data, validate, replace(QUICK, epochs=5, validate_every=2))
    assert [line["validation"] for line in run.history] == [None, 0.1, None, 0.3, 0.2] and run.best_epoch == 4


@pytest.mark.parametrize("name", [name for name, system in SYSTEMS.items() if system.trained])
def test_same_seed_same_result_whatever_else_is_drawn(data, name):
    states = []
    for seed, outside in ((5, 0), (5, 1), (6, 0)):
        torch.manual_seed(outside)
        system = create(SYSTEMS[name], data, seed=3)
        before = torch.random.get_rng_state()
        run = fit(system, data, settings=replace(QUICK, seed=seed))
        assert torch.equal(torch.random.get_rng_state(), before)
        states.append((system.state(), [line["loss"] for line in run.history]))
    assert same(states[0][0], states[1][0]) and states[0][1] == states[1][1]
    assert not same(states[0][0], states[2][0])


def test_the_log_names_each_term_and_the_loss_falls(data):
    run = fit(create(SYSTEMS["freedom"], data), data, settings=replace(QUICK, epochs=8))
    assert [line["epoch"] for line in run.history] == list(range(1, 9))
    assert all(line["loss"].keys() == {"bpr", "image", "text", "l2"} for line in run.history)
    assert run.history[-1]["loss"]["bpr"] < 0.5 * run.history[0]["loss"]["bpr"]
    assert run.seconds == pytest.approx(sum(line["seconds"] for line in run.history)) and run.peak_memory > 10**6
    assert run.parameters == (60 + 40) * 64 + 2 * 5 * 64


def test_a_term_that_breaks_is_named(data):
    with pytest.raises(InputError, match=r"loss term 'bpr' became (nan|infinite) in epoch 1; try a smaller lr"):
        fit(create(BPR, data), data, settings=replace(QUICK, lr=1e38))


@pytest.mark.parametrize(("value", "came"), [(np.nan, "nan"), (np.inf, "infinite")])
def test_the_right_term_is_named(data, monkeypatch, value, came):
    loss = BPR.loss
    monkeypatch.setattr(BPR, "loss", lambda self, batch: loss(self, batch) | {"penalty": torch.tensor(value)})
    with pytest.raises(InputError, match=f"loss term 'penalty' became {came} in epoch 1"):
        fit(create(BPR, data), data, settings=QUICK)


def test_validation_that_is_no_number_is_refused(data):
    with pytest.raises(InputError, match="validation gave nan in epoch 2"):
        fit(create(BPR, data), data, Scripted(0.1, np.nan), QUICK)


@pytest.mark.parametrize("name", ["epochs", "batch_size", "patience", "validate_every", "lr"])
@pytest.mark.parametrize("value", [0, -1, np.nan, np.inf])
def test_settings_out_of_range_are_refused(name, value):
    with pytest.raises(InputError, match=f"'{name}' is {value}"):
        replace(QUICK, **{name: value})


def test_closed_forms_are_solved_and_validated_once(data):
    system = create(SYSTEMS["ease"], data)
    run = fit(system, data, lambda solved: float(solved.weights.shape[0]), QUICK)
    assert (run.best_epoch, run.epochs, run.best, run.history, run.parameters) == (0, 0, 40.0, [], 1600)


def test_the_folder_holds_checkpoint_metrics_and_log(data, tmp_path):
    system = create(BPR, data, BPR.Settings(dim=8))
    run = fit(system, data, Scripted(0.1, 0.2, 0.3, 0.1), QUICK, tmp_path / "run")
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["checkpoint.safetensors", "log.jsonl", "metrics.json"]
    written = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert written["system"] == "bpr" and written["settings"] == {"dim": 8, "decay": 0.01}
    assert written["run"]["best"] == 0.3 and written["run"]["best_epoch"] == 3
    assert [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()] == run.history
    again = create(BPR, data, BPR.Settings(dim=8), seed=9)
    again.load_state(tmp_path / "run" / "checkpoint.safetensors")
    assert same(again.state(), system.state())


@pytest.mark.parametrize("name", ["bpr", "ease"])
def test_a_finished_run_is_read_back(data, tmp_path, name):
    first, second = (create(SYSTEMS[name], data) for _ in range(2))
    run = fit(first, data, lambda system: 0.5, QUICK, tmp_path)
    assert fit(second, data, Scripted(), QUICK, tmp_path) == run  # Scripted() has no value to give: nothing is validated again
    assert same(first.state(), second.state()) and not second.training


@pytest.mark.parametrize("change", ["fit settings", "settings", "seed", "edges", "features", "validation"])
def test_another_run_is_not_read_back(data, tmp_path, change):
    system = SYSTEMS["vbpr"]
    fit(create(system, data), data, lambda system: 0.5, QUICK, tmp_path)
    checkpoint = (tmp_path / "checkpoint.safetensors").read_bytes()
    other = parts(seed=1)[0] if change == "edges" else parts()[0]
    if change == "features":
        other.features["image"] = replace(other.features["image"], values=other.features["image"].values + np.float32(1e-3) * np.eye(40, 5))
    settings = system.Settings(decay=0.02) if change == "settings" else None
    validate = None if change == "validation" else lambda system: 0.5
    fit(
        create(system, other, settings, seed=int(change == "seed")),
        other,
        validate,
        replace(QUICK, lr=0.03 if change == "fit settings" else QUICK.lr),
        tmp_path,
    )
    assert (tmp_path / "checkpoint.safetensors").read_bytes() != checkpoint


def test_a_system_that_create_did_not_draw_is_told_apart_by_its_state(data, tmp_path):
    first, second = BPR(data), BPR(data)
    fit(first, data, settings=QUICK, out=tmp_path)
    fit(second, data, settings=QUICK, out=tmp_path)
    assert not same(first.state(), second.state())


def test_one_user_with_one_item(tmp_path):
    data, _ = parts(num_users=1, num_items=2, each=2)
    system = create(BPR, data)
    fit(system, data, settings=replace(QUICK, epochs=40), out=tmp_path)
    users, items = system.vectors()
    chosen = int(data.edges[1])
    assert users[0] @ items[chosen] > users[0] @ items[1 - chosen]
