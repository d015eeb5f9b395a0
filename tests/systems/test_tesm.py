"""TESM against its formulas as dense algebra."""

import pytest
import torch
from six_by_five import BATCH, EVERYONE, IMAGE, PRESENT, TEXT, affine, close, contents, data, drawn, penalty, rank, unit, with_strangers
from torch.nn.functional import leaky_relu, softplus

from mllm_rec.errors import InputError
from mllm_rec.recommender import create
from mllm_rec.systems.topn.tesm import TESM

RAW = {"image": IMAGE, "text": TEXT}


def links(name, neighbors):
    """Of each item with the modality those most alike by cosine, itself first."""
    there, units = PRESENT[name].nonzero().flatten().tolist(), unit(RAW[name])
    return {i: sorted(there, key=lambda k: (k != i, -float(units[i] @ units[k])))[:neighbors] for i in there}


def pretrained(system, name, neighbors):
    """Stage 1: ``W2 LReLU(S W1 x)``, each link ``1 / k``; zero where the modality is missing."""
    mapped = affine(system.first[name], contents()[name], bias=False)
    z = torch.zeros(5, mapped.shape[1])
    for item, near in links(name, neighbors).items():
        z[item] = affine(system.second[name], leaky_relu(sum(mapped[k] for k in near) / len(near)), bias=False)
    return z


def attended(system, z):
    """Stage 2: a softmax over the modalities that an item has."""
    items = torch.zeros(5, 3)
    for item in range(5):
        h = [affine(system.values[name], z[name][item], bias=False) for name in z if PRESENT[name][item]]
        a = torch.stack([affine(system.attention.query, torch.tanh(affine(system.attention.hidden, x)), bias=False) for x in h]).softmax(0)
        items[item] = sum(share * x for share, x in zip(a, h, strict=True))
    return items


@pytest.mark.parametrize("neighbors", [1, 2, 3, 10])
def test_tesm_pretraining_equation(neighbors):
    system = drawn(TESM, dim=3, neighbors=neighbors)
    loss = system.pretrain_loss(BATCH)
    assert loss.keys() == {"image", "text"}
    for name in loss:
        z, terms = pretrained(system, name, neighbors), []
        for i, j in zip(BATCH.positives.tolist(), BATCH.negatives.tolist(), strict=True):
            if PRESENT[name][i] and PRESENT[name][j]:
                near = [softplus(-z[i] @ z[k]) for k in links(name, neighbors)[i] if k != i]
                terms.append((sum(near) / len(near) if near else 0) + softplus(z[i] @ z[j]))
        assert close(loss[name], sum(terms) / len(terms))


@pytest.mark.parametrize("neighbors", [1, 2, 10])
def test_tesm_equation(neighbors):
    system = drawn(TESM, dim=3, neighbors=neighbors, decay=0.3)
    system.end_pretraining()
    z = {name: pretrained(system, name, neighbors) for name in RAW}
    assert all(close(system.embeddings[name], z[name]) for name in RAW)
    items = system.items + attended(system, z)
    assert close(system.score(EVERYONE), with_strangers(system.users) @ items.T)
    loss = system.loss(BATCH)
    assert loss.keys() == {"bpr", "l2"} and close(loss["bpr"], rank(system.users, items)) and close(loss["l2"], 0.3 * penalty(system))


def test_tesm_signature():
    """Embeddings are frozen at the end of pretraining, saved with the state, and attended to: equal shares are another system."""
    system = drawn(TESM, dim=3, neighbors=2)
    system.end_pretraining()
    frozen, before = {name: system.embeddings[name].clone() for name in RAW}, system.score(EVERYONE)
    sum(system.loss(BATCH).values()).backward()
    assert all(
        parameter.grad is None or not parameter.grad.any() for part in (system.first, system.second) for parameter in part.parameters()
    )
    with torch.no_grad():
        for parameter in system.first.parameters():
            parameter.mul_(2.0)
    system.forget_vectors()
    assert close(system.score(EVERYONE), before)
    other = drawn(TESM, seed=1, dim=3, neighbors=2)
    other.restore(system.state())
    assert close(other.score(EVERYONE), before) and all(close(other.embeddings[name], frozen[name]) for name in RAW)
    with torch.no_grad():
        system.attention.query.weight.zero_()
    system.forget_vectors()
    assert not close(system.score(EVERYONE), before)
    system.end_pretraining()
    assert not any(close(system.embeddings[name], frozen[name]) for name in RAW)


def test_tesm_without_content_is_factorization():
    system = drawn(TESM, dim=3, neighbors=2)
    system.end_pretraining()
    with torch.no_grad():
        for parameter in system.values.parameters():
            parameter.zero_()
    system.forget_vectors()
    assert close(system.score(EVERYONE), with_strangers(system.users) @ system.items.T)


def test_tesm_needs_a_feature():
    with pytest.raises(InputError, match=r"TESM needs .*feature"):
        create(TESM, data(features=False))
