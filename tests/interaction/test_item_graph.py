"""Links between items alike: by hand, and against the dense form."""

import pytest
import torch

from mllm_rec.interaction import bridge


def dense_form(values, present, neighbors):
    """Every pair's cosine at once, sorted; an item is its own first neighbor."""
    unit = values / values.norm(dim=1, keepdim=True)
    similar = unit @ unit.T
    similar[:, ~present] = -torch.inf
    similar.diagonal().fill_(torch.inf)
    similar[~present] = -torch.inf
    links = min(neighbors, int(present.sum()))
    graph = torch.zeros(len(values), len(values))
    for row in present.nonzero().flatten():
        graph[row, similar[row].argsort(descending=True)[:links]] = 1 / links
    return graph


def features(seed, num_items=40, width=6):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(num_items, width, generator=generator), torch.rand(num_items, generator=generator) < 0.8


def test_three_items_by_hand():
    # cosines: first-second 0.8, first-third 0, second-third 0.6; length plays no part
    values = torch.tensor([[1.0, 0.0], [8.0, 6.0], [0.0, 0.1]])
    graph = bridge.item_item_graph(values, torch.ones(3, dtype=torch.bool), 2)
    assert graph.matrix.to_dense().tolist() == [[0.5, 0.5, 0], [0.5, 0.5, 0], [0, 0.5, 0.5]]
    assert torch.equal(graph.transpose.to_dense(), graph.matrix.to_dense().T)


@pytest.mark.parametrize("block", [1, 40, 7 * 40, 2**24])
def test_in_blocks_as_in_one(block, monkeypatch):
    values, present = features(3)
    monkeypatch.setattr("mllm_rec.interaction.bridge.item_graph.BLOCK", block)
    graph = bridge.item_item_graph(values, present, 5)
    assert torch.equal(graph.matrix.to_dense(), dense_form(values, present, 5))
    assert torch.equal(graph.transpose.to_dense(), dense_form(values, present, 5).T)


def test_rows_sum_to_one_and_hold_the_item_itself():
    values, present = features(4)
    dense = bridge.item_item_graph(values, present, 7).matrix.to_dense()
    assert torch.allclose(dense.sum(1), present.float()) and torch.equal(dense.diagonal() > 0, present)
    assert torch.equal((dense > 0).sum(1), 7 * present)


def test_an_item_without_the_modality_has_no_links():
    values, present = features(5)
    dense = bridge.item_item_graph(values, present, 7).matrix.to_dense()
    assert not dense[~present].any() and not dense[:, ~present].any() and not present.all()


def test_permuting_items_permutes_rows_and_columns():
    values, present = features(6)
    order = torch.randperm(len(values))
    plain, moved = (bridge.item_item_graph(values[rows], present[rows], 4).matrix.to_dense() for rows in (torch.arange(40), order))
    assert torch.equal(moved, plain[order][:, order])


@pytest.mark.parametrize(("known", "neighbors"), [(0, 5), (1, 5), (3, 0), (3, 99)])
def test_few_items_and_odd_numbers_of_neighbors(known, neighbors):
    values, present = torch.eye(3), torch.arange(3) < known
    graph = bridge.item_item_graph(values, present, neighbors)
    links = min(known, neighbors)
    assert graph.matrix.values().tolist() == pytest.approx([1 / max(1, links)] * known * links)
    assert graph(torch.ones(3, 2)).shape == (3, 2)


def test_vectors_of_zeros_are_alike_to_nothing_but_themselves():
    graph = bridge.item_item_graph(torch.tensor([[0.0], [1.0], [2.0]]), torch.ones(3, dtype=torch.bool), 2)
    assert graph.matrix.to_dense()[1:].tolist() == [[0, 0.5, 0.5], [0, 0.5, 0.5]]
    assert graph.matrix.to_dense()[0, 0] == 0.5
