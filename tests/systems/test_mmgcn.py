"""MMGCN against its formulas as dense algebra."""

import pytest
import torch
from six_by_five import BATCH, EVERYONE, affine, both_ways, close, contents, data, drawn, penalty, rank, unit, with_strangers
from torch.nn.functional import leaky_relu

from mllm_rec.errors import InputError
from mllm_rec.recommender import create
from mllm_rec.systems.topn.mmgcn import MMGCN


def represented(system, layers, shared=True):
    """Users' and items' vectors; without ``shared`` no ID vector enters a layer."""
    links, ids = both_ways(), torch.cat([system.users, system.items]) * shared
    mean = links / links.sum(1, keepdim=True).clamp(min=1)
    reached = []
    for name, x in contents().items():
        assert len(system.convolutions[name]) == layers
        h = unit(torch.cat([system.preferences[name], affine(system.projections[name], x, bias=False)]))
        for layer in system.convolutions[name]:
            neighbors = leaky_relu(mean @ affine(layer.neighbor, h, bias=False))
            own = leaky_relu(affine(layer.own, h)) + ids
            h = leaky_relu(affine(layer.joint, torch.cat([neighbors, own], 1)))
        reached.append(h)
    both = torch.stack(reached).mean(0)
    return both[:6], both[6:]


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_mmgcn_equation(layers):
    system = drawn(MMGCN, dim=3, layers=layers, decay=0.3)
    users, items = represented(system, layers)
    assert close(system.score(EVERYONE), with_strangers(users) @ items.T)
    loss = system.loss(BATCH)
    assert loss.keys() == {"bpr", "l2"} and close(loss["bpr"], rank(users, items))
    assert close(loss["l2"], 0.3 * penalty(system, *system.preferences.values()))


def test_mmgcn_signature():
    """One table of IDs enters every layer of every modality: nothing else joins the modalities."""
    system = drawn(MMGCN, dim=3, layers=2)
    bridged, apart = represented(system, 2), represented(system, 2, shared=False)
    assert close(system.score(EVERYONE), with_strangers(bridged[0]) @ bridged[1].T)
    assert not close(system.score(EVERYONE), with_strangers(apart[0]) @ apart[1].T)
    with torch.no_grad():
        system.users.zero_()
        system.items.zero_()
    system.forget_vectors()
    assert close(system.score(EVERYONE), with_strangers(apart[0]) @ apart[1].T)


def test_mmgcn_needs_a_feature():
    with pytest.raises(InputError, match=r"MMGCN needs .*feature"):
        create(MMGCN, data(features=False))
