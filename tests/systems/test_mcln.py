"""MCLN and IRIS against their formulas as dense algebra."""

import dataclasses

import pytest
import torch
from dense import line
from six_by_five import (
    BATCH,
    EVERYONE,
    KNOWN,
    LIKES,
    PRESENT,
    bpr,
    close,
    contents,
    data,
    drawn,
    lightgcn,
    penalty,
    rank,
    squared,
    with_strangers,
)
from torch.nn.functional import leaky_relu, softplus

from mllm_rec.systems.topn.iris import IRIS
from mllm_rec.systems.topn.mcln import MCLN

USER, CHOSEN, OTHER = BATCH.users, BATCH.positives, BATCH.negatives


def mixed(system, tokens, other=None):
    """Tokens ``(modalities + 1, dim)`` through the blocks; ``other``'s attention is subtracted."""
    for block in system.blocks:
        logits = line(block["query"], tokens) @ line(block["key"], tokens).T / tokens.shape[1] ** 0.5
        if other is not None:
            counter = line(block["query"], other) @ line(block["key"], other).T / tokens.shape[1] ** 0.5
            other = counter.softmax(1) @ line(block["value"], other)
            logits = logits - counter
        tokens = logits.softmax(1) @ line(block["value"], tokens)
    return line(system.dense, tokens.flatten())


@pytest.mark.parametrize(("layers", "attention_layers"), [(1, 1), (2, 2)])
def test_mcln_equation(layers, attention_layers):
    system = drawn(MCLN, dim=3, layers=layers, attention_layers=attention_layers, content_weight=0.7, decay=0.3)
    users, items = lightgcn(system.users, system.items, layers)
    z = {name: line(system.projections[name], x) * PRESENT[name][:, None] for name, x in contents().items()}
    tokens = torch.stack([items, *z.values()], 1)
    served = items + 0.7 * sum(z.values()) + torch.stack([mixed(system, one) for one in tokens])
    assert close(system.score(EVERYONE), with_strangers(users) @ served.T)
    loss = system.loss(BATCH)
    assert loss.keys() == {"bpr", "mix", "image", "text", "l2"} and close(loss["bpr"], rank(users, items))
    chosen = torch.stack([mixed(system, tokens[i], tokens[j]) for i, j in zip(CHOSEN, OTHER, strict=True)])
    others = torch.stack([mixed(system, tokens[j]) for j in OTHER])
    assert close(loss["mix"], bpr(users[USER], chosen, others))
    assert close(loss["l2"], 0.3 * penalty(system))
    for name in z:
        assert close(loss[name], 0.7 * bpr(users[USER], z[name][CHOSEN], z[name][OTHER]))


def test_mcln_signature():
    """What is subtracted changes the joint vector, and another item that was not chosen subtracts something else."""
    system = drawn(MCLN, dim=3, layers=1, attention_layers=1)
    tokens = torch.randn(len(CHOSEN), 3, 3, generator=torch.Generator().manual_seed(0))
    alone, less, turned = (system.joint(tokens, other) for other in (None, tokens.flip(0), tokens.roll(1, 0)))
    assert not close(alone, less) and not close(less, turned)


def test_iris_equation():
    system = drawn(IRIS, dim=3, smoothing=0.4, decay=0.3)
    with torch.no_grad():
        for parameter in system.parameters():
            parameter *= 0.5
    streams = [system.items]
    for name, x in contents().items():
        streams.append(leaky_relu(line(system.projections[name], x)) * PRESENT[name][:, None])
    shared = [sum(system.sharing[a, b] * streams[b] for b in range(3)) for a in range(3)]
    v = line(system.fuse, torch.cat(shared, 1))
    logits = line(system.relation, v) @ v.T / 3**0.5  # row: the item that is ranked

    def score(user, item):
        history = [other for other in LIKES[user].nonzero().flatten().tolist() if other != item]
        if not history:
            return system.biases[item]
        powers = logits[item, history].exp()
        return system.biases[item] + (powers * (v[history] @ v[item])).sum() / powers.sum() ** 0.4

    scores = torch.stack([torch.stack([score(user, item) for item in range(5)]) for user in range(6)])
    assert torch.allclose(system.score(EVERYONE)[KNOWN], scores[KNOWN], atol=1e-4)
    loss = system.loss(BATCH)
    assert loss.keys() == {"bce", "l2"}
    assert torch.allclose(loss["bce"], (softplus(-scores[USER, CHOSEN]) + softplus(scores[USER, OTHER])).mean(), atol=1e-4)
    assert close(loss["l2"], 0.3 * squared(system.items[CHOSEN], system.items[OTHER]))
    said = dataclasses.replace(EVERYONE, liked=[torch.tensor([4])] * 6, disliked=[torch.tensor([2, 0])] * 6)
    weights = LIKES + torch.tensor([-0.5, 0.0, -0.5, 0.0, 1.0])
    powers = logits.exp() * (1 - torch.eye(5))
    alike = powers * (v @ v.T)
    whole = (LIKES + torch.tensor([0.5, 0.0, 0.5, 0.0, 1.0])) @ powers.T
    wanted = system.biases + weights @ alike.T / whole**0.4
    assert torch.allclose(system.score(said), wanted, atol=1e-4)
    chosen = torch.tensor([[3, 0]] * 6)
    assert torch.allclose(system.score(dataclasses.replace(said, items=chosen)), wanted.gather(1, chosen), atol=1e-4)


def test_iris_begins_with_streams_that_hardly_share():
    begun = IRIS(data()).sharing
    assert close(begun, 0.9 * torch.eye(3) + 0.1 / 3) and close(begun.sum(1), torch.ones(3))


def test_iris_signature():
    """Without a relation the history counts as a plain mean; streams that don't share say something else than those that do."""
    system = drawn(IRIS, dim=3, smoothing=1.0)
    before = system.score(EVERYONE)
    with torch.no_grad():
        system.sharing.copy_(torch.eye(3))
    system.forget_vectors()
    apart = system.score(EVERYONE)
    assert not close(apart, before)
    with torch.no_grad():
        system.relation.weight.zero_()
    system.forget_vectors()
    v = system.represent()
    others = LIKES[:, :, None] * (1 - torch.eye(5))  # user, item of the history, item that is ranked
    mean = torch.einsum("uji,jd->uid", others / others.sum(1, keepdim=True).clamp(min=1), v)
    assert close(system.score(EVERYONE)[KNOWN], (system.biases + (mean * v).sum(2))[KNOWN])
    assert not close(system.score(EVERYONE)[KNOWN], apart[KNOWN])
