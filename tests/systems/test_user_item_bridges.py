"""Systems whose bridge is the graph of users and items, against their formulas as dense algebra."""

import pytest
import torch
from dense import X, adjacency, cosines, hops, inverse, linear, lrelu, nce, normalized, partners, unit
from six_by_five import BATCH, EVERYONE, LIKES, PRESENT, bpr, close, data, drawn, lightgcn, squared, with_strangers
from torch.nn.functional import cosine_similarity, dropout

from mllm_rec.errors import InputError
from mllm_rec.recommender import create
from mllm_rec.systems.topn.bm3 import BM3
from mllm_rec.systems.topn.dualgnn import DualGNN
from mllm_rec.systems.topn.grcn import GRCN
from mllm_rec.systems.topn.lightgcn import LightGCN
from mllm_rec.systems.topn.mgat import MGAT
from mllm_rec.systems.topn.mmgcl import MMGCL
from mllm_rec.systems.topn.mmgcn import MMGCN
from mllm_rec.systems.topn.mmssl import MMSSL

U, I, J = BATCH.users, BATCH.positives, BATCH.negatives


def ranks(nodes):
    """BPR of final vectors of all nodes."""
    return bpr(nodes[U], nodes[6 + I], nodes[6 + J])


def serves(system, nodes):
    return close(system.score(EVERYONE), with_strangers(nodes[:6]) @ nodes[6:].T)


def penalty(system, *tables):
    """IDs of the batch, and rows of tables of users."""
    return squared(system.users[U], system.items[I], system.items[J], *(one[U] for one in tables))


def start(system, name):
    return unit(torch.cat([system.preferences[name], X[name] @ system.projections[name].weight.T]))


def mmgcn(system):
    ids = torch.cat([system.users, system.items])
    reached = []
    for name in X:
        x = start(system, name)
        for layer in system.convolutions[name]:
            h = lrelu(normalized(adjacency(), 1, 0) @ x @ layer.neighbor.weight.T)
            x = lrelu(linear(layer.joint, torch.cat([h, lrelu(linear(layer.own, x)) + ids], 1)))
        reached.append(x)
    return sum(reached) / len(reached)


@pytest.mark.parametrize("layers", [1, 2])
def test_mmgcn_equation(layers):
    system = drawn(MMGCN, dim=3, layers=layers, decay=0.3)
    nodes, loss = mmgcn(system), system.loss(BATCH)
    assert serves(system, nodes) and loss.keys() == {"bpr", "l2"}
    assert close(loss["bpr"], ranks(nodes)) and close(loss["l2"], 0.3 * penalty(system, *system.preferences.values()))


def test_mmgcn_signature():
    """The shared ID enters at every layer: without it the scores are others, and with one modality there is nothing to bridge."""
    system = drawn(MMGCN, dim=3)
    with_ids = system.score(EVERYONE)
    with torch.no_grad():
        system.items.zero_()
        system.users.zero_()
    system.forget_vectors()
    assert not close(system.score(EVERYONE), with_ids) and serves(system, mmgcn(system))


@pytest.mark.parametrize("system", [MMGCN, GRCN, DualGNN, MGAT])
def test_a_system_of_modalities_refuses_data_without_any(system):
    with pytest.raises(InputError, match=f"{system.__name__} needs at least one feature"):
        create(system, data(features=False))


def softmax_over(neighbors, logits):
    """Shares over each row's neighbors, ``(n, n)``."""
    shares = torch.zeros(neighbors.shape)
    for row in range(len(neighbors)):
        there = neighbors[row].nonzero().flatten()
        if len(there):
            shares[row, there] = logits[row, there].softmax(0)
    return shares


def grcn(system, routing, layers):
    content, weights = [], []
    for place, name in enumerate(X):
        z = unit(lrelu(X[name] @ system.projections[name].weight.T))
        p = unit(system.preferences[name])
        for _ in range(routing):
            p = unit(p + softmax_over(LIKES, p @ z.T) @ z)
        x = torch.cat([p, z])
        alpha = softmax_over(adjacency(), x @ x.T)
        content.append(x + alpha @ x)
        weights.append(alpha * system.confidence[:, place])
    w = torch.stack(weights).amax(0).clamp(min=0) * adjacency()
    ids = hops(w, unit(torch.cat([system.users, system.items])), layers).sum(0)
    return torch.cat([ids, *content], 1)


