"""Encoders trained with a system: planted pictures, the gradient's way, the same loss from a batch's items alone, resuming."""

import hashlib
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from mllm_rec.data.dataset import Dataset
from mllm_rec.data.features import Encodable, Features
from mllm_rec.data.interactions import Interactions
from mllm_rec.encoders.networks import ConvNet
from mllm_rec.errors import InputError
from mllm_rec.optimization.fit import FitSettings, fit
from mllm_rec.recommender import Batch, Query, create
from mllm_rec.systems import SYSTEMS
from mllm_rec.systems.topn.freedom import FREEDOM
from mllm_rec.systems.topn.vbpr import VBPR

USERS, ITEMS, COLD, MISSING = 24, 60, 20, 3
QUICK = FitSettings(epochs=12, batch_size=256, lr=0.01, encoder_lr=0.01)
SMALL = VBPR.Settings(dim=4, content_dim=4)
BATCH = Batch(torch.tensor([0, 1, 2, 3, 4]), torch.tensor([1, 7, 7, 39, MISSING]), torch.tensor([8, 0, 12, 39, 1]))


def planted(end_to_end=True):
    """Even users like pictures striped across, odd users those striped down; colors, which fill the pixels, mean nothing.

    The last ``COLD`` items have no interactions, one has no picture.
    """
    random = np.random.default_rng(0)
    stripes = np.indices((8, 8)) // 2 % 2
    pixels = stripes[np.arange(ITEMS) % 2][..., None] * random.integers(60, 255, (ITEMS, 1, 1, 3)) + random.integers(
        0, 60, (ITEMS, 1, 1, 3)
    )
    pixels = np.minimum(pixels, 255).astype(np.uint8)
    present = np.arange(ITEMS) != MISSING
    torch.manual_seed(0)
    module = ConvNet(2, (4, 8))
    values = module(torch.from_numpy(pixels)).detach().numpy()
    pairs = [(f"u{user}", f"i{item}") for user in range(USERS) for item in range(user % 2, ITEMS - COLD, 2) if random.random() < 0.6]
    return Dataset(
        [f"i{item}" for item in range(ITEMS)],
        [f"u{user}" for user in range(USERS)],
        Interactions(pd.DataFrame(pairs, columns=["user_id", "item_id"])),
        {"image": Features(values, present), "other": Features(random.normal(size=(ITEMS, 3)), np.ones(ITEMS, bool))},
        {"image": Encodable(pixels, module)} if end_to_end else None,
    )


@pytest.fixture(scope="module")
def data():
    return planted()


def cold_hits(system):
    """Share of pairs of cold items, one of each kind, that a user's scores put right."""
    scores = system.score(Query(torch.arange(USERS)))[:, ITEMS - COLD :]
    kinds = torch.stack([scores[:, 0::2], scores[:, 1::2]])
    user = torch.arange(USERS)
    liked, other = kinds[user % 2, user], kinds[1 - user % 2, user]
    return float((liked[:, :, None] > other[:, None, :]).float().mean())


def test_taste_that_only_the_picture_carries_is_learned(data):
    worth = {}
    for end_to_end in (True, False):
        system = create(VBPR, data if end_to_end else planted(False), SMALL)
        fit(system, system.data, settings=replace(QUICK, epochs=20))
        worth[end_to_end] = cold_hits(system)
    assert worth[True] > 0.97 and worth[False] < 0.88


@pytest.mark.parametrize(("system", "settings"), [(VBPR, SMALL), (FREEDOM, FREEDOM.Settings(dim=4))])
def test_the_items_of_a_batch_give_the_loss_and_gradient_of_all(data, system, settings, monkeypatch):
    made, whole = (create(system, data, settings) for _ in range(2))
    monkeypatch.setattr(whole.content, "only", lambda *rows: torch.enable_grad())
    seen = []
    made.content.encoders["image"].register_forward_hook(lambda module, given, output: seen.append(len(given[0])))
    losses = [one.loss(BATCH) for one in (made, whole)]
    for name in losses[0]:
        assert torch.allclose(losses[0][name], losses[1][name], rtol=1e-5, atol=1e-7)
    assert seen == [6], "each item of the batch that has a picture once: 0, 1, 7, 8, 12 and 39"
    for loss in losses:
        sum(loss.values()).backward()
    for ours, theirs in zip(made.parameters(), whole.parameters(), strict=True):
        assert torch.allclose(ours.grad, theirs.grad, rtol=1e-4, atol=1e-7)
    assert all(parameter.grad.abs().max() > 0 for parameter in made.encoder_parameters())


def test_rows_have_length_one_and_missing_items_are_zero(data):
    content = create(VBPR, data, SMALL).content
    rows = content["image"]
    assert torch.allclose(rows.norm(dim=1), (torch.arange(ITEMS) != MISSING).float(), atol=1e-5)
    module = data.encodable["image"].module
    assert torch.allclose(
        rows[5], nn.functional.normalize(module(torch.from_numpy(data.encodable["image"].inputs[5:6]))[0], dim=0), atol=1e-6
    )
    assert not content["other"].requires_grad and rows.requires_grad
    with content.only(torch.tensor([5, 2, 5, MISSING])):
        some = content["image"]
    assert torch.allclose(some[[2, 5]], rows[[2, 5]], atol=1e-6) and not some[[0, 1, 3, 4, 6]].any()


