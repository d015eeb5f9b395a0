"""Links whose weights are learned, against dense matrices."""

import pytest
import torch

from mllm_rec.data import sparse
from mllm_rec.interaction import bridge
from mllm_rec.interaction.bridge import Links

#: Target and source; the second target has no link, the last source neither.
PLACES = torch.tensor([[2, 0, 2, 0, 3], [1, 0, 0, 2, 1]])
SHAPE = (4, 4)


@pytest.fixture
def links():
    return Links(PLACES, SHAPE)


def dense(links, weights):
    return torch.zeros(SHAPE).index_put((links.targets, links.sources), weights)


def drawn(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape))).requires_grad_()


def gradients(value, *leaves):
    return torch.autograd.grad((value * torch.arange(1.0, value.numel() + 1).view_as(value)).sum(), leaves)


def same(ours, others):
    return all(torch.allclose(one, other, atol=1e-6) for one, other in zip(ours, others, strict=True))


def test_links_are_in_order_of_targets(links):
    assert len(links) == 5 and links.targets.tolist() == [0, 0, 2, 2, 3] and links.sources.tolist() == [0, 2, 0, 1, 1]
    assert links.degrees().tolist() == [2, 0, 2, 1]
    assert torch.equal(links.transposed(torch.arange(5.0)).to_dense(), dense(links, torch.arange(5.0)).T)


def test_sums_over_links_and_their_gradients(links):
    weights, x = drawn(5), drawn(4, 3)
    ours, theirs = links.sum(weights, x), dense(links, weights) @ x
    assert torch.allclose(ours, theirs) and same(gradients(ours, weights, x), gradients(theirs, weights, x))
    values = drawn(5, 2)
    ours, theirs = links.sum_of(values), torch.zeros(4, 2).index_add(0, links.targets, values)
    assert torch.allclose(ours, theirs) and same(gradients(ours, values), gradients(theirs, values))


def test_products_of_both_ends_and_their_gradients(links):
    targets, sources = drawn(4, 3), drawn(4, 3)
    ours, theirs = links.dot(targets, sources), (targets @ sources.T)[links.targets, links.sources]
    assert torch.allclose(ours, theirs, atol=1e-6) and same(gradients(ours, targets, sources), gradients(theirs, targets, sources))


def test_shares_of_a_target_sum_to_one(links):
    logits = drawn(5)
    rows = torch.full(SHAPE, -torch.inf).index_put((links.targets, links.sources), logits).softmax(1).nan_to_num()
    assert torch.allclose(dense(links, links.softmax(logits)), rows)


def test_values_of_the_ends(links):
    x = torch.tensor([[10.0], [11.0], [12.0], [13.0]])
    assert links.of_targets(x).tolist() == [10, 10, 12, 12, 13] and links.of_sources(x).tolist() == [10, 12, 10, 11, 11]


def test_histories_of_some_users_one_of_them_twice():
    chosen = torch.tensor([[1.0, 0, 1], [0, 0, 0], [0, 1, 0]])
    places = chosen.nonzero().T
    user_items = sparse.csr(sparse.row_starts(places[0], 3), places[1], torch.ones(3), (3, 3))
    links = bridge.history_links(user_items, torch.tensor([2, 1, 0, 2]))
    assert torch.equal(links.matrix(torch.ones(len(links))).to_dense(), chosen[[2, 1, 0, 2]])
