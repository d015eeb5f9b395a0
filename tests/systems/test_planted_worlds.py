"""The benchmark whose right answer is known: its worlds are as they say, and systems that claim to look at items do."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from mllm_rec.optimization.fit import FitSettings

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from planted import CLAIMS, COLD, ITEMS, KINDS, USERS, held, measured, row_of, world

QUICK = FitSettings(epochs=40, batch_size=256, lr=0.01, patience=5)


def test_a_world_holds_out_what_training_does_not_see():
    one = world("both", 0)
    assert one.data.shape == (USERS, ITEMS) and one.data.edges[1].max() < ITEMS - COLD <= one.cold[1].min()
    keys = [set(map(tuple, pairs.T.tolist())) for pairs in (one.data.edges, one.validation, one.warm, one.cold)]
    assert (
        sum(map(len, keys))
        == len(set().union(*keys))
        == sum(pairs.shape[1] for pairs in (one.data.edges, one.validation, one.warm, one.cold))
    )
    again = world("both", 0)
    assert torch.equal(one.data.edges, again.data.edges) and not torch.equal(one.data.edges, world("both", 1).data.edges)


def test_shuffling_deals_out_the_rows_of_what_is_named():
    one = world("picture", 0)
    other = one.shuffled("image")
    for place in (slice(0, ITEMS - COLD), slice(ITEMS - COLD, ITEMS)):
        rows, dealt = (each.data.features["image"].values[place] for each in (one, other))
        np.testing.assert_array_equal(rows[np.lexsort(rows.T)], dealt[np.lexsort(dealt.T)])
        assert (rows != dealt).any(1).mean() > 0.8
    np.testing.assert_array_equal(one.data.features["text"].values, other.data.features["text"].values)
    assert torch.equal(one.data.edges, other.data.edges)


@pytest.mark.parametrize("system", ["vbpr", "freedom"])
@pytest.mark.parametrize(("kind", "modality"), [("picture", "image"), ("text", "text")])
def test_what_carries_the_taste_is_found_by_systems_that_look(system, kind, modality):
    place = world(kind, 0)
    found, without = (measured(system, one, 0, QUICK)["cold"].mean() for one in (place, place.shuffled(modality)))
    assert found > without + 0.2


def test_taste_that_no_picture_shows_is_found_by_who_liked_what():
    place = world("ID", 0)
    assert measured("lightgcn", place, 0, QUICK)["warm"].mean() > measured("popularity", place, 0)["warm"].mean() + 0.2


def test_where_there_is_no_taste_nothing_is_found():
    chance = 20 / (ITEMS - COLD - 10)
    assert measured("lightgcn", world("none", 0), 0, QUICK)["warm"].mean() < chance + 0.05


def test_the_verdict():
    assert list(KINDS) == ["picture", "text", "both", "ID", "none"]
    gain = {"value": 0.5, "gain": 0.1, "p": 0.0002}
    no_gain = {"value": 0.5, "gain": 0.0, "p": 0.6}
    line, missed = row_of("some", {claim: {"warm": no_gain, "cold": no_gain if claim in ("text", "none") else gain} for claim in CLAIMS})
    assert missed == ["text"] and "+0.100*" in line and line.endswith("| text |")
    assert not held("none", {"warm": 0.1}, {"warm": 0.9}) and held("none", {"warm": 0.02}, {"warm": 0.01})
