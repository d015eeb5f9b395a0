"""MVGAE and MEGCF against their formulas as dense algebra."""

import pytest
import torch
from dense import inverse, line
from six_by_five import BATCH, EVERYONE, LIKES, PRESENT, both_ways, bpr, close, contents, drawn, penalty, with_strangers
from torch.nn.functional import leaky_relu, softplus

from mllm_rec.systems.topn.megcf import MEGCF
from mllm_rec.systems.topn.mvgae import MVGAE

USER, CHOSEN, OTHER = BATCH.users, BATCH.positives, BATCH.negatives


def posteriors(system):
    """Mean, log variance and who has the channel, by channel."""
    a = both_ways() + torch.eye(11)
    mean_of = a / a.sum(1, keepdim=True)
    starts = {"log": torch.cat([system.users, system.items])}
    there = {"log": torch.ones(11, dtype=torch.bool)}
    for name, x in contents().items():
        starts[name] = torch.cat([system.preferences[name], line(system.projections[name], x)])
        there[name] = torch.cat([torch.ones(6, dtype=torch.bool), PRESENT[name]])
    found = {}
    for name, x in starts.items():
        h = leaky_relu(mean_of @ line(system.hidden[name], x))
        found[name] = mean_of @ line(system.mean[name], h), mean_of @ line(system.log_variance[name], h), there[name]
    precision = {name: (-variance).exp() * known[:, None] for name, (_, variance, known) in found.items()}
    total = sum(precision.values())
    fused = sum(found[name][0] * precision[name] for name in found) / total
    return {"fused": (fused, -total.log(), torch.ones(11, dtype=torch.bool)), **found}


@pytest.mark.parametrize("candidates", [1, 3])
def test_mvgae_equation(candidates):
    system = drawn(MVGAE, dim=3, noise=0.0, kl_weight=0.7, candidates=candidates)
    found = posteriors(system)
    mean = found["fused"][0]
    assert close(system.score(EVERYONE), with_strangers(mean[:6]) @ mean[6:].T)
    loss, kl = system.loss(BATCH), 0.0
    assert loss.keys() == {*found, "kl"}
    for name, (z, variance, _) in found.items():
        others = torch.stack([(z[USER] * z[6 + OTHER.roll(step)]).sum(1) for step in range(candidates)]).amax(0)
        rows = softplus(others - (z[USER] * z[6 + CHOSEN]).sum(1))
        assert close(loss[name], rows.mean())
        nodes = torch.cat([USER, 6 + CHOSEN])
        kl = kl + 0.5 * (variance[nodes].exp() + z[nodes] ** 2 - 1 - variance[nodes]).sum(1).mean()
    assert close(loss["kl"], 0.7 * kl)


def test_mvgae_noise():
    """``z = mu + noise * epsilon * sigma``, drawn for the product first, then for each expert."""
    system = drawn(MVGAE, dim=3, noise=0.4, candidates=1)
    torch.manual_seed(5)
    loss = system.loss(BATCH)
    torch.manual_seed(5)
    for name, (mean, log_variance, _) in posteriors(system).items():
        z = mean + 0.4 * torch.randn(11, 3) * log_variance.exp().sqrt()
        assert close(loss[name], softplus((z[USER] * (z[6 + OTHER] - z[6 + CHOSEN])).sum(1)).mean())


def test_mvgae_signature():
    """An expert who is sure pulls the product to himself; an item without the modality hears only the others."""
    system = drawn(MVGAE, dim=3)
    with torch.no_grad():
        system.log_variance["text"].weight.zero_()
        system.log_variance["text"].bias.fill_(-20.0)
    users, items = system.represent()
    text = posteriors(system)["text"][0]
    assert torch.allclose(torch.cat([users, items]), text, atol=1e-3)
    with torch.no_grad():
        system.log_variance["image"].bias.fill_(-40.0)
        system.log_variance["image"].weight.zero_()
    items = system.represent()[1]
    assert torch.allclose(items[3], text[9], atol=1e-3) and not torch.allclose(items[0], text[6], atol=1e-2)


@pytest.mark.parametrize(("layers", "power"), [(1, 0.5), (3, 0.3)])
def test_megcf_equation(layers, power):
    system = drawn(MEGCF, dim=3, layers=layers, entities=2, links=1, power=power, decay=0.3)
    entities = len(system.entities)

    def last(a, x):
        degree = a.sum(1)
        graph = inverse(degree, 0.5)[:, None] * a * inverse(degree, power)
        for _ in range(layers):
            x = graph @ x
        return x

    linked = torch.zeros(11 + entities, 11 + entities)
    linked[:11, :11] = both_ways()
    for item, entity in system.links_of.T.tolist():
        linked[6 + item, 11 + entity] = linked[11 + entity, 6 + item] = 1.0
    ids = torch.cat([system.users, system.items])
    plain, rich = last(both_ways(), ids), last(linked, torch.cat([ids, system.entities]))
    score = plain[:6] @ plain[6:].T + rich[:6] @ rich[6:11].T
    known = LIKES.any(1)
    assert close(system.score(EVERYONE)[known], score[known])
    loss = system.loss(BATCH)
    assert loss.keys() == {"bpr", "entities", "l2"}
    assert close(loss["bpr"], bpr(plain[USER], plain[6 + CHOSEN], plain[6 + OTHER]))
    assert close(loss["entities"], bpr(rich[USER], rich[6 + CHOSEN], rich[6 + OTHER]))
    assert close(loss["l2"], 0.3 * penalty(system))


def test_megcf_signature():
    """An item that nobody chose is reached over what it shares with others, and only so."""
    system = drawn(MEGCF, dim=3, layers=2, entities=2, links=1)
    linked = [item for item, _ in system.links_of.T.tolist()]
    assert set(linked) == set(range(5)) and system.score(EVERYONE)[0, 4] != 0
    bare = drawn(MEGCF, features=False, dim=3, layers=2)
    assert close(bare.score(EVERYONE)[0, 4], 0.0)
