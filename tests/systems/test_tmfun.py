"""TMFUN, MCPTR and HCGCN against their formulas as dense algebra."""

import pytest
import torch
from dense import attended, cosines, hops, inverse, knn, line, nce, normalized, partners
from six_by_five import (
    BATCH,
    EVERYONE,
    LIKES,
    PRESENT,
    both_ways,
    bpr,
    close,
    contents,
    drawn,
    lightgcn,
    penalty,
    rank,
    unit,
    with_strangers,
)
from torch.nn.functional import softplus

from mllm_rec.systems.topn.hcgcn import HCGCN
from mllm_rec.systems.topn.lightgcn import LightGCN
from mllm_rec.systems.topn.mcptr import MCPTR
from mllm_rec.systems.topn.tmfun import TMFUN

USER, CHOSEN, OTHER = BATCH.users, BATCH.positives, BATCH.negatives
BOTH = torch.unique(CHOSEN)[(PRESENT["image"] & PRESENT["text"])[torch.unique(CHOSEN)]]


def asked(query, e, candidates):
    """A softmax of the query's products over the candidates that aren't zero."""
    out = torch.zeros_like(e)
    for row in range(len(e)):
        known = [c[row] for c in candidates if c[row].any()]
        if known:
            share = torch.stack([line(query, e)[row] @ c / e.shape[1] ** 0.5 for c in known]).softmax(0)
            out[row] = sum(a * c for a, c in zip(share, known, strict=True))
    return out


@pytest.mark.parametrize(("layers", "neighbors"), [(1, 2), (2, 3)])
def test_tmfun_equation(layers, neighbors):
    system = drawn(TMFUN, dim=3, layers=layers, neighbors=neighbors, temperature=0.4, contrast_weight=0.7, decay=0.3)
    h = {name: knn(name, neighbors) @ line(system.projections[name], x) for name, x in contents().items()}
    users, items = lightgcn(system.users, system.items, layers)
    together = partners(LIKES.T, neighbors) @ system.items
    f = asked(system.queries[0], items, list(h.values()))
    f = asked(system.queries[1], items, [f, together])
    final = items + asked(system.queries[2], items, [f, items])
    assert close(system.score(EVERYONE), with_strangers(users) @ final.T)
    loss = system.loss(BATCH)
    assert loss.keys() == {"bpr", "l2", "contrast"} and close(loss["bpr"], bpr(users[USER], final[CHOSEN], final[OTHER]))
    assert close(loss["l2"], 0.3 * penalty(system))
    assert close(loss["contrast"], 0.7 * nce(h["image"][BOTH], h["text"][BOTH], 0.4))


@pytest.mark.parametrize("neighbors", [1, 3])
def test_mcptr_equation(neighbors):
    system = drawn(MCPTR, dim=3, layers=2, neighbors=neighbors, temperature=0.4, contrast_weight=0.7, decay=0.3)
    z = {name: line(system.projections[name], x) * PRESENT[name][:, None] for name, x in contents().items()}
    z["structure"] = system.structure
    of_items, of_users = partners(LIKES.T, neighbors), partners(LIKES, neighbors)
    average = inverse(LIKES.sum(1))[:, None] * LIKES
    h = {name: x + of_items @ x for name, x in z.items()}
    t = {name: average @ x for name, x in h.items()}
    t = {name: x + of_users @ x for name, x in t.items()}
    items, users = attended(system.item_attention, torch.stack([*h.values()])), attended(system.user_attention, torch.stack([*t.values()]))
    loss = system.pretrain_loss(BATCH)
    assert loss.keys() == {"bce", "contrast"}
    likely, unlikely = (users[USER] * items[CHOSEN]).sum(1), (users[USER] * items[OTHER]).sum(1)
    assert close(loss["bce"], (softplus(-likely) + softplus(unlikely)).mean())
    assert close(loss["contrast"], 0.7 * (nce(h["image"][BOTH], h["text"][BOTH], 0.4) + nce(h["text"][BOTH], h["image"][BOTH], 0.4)) / 2)
    system.end_pretraining()
    system.eval()
    assert close(system.users, users) and close(system.items, items)
    users, items = lightgcn(users, items, 2)
    assert close(system.score(EVERYONE), with_strangers(users) @ items.T)
    tuned = system.loss(BATCH)
    assert tuned.keys() == {"bpr", "l2"} and close(tuned["bpr"], rank(users, items))
    assert close(tuned["l2"], 0.3 * penalty(system))