def test_serving_encodes_once_until_something_is_trained(data):
    system, calls = create(VBPR, data, SMALL).eval(), []
    system.content.encoders["image"].register_forward_hook(lambda module, given, output: calls.append(len(given[0])))
    before = system.score(Query(torch.arange(USERS)))
    system.contributions(Query(torch.arange(USERS)))
    assert calls == [ITEMS - 1]
    state = {name: tensor + 0.1 for name, tensor in system.state().items()}
    system.restore(state)
    assert not torch.allclose(system.score(Query(torch.arange(USERS))), before) and len(calls) == 2


def test_encoders_have_a_learning_rate_of_their_own(data):
    moved = {}
    for encoder_lr in (1e-9, 0.01):
        system = create(VBPR, data, SMALL)
        fit(system, data, settings=replace(QUICK, epochs=3, encoder_lr=encoder_lr))
        begun = data.encodable["image"].module.state_dict()
        moved[encoder_lr] = max(
            float((tensor - begun[name]).abs().max()) for name, tensor in system.content.encoders["image"].state_dict().items()
        )
        assert (system.users - create(VBPR, data, SMALL).users).abs().max() > 0.05
    assert moved[1e-9] < 1e-6 and moved[0.01] > 0.02


def test_without_a_trained_encoder_the_rate_changes_nothing():
    data, states = planted(False), []
    for encoder_lr in (1e-9, 0.01):
        system = create(VBPR, data, SMALL)
        fit(system, data, settings=replace(QUICK, epochs=2, encoder_lr=encoder_lr))
        states.append(system.state())
    assert system.encoder_parameters() == [] and all(torch.equal(states[0][name], states[1][name]) for name in states[0])


@pytest.mark.parametrize("system", [VBPR, FREEDOM])
def test_interrupted_it_goes_on_to_the_same_weights(data, system, tmp_path, monkeypatch):
    settings, calls, loss = replace(QUICK, epochs=4), 0, system.loss

    def dying(self, batch):
        nonlocal calls
        calls += 1
        if calls > 5:  # in the third epoch of two steps
            raise KeyboardInterrupt
        return loss(self, batch)

    fit(create(system, data), data, settings=settings, out=tmp_path / "whole")
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(system, "loss", dying)
        fit(create(system, data), data, settings=settings, out=tmp_path / "broken")
    assert (tmp_path / "broken" / "resume.pt").exists() and len((tmp_path / "broken" / "log.jsonl").read_text().splitlines()) == 2
    again = create(system, data)
    fit(again, data, settings=settings, out=tmp_path / "broken")
    assert len({hashlib.sha256((tmp_path / run / "checkpoint.safetensors").read_bytes()).digest() for run in ("whole", "broken")}) == 1
    loaded = create(system, data, seed=9)
    loaded.load_state(tmp_path / "broken" / "checkpoint.safetensors")
    assert torch.equal(loaded.eval().score(Query(torch.arange(USERS))), again.score(Query(torch.arange(USERS))))
    assert any(name.startswith("content.encoders.image.") for name in again.state())


@pytest.mark.parametrize("change", ["inputs", "weights", "end-to-end"])
def test_a_run_with_another_encoder_is_not_read_back(data, change, tmp_path):
    settings, other = replace(QUICK, epochs=1), planted(change != "end-to-end")
    fit(create(VBPR, data, SMALL), data, settings=settings, out=tmp_path)
    before = (tmp_path / "log.jsonl").read_text()
    fit(create(VBPR, data, SMALL), data, settings=settings, out=tmp_path)
    assert (tmp_path / "log.jsonl").read_text() == before
    if change == "inputs":
        other.encodable["image"].inputs[5, 0, 0] ^= 1
    elif change == "weights":
        other.encodable["image"].module.last.bias.data[0] += 1e-3
    fit(create(VBPR, other, SMALL), other, settings=settings, out=tmp_path)
    assert (tmp_path / "log.jsonl").read_text() != before


def test_the_data_set_keeps_its_module_as_it_was(data):
    fit(create(VBPR, data, SMALL), data, settings=replace(QUICK, epochs=1))
    untouched = planted().encodable["image"].module.state_dict()
    assert all(torch.equal(tensor, untouched[name]) for name, tensor in data.encodable["image"].module.state_dict().items())


def test_inputs_of_other_items_are_refused(data):
    other = planted()
    other.encodable = {"image": Encodable(data.encodable["image"].inputs[1:], data.encodable["image"].module)}
    with pytest.raises(InputError, match=f"'image' has inputs of {ITEMS - 1} items, but features of {ITEMS}"):
        create(VBPR, other)


def test_systems_without_features_have_no_encoder(data):
    assert create(SYSTEMS["bpr"], data).encoder_parameters() == []
