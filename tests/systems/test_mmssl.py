"""MMSSL against its formulas as dense algebra."""

import pytest
import torch
from dense import hops, inverse, nce, normalized
from six_by_five import BATCH, EVERYONE, LIKES, both_ways, bpr, close, contents, drawn, squared, unit, with_strangers
from torch.nn.functional import leaky_relu

from mllm_rec.systems.topn.lightgcn import LightGCN
from mllm_rec.systems.topn.mmssl import MMSSL

USER, CHOSEN, OTHER = BATCH.users, BATCH.positives, BATCH.negatives


def mmssl(system, layers, id_share, content_share):
    r = normalized(both_ways())[:6, 6:]
    ids, tokens, modal = torch.cat([system.users, system.items]), [], []
    for name, x in contents().items():
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
    final = hops(normalized(both_ways()), e, layers).mean(0) + content_share * sum(unit(h) for h in modal)
    return final, tokens, modal


@pytest.mark.parametrize("layers", [1, 2])
def test_mmssl_equation(layers):
    system = drawn(
        MMSSL, dim=4, layers=layers, heads=2, neighbors=2, id_share=0.6, content_share=0.3, temperature=0.4, contrast_weight=0.7, decay=0.2
    )
    system.rebuild()
    final, tokens, modal = mmssl(system, layers, 0.6, 0.3)
    for name, h in zip(contents(), modal, strict=True):
        wanted = torch.zeros(6, 5).scatter(1, (h[:6] @ h[6:].T).topk(2).indices, 0.5)
        wanted[~h[:6].any(1)] = 0  # who chose nothing that has the modality is predicted nothing
        assert close(system.modality_graphs[name].matrix.to_dense(), wanted)
    assert close(system.score(EVERYONE), with_strangers(final[:6]) @ final[6:].T)
    loss, people = system.loss(BATCH), torch.unique(USER)
    assert loss.keys() == {"bpr", "l2", "contrast", "adversarial"} and close(
        loss["bpr"], bpr(final[USER], final[6 + CHOSEN], final[6 + OTHER])
    )
    assert close(loss["l2"], 0.2 * squared(final[USER], final[6 + CHOSEN], final[6 + OTHER]))
    assert close(loss["contrast"], 0.7 * sum(nce(t[people], final[people], 0.4) for t in tokens))


def test_mmssl_adversarial_term():
    """Predicted less observed rows before the critic, and the squared distance of its slope from 1 between the two, per modality."""
    system = drawn(MMSSL, dim=4, heads=2, neighbors=2, penalty=0.9)
    system.rebuild()
    (first, bias), (second, _) = ((layer.weight, layer.bias) for layer in (system.critic[0], system.critic[2]))
    people = torch.unique(USER)
    final, _, modal = mmssl(system, 2, 0.36, 0.55)
    torch.manual_seed(3)
    term = system.loss(BATCH)["adversarial"]
    torch.manual_seed(3)
    wanted = 0.0
    for h in modal:
        gumbel = -torch.log(torch.empty(5, 5).exponential_())
        real = (5 * LIKES[people] + final[people] @ system.items.T + gumbel).softmax(1)
        fake = (h[people] @ h[6:].T).softmax(1)
        share = torch.rand(5, 1)
        hidden = {
            name: rows @ first.T + bias for name, rows in (("real", real), ("fake", fake), ("between", share * real + (1 - share) * fake))
        }
        said = {name: leaky_relu(rows) @ second[0] for name, rows in hidden.items()}
        slope = (second * torch.where(hidden["between"] > 0, 1.0, 0.01)) @ first
        wanted = wanted + said["fake"].mean() - said["real"].mean() + 0.9 * ((slope**2).sum(1).sqrt() - 1).square().mean()
    assert close(term, wanted)


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
    users, of_users, of_items = torch.unique(USER), *system.modal()["image"]
    fake = (of_users[users] @ of_items.T).softmax(1)
    wanted = torch.autograd.grad(system.critic(fake).mean(), system.projections["image"].weight)[0]
    system.zero_grad()
    system.loss(BATCH)["adversarial"].backward()
    assert close(system.projections["image"].weight.grad, -wanted)


def test_mmssl_signature():
    """Without modalities it is LightGCN."""
    bare, plain = (drawn(kind, features=False, dim=4, layers=2) for kind in (MMSSL, LightGCN))
    assert bare.loss(BATCH).keys() == {"bpr", "l2"} and close(bare.score(EVERYONE), plain.score(EVERYONE))
