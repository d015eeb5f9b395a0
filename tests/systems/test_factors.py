"""BPR, LightGCN and VBPR against their formulas as dense algebra."""

import pytest
import torch
from six_by_five import BATCH, EVERYONE, IMAGE, PRESENT, TEXT, bpr, centered, close, drawn, lightgcn, squared, with_strangers

from mllm_rec.systems.topn.bpr import BPR
from mllm_rec.systems.topn.lightgcn import LightGCN
from mllm_rec.systems.topn.vbpr import VBPR


def rows(users, items):
    return users[BATCH.users], items[BATCH.positives], items[BATCH.negatives]


def test_bpr_equation():
    system = drawn(BPR, dim=3, decay=0.3)
    users, items = system.users, system.items
    assert close(system.score(EVERYONE), with_strangers(users) @ items.T)
    loss = system.loss(BATCH)
    assert loss.keys() == {"bpr", "l2"}
    assert close(loss["bpr"], bpr(*rows(users, items))) and close(loss["l2"], 0.3 * squared(*rows(users, items)))


def test_bpr_signature():
    """Each pair counts by the order of its two items alone: exchanged, the gradient turns round."""
    system = drawn(BPR, dim=3, decay=0.0)
    turned = type(BATCH)(BATCH.users, BATCH.negatives, BATCH.positives)
    lead = (system.users[BATCH.users] * (system.items[BATCH.positives] - system.items[BATCH.negatives])).sum(1).mean()
    # -ln sigmoid(x) + ln sigmoid(-x) = -x
    assert close(system.loss(BATCH)["bpr"] - system.loss(turned)["bpr"], -lead)


@pytest.mark.parametrize("layers", [1, 3])
def test_lightgcn_equation(layers):
    system = drawn(LightGCN, dim=3, layers=layers, decay=0.3)
    users, items = lightgcn(system.users, system.items, layers)
    assert close(system.score(EVERYONE), with_strangers(users) @ items.T)
    loss = system.loss(BATCH)
    assert loss.keys() == {"bpr", "l2"} and close(loss["bpr"], bpr(*rows(users, items)))
    assert close(loss["l2"], 0.3 * squared(*rows(system.users, system.items))), "the penalty is on the vectors before propagation"


def test_lightgcn_signature():
    """Without layers it is BPR; with them it is not."""
    plain, flat, deep = drawn(BPR, dim=3, decay=0.3), *(drawn(LightGCN, dim=3, decay=0.3, layers=layers) for layers in (0, 2))
    assert close(flat.score(EVERYONE), plain.score(EVERYONE)) and not close(deep.score(EVERYONE), plain.score(EVERYONE))
    assert all(close(flat.loss(BATCH)[name], plain.loss(BATCH)[name]) for name in ("bpr", "l2"))


def test_lightgcn_gradient_is_that_of_the_dense_form():
    system = drawn(LightGCN, dim=3, layers=2)
    sum(system.loss(BATCH).values()).backward()
    users, items = (table.detach().clone().requires_grad_() for table in (system.users, system.items))
    loss = bpr(*rows(*lightgcn(users, items, 2))) + 1e-4 * squared(*rows(users, items))
    loss.backward()
    assert close(system.users.grad, users.grad) and close(system.items.grad, items.grad)


def vbpr_scores(system, users):
    """``b_i + gamma_u . gamma_i + sum over modalities of (theta_u . E f_i + b' . f_i)``."""
    scores = system.biases + users[:, :3] @ system.items.T
    for place, (name, x) in enumerate((("image", IMAGE), ("text", TEXT))):
        f, theta = centered(x, PRESENT[name]), users[:, 3 + 2 * place : 5 + 2 * place]
        scores = scores + theta @ (f @ system.projections[name]).T + f @ system.content_biases[name]
    return scores


def test_vbpr_equation():
    system = drawn(VBPR, dim=3, content_dim=2, decay=0.3, projection_decay=0.7)
    assert close(system.score(EVERYONE), vbpr_scores(system, with_strangers(system.users)))
    scores, loss = vbpr_scores(system, system.users), system.loss(BATCH)
    lead = scores[BATCH.users, BATCH.positives] - scores[BATCH.users, BATCH.negatives]
    assert loss.keys() == {"bpr", "l2", "projections"}
    assert close(loss["bpr"], -torch.log(torch.sigmoid(lead)).mean())
    biases = squared(system.biases[BATCH.positives], system.biases[BATCH.negatives])
    assert close(loss["l2"], 0.3 * (squared(*rows(system.users, system.items)) + biases))
    projected = [*system.projections.values(), *system.content_biases.values()]
    assert close(loss["projections"], 0.7 * sum((x**2).sum() for x in projected) / 2)


def test_vbpr_signature():
    """Without features it is BPR with a bias; a picture that is missing says nothing."""
    bare = drawn(VBPR, features=False, dim=3, decay=0.3)
    users, items, biases = with_strangers(bare.users), bare.items, bare.biases
    assert bare.users.shape == (6, 3) and close(bare.score(EVERYONE), users @ items.T + biases)
    lead = biases[BATCH.positives] - biases[BATCH.negatives]
    assert close(bare.loss(BATCH)["bpr"], bpr(*rows(bare.users, items), bias=lead)) and bare.loss(BATCH)["projections"] == 0

    full = drawn(VBPR, dim=3, content_dim=2)
    both = full.score(EVERYONE)
    with full.without("image"):
        assert close(full.score(EVERYONE)[:, 3], both[:, 3]) and not close(full.score(EVERYONE)[:, 4], both[:, 4])