@pytest.mark.parametrize(("routing", "layers"), [(1, 1), (3, 2)])
def test_grcn_equation(routing, layers):
    system = drawn(GRCN, dim=3, routing=routing, layers=layers, decay=0.3)
    nodes, loss = grcn(system, routing, layers), system.loss(BATCH)
    assert serves(system, nodes) and loss.keys() == {"bpr", "l2", "confidence"}
    assert close(loss["bpr"], ranks(nodes)) and close(loss["l2"], 0.3 * penalty(system, *system.preferences.values()))
    assert close(loss["confidence"], 0.3 * (system.confidence**2).mean() / 2)


def test_grcn_signature():
    """A link that no modality is confident of is cut: with none left, IDs stay at home."""
    system = drawn(GRCN, dim=3)
    with torch.no_grad():
        system.confidence.copy_(-system.confidence.abs())
    users, items = system.represent()
    assert close(torch.cat([users, items])[:, :3], unit(torch.cat([system.users, system.items])))


def dualgnn(system, layers, neighbors):
    users, items = [], []
    for name in X:
        first, _, second = system.encoders[name]
        encoded = linear(second, lrelu(linear(first, X[name]))) * PRESENT[name][:, None]
        reached = hops(normalized(adjacency()), unit(torch.cat([system.preferences[name], encoded])), layers).sum(0)
        users.append(reached[:6])
        items.append(reached[6:])
    own = sum(system.weights[:, place : place + 1] * one for place, one in enumerate(users))
    return torch.cat([own + partners(LIKES, neighbors) @ own, sum(items)])


@pytest.mark.parametrize(("layers", "neighbors"), [(1, 2), (2, 40)])
def test_dualgnn_equation(layers, neighbors):
    system = drawn(DualGNN, dim=3, layers=layers, neighbors=neighbors, decay=0.3)
    nodes, loss = dualgnn(system, layers, neighbors), system.loss(BATCH)
    assert serves(system, nodes) and loss.keys() == {"bpr", "l2"} and close(loss["bpr"], ranks(nodes))
    assert close(loss["l2"], 0.3 * squared(*(table[U] for table in (*system.preferences.values(), system.weights))))


def test_dualgnn_signature():
    """Each user's own weights: at (1, 0) a user sees pictures alone; without partners nobody takes in others."""
    system = drawn(DualGNN, dim=3, neighbors=2)
    with torch.no_grad():
        system.weights.copy_(torch.tensor([[1.0, 0.0]] * 6))
    users, _ = system.represent()
    first, _, second = system.encoders["image"]
    encoded = linear(second, lrelu(linear(first, X["image"]))) * PRESENT["image"][:, None]
    own = hops(normalized(adjacency()), unit(torch.cat([system.preferences["image"], encoded])), 2).sum(0)[:6]
    assert close(users, own + partners(LIKES, 2) @ own) and not close(users, own)


def channels(system, likes, layers, alone=None):
    starts = {"": system.items, **{name: x @ system.projections[name].weight.T for name, x in X.items()}}
    reached = [torch.cat(lightgcn(system.users, first, layers, likes)) * (alone in (None, name)) for name, first in starts.items()]
    return torch.cat(reached, 1)


def mixed(system, nodes):
    return torch.cat([nodes[:6] @ system.user_mix.weight.T, nodes[6:] @ system.item_mix.weight.T])


@pytest.mark.parametrize("layers", [1, 3])
def test_mmgcl_equation(layers):
    system = drawn(MMGCL, dim=3, layers=layers, drop=0.3, temperature=0.4, contrast_weight=0.7, decay=0.3)
    system.begin_epoch(torch.Generator().manual_seed(3))
    nodes, loss = mixed(system, channels(system, LIKES, layers)), system.loss(BATCH)
    assert serves(system, nodes) and loss.keys() == {"bpr", "l2", "contrast"}
    assert close(loss["bpr"], ranks(nodes)) and close(loss["l2"], 0.3 * penalty(system))
    kept = [(graph.matrix.to_dense()[:6, 6:] > 0).float() for graph in (system.first_graph, system.second_graph)]
    assert [int(one.sum()) for one in kept] == [round(0.7 * int(LIKES.sum()))] * 2 and not (torch.stack(kept) > LIKES).any()
    assert not torch.equal(*kept)
    place, wanted = 3 * (1 + list(X).index(system.masked)), 0.0
    for view in (channels(system, kept[0], layers), channels(system, kept[1], layers, system.masked)):
        swapped = view[6 + I].clone()
        swapped[:, place : place + 3] = view[6 + J][:, place : place + 3]
        user, item, hard = view[U] @ system.user_mix.weight.T, view[6 + I] @ system.item_mix.weight.T, swapped @ system.item_mix.weight.T
        wanted += nce(user, item, 0.4, cosine_similarity(user, hard)[:, None] / 0.4)
    assert close(loss["contrast"], 0.7 * wanted)


