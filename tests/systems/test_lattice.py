"""LATTICE and MICRO against their formulas as dense algebra."""

import pytest
import torch
from dense import attended, cosines, knn
from six_by_five import BATCH, EVERYONE, PRESENT, affine, close, contents, drawn, lightgcn, penalty, rank, unit, with_strangers

from mllm_rec.systems.topn.lattice import LATTICE
from mllm_rec.systems.topn.lightgcn import LightGCN
from mllm_rec.systems.topn.micro import MICRO

USER, CHOSEN, OTHER = BATCH.users, BATCH.positives, BATCH.negatives


def item_graph(system, name, neighbors, frozen_share):
    """Frozen links, and those of the projected features: the nearest by cosine, the item itself first, below zero nothing."""
    learned = knn(name, neighbors, weighted=True, x=affine(system.graphs[name].projection, contents()[name]))
    return frozen_share * knn(name, neighbors, weighted=True) + (1 - frozen_share) * learned


@pytest.mark.parametrize(("layers", "neighbors"), [(1, 2), (2, 3)])
def test_lattice_equation(layers, neighbors):
    system = drawn(LATTICE, dim=3, layers=layers, neighbors=neighbors, frozen_share=0.6, decay=0.3)
    system.rebuild()
    share = system.weights.softmax(0)
    h = sum(share[m] * item_graph(system, name, neighbors, 0.6) @ system.items for m, name in enumerate(contents()))
    users, items = lightgcn(system.users, system.items, layers)
    items = items + unit(h)
    assert close(system.score(EVERYONE), with_strangers(users) @ items.T)
    loss = system.loss(BATCH)
    assert loss.keys() == {"bpr", "l2"} and close(loss["bpr"], rank(users, items))
    assert close(loss["l2"], 0.3 * penalty(system))
    loss["bpr"].backward()
    assert all(graph.projection.weight.grad.any() for graph in system.graphs.values()) and system.weights.grad.any()


@pytest.mark.parametrize(("layers", "neighbors"), [(1, 2), (2, 3)])
def test_micro_equation(layers, neighbors):
    system = drawn(MICRO, dim=3, layers=layers, neighbors=neighbors, frozen_share=0.6, decay=0.3, temperature=0.4, contrast_weight=0.7)
    system.rebuild()
    each = [item_graph(system, name, neighbors, 0.6) @ system.items * PRESENT[name][:, None] for name in contents()]
    h = attended(system.attention, torch.stack(each))
    users, items = lightgcn(system.users, system.items, layers)
    items = items + unit(h)
    assert close(system.score(EVERYONE), with_strangers(users) @ items.T)
    loss = system.loss(BATCH)
    assert loss.keys() == {"bpr", "l2", "contrast"} and close(loss["bpr"], rank(users, items))
    assert close(loss["l2"], 0.3 * penalty(system))
    total = 0.0
    for name, one in zip(contents(), each, strict=True):
        rows = torch.unique(CHOSEN)[PRESENT[name][torch.unique(CHOSEN)]]
        for a, b in ((one[rows], h[rows]), (h[rows], one[rows])):
            between, within = (cosines(a, b) / 0.4).exp(), (cosines(a, a) / 0.4).exp()
            below = between.sum(1) + within.sum(1) - within.diagonal()
            total = total - (between.diagonal() / below).log().mean() / 2
    assert close(loss["contrast"], 0.7 * total)


@pytest.mark.parametrize("kind", [LATTICE, MICRO])
def test_lattice_and_micro_signature(kind):
    """With frozen links alone the projections change nothing; without modalities it is LightGCN."""
    frozen, learned = (drawn(kind, dim=3, neighbors=2, frozen_share=share) for share in (1.0, 0.2))
    before = frozen.score(EVERYONE)
    for system in (frozen, learned):
        system.rebuild()
    with torch.no_grad():
        for graph in frozen.graphs.values():
            graph.projection.weight.neg_().add_(1.0)
    frozen.rebuild()
    frozen.forget_vectors()
    assert close(frozen.score(EVERYONE), before) and not close(learned.score(EVERYONE), before)
    bare, plain = (drawn(one, features=False, dim=3, layers=2) for one in (kind, LightGCN))
    assert close(bare.score(EVERYONE), plain.score(EVERYONE))
