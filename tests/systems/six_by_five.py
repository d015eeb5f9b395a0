"""Six users, five items and two features, small enough to write a paper's formulas as dense algebra."""

import numpy as np
import pandas as pd
import torch

from mllm_rec.data.dataset import Dataset
from mllm_rec.data.features import Features
from mllm_rec.data.interactions import Interactions
from mllm_rec.recommender import Batch, Query, create

#: Who chose what. The last user chose nothing, and nobody chose the last item.
LIKES = torch.tensor(
    [[1, 1, 0, 0, 0], [1, 0, 1, 0, 0], [0, 1, 1, 1, 0], [1, 1, 1, 0, 0], [0, 0, 0, 1, 0], [0, 0, 0, 0, 0]], dtype=torch.float32
)
IMAGE = torch.tensor([[1.0, 0.2, 0.0], [0.9, 0.0, 0.3], [0.0, 1.0, 0.1], [0.0, 0.0, 0.0], [0.8, 0.3, 0.4]])
TEXT = torch.tensor([[2.0, 9.0], [7.0, 1.0], [8.0, 2.5], [1.0, 8.0], [3.0, 7.0]])
#: The fourth item has no picture.
PRESENT = {"image": torch.tensor([True, True, True, False, True]), "text": torch.ones(5, dtype=torch.bool)}
KNOWN = torch.arange(5)  # users with a history
EVERYONE = Query(torch.arange(6))
BATCH = Batch(torch.tensor([0, 1, 2, 3, 0, 4]), torch.tensor([0, 2, 3, 1, 1, 3]), torch.tensor([2, 1, 4, 3, 4, 0]))


def data(features=True) -> Dataset:
    pairs = [(f"u{user}", f"i{item}") for user, item in LIKES.nonzero().tolist()]
    given = {name: Features(x.numpy(), PRESENT[name].numpy()) for name, x in (("image", IMAGE), ("text", TEXT))} if features else {}
    log = Interactions(pd.DataFrame(pairs, columns=["user_id", "item_id"]))
    return Dataset([f"i{item}" for item in range(5)], [f"u{user}" for user in range(6)], log, given)


def drawn(system, features=True, seed=0, **settings):
    """A system with every parameter drawn anew, so that none is at zero."""
    created = create(system, data(features), system.Settings(**settings))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in created.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return created


def solved(system, **settings):
    """A system of closed form, solved."""
    created = create(system, data(), system.Settings(**settings))
    created.solve()
    created.eval()
    return created


def close(ours, paper):
    return np.allclose(torch.as_tensor(ours).detach(), torch.as_tensor(paper).detach(), rtol=1e-5, atol=1e-5)


def with_strangers(users):
    """A user who chose nothing is served as the mean of those who did."""
    return torch.where(LIKES.any(1, keepdim=True), users, users[LIKES.any(1)].mean(0))


def lightgcn(users, items, layers, edges=LIKES):
    """Eq. 8 and eq. 4 of LightGCN: the mean over hops of ``D^-1/2 A D^-1/2``."""
    adjacency = torch.zeros(11, 11)
    adjacency[:6, 6:], adjacency[6:, :6] = edges, edges.T
    root = torch.diag(torch.where(adjacency.sum(1) > 0, adjacency.sum(1) ** -0.5, 0))
    hop, hops = torch.cat([users, items]), [torch.cat([users, items])]
    for _ in range(layers):
        hop = root @ adjacency @ root @ hop
        hops.append(hop)
    mean = torch.stack(hops).mean(0)
    return mean[:6], mean[6:]


def bpr(user, positive, negative, bias=0.0):
    """Mean of ``-ln sigmoid(x_ui - x_uj)``."""
    return -torch.log(torch.sigmoid((user * positive).sum(1) - (user * negative).sum(1) + bias)).mean()


def squared(*rows):
    """Half the squared length of a batch's rows, per row."""
    return sum((row**2).sum() for row in rows) / 2 / len(BATCH)


def centered(x, present):
    """Rows less the mean of the rows that are there, at length one."""
    x = (x - x[present].mean(0)) * present[:, None]
    return x / torch.where(present, x.norm(dim=1), 1)[:, None]


def contents():
    """What a system reads of each modality."""
    return {name: centered(x, PRESENT[name]) for name, x in (("image", IMAGE), ("text", TEXT))}


def both_ways(edges=LIKES):
    """The links as one matrix over users, then items."""
    none = torch.zeros(6, 6), torch.zeros(5, 5)
    return torch.cat([torch.cat([none[0], edges], 1), torch.cat([edges.T, none[1]], 1)])


def unit(rows):
    """Rows at length one; a row of zeros stays."""
    return rows / rows.norm(dim=-1, keepdim=True).clamp(min=1e-12)


def affine(layer, x, bias=True):
    """``W x + b`` for each row; without ``bias`` the layer may have none."""
    assert (layer.bias is not None) == bias
    return x @ layer.weight.T + (layer.bias if bias else 0.0)


def shares(links, logits):
    """A softmax of each row's logits over what the row links to, by plain loops."""
    found = torch.zeros(links.shape)
    for row in range(len(links)):
        linked = links[row].nonzero().flatten().tolist()
        powers = [logits[row, other].exp() for other in linked]
        for other, power in zip(linked, powers, strict=True):
            found[row, other] = power / sum(powers)
    return found


def rank(users, items):
    """BPR of the batch."""
    return bpr(users[BATCH.users], items[BATCH.positives], items[BATCH.negatives])


def penalty(system, *user_tables):
    """``squared`` of the batch's rows of the ID tables, and of further tables of users."""
    ids = system.users[BATCH.users], system.items[BATCH.positives], system.items[BATCH.negatives]
    return squared(*ids, *(table[BATCH.users] for table in user_tables))
