"""The user-item graph and propagation, by hand on three nodes: two users who chose the same item."""

import pytest
import torch

from mllm_rec.interaction import bridge

ROOT = 2**-0.5
BOTH_CHOSE = torch.tensor([[0, 1], [0, 0]])


def random_edges(seed, num_users=7, num_items=5, share=0.4):
    return (torch.rand(num_users, num_items, generator=torch.Generator().manual_seed(seed)) < share).nonzero().T


def test_normalized_by_the_root_of_both_degrees():
    graph = bridge.user_item_graph(BOTH_CHOSE, (2, 1))
    assert torch.allclose(graph.matrix.to_dense(), torch.tensor([[0, 0, ROOT], [0, 0, ROOT], [ROOT, ROOT, 0]]))


def test_each_hop_and_their_mean():
    graph = bridge.user_item_graph(BOTH_CHOSE, (2, 1))
    users, items = torch.tensor([[1.0], [2.0]]), torch.tensor([[4.0]])
    hops = bridge.propagate(graph, torch.cat([users, items]), 2)
    assert [hop.flatten().tolist() for hop in hops] == [
        [1, 2, 4],
        pytest.approx([4 * ROOT, 4 * ROOT, 3 * ROOT]),
        pytest.approx([1.5, 1.5, 4]),
    ]
    mean_users, mean_items = bridge.light_convolution(graph, users, items, 2)
    assert mean_users.flatten().tolist() == pytest.approx([(1 + 4 * ROOT + 1.5) / 3, (2 + 4 * ROOT + 1.5) / 3])
    assert mean_items.item() == pytest.approx((4 + 3 * ROOT + 4) / 3)


def test_no_layers_give_the_tables_back():
    users, items = torch.randn(2, 3), torch.randn(1, 3)
    found = bridge.light_convolution(bridge.user_item_graph(BOTH_CHOSE, (2, 1)), users, items, 0)
    assert torch.equal(found[0], users) and torch.equal(found[1], items)


def test_a_repeated_edge_counts_once():
    once, twice = (bridge.user_item_graph(edges, (2, 1)).matrix.to_dense() for edges in (BOTH_CHOSE, BOTH_CHOSE.repeat(1, 2)))
    assert torch.equal(once, twice)


@pytest.mark.parametrize("shape", [(3, 2), (1, 1)])
def test_without_edges_nothing_travels(shape):
    graph = bridge.user_item_graph(torch.empty(2, 0, dtype=torch.int64), shape)
    users, items = torch.ones(shape[0], 4), torch.ones(shape[1], 4)
    assert graph.matrix.values().numel() == 0
    found = bridge.light_convolution(graph, users, items, 3)
    assert torch.equal(found[0], users / 4) and torch.equal(found[1], items / 4)


def test_one_user_of_one_item_trade_places():
    graph = bridge.user_item_graph(torch.tensor([[0], [0]]), (1, 1))
    assert graph(torch.tensor([[3.0], [5.0]])).flatten().tolist() == [5, 3]


def test_symmetric_with_spectrum_within_one():
    dense = bridge.user_item_graph(random_edges(1), (7, 5)).matrix.to_dense()
    assert torch.equal(dense, dense.T)
    assert torch.linalg.eigvalsh(dense).abs().max() <= 1 + 1e-6


def test_permuting_users_and_items_permutes_the_result():
    edges = random_edges(2)
    users, items = torch.randn(7, 3), torch.randn(5, 3)
    new_users, new_items = torch.randperm(7), torch.randperm(5)
    plain = bridge.light_convolution(bridge.user_item_graph(edges, (7, 5)), users, items, 3)
    moved_edges = torch.stack([new_users.argsort()[edges[0]], new_items.argsort()[edges[1]]])
    moved = bridge.light_convolution(bridge.user_item_graph(moved_edges, (7, 5)), users[new_users], items[new_items], 3)
    assert torch.allclose(moved[0], plain[0][new_users], atol=1e-6) and torch.allclose(moved[1], plain[1][new_items], atol=1e-6)


@pytest.mark.parametrize("symmetric", [True, False])
def test_the_gradient_is_that_of_the_dense_product(symmetric):
    dense = torch.rand(4, 4) * (torch.rand(4, 4) < 0.6)
    dense = dense + dense.T if symmetric else dense
    rows, columns = dense.nonzero().T
    matrix, transpose = (bridge.csr(*places, dense[rows, columns], (4, 4)) for places in ((rows, columns), (columns, rows)))
    graph = bridge.Graph(matrix) if symmetric else bridge.Graph(matrix, transpose)
    sparse_in, dense_in = (torch.arange(8.0).view(4, 2).requires_grad_() for _ in range(2))
    weights = torch.randn(4, 2)
    (graph(graph(sparse_in)) * weights).sum().backward()
    (dense @ (dense @ dense_in) * weights).sum().backward()
    assert torch.allclose(sparse_in.grad, dense_in.grad, atol=1e-5)


def test_csr_adds_entries_of_the_same_place_in_any_order():
    matrix = bridge.csr(torch.tensor([2, 0, 2, 0]), torch.tensor([1, 2, 1, 0]), torch.tensor([1.0, 2.0, 3.0, 4.0]), (3, 3))
    assert matrix.to_dense().tolist() == [[4, 0, 2], [0, 0, 0], [0, 4, 0]]
    assert matrix.crow_indices().tolist() == [0, 2, 2, 3] and matrix.col_indices().tolist() == [0, 2, 1]


def test_merging_adds_weighted_graphs():
    a, b = (bridge.Graph(bridge.csr(*torch.tensor(places), torch.ones(2), (3, 3))) for places in ([[0, 1], [1, 2]], [[0, 2], [1, 0]]))
    merged = bridge.merge([a, b], [0.25, 2.0], (3, 3))
    wanted = torch.tensor([[0, 2.25, 0], [0, 0, 0.25], [2, 0, 0]])
    assert torch.equal(merged.matrix.to_dense(), wanted) and torch.equal(merged.transpose.to_dense(), wanted.T)


def test_merging_no_graphs_gives_the_empty_one():
    assert torch.equal(bridge.merge([], [], (3, 3))(torch.ones(3, 2)), torch.zeros(3, 2))


def test_a_graph_is_not_saved_with_its_system():
    assert not bridge.user_item_graph(BOTH_CHOSE, (2, 1)).state_dict()


def test_item_attribute_graph_by_hand():
    # items 0 and 1 are both red (1 less surely), 1 is round too
    graph = bridge.item_attribute_graph(torch.tensor([0, 1, 1]), torch.tensor([0, 0, 1]), torch.tensor([1.0, 0.5, 1.0]), (3, 2))
    dense = graph.matrix.to_dense()
    assert torch.equal(dense, dense.T)
    assert dense[0, 3].item() == pytest.approx(1 / (1.0 * 1.5) ** 0.5)
    assert dense[1, 3].item() == pytest.approx(0.5 / (1.5 * 1.5) ** 0.5)
    assert dense[1, 4].item() == pytest.approx(1 / (1.5 * 1.0) ** 0.5)
    assert (dense[2] == 0).all() and (dense[:3, :3] == 0).all()
    two = bridge.propagate(graph, torch.eye(5), 2)[-1]
    assert two[0, 1] > 0 and two[0, 2] == 0, "two hops lead to the items that share a value"