def test_mmgcl_signature():
    """Without modalities it is LightGCN behind two linear maps; both modalities get their turn to stand alone."""
    bare = drawn(MMGCL, features=False, dim=3, layers=2)
    users, items = lightgcn(bare.users, bare.items, 2)
    assert bare.loss(BATCH).keys() == {"bpr", "l2"} and serves(bare, mixed(bare, torch.cat([users, items])))
    system, generator, alone = drawn(MMGCL, dim=3), torch.Generator().manual_seed(0), set()
    for _ in range(20):
        system.begin_epoch(generator)
        alone.add(system.masked)
    assert alone == {"image", "text"}


def mgat(system):
    ids, a = torch.cat([system.users, system.items]), adjacency()
    degree = a.sum(1).clamp(min=1)
    reached = []
    for name in X:
        x = start(system, name)
        for layer in system.convolutions[name]:
            y = x @ layer.neighbor.weight.T
            s = y @ lrelu(y).T
            alpha = softmax_over(a, (s / degree.sqrt()[:, None]).sigmoid() * s)
            h = unit(alpha @ y + layer.offset)
            x = lrelu(linear(layer.joint, h) + lrelu(linear(layer.own, x)) + ids)
        reached.append(x)
    return sum(reached) / len(reached)


@pytest.mark.parametrize("layers", [1, 2])
def test_mgat_equation(layers):
    system = drawn(MGAT, dim=3, layers=layers, decay=0.3)
    nodes, loss = mgat(system), system.loss(BATCH)
    assert serves(system, nodes) and loss.keys() == {"bpr", "l2"} and close(loss["bpr"], ranks(nodes))
    assert close(loss["l2"], 0.3 * penalty(system, *system.preferences.values()))


def test_mgat_signature():
    """Attention tells neighbors apart: with the first map at zero all neighbors count alike, and nothing of them is left but the offset."""
    system = drawn(MGAT, dim=3, layers=1)
    before = system.score(EVERYONE)
    with torch.no_grad():
        for layers in system.convolutions.values():
            layers[0].neighbor.weight.zero_()
    system.forget_vectors()
    assert serves(system, mgat(system)) and not close(system.score(EVERYONE), before)


def bm3(system, layers):
    users, items = lightgcn(system.users, system.items, layers)
    return users, items + system.items


@pytest.mark.parametrize("layers", [1, 2])
def test_bm3_equation(layers):
    system = drawn(BM3, dim=3, layers=layers, drop=0.0, content_weight=0.7, decay=0.3)
    users, items = bm3(system, layers)
    predicted = linear(system.predictor, torch.cat([users, items]))
    assert serves(system, predicted)
    loss = system.loss(BATCH)
    assert loss.keys() == {"user", "item", "image", "text", "l2"}
    assert close(loss["user"], (1 - cosine_similarity(predicted[U], items[I])).mean())
    assert close(loss["item"], (1 - cosine_similarity(predicted[6 + I], users[U])).mean())
    assert close(loss["l2"], 0.3 * squared(users[U], items[I]))
    for name, x in X.items():
        rows = I[PRESENT[name][I]]
        h = linear(system.projections[name], x[rows])
        f = linear(system.predictor, h)
        assert close(loss[name], 0.7 * (2 - cosine_similarity(f, items[rows]) - cosine_similarity(f, h)).mean())


def test_bm3_signature():
    """No negative is read, no gradient reaches a target, and a target loses entries."""
    system = drawn(BM3, dim=3, drop=0.0)
    turned = type(BATCH)(U, I, torch.zeros_like(J))
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
    item, user = users[U], items[I]
    wanted = dropout(item, 0.5), dropout(user, 0.5)
    torch.manual_seed(0)
    assert close(dropped.loss(BATCH)["user"], (1 - cosine_similarity(linear(dropped.predictor, users)[U], wanted[1])).mean())


