"""MGAT against its formulas as dense algebra."""

import pytest
import torch
from six_by_five import BATCH, EVERYONE, affine, both_ways, close, contents, data, drawn, penalty, rank, shares, unit, with_strangers
from torch.nn.functional import leaky_relu

from mllm_rec.errors import InputError
from mllm_rec.recommender import create
from mllm_rec.systems.topn.mgat import MGAT


def attention(y, gated=True):
    """Row ``v``: how much of each neighbor ``j`` it takes in, ``s_vj`` damped by ``sigmoid(s_vj / sqrt(deg_v))``."""
    links = both_ways()
    logits = torch.zeros(11, 11)
    for v, j in links.nonzero().tolist():
        s = y[v] @ leaky_relu(y[j])
        logits[v, j] = s * torch.sigmoid(s / links[v].sum() ** 0.5) if gated else s
    return shares(links, logits)


def represented(system, layers, gated=True):
    ids, reached = torch.cat([system.users, system.items]), []
    for name, x in contents().items():
        assert len(system.convolutions[name]) == layers
        h = unit(torch.cat([system.preferences[name], affine(system.projections[name], x, bias=False)]))
        for layer in system.convolutions[name]:
            y = affine(layer.neighbor, h, bias=False)
            neighbors = unit(attention(y, gated) @ y + layer.offset)
            h = leaky_relu(affine(layer.joint, neighbors) + leaky_relu(affine(layer.own, h)) + ids)
        reached.append(h)
    both = torch.stack(reached).mean(0)
    return both[:6], both[6:]


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_mgat_equation(layers):
    system = drawn(MGAT, dim=3, layers=layers, decay=0.3)
    users, items = represented(system, layers)
    assert close(system.score(EVERYONE), with_strangers(users) @ items.T)
    loss = system.loss(BATCH)
    assert loss.keys() == {"bpr", "l2"} and close(loss["bpr"], rank(users, items))
    assert close(loss["l2"], 0.3 * penalty(system, *system.preferences.values()))


def test_mgat_signature():
    """The gate tells: attention without it gives other scores. A map of zeros leaves neighbors that count for nothing."""
    system = drawn(MGAT, dim=3, layers=2)
    users, items = represented(system, 2, gated=False)
    assert not close(system.score(EVERYONE), with_strangers(users) @ items.T)
    with torch.no_grad():
        for layer in (layer for layers in system.convolutions.values() for layer in layers):
            layer.neighbor.weight.zero_()
    system.forget_vectors()
    users, items = represented(system, 2, gated=False)  # the gate has nothing left to damp
    assert close(system.score(EVERYONE), with_strangers(users) @ items.T)


def test_mgat_needs_a_feature():
    with pytest.raises(InputError, match=r"MGAT needs .*feature"):
        create(MGAT, data(features=False))
