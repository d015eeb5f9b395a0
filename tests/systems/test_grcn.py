"""GRCN against its formulas as dense algebra."""

import pytest
import torch
from six_by_five import BATCH, EVERYONE, LIKES, affine, both_ways, close, contents, data, drawn, penalty, rank, shares, unit, with_strangers
from torch.nn.functional import leaky_relu

from mllm_rec.errors import InputError
from mllm_rec.recommender import create
from mllm_rec.systems.topn.grcn import GRCN


def routed(system, name, routing):
    """Prototype routing of one modality: users first, then items."""
    z = unit(leaky_relu(affine(system.projections[name], contents()[name], bias=False)))
    p = unit(system.preferences[name])
    for _ in range(routing):
        p = unit(p + shares(LIKES, p @ z.T) @ z)
    return torch.cat([p, z])


def represented(system, routing, layers):
    """Refined ID vectors beside each modality's own; ``alpha[v, j]`` is of the link from ``j`` to ``v``."""
    alphas, content = [], []
    for name in contents():
        x = routed(system, name, routing)
        alphas.append(shares(both_ways(), x @ x.T))
        content.append(x + alphas[-1] @ x)
    weights = torch.zeros(11, 11)
    for v, j in both_ways().nonzero().tolist():
        weights[v, j] = max(0.0, *((alpha[v, j] * system.confidence[j, m]).item() for m, alpha in enumerate(alphas)))
    hop = total = unit(torch.cat([system.users, system.items]))
    for _ in range(layers):
        hop = weights @ hop
        total = total + hop
    both = torch.cat([total, *content], 1)
    return both[:6], both[6:]


@pytest.mark.parametrize(("routing", "layers"), [(1, 1), (2, 3), (3, 2)])
def test_grcn_equation(routing, layers):
    system = drawn(GRCN, dim=3, routing=routing, layers=layers, decay=0.3)
    users, items = represented(system, routing, layers)
    assert close(system.score(EVERYONE), with_strangers(users) @ items.T)
    loss = system.loss(BATCH)
    assert loss.keys() == {"bpr", "l2", "confidence"} and close(loss["bpr"], rank(users, items))
    assert close(loss["l2"], 0.3 * penalty(system, *system.preferences.values()))
    assert close(loss["confidence"], 0.3 * (system.confidence**2).mean() / 2)


def test_grcn_signature():
    """Links that no modality trusts are cut from the graph of IDs, and from that one alone."""
    system = drawn(GRCN, dim=3, layers=2)
    system.eval()
    before = torch.cat(system.represent())
    with torch.no_grad():
        system.confidence.copy_(-system.confidence.abs())
    after = torch.cat(system.represent())
    assert close(after[:, :3], unit(torch.cat([system.users, system.items]))) and close(after[:, 3:], before[:, 3:])
    assert not close(after[:, :3], before[:, :3])
    with torch.no_grad():
        system.confidence[:, 1] = 1.0  # one modality that trusts is enough
    assert not close(torch.cat(system.represent())[:, :3], after[:, :3])


def test_grcn_trains_through_the_refined_graph():
    """The links' weights have a gradient, to the confidence and by the attention to projections and preferences."""
    system = drawn(GRCN, dim=3, layers=1)
    system.represent()[0][:, :3].sum().backward()
    for parameter in (system.confidence, *system.preferences.values(), *system.projections.parameters()):
        assert parameter.grad.any()


def test_grcn_needs_a_feature():
    with pytest.raises(InputError, match=r"GRCN needs .*feature"):
        create(GRCN, data(features=False))
