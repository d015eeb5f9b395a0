"""BM3 against its formulas as dense algebra."""

import pytest
import torch
from six_by_five import BATCH, EVERYONE, PRESENT, affine, close, contents, drawn, lightgcn, squared, with_strangers
from torch.nn.functional import cosine_similarity, dropout

from mllm_rec.systems.topn.bm3 import BM3

USER, CHOSEN, OTHER = BATCH.users, BATCH.positives, BATCH.negatives


def bm3(system, layers):
    users, items = lightgcn(system.users, system.items, layers)
    return users, items + system.items


@pytest.mark.parametrize("layers", [1, 2])
def test_bm3_equation(layers):
    system = drawn(BM3, dim=3, layers=layers, drop=0.0, content_weight=0.7, decay=0.3)
    users, items = bm3(system, layers)
    predicted = affine(system.predictor, torch.cat([users, items]))
    assert close(system.score(EVERYONE), with_strangers(predicted[:6]) @ predicted[6:].T)
    loss = system.loss(BATCH)
    assert loss.keys() == {"user", "item", "image", "text", "l2"}
    assert close(loss["user"], (1 - cosine_similarity(predicted[USER], items[CHOSEN])).mean())
    assert close(loss["item"], (1 - cosine_similarity(predicted[6 + CHOSEN], users[USER])).mean())
    assert close(loss["l2"], 0.3 * squared(users[USER], items[CHOSEN]))
    for name, x in contents().items():
        rows = CHOSEN[PRESENT[name][CHOSEN]]
        h = affine(system.projections[name], x[rows])
        f = affine(system.predictor, h)
        assert close(loss[name], 0.7 * (2 - cosine_similarity(f, items[rows]) - cosine_similarity(f, h)).mean())


def test_bm3_signature():
    """No negative is read, no gradient reaches a target, and a target loses entries."""
    system = drawn(BM3, dim=3, drop=0.0)
    turned = type(BATCH)(USER, CHOSEN, torch.zeros_like(OTHER))
    assert all(close(one, other) for one, other in zip(system.loss(BATCH).values(), system.loss(turned).values(), strict=True))
    with torch.no_grad():  # the predictor gives a constant: what moves the tables could only come by the targets
        system.predictor.weight.zero_()
    loss = system.loss(BATCH)
    (loss["user"] + loss["item"] + loss["image"] + loss["text"]).backward()
    assert not system.users.grad.any() and not system.items.grad.any()
    torch.manual_seed(0)
    assert not close(drawn(BM3, dim=3, drop=0.5).loss(BATCH)["user"], drawn(BM3, dim=3, drop=0.0).loss(BATCH)["user"])
    torch.manual_seed(0)
    users, items = bm3(dropped := drawn(BM3, dim=3, layers=1, drop=0.5), 1)
    torch.manual_seed(0)
    item, user = users[USER], items[CHOSEN]
    wanted = dropout(item, 0.5), dropout(user, 0.5)
    torch.manual_seed(0)
    assert close(dropped.loss(BATCH)["user"], (1 - cosine_similarity(affine(dropped.predictor, users)[USER], wanted[1])).mean())
