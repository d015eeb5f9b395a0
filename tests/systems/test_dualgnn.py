"""DualGNN against its formulas as dense algebra."""

import pytest
import torch
from six_by_five import (
    BATCH,
    EVERYONE,
    LIKES,
    PRESENT,
    affine,
    both_ways,
    close,
    contents,
    data,
    drawn,
    rank,
    squared,
    unit,
    with_strangers,
)
from torch.nn.functional import leaky_relu

from mllm_rec.errors import InputError
from mllm_rec.recommender import create
from mllm_rec.systems.topn.dualgnn import DualGNN


def alike(neighbors):
    """Each user's ``neighbors`` with most items in common, weighted by a softmax of how many; of equals the first."""
    graph = torch.zeros(6, 6)
    for user in range(6):
        common = {other: float(LIKES[user] @ LIKES[other]) for other in range(6) if other != user and LIKES[user] @ LIKES[other] > 0}
        kept = sorted(common, key=lambda other: (-common[other], other))[:neighbors]
        for other in kept:
            graph[user, other] = torch.tensor(common[other]).exp() / sum(torch.tensor(common[one]).exp() for one in kept)
    return graph


def modality(system, name, layers):
    """``x + A x + .. + A^layers x``, users first."""
    first, _, second = system.encoders[name]
    encoded = affine(second, leaky_relu(affine(first, contents()[name]))) * PRESENT[name][:, None]
    degree = both_ways().sum(1)
    root = torch.diag(torch.where(degree > 0, degree**-0.5, 0))
    hop = total = unit(torch.cat([system.preferences[name], encoded]))
    for _ in range(layers):
        hop = root @ both_ways() @ root @ hop
        total = total + hop
    return total


def represented(system, layers, neighbors):
    reached = [modality(system, name, layers) for name in contents()]
    own = sum(system.weights[:, m, None] * x[:6] for m, x in enumerate(reached))
    return own + alike(neighbors) @ own, sum(x[6:] for x in reached)


@pytest.mark.parametrize(("layers", "neighbors"), [(1, 40), (2, 2), (3, 1)])
def test_dualgnn_equation(layers, neighbors):
    system = drawn(DualGNN, dim=3, layers=layers, neighbors=neighbors, decay=0.3)
    users, items = represented(system, layers, neighbors)
    assert close(system.score(EVERYONE), with_strangers(users) @ items.T)
    loss = system.loss(BATCH)
    assert loss.keys() == {"bpr", "l2"} and close(loss["bpr"], rank(users, items))
    tables = [*system.preferences.values(), system.weights]
    assert close(loss["l2"], 0.3 * squared(*(table[BATCH.users] for table in tables)))


def test_dualgnn_weights_start_on_the_simplex():
    weights = create(DualGNN, data()).weights
    assert weights.shape == (6, 2) and (weights > 0).all() and close(weights.sum(1), torch.ones(6)) and not close(weights[0], weights[1])


def test_dualgnn_encodes_by_two_layers():
    first, _, second = create(DualGNN, data(), DualGNN.Settings(dim=3)).encoders["image"]
    assert first.weight.shape == (12, 3) and second.weight.shape == (3, 12)


def test_dualgnn_signature():
    """Users weigh the modalities each in their own way, and take in the users who chose as they did."""
    system = drawn(DualGNN, dim=3, neighbors=2, layers=2)
    own, equal = represented(system, 2, 2), represented(system, 2, 0)
    assert close(system.score(EVERYONE), with_strangers(own[0]) @ own[1].T)
    assert not close(system.score(EVERYONE), with_strangers(equal[0]) @ equal[1].T)  # without the user graph
    before = system.represent()[0]
    with torch.no_grad():
        system.weights[0] += torch.tensor([1.0, -1.0])
    moved = (system.represent()[0] - before).abs().sum(1) > 1e-6
    assert moved.tolist() == [True, *(alike(2)[1:, 0] > 0).tolist()] and not moved.all()


def test_dualgnn_needs_a_feature():
    with pytest.raises(InputError, match=r"DualGNN needs .*feature"):
        create(DualGNN, data(features=False))