def mmssl(system, layers, id_share, content_share):
    r = normalized(adjacency())[:6, 6:]
    ids, tokens, modal = torch.cat([system.users, system.items]), [], []
    for name, x in X.items():
        of_users = r @ x @ system.projections[name].weight.T
        modal.append(torch.cat([of_users, r.T @ of_users]))
        links = (system.modality_graphs[name].matrix.to_dense() > 0).float()
        up, back = inverse(links.sum(1))[:, None] * links, inverse(links.sum(0))[:, None] * links.T
        tokens.append(torch.cat([up @ system.items, back @ system.users]))
    t = torch.stack(tokens, 1)
    q, k, v = system.attention.in_proj_weight.chunk(3)
    heads, dim = system.attention.num_heads, t.shape[2]
    split = lambda x: x.reshape(11, 2, heads, dim // heads).transpose(1, 2)  # noqa: E731
    a = (split(t @ q.T) @ split(t @ k.T).transpose(2, 3) / (dim / heads) ** 0.5).softmax(3)
    mixed_ = (a @ split(t @ v.T)).transpose(1, 2).reshape(11, 2, dim) @ system.attention.out_proj.weight.T
    e = ids + id_share * unit(mixed_.mean(1))
    final = hops(normalized(adjacency()), e, layers).mean(0) + content_share * sum(unit(h) for h in modal)
    return final, tokens, modal


@pytest.mark.parametrize("layers", [1, 2])
def test_mmssl_equation(layers):
    system = drawn(
        MMSSL, dim=4, layers=layers, heads=2, neighbors=2, id_share=0.6, content_share=0.3, temperature=0.4, contrast_weight=0.7, decay=0.2
    )
    system.rebuild()
    final, tokens, modal = mmssl(system, layers, 0.6, 0.3)
    for name, h in zip(X, modal, strict=True):
        wanted = torch.zeros(6, 5).scatter(1, (h[:6] @ h[6:].T).topk(2).indices, 0.5)
        wanted[5] = 0  # who chose nothing is predicted nothing
        assert close(system.modality_graphs[name].matrix.to_dense(), wanted)
    assert serves(system, final)
    loss, people = system.loss(BATCH), torch.unique(U)
    assert loss.keys() == {"bpr", "l2", "contrast", "adversarial"} and close(loss["bpr"], ranks(final))
    assert close(loss["l2"], 0.2 * squared(final[U], final[6 + I], final[6 + J]))
    assert close(loss["contrast"], 0.7 * sum(nce(t[people], final[people], 0.4) for t in tokens))


def test_mmssl_critic_and_predicted_rows_learn_against_each_other():
    """The critic's parameters follow its loss; what predicts gets the gradient turned round, times its weight."""
    grads = []
    for weight in (1e-3, 2e-3):
        system = drawn(MMSSL, dim=4, heads=2, neighbors=2, adversarial_weight=weight)
        system.rebuild()
        torch.manual_seed(0)
        term = system.loss(BATCH)["adversarial"]
        term.backward()
        grads.append([parameter.grad.clone() for parameter in (*system.projections.parameters(), *system.critic.parameters())])
    assert all(close(2 * one, two) and one.any() for one, two in zip(grads[0][:2], grads[1][:2], strict=True))
    assert all(close(one, two) and one.any() for one, two in zip(grads[0][2:], grads[1][2:], strict=True))
    system = drawn(MMSSL, dim=4, heads=2, neighbors=2, adversarial_weight=1.0, penalty=0.0)
    users, of_users, of_items = torch.unique(U), *system.modal()["image"]
    fake = (of_users[users] @ of_items.T).softmax(1)
    wanted = torch.autograd.grad(system.critic(fake).mean(), system.projections["image"].weight)[0]
    system.zero_grad()
    system.loss(BATCH)["adversarial"].backward()
    assert close(system.projections["image"].weight.grad, -wanted)


def test_mmssl_signature():
    """Without modalities it is LightGCN."""
    bare, plain = (drawn(kind, features=False, dim=4, layers=2) for kind in (MMSSL, LightGCN))
    assert bare.loss(BATCH).keys() == {"bpr", "l2"} and close(bare.score(EVERYONE), plain.score(EVERYONE))


def test_cosines_of_the_tests_are_cosines():
    assert close(cosines(X["text"], X["text"]).diagonal(), torch.ones(5))
