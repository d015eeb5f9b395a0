"""Links by common choices, links that are learned, entities; by hand on few items."""

import torch
from torch.nn.functional import normalize

from mllm_rec.interaction import bridge, filtration
from mllm_rec.interaction.bridge import co_occurrence
from mllm_rec.interaction.clusters import centers

#: Three users who share two items, one item, and nothing.
CHOSEN = torch.tensor([[1, 1, 1, 0], [1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
EDGES = CHOSEN.nonzero().T


def test_partners_share_most_items(monkeypatch):
    for block in (co_occurrence.BLOCK, 1):
        monkeypatch.setattr(co_occurrence, "BLOCK", block)
        found, shared = bridge.partners(torch.cat([EDGES, EDGES], 1), (4, 4), 2)  # a repeated choice counts once
        assert found.tolist() == [[1, 2], [0, 2], [0, 1], [-1, -1]] and shared.tolist() == [[2, 1], [2, 1], [1, 1], [0, 0]]
    items, _ = bridge.partners(EDGES.flip(0), (4, 4), 1)
    assert items[:, 0].tolist() == [1, 0, 0, -1]


def test_the_partner_graph_weighs_by_a_softmax_over_what_is_shared():
    shares = torch.tensor([2.0, 1.0]).softmax(0)
    graph = bridge.partner_graph(EDGES, (4, 4), 2)
    wanted = torch.zeros(4, 4)
    wanted[0, [1, 2]], wanted[1, [0, 2]], wanted[2, [0, 1]] = shares, shares, torch.tensor([0.5, 0.5])
    assert torch.allclose(graph.matrix.to_dense(), wanted) and torch.allclose(graph.transpose.to_dense(), wanted.T)


def test_strongest_of_each_row_of_equals_the_first():
    row, column, value = (torch.tensor(part).numpy() for part in ([1, 0, 1, 1, 0], [3, 2, 1, 0, 0], [5.0, 1.0, 7.0, 5.0, 1.0]))
    kept, rank = bridge.strongest(row, column, value, 2)
    assert [(int(row[k]), int(column[k]), int(r)) for k, r in zip(kept, rank, strict=True)] == [(0, 0, 0), (0, 2, 1), (1, 1, 0), (1, 0, 1)]


def test_a_learned_item_graph_is_part_frozen_part_by_its_projection():
    random = torch.Generator().manual_seed(0)
    values, x = torch.randn(5, 3, generator=random), torch.randn(5, 2, generator=random)
    present = torch.tensor([True, True, True, True, False])
    graph = bridge.LearnedItemGraph(values, present, 3, 2, 2, 0.7)
    graph.rebuild(values)
    unit = normalize(graph.projection(values), dim=1).detach()
    like = (unit @ unit.T)[:4, :4]
    near = torch.zeros(5, 5)
    near[:4, :4] = like.clamp(min=0) * torch.zeros(4, 4).scatter(1, like.topk(2).indices, 1.0)
    root = torch.where(near.sum(1) > 0, near.sum(1).clamp(min=1e-12).rsqrt(), 0.0)
    wanted = 0.7 * graph.frozen.matrix.to_dense() @ x + 0.3 * (root[:, None] * near * root) @ x
    ours = graph(values, x)
    assert torch.allclose(ours, wanted, atol=1e-5) and not ours[4].any()
    ours.sum().backward()
    assert graph.projection.weight.grad.any()


def test_entities_are_the_nearest_centers_of_each_modality():
    values = torch.tensor([[5.0, 0.0], [5.1, 0.0], [-5.0, 0.0], [-5.1, 0.0], [9.0, 9.0]])
    present = torch.tensor([True, True, True, True, False])
    links, owners = filtration.entity_links({"image": values, "none": values}, {"image": present, "none": torch.zeros(5, dtype=bool)}, 2, 1)
    entity = dict(links.T.tolist())
    assert owners == ["image", "image"] and sorted(entity) == [0, 1, 2, 3]
    assert entity[0] == entity[1] != entity[2] == entity[3]


def test_no_more_centers_than_rows_that_differ():
    values = torch.tensor([[1.0], [1.0], [3.0]])
    assert sorted(centers(values, 5)[:, 0].tolist()) == [1, 3] and torch.equal(centers(values, 2), centers(values, 2))


def test_links_are_dropped_alike_and_stay_in_order():
    edges = torch.arange(2000).repeat(2, 1)
    kept = filtration.drop_links(edges, 0.3, torch.Generator().manual_seed(0))
    assert kept.shape == (2, 1400) and (kept[0].diff() > 0).all() and abs(kept[0].float().mean() - 999.5) < 30


def test_hops_are_summed_forward_and_back():
    random = torch.Generator().manual_seed(1)
    matrix, x = torch.rand(4, 4, generator=random), torch.randn(4, 3, generator=random).requires_grad_()
    rows, columns = matrix.nonzero().T
    graph = bridge.Graph(bridge.csr(rows, columns, matrix[rows, columns], (4, 4)), bridge.csr(columns, rows, matrix[rows, columns], (4, 4)))
    for hops in (0, 1, 3):
        ours = graph.sum_of_hops(x, hops, 0.25)
        wanted = 0.25 * sum(torch.linalg.matrix_power(matrix, hop) @ x for hop in range(hops + 1))
        weights = torch.arange(12.0).view(4, 3)
        assert torch.allclose(ours, wanted, rtol=1e-5)
        one, other = (torch.autograd.grad((value * weights).sum(), x)[0] for value in (ours, wanted))
        assert torch.allclose(one, other, rtol=1e-5)
