"""MGCN against its formulas as dense algebra."""

import pytest
import torch
from dense import attended, hops, inverse, knn, nce, normalized
from six_by_five import BATCH, EVERYONE, LIKES, PRESENT, affine, both_ways, bpr, close, contents, drawn, squared, unit, with_strangers

from mllm_rec.systems.topn.lightgcn import LightGCN
from mllm_rec.systems.topn.mgcn import MGCN

USER, CHOSEN, OTHER = BATCH.users, BATCH.positives, BATCH.negatives


def views(system, user_layers, item_layers, neighbors):
    behavior = hops(normalized(both_ways()), torch.cat([system.users, system.items]), user_layers).mean(0)
    r = inverse(LIKES.sum(1), 0.5)[:, None] * LIKES * inverse(LIKES.sum(0), 0.5)
    modal = []
    for name, x in contents().items():
        purified = system.items * affine(system.purifiers[name], affine(system.projections[name], x)).sigmoid()
        h = purified
        for _ in range(item_layers):
            h = knn(name, neighbors, weighted=True) @ h
        h = h * PRESENT[name][:, None]
        modal.append(torch.cat([r @ h, h]))
    common = attended(system.attention, torch.stack(modal))
    side = common
    for e, name in zip(modal, contents(), strict=True):
        side = side + (e - common) * affine(system.preferences[name], behavior).sigmoid() * e.any(1, keepdim=True)
    return behavior, side / 3


@pytest.mark.parametrize(("user_layers", "item_layers", "neighbors"), [(1, 1, 2), (2, 2, 3)])
def test_mgcn_equation(user_layers, item_layers, neighbors):
    how = {"user_layers": user_layers, "item_layers": item_layers, "neighbors": neighbors}
    system = drawn(MGCN, dim=3, temperature=0.4, contrast_weight=0.7, decay=0.3, **how)
    behavior, side = views(system, user_layers, item_layers, neighbors)
    final = behavior + side
    assert close(system.score(EVERYONE), with_strangers(final[:6]) @ final[6:].T)
    loss = system.loss(BATCH)
    assert loss.keys() == {"bpr", "l2", "contrast"} and close(loss["bpr"], bpr(final[USER], final[6 + CHOSEN], final[6 + OTHER]))
    assert close(loss["l2"], 0.3 * squared(final[USER], final[6 + CHOSEN], final[6 + OTHER]))
    rows = [torch.unique(USER), 6 + torch.unique(CHOSEN)]
    assert close(loss["contrast"], 0.7 * sum(nce(side[one], behavior[one], 0.4) for one in rows))


def test_mgcn_signature():
    """Content passes only as far as behavior lets it; without modalities it is LightGCN."""
    shut = drawn(MGCN, dim=3)
    with torch.no_grad():
        for purify in shut.purifiers.values():
            purify.weight.zero_()
            purify.bias.fill_(-50.0)
    behavior = hops(normalized(both_ways()), torch.cat([shut.users, shut.items]), shut.settings.user_layers).mean(0)
    assert close(shut.score(EVERYONE), with_strangers(behavior[:6]) @ behavior[6:].T)
    bare, plain = (drawn(kind, features=False, dim=3, **{name: 2}) for kind, name in ((MGCN, "user_layers"), (LightGCN, "layers")))
    assert close(bare.score(EVERYONE), plain.score(EVERYONE)) and bare.loss(BATCH).keys() == {"bpr", "l2"}
    assert not close(drawn(MGCN, dim=3).score(EVERYONE), shut.score(EVERYONE)) and unit(torch.ones(1, 4)).norm() == 1
