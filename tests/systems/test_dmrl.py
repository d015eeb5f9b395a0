"""DMRL, MacridVAE, SEM-MacridVAE and PAMD against their formulas as dense algebra."""

import pytest
import torch
from dense import cosines, distance_correlation, line
from six_by_five import (
    BATCH,
    EVERYONE,
    KNOWN,
    LIKES,
    PRESENT,
    close,
    contents,
    data,
    drawn,
    penalty,
    rank,
    squared,
    unit,
    with_strangers,
)
from torch.nn.functional import leaky_relu, softplus

from mllm_rec.interaction import fusion
from mllm_rec.systems.topn.dmrl import DMRL
from mllm_rec.systems.topn.macridvae import MacridVAE
from mllm_rec.systems.topn.pamd import PAMD
from mllm_rec.systems.topn.semmacridvae import SEMMacridVAE

USER, CHOSEN, OTHER = BATCH.users, BATCH.positives, BATCH.negatives


@pytest.mark.parametrize("candidates", [1, 3])
def test_dmrl_equation(candidates):
    system = drawn(DMRL, dim=4, factors=2, candidates=candidates, independence_weight=0.4, decay=0.3)
    y = {name: unit(leaky_relu(line(system.projections[name], x))) * PRESENT[name][:, None] for name, x in contents().items()}

    def score(user, item):
        total = 0.0
        for k in (slice(0, 2), slice(2, 4)):
            parts = [system.users[user, k], system.items[item, k], *(y[name][item, k] for name in y)]
            logits = line(system.gate, line(system.hidden, unit(torch.cat(parts)[None])[0]).tanh())
            known = [True, *(bool(PRESENT[name][item]) for name in y)]
            share = torch.where(torch.tensor(known), logits, -torch.inf).softmax(0)
            total = total + sum(a * softplus(parts[0] @ one) for a, one in zip(share, parts[1:], strict=True))
        return total

    scores = torch.stack([torch.stack([score(user, item) for item in range(5)]) for user in range(6)])
    assert close(system.score(EVERYONE)[KNOWN], scores[KNOWN])
    loss = system.loss(BATCH)
    assert loss.keys() == {"ranking", "independence", "l2"}
    hardest = torch.stack([scores[USER, OTHER.roll(step)] for step in range(candidates)]).amax(0)
    assert close(loss["ranking"], softplus(hardest - scores[USER, CHOSEN]).mean())
    assert close(loss["l2"], 0.3 * penalty(system))
    matrices = [system.users[USER], system.items[CHOSEN], *(y[name][CHOSEN] for name in y)]
    wanted = 0.4 * sum(distance_correlation(one[:, :2], one[:, 2:]) for one in matrices)
    assert torch.allclose(loss["independence"], wanted, atol=1e-3)


def logits_of(system, dropped=False):
    h, m = unit(system.autoencoder.items), unit(system.autoencoder.prototypes)
    c = (h @ m.T / 0.5).softmax(1)
    network = dict(system.named_parameters())
    first = next(value for name, value in network.items() if name.endswith("first.weight"))
    bias = next((value for name, value in network.items() if name.endswith("first.bias")), 0.0)
    second, shift = (next(value for name, value in network.items() if name.endswith(f"second.{part}")) for part in ("weight", "bias"))
    first = first if len(first) == 5 else first.T
    total, kl = 0.0, 0.0
    for k in range(c.shape[1]):
        out = (unit(LIKES * c[:, k]) @ first + bias).tanh() @ second.T + shift
        a, b = out.chunk(2, 1)
        mean, variance = unit(a), -b
        total = total + c[:, k] * (mean @ h.T / 0.5).exp()
        kl = kl + 0.5 * (variance.exp() - variance - 1).sum(1)
    return total.log(), kl


@pytest.mark.parametrize("kind", [MacridVAE, SEMMacridVAE])
def test_macridvae_and_semmacridvae_equation(kind):
    system = drawn(kind, dim=3, factors=2, hidden=4, drop=0.0, temperature=0.5, noise=0.0, kl_weight=0.7, anneal_steps=10)
    logits, kl = logits_of(system)
    assert close(system.score(EVERYONE)[KNOWN], logits[KNOWN])
    system.train()
    system.autoencoder.steps.fill_(4)
    loss, people = system.loss(BATCH), torch.unique(USER)
    assert loss.keys() == {"reconstruction", "kl"}
    assert close(loss["reconstruction"], -(LIKES * logits.log_softmax(1)).sum(1)[people].mean())
    assert close(loss["kl"], 0.7 * 0.4 * kl[people].mean()) and system.autoencoder.steps == 5
    system.autoencoder.steps.fill_(25)
    assert close(system.loss(BATCH)["kl"], 0.7 * kl[people].mean())
    assert close(system.as_user(system.autoencoder.items), torch.cat([unit(system.autoencoder.items)] * 2, 1))