def test_hcgcn_equation():
    system = drawn(HCGCN, dim=3, layers=2, neighbors=3, clusters=2, temperature=0.4, cluster_weight=0.6, contrast_weight=0.7, decay=0.3)
    system.rebuild()
    shares = lambda x: (unit(x) @ unit(system.prototypes).T / 0.4).softmax(1)  # noqa: E731
    of_users, of_items = shares(system.users), shares(system.items)
    nodes = torch.cat([of_users, of_items])
    within = normalized(both_ways()) * (nodes @ nodes.T)
    final = hops(within, torch.cat([system.users, system.items]), 2).mean(0)
    users, items = final[:6], final[6:]
    for name in contents():
        graph = knn(name, 3) * (of_items @ of_items.T)
        graph = inverse(graph.sum(1))[:, None] * graph
        items = items + graph @ system.items * PRESENT[name][:, None] / 2
    assert close(system.score(EVERYONE), with_strangers(users) @ items.T)
    loss = system.loss(BATCH)
    assert loss.keys() == {"bpr", "l2", "cluster", "behavior", "alignment"}
    assert close(loss["bpr"], rank(users, items))
    assert close(loss["l2"], 0.3 * penalty(system))
    assert close(loss["cluster"], -0.6 * (of_users[USER] * of_items[CHOSEN]).sum(1).log().mean())
    alike = cosines(items, items).fill_diagonal_(-9.0)
    assert torch.equal(system.nearest, alike.argmax(1))
    rows = torch.unique(CHOSEN)
    assert close(loss["behavior"], 0.7 * nce(items[rows], items[system.nearest[rows]], 0.4))
    a, b = (line(system.projections[name], x)[BOTH] for name, x in contents().items())
    assert close(loss["alignment"], 0.7 * (nce(a, b, 0.4) + nce(b, a, 0.4)) / 2)


def test_tmfun_signature():
    """Queries that ask nothing make each step a mean of what is known; and the steps are no more alike than their queries."""
    system = drawn(TMFUN, dim=3, layers=1, neighbors=2)
    asking = system.score(EVERYONE)
    first, second, _ = (query.weight for query in system.queries)
    with torch.no_grad():
        swapped = first.clone(), second.clone()
        first.copy_(swapped[1]), second.copy_(swapped[0])
    system.forget_vectors()
    assert not close(system.score(EVERYONE), asking)
    with torch.no_grad():
        for query in system.queries:
            query.weight.zero_()
    system.forget_vectors()

    def mean(*candidates):
        known = torch.stack([one.any(1) for one in candidates]).sum(0).clamp(min=1)
        return sum(candidates) / known[:, None]

    users, items = lightgcn(system.users, system.items, 1)
    modal = [knn(name, 2) @ line(system.projections[name], x) for name, x in contents().items()]
    f = mean(mean(*modal), partners(LIKES.T, 2) @ system.items)
    assert close(system.score(EVERYONE), with_strangers(users) @ (items + mean(f, items)).T) and not close(system.score(EVERYONE), asking)


def test_mcptr_signature():
    """Without stage 1 it is LightGCN; stage 1 moves where it starts."""
    system, plain = (drawn(kind, dim=3, layers=2) for kind in (MCPTR, LightGCN))
    assert close(system.score(EVERYONE), plain.score(EVERYONE))
    system.end_pretraining()
    system.forget_vectors()
    assert not close(system.score(EVERYONE), plain.score(EVERYONE))


def test_hcgcn_signature():
    """One cluster without modalities is LightGCN; more clusters thin the links, and modalities link items."""
    plain = drawn(LightGCN, dim=3, layers=2)
    one, two = (drawn(HCGCN, features=False, dim=3, layers=2, clusters=clusters) for clusters in (1, 2))
    linked = drawn(HCGCN, dim=3, layers=2, clusters=1)
    for system in (plain, one, two, linked):
        system.eval()
    assert close(one.score(EVERYONE), plain.score(EVERYONE))
    assert not close(two.score(EVERYONE), plain.score(EVERYONE)) and not close(linked.score(EVERYONE), plain.score(EVERYONE))
