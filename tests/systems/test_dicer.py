"""DICER against its formulas as dense algebra."""

import math

import torch
from dense import inverse, line
from six_by_five import BATCH, EVERYONE, LIKES, close, contents, drawn, with_strangers

from mllm_rec.systems.topn.dicer import DICER


def density(z, mean, log_variance):
    """Of a normal distribution, log, entry by entry."""
    return torch.distributions.Normal(mean, (log_variance / 2).exp()).log_prob(z)


def test_dicer_equation():
    system = drawn(DICER, dim=2, hidden=4, content_weight=0.6, kl_weight=0.7, correlation_weight=1.5, independence_weight=0.4)
    with torch.no_grad():
        for parameter in system.parameters():
            parameter *= 0.5
    x = torch.cat(list(contents().values()), 1)
    history = inverse(LIKES.sum(1), 0.5)[:, None] * LIKES
    content = (inverse(LIKES.sum(1))[:, None] * LIKES) @ x
    first, _, second = system.content_encoder
    of_log = line(system.history_encoder, (history @ system.history_weights + system.history_bias).tanh())
    of_content = line(second, line(first, content).tanh())
    mean, spread = (torch.cat([of_log[:, part], of_content[:, part]], 1) for part in (slice(0, 2), slice(2, 4)))
    items = torch.cat([system.items, sum(line(system.projections[name], one) for name, one in contents().items())], 1)
    assert close(system.score(EVERYONE), with_strangers(mean) @ items.T + system.biases)

    torch.manual_seed(0)
    loss, people = system.loss(BATCH), torch.unique(BATCH.users)
    torch.manual_seed(0)
    mean, spread = mean[people], spread[people]
    z = mean + torch.randn_like(mean) * (spread / 2).exp()
    logits = z @ items.T + system.biases
    assert loss.keys() == {"reconstruction", "content", "kl", "independence"}
    assert close(loss["reconstruction"], -(LIKES[people] * logits.log_softmax(1)).sum(1).mean())
    assert close(loss["content"], 0.6 * ((line(system.content_decoder, z[:, 2:]) - content[people]) ** 2).sum(1).mean())

    users, n = len(people), math.log(len(people) * 6)
    information = correlation = distance = mutual = 0.0
    for row in range(users):
        pairs = torch.stack([density(z[row], mean[other], spread[other]) for other in range(users)])  # (users, 4)
        joint, each = pairs.sum(1).logsumexp(0) - n, (pairs.logsumexp(0) - n).sum()
        halves = sum(pairs[:, part].sum(1).logsumexp(0) - n for part in (slice(0, 2), slice(2, 4)))
        prior = density(z[row], torch.zeros(4), torch.zeros(4)).sum()
        information += (density(z[row], mean[row], spread[row]).sum() - joint) / users
        correlation, distance, mutual = (
            correlation + (joint - each) / users,
            distance + (each - prior) / users,
            mutual + (joint - halves) / users,
        )
    assert close(loss["kl"], 0.7 * (information + 1.5 * correlation + distance)) and close(loss["independence"], 0.4 * mutual)


def test_dicer_signature():
    """Content moves the second taste alone, the log the first."""
    system = drawn(DICER, dim=2, hidden=4)
    before = system.encoded()[0]
    with torch.no_grad():
        system.history_weights += 1.0
    after = system.encoded()[0]
    assert close(before[:, 2:], after[:, 2:]) and not close(before[:5, :2], after[:5, :2])
