"""PMGT against its formulas as dense algebra."""

import pytest
import torch
from six_by_five import BATCH, EVERYONE, LIKES, PRESENT, affine, close, contents, data, drawn, penalty, rank, unit, with_strangers
from torch.nn.functional import gelu, layer_norm, logsigmoid

from mllm_rec.errors import InputError
from mllm_rec.recommender import Batch, create
from mllm_rec.systems.topn.pmgt import PMGT


def made(**settings):
    """Drawn, then scaled so that items stay apart: through norms and wide maps all would come out as one vector, and any fault with them."""
    system = drawn(PMGT, seed=2, dim=8, **settings)
    with torch.no_grad():
        for part, factor in ((system.projections, 3.0), (system.transformer, 0.5)):
            for matrix in (parameter for parameter in part.parameters() if parameter.ndim == 2):
                matrix *= factor
        for layer in system.transformer:
            layer.norm1.bias *= 0.2
            layer.norm2.bias *= 0.2
    return system


def sequence(item, context):
    """The item, then those that most users chose together with it; of equals the first."""
    common = {other: float(LIKES[:, item] @ LIKES[:, other]) for other in range(5) if other != item}
    near = [other for other in sorted(common, key=lambda other: (-common[other], other)) if common[other] > 0]
    return [item, *near[:context]]


def tokens(system):
    """Each item's modalities, added up by a gate."""
    projected = [affine(system.projections[name], x, bias=False) for name, x in contents().items()]
    gate = affine(system.gate, torch.tanh(torch.cat(projected, 1))).softmax(1)
    return sum(gate[:, m, None] * x for m, x in enumerate(projected))


def block(layer, x, heads, diversity):
    """Attention to what is alike and to what is different, then a map of each place; places are rows."""
    q, k, v = (affine(part, x) for part in (layer.query, layer.key, layer.value))
    different = (1 - unit(x) @ unit(x).T + torch.eye(len(x))).softmax(1)
    mixed = []
    for part in torch.arange(x.shape[1]).chunk(heads):
        alike = (q[:, part] @ k[:, part].T / len(part) ** 0.5).softmax(1)
        mixed.append(((1 - diversity) * alike + diversity * different) @ v[:, part])
    x = layer_norm(x + affine(layer.out, torch.cat(mixed, 1)), x.shape[1:], layer.norm1.weight, layer.norm1.bias)
    inner = affine(layer.second, gelu(affine(layer.first, x)))
    return layer_norm(x + inner, x.shape[1:], layer.norm2.weight, layer.norm2.bias)


def encoded(system, layers, heads, context, diversity):
    assert len(system.transformer) == layers
    rows = []
    for item in range(5):
        members = sequence(item, context)
        roles = torch.tensor([0] + [1] * (len(members) - 1))
        x = tokens(system)[members] + system.positions[: len(members)] + system.roles[roles]
        for layer in system.transformer:
            x = block(layer, x, heads, diversity)
        rows.append(x[0])
    assert torch.pdist(torch.stack(rows)).min() > 0.05
    return torch.stack(rows)


@pytest.mark.parametrize(
    ("layers", "heads", "context", "diversity"), [(1, 1, 2, 0.0), (1, 2, 3, 0.4), (2, 2, 2, 0.3), (2, 1, 10, 1.0), (3, 4, 1, 0.2)]
)
def test_pmgt_encoder_equation(layers, heads, context, diversity):
    system = made(layers=layers, heads=heads, context=context, diversity=diversity)
    system.eval()
    for item in range(5):
        near = sequence(item, context)[1:]
        assert system.contexts[item].tolist() == near + [-1] * (context - len(near))
    wanted = encoded(system, layers, heads, context, diversity)
    assert close(system.encode(torch.arange(5)), wanted)
    assert close(system.encode(torch.tensor([3, 0, 3])), wanted[[3, 0, 3]])


