"""MARIO and MVBPR against their formulas as dense algebra."""

import pytest
import torch
from six_by_five import BATCH, EVERYONE, KNOWN, LIKES, PRESENT, affine, close, contents, drawn, lightgcn, penalty, squared
from torch.nn.functional import softplus

from mllm_rec.systems.topn.lightgcn import LightGCN
from mllm_rec.systems.topn.mario import MARIO
from mllm_rec.systems.topn.mvbpr import MVBPR

USER, CHOSEN, OTHER = BATCH.users, BATCH.positives, BATCH.negatives


def attended(system, user, item, users, items):
    """The item as this user sees it."""
    z = {name: affine(system.projections[name], x, bias=system.projections[name].bias is not None)[item] for name, x in contents().items()}
    asked = affine(system.user_query, users[user], system.user_query.bias is not None)
    asked = asked + affine(system.item_query, items[item], system.item_query.bias is not None)
    names = [name for name in z if PRESENT[name][item]]
    share = torch.stack([asked @ z[name] / users.shape[1] ** 0.5 for name in names]).softmax(0)
    return items[item] + sum(a * z[name] for a, name in zip(share, names, strict=True))


@pytest.mark.parametrize("layers", [1, 2])
def test_mario_equation(layers):
    system = drawn(MARIO, dim=3, layers=layers, content_weight=0.7, decay=0.3)
    users, items = lightgcn(system.users, system.items, layers)
    score = torch.stack([torch.stack([users[u] @ attended(system, u, i, users, items) for i in range(5)]) for u in range(6)])
    assert close(system.score(EVERYONE)[KNOWN], score[KNOWN])
    loss = system.loss(BATCH)
    assert loss.keys() == {"bpr", "l2", "image", "text"}
    assert close(loss["bpr"], softplus(score[USER, OTHER] - score[USER, CHOSEN]).mean())
    assert close(loss["l2"], 0.3 * penalty(system))
    for name, x in contents().items():
        errors = []
        for u, i in zip(USER.tolist(), CHOSEN.tolist(), strict=True):
            if PRESENT[name][i]:
                rebuilt = affine(system.decoders[name], attended(system, u, i, users, items), system.decoders[name].bias is not None)
                errors.append(((rebuilt - x[i]) ** 2).mean())
        assert close(loss[name], 0.7 * sum(errors) / len(errors))


def test_mario_signature():
    """What a modality counts depends on the user; without modalities it is LightGCN."""
    system = drawn(MARIO, dim=3)
    before = system.score(EVERYONE)
    with torch.no_grad():
        system.user_query.weight.zero_()
    system.forget_vectors()
    assert not close(system.score(EVERYONE), before)
    bare, plain = (drawn(one, features=False, dim=3, layers=2) for one in (MARIO, LightGCN))
    assert close(bare.score(EVERYONE), plain.score(EVERYONE))


def test_mvbpr_equation():
    system = drawn(MVBPR, dim=3, content_dim=2, decay=0.3)
    score = system.biases + system.users @ system.items.T
    for m, (name, x) in enumerate(contents().items()):
        z = affine(system.projections[name], x, system.projections[name].bias is not None) * PRESENT[name][:, None]
        score = score + system.view_weights[:, m, None] * (system.tastes[name] @ z.T)
    assert close(system.score(EVERYONE)[KNOWN], score[KNOWN])
    loss = system.loss(BATCH)
    assert loss.keys() == {"bpr", "l2"} and close(loss["bpr"], softplus(score[USER, OTHER] - score[USER, CHOSEN]).mean())
    rows = [system.users[USER], system.items[CHOSEN], system.items[OTHER], *(system.tastes[name][USER] for name in contents())]
    rows += [system.view_weights[USER], system.biases[CHOSEN, None], system.biases[OTHER, None]]
    assert close(loss["l2"], 0.3 * squared(*rows)) and LIKES.shape == (6, 5)


def test_mvbpr_signature():
    """A user's weight of a view at zero takes that view out of his scores alone."""
    system = drawn(MVBPR, dim=3, content_dim=2)
    before = system.score(EVERYONE)
    with torch.no_grad():
        system.view_weights[1, 0] = 0.0
    system.forget_vectors()
    moved = [not close(one, other) for one, other in zip(system.score(EVERYONE)[KNOWN], before[KNOWN], strict=True)]
    assert moved == [False, True, False, False, False]
