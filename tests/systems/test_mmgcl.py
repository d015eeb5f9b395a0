"""MMGCL against its formulas as dense algebra."""

import pytest
import torch
from six_by_five import BATCH, EVERYONE, LIKES, affine, close, contents, data, drawn, lightgcn, penalty, rank, unit, with_strangers

from mllm_rec.recommender import Batch, create
from mllm_rec.systems.topn.mmgcl import MMGCL

SETTINGS = {"dim": 3, "drop": 0.3, "temperature": 0.6, "contrast_weight": 0.7, "decay": 0.3}


def channels(system, layers, edges=LIKES, only=None):
    """Users and items of the ID channel and of each modality; those that aren't ``only`` are zero."""
    starts = {"id": system.items} | {name: affine(system.projections[name], x, bias=False) for name, x in contents().items()}
    found = {}
    for name, start in starts.items():
        users, items = lightgcn(system.users, start, layers, edges)
        found[name] = (users, items) if only in (None, name) else (users * 0, items * 0)
    return found


def mixed(layer, parts):
    return affine(layer, torch.cat(parts, 1), bias=False)


def represented(system, layers):
    found = channels(system, layers).values()
    return mixed(system.user_mix, [users for users, _ in found]), mixed(system.item_mix, [items for _, items in found])


def contrast(system, view, batch=BATCH):
    """``-ln`` of the positive's share among the batch's positives and the positive with one modality of the negative."""
    users = unit(mixed(system.user_mix, [users[batch.users] for users, _ in view.values()]))
    items = unit(mixed(system.item_mix, [items[batch.positives] for _, items in view.values()]))
    swapped = [items[batch.negatives if name == system.masked else batch.positives] for name, (_, items) in view.items()]
    hard = unit(mixed(system.item_mix, swapped))
    losses = []
    for row in range(len(batch)):
        others = sum((users[row] @ items[other] / 0.6).exp() for other in range(len(batch)))
        losses.append(-torch.log((users[row] @ items[row] / 0.6).exp() / (others + (users[row] @ hard[row] / 0.6).exp())))
    return sum(losses) / len(losses)


def kept(graph):
    return (graph.matrix.to_dense()[:6, 6:] > 0).float()


def views(system, layers):
    return channels(system, layers, kept(system.first_graph)), channels(system, layers, kept(system.second_graph), only=system.masked)


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("epochs", [0, 1, 2, 5])
def test_mmgcl_equation(layers, epochs):
    system, generator = drawn(MMGCL, layers=layers, **SETTINGS), torch.Generator().manual_seed(1)
    for _ in range(epochs):
        system.begin_epoch(generator)
    users, items = represented(system, layers)
    system.train()
    loss = system.loss(BATCH)
    assert loss.keys() == {"bpr", "l2", "contrast"} and close(loss["bpr"], rank(users, items))
    assert close(loss["l2"], 0.3 * penalty(system))
    assert close(loss["contrast"], 0.7 * sum(contrast(system, view) for view in views(system, layers)))
    system.eval()
    assert close(system.score(EVERYONE), with_strangers(users) @ items.T)


def test_mmgcl_views_change_each_epoch():
    system, generator, whole = create(MMGCL, data(), MMGCL.Settings(drop=0.3)), torch.Generator().manual_seed(0), int(LIKES.sum())
    assert system.masked == "image" and close(kept(system.first_graph), LIKES) and close(kept(system.second_graph), LIKES)
    firsts, seconds, masked = [], [], set()
    for _ in range(20):
        system.begin_epoch(generator)
        firsts.append(kept(system.first_graph))
        seconds.append(kept(system.second_graph))
        masked.add(system.masked)
    graphs = torch.stack(firsts + seconds)
    assert (graphs.sum((1, 2)) == round(0.7 * whole)).all() and not (graphs > LIKES).any()
    assert masked == {"image", "text"} and len({tuple(graph.flatten().tolist()) for graph in graphs}) > 20
    assert any(not torch.equal(first, second) for first, second in zip(firsts, seconds, strict=True))


def test_mmgcl_signature():
    """One modality stands alone in the second view, and the negative lends that one to a challenging negative."""
    system = drawn(MMGCL, layers=2, **SETTINGS)
    system.begin_epoch(torch.Generator().manual_seed(1))
    system.train()
    others = Batch(BATCH.users, BATCH.positives, BATCH.negatives.roll(1))
    assert not close(system.loss(others)["contrast"], system.loss(BATCH)["contrast"])
    assert close(system.loss(others)["contrast"], 0.7 * sum(contrast(system, view, others) for view in views(system, 2)))
    assert not close(contrast(system, views(system, 2)[1]), contrast(system, channels(system, 2, kept(system.second_graph))))


def test_mmgcl_without_features_is_lightgcn_and_a_mix():
    system = drawn(MMGCL, features=False, layers=2, **SETTINGS)
    users, items = lightgcn(system.users, system.items, 2)
    users, items = mixed(system.user_mix, [users]), mixed(system.item_mix, [items])
    system.begin_epoch(torch.Generator().manual_seed(0))
    loss = system.loss(BATCH)
    assert loss.keys() == {"bpr", "l2"} and close(loss["bpr"], rank(users, items)) and close(loss["l2"], 0.3 * penalty(system))
    assert close(system.score(EVERYONE), with_strangers(users) @ items.T)