def test_pmgt_pretraining():
    """Items of one context are drawn together, others apart; what is hidden is told from the rest, and everything learns."""
    torch.manual_seed(0)
    system = made(context=3, diversity=0.3, mask_share=0.5)
    system.train()
    batch = Batch(torch.tensor([0, 1, 1, 2]), torch.tensor([0, 1, 2, 3]), torch.tensor([3, 4, 3, 0]))  # each positive once
    loss = system.pretrain_loss(batch)
    assert loss.keys() == {"graph", "features"} and all(term.isfinite() and term > 0 for term in loss.values())
    e = unit(encoded(system, 2, 2, 3, 0.3))
    partners = torch.tensor([sequence(item, 3)[1] for item in batch.positives.tolist()])
    together, apart = (e[batch.positives] * e[partners]).sum(1), (e[batch.positives] * e[batch.negatives]).sum(1)
    assert close(loss["graph"], -(logsigmoid(together) + logsigmoid(-apart)).mean())
    sum(loss.values()).backward()
    for name, parameter in system.named_parameters():
        assert name in ("users", "items") or parameter.grad.any(), name


def test_pmgt_tells_neighbors_from_the_negative_of_the_same_row():
    """In whatever order the positives come; an item without neighbors is left out."""
    system = made(context=3, diversity=0.3)
    batch = Batch(torch.tensor([0, 1, 2, 3, 4]), torch.tensor([3, 4, 1, 2, 0]), torch.tensor([4, 2, 3, 0, 3]))
    e, terms = unit(encoded(system, 2, 2, 3, 0.3)), []
    for item, other in zip(batch.positives.tolist(), batch.negatives.tolist(), strict=True):
        if near := sequence(item, 3)[1:]:
            terms.append(-logsigmoid(e[item] @ e[near[0]]) - logsigmoid(-e[item] @ e[other]))
    assert len(terms) == 4 and close(system.pretrain_loss(batch)["graph"], sum(terms) / 4)


def test_pmgt_rebuilds_hidden_features():
    """The mean squared error of all neighbors' features, all hidden, where they are there."""
    system = made(layers=1, heads=2, context=2, diversity=0.3, mask_share=1.0)
    errors = {"image": [], "text": []}
    for item in range(4):
        members = sequence(item, 2)
        x = torch.cat([tokens(system)[item : item + 1], torch.zeros(len(members) - 1, 8)])
        x = x + system.positions[: len(members)] + system.roles[torch.tensor([0] + [1] * (len(members) - 1))]
        out = block(system.transformer[0], x, 2, 0.3)
        for name, wanted in contents().items():
            rebuilt = affine(system.decoders[name], out)
            errors[name] += [((rebuilt[p] - wanted[i]) ** 2).mean() for p, i in enumerate(members) if p and PRESENT[name][i]]
    batch = Batch(torch.arange(4), torch.arange(4), torch.tensor([4, 4, 4, 4]))
    assert close(system.pretrain_loss(batch)["features"], sum(sum(found) / len(found) for found in errors.values()))


def test_pmgt_equation():
    system = made(layers=2, heads=2, context=2, diversity=0.3, decay=0.3)
    assert close(system.score(EVERYONE), with_strangers(system.users) @ system.items.T)
    system.end_pretraining()
    system.eval()
    items = encoded(system, 2, 2, 2, 0.3)
    assert close(system.items, items) and close(system.score(EVERYONE), with_strangers(system.users) @ items.T)
    loss = system.loss(BATCH)
    assert loss.keys() == {"bpr", "l2"} and close(loss["bpr"], rank(system.users, items)) and close(loss["l2"], 0.3 * penalty(system))
    sum(loss.values()).backward()
    assert system.items.grad.any(), "what was pretrained is tuned"


def test_pmgt_signature():
    """Attention to what is different, and the neighbors, change an item's vector; an item without neighbors has neither."""
    plain, diverse = (made(context=2, diversity=diversity) for diversity in (0.0, 0.3))
    alone, near = plain.encode(torch.arange(5)), diverse.encode(torch.arange(5))
    assert close(alone[4], near[4]) and not any(close(alone[item], near[item]) for item in range(4))
    with torch.no_grad():
        before = near.clone()
        diverse.roles[1] += 1.0
    moved = [not close(one, other) for one, other in zip(diverse.encode(torch.arange(5)), before, strict=True)]
    assert moved == [True] * 4 + [False]


def test_pmgt_needs_a_feature():
    with pytest.raises(InputError, match=r"PMGT needs .*feature"):
        create(PMGT, data(features=False))
