"""Training triples: each interaction once, negatives outside the history, each with the same chance."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mllm_rec.errors import InputError
from mllm_rec.optimization.sampling import Batch, Negatives, Triples, sample

logs = st.integers(1, 6).flatmap(
    lambda num_items: st.lists(st.sets(st.integers(0, num_items - 1), max_size=num_items), min_size=1, max_size=5).map(
        lambda histories: (histories, num_items)
    )
)


def edges_of(histories):
    pairs = [(user, item) for user, items in enumerate(histories) for item in items]
    return torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2).T


@given(logs)
def test_draws_every_item_left_and_no_other(log):
    histories, num_items = log
    negatives = Negatives(edges_of(histories), (len(histories), num_items))
    generator = torch.Generator().manual_seed(0)
    for user, history in enumerate(histories):
        left = set(range(num_items)) - history
        assert negatives.left[user] == len(left)
        if left:
            drawn = negatives.draw(torch.full((300,), user), generator)
            assert set(drawn.tolist()) == left


def test_each_item_left_has_the_same_chance():
    negatives = Negatives(torch.tensor([[0, 0, 0, 1], [0, 3, 4, 2]]), (2, 8))
    drawn = negatives.draw(torch.zeros(20_000, dtype=torch.int64), torch.Generator().manual_seed(0))
    share = torch.bincount(drawn, minlength=8) / 20_000
    assert share.tolist() == pytest.approx([0, 0.2, 0.2, 0, 0, 0.2, 0.2, 0.2], abs=0.015)


def test_repeated_interactions_do_not_shift_the_draw():
    negatives = Negatives(torch.tensor([[0, 0, 0], [1, 1, 1]]), (1, 3))
    drawn = negatives.draw(torch.zeros(200, dtype=torch.int64), torch.Generator().manual_seed(0))
    assert set(drawn.tolist()) == {0, 2}


def test_an_epoch_has_every_interaction_once_in_an_order_of_chance():
    edges = edges_of([{0, 1, 2}, {1, 3}, {0, 1, 2, 3, 4}, set()])
    triples = Triples(edges, (4, 5), batch_size=2)
    epochs = [list(triples.epoch(torch.Generator().manual_seed(seed))) for seed in (0, 0, 1)]
    assert [len(batch) for batch in epochs[0]] == [2, 2, 1]  # user 2 chose everything and has no counterpart
    orders = [[(int(u), int(i)) for batch in epoch for u, i in zip(batch.users, batch.positives, strict=True)] for epoch in epochs]
    assert sorted(orders[0]) == [(0, 0), (0, 1), (0, 2), (1, 1), (1, 3)] == sorted(orders[2])
    assert orders[0] == orders[1] != orders[2]
    for batch in epochs[0]:
        assert all((int(u), int(n)) not in orders[0] for u, n in zip(batch.users, batch.negatives, strict=True))


@pytest.mark.parametrize("histories", [[set()], [{0, 1}, {0, 1}]])
def test_nothing_to_compare_is_said(histories):
    with pytest.raises(InputError, match=r"nothing to train on.*'popularity'"):
        Triples(edges_of(histories), (len(histories), 2), 8)


def test_parts_of_a_batch_for_several_processes():
    batch = Batch(*(torch.arange(5) + ten for ten in (0, 10, 20)))
    parts = [batch.every(2, first) for first in (0, 1)]
    assert [part.users.tolist() for part in parts] == [[0, 2, 4], [1, 3]]
    assert [part.negatives.tolist() for part in parts] == [[20, 22, 24], [21, 23]]
    assert batch.every(6, 3) is batch


def test_nodes_of_a_batch_are_each_there_once_and_found_by_their_places():
    batch = Batch(torch.tensor([4, 1, 4]), torch.tensor([0, 2, 2]), torch.tensor([2, 0, 5]))
    nodes, places = batch.nodes(10)
    assert nodes.tolist() == [1, 4, 10, 12, 15]
    for part, first in (("users", 0), ("positives", 10), ("negatives", 10)):
        assert torch.equal(nodes[getattr(places, part)], getattr(batch, part) + first)
    assert [nodes[some].tolist() for some in places.distinct()] == [[1, 4], [10, 12]]


def test_rows_of_a_batch():
    users, items = torch.arange(6.0).view(3, 2), torch.arange(8.0).view(4, 2)
    rows = Batch(torch.tensor([2]), torch.tensor([0]), torch.tensor([3])).rows(users, items)
    assert [row.tolist() for row in rows] == [[[4, 5]], [[0, 1]], [[6, 7]]]


def test_a_sample_of_rows_is_any_of_them_each_once():
    rows = torch.arange(10, 20)
    assert sample(rows, 10) is rows
    torch.manual_seed(0)
    drawn = [sample(rows, 3).tolist() for _ in range(50)]
    assert all(len(set(one)) == 3 for one in drawn) and {place for one in drawn for place in one} == set(rows.tolist())
