"""Popularity, ItemKNN and EASE against their formulas as dense algebra."""

import pytest
import torch
from six_by_five import EVERYONE, LIKES, close, data, solved

from mllm_rec.errors import InputError
from mllm_rec.recommender import Query
from mllm_rec.systems.topn.ease import EASE
from mllm_rec.systems.topn.itemknn import ItemKNN
from mllm_rec.systems.topn.popularity import Popularity

#: Rows of the history; of the user without one, the mean of all.
ROWS = torch.where(LIKES.any(1, keepdim=True), LIKES, LIKES.mean(0))


def test_popularity_equation():
    assert solved(Popularity).score(EVERYONE).tolist() == [[3, 3, 3, 2, 0]] * 6
    assert solved(Popularity).score(Query(torch.tensor([0, 1]), items=torch.tensor([[4, 3], [0, 0]]))).tolist() == [[0, 2], [3, 3]]


def cosine(shrink):
    """``c_ij / (sqrt(c_i c_j) + shrink)``, nothing on the diagonal."""
    both = LIKES.T @ LIKES
    length = both.diagonal().sqrt()
    similar = both / (length[:, None] * length + shrink).clamp(min=1e-9)
    return similar.fill_diagonal_(0)


@pytest.mark.parametrize(("neighbors", "shrink"), [(1, 0.0), (2, 0.0), (2, 3.0), (20, 10.0)])
def test_itemknn_equation(neighbors, shrink):
    similar = cosine(shrink)
    nearest = similar.argsort(dim=1, descending=True, stable=True)[:, :neighbors]
    weights = torch.zeros(5, 5).scatter(1, nearest, similar.gather(1, nearest))
    system = solved(ItemKNN, neighbors=neighbors, shrink=shrink)
    assert close(system.weights.to_dense(), weights) and close(system.score(EVERYONE), ROWS @ weights)


def test_itemknn_by_hand():
    # items 0 and 1 were chosen by 3 users each, by 2 together: 2 / (3 + 1)
    weights = solved(ItemKNN, neighbors=4, shrink=1.0).weights.to_dense()
    assert weights[0, 1] == pytest.approx(0.5) and weights[2, 3] == pytest.approx(1 / (6**0.5 + 1)) and weights[0, 3] == 0


def test_itemknn_in_blocks_as_in_one(monkeypatch):
    whole = solved(ItemKNN, neighbors=2).weights.to_dense()
    monkeypatch.setattr("mllm_rec.systems.topn.itemknn.BLOCK", 2)
    assert torch.equal(solved(ItemKNN, neighbors=2).weights.to_dense(), whole)


def test_itemknn_signature():
    full, nearest, damped = (solved(ItemKNN, **settings).score(EVERYONE) for settings in ({}, {"neighbors": 1}, {"shrink": 0.0}))
    assert not close(full, nearest) and not close(full, damped)


@pytest.mark.parametrize("regularization", [0.5, 500.0])
def test_ease_equation(regularization):
    inverse = torch.linalg.inv((LIKES.T @ LIKES + regularization * torch.eye(5)).double())
    weights = torch.eye(5) - inverse @ torch.diag(1 / inverse.diagonal())
    system = solved(EASE, regularization=regularization)
    assert close(system.weights, weights) and close(system.score(EVERYONE), ROWS.double() @ weights)


def test_ease_is_the_least_squares_fit_that_may_not_use_the_item_itself():
    """Column by column: ridge regression of an item on the four others."""
    weights = solved(EASE, regularization=2.0).weights
    for item in range(5):
        others = [other for other in range(5) if other != item]
        x = LIKES[:, others]
        assert close(weights[others, item], torch.linalg.solve(x.T @ x + 2 * torch.eye(4), x.T @ LIKES[:, item]))


def test_ease_signature():
    """Without the constraint on the diagonal it is ridge regression, which mostly repeats the history."""
    ridge = torch.linalg.solve(LIKES.T @ LIKES + 2 * torch.eye(5), LIKES.T @ LIKES)
    system = solved(EASE, regularization=2.0)
    assert not system.weights.diagonal().any() and not close(system.score(EVERYONE), ROWS @ ridge)


def test_ease_refuses_more_items_than_memory_allows_and_names_itemknn():
    with pytest.raises(InputError, match=r"5 x 5 items, more than max_items = 4; use ItemKNN"):
        solved(EASE, max_items=4)


@pytest.mark.parametrize("system", [EASE, ItemKNN])
def test_what_is_said_joins_the_history(system):
    """A row holds 1 for what is liked, -1/2 for what is disliked, whatever it held before."""
    one = solved(system)
    query = Query(torch.tensor([0, 5]), [torch.tensor([2]), torch.tensor([3, 3])], [torch.tensor([1]), torch.tensor([0])])
    rows = torch.tensor([[1, -0.5, 1, 0, 0], [-0.5, 0, 0, 1, 0]])
    assert close(one.score(query), rows @ one.weights.to_dense())
    alone = Query(liked=query.liked, disliked=query.disliked)
    assert close(one.score(alone), torch.tensor([[0, -0.5, 1, 0, 0], [-0.5, 0, 0, 1, 0]]) @ one.weights.to_dense())


@pytest.mark.parametrize("system", [EASE, ItemKNN])
def test_unsolved_weights_are_refused(system):
    with pytest.raises(InputError, match="has no weights yet; call fit, solve or load_state"):
        system(data()).score(EVERYONE)