def test_macridvae_and_semmacridvae_signature():
    """Prototypes split the history: with others, another item is seen in each; SEM's items start from features."""
    one, two = (drawn(MacridVAE, dim=3, factors=k, hidden=4, noise=0.0) for k in (1, 2))
    assert not close(one.score(EVERYONE)[KNOWN], two.score(EVERYONE)[KNOWN])
    made = SEMMacridVAE(data(), SEMMacridVAE.Settings(dim=2, factors=2))
    wanted = fusion.principal(made.features, made.present, 2) * (2 / 7) ** 0.5
    assert close(made.autoencoder.items, wanted)


def test_pamd_equation():
    system = drawn(PAMD, dim=3, temperature=0.4, orthogonal_weight=0.7, decay=0.3)
    c = {name: line(system.common[name], x) * PRESENT[name][:, None] for name, x in contents().items()}
    s = {name: line(system.own[name], x) * PRESENT[name][:, None] for name, x in contents().items()}
    rows = torch.unique(CHOSEN)
    both = rows[(PRESENT["image"] & PRESENT["text"])[rows]]
    loss = system.pretrain_loss(BATCH)
    assert loss.keys() == {"consistence", "gap", "reconstruction"}
    a, b = c["image"][both], c["text"][both]
    e = (cosines(a, b) / 0.4).exp()
    apart = sum((cosines(x, y).diagonal() / 0.4).exp() for x, y in ((a, s["image"][both]), (b, s["text"][both])))
    assert close(loss["consistence"], -(e.diagonal() / (e.sum(1) + apart)).log().mean())
    gap = rebuilt = 0.0
    for name, x in contents().items():
        there = rows[PRESENT[name][rows]]
        gap = gap + (cosines(c[name], s[name]).diagonal()[there] ** 2).mean()
        rebuilt = rebuilt + ((line(system.decoders[name], c[name] + s[name]) - x)[there] ** 2).mean()
    assert close(loss["gap"], 0.7 * gap) and close(loss["reconstruction"], rebuilt)
    system.end_pretraining()
    system.eval()
    mean = sum(c.values()) / sum(PRESENT[name].float() for name in c)[:, None]
    f = torch.cat([mean, *s.values()], 1)
    users, items = torch.cat([system.users, system.tastes], 1), torch.cat([system.items, f], 1)
    assert close(system.score(EVERYONE), with_strangers(users) @ items.T)
    tuned = system.loss(BATCH)
    assert tuned.keys() == {"bpr", "l2"} and close(tuned["bpr"], rank(users, items))
    rows = (system.users[USER], system.items[CHOSEN], system.items[OTHER], system.tastes[USER])
    assert close(tuned["l2"], 0.3 * squared(*rows))


def test_pamd_signature():
    """Before its parts are frozen there is only what BPR knows; freezing adds content."""
    system = drawn(PAMD, dim=3)
    plain = with_strangers(system.users) @ system.items.T
    assert close(system.score(EVERYONE), plain)
    system.end_pretraining()
    system.forget_vectors()
    assert not close(system.score(EVERYONE), plain)


def test_dmrl_signature():
    """One factor of the log alone ranks as BPR does; factors agree one by one; a silent gate lets all that is known count alike."""
    one, two = (drawn(DMRL, features=False, dim=4, factors=factors) for factors in (1, 2))
    product = one.users @ one.items.T
    assert close(one.score(EVERYONE)[KNOWN], softplus(product)[KNOWN])
    halves = [softplus(two.users[:, part] @ two.items[:, part].T) for part in (slice(0, 2), slice(2, 4))]
    assert close(two.score(EVERYONE)[KNOWN], sum(halves)[KNOWN])
    system = drawn(DMRL, dim=4, factors=1)
    before = system.score(EVERYONE)
    with torch.no_grad():
        system.gate.weight.zero_()
    system.forget_vectors()
    parts = [system.items, *(unit(leaky_relu(line(system.projections[name], x))) for name, x in contents().items())]
    known = torch.stack([torch.ones(5, dtype=torch.bool), *(PRESENT[name] for name in contents())])
    agreed = torch.stack([softplus(system.users @ part.T) for part in parts]) * known[:, None]
    assert close(system.score(EVERYONE)[KNOWN], (agreed.sum(0) / known.sum(0))[KNOWN]) and not close(system.score(EVERYONE), before)
