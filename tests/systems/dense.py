"""The pieces that papers share, as dense algebra on the six users and five items of ``six_by_five``."""

import torch
from six_by_five import IMAGE, PRESENT, TEXT, affine, unit

RAW = {"image": IMAGE, "text": TEXT}


def line(layer, x):
    """``W x``, and ``+ b`` where the layer has one."""
    return affine(layer, x, layer.bias is not None)


def inverse(degree, power=1.0):
    return torch.where(degree > 0, degree.clamp(min=1e-9) ** -power, 0.0)


def normalized(a, left=0.5, right=0.5):
    """``D^-left A D^-right``."""
    degree = a.sum(1)
    return torch.diag(inverse(degree, left)) @ a @ torch.diag(inverse(degree, right))


def hops(a, x, layers):
    """``x, A x, A^2 x, ..``, stacked."""
    found = [x]
    for _ in range(layers):
        found.append(a @ found[-1])
    return torch.stack(found)


def cosines(a, b):
    return unit(a) @ unit(b).T


def knn(name, k, weighted=False, x=None):
    """The item graph of one modality, of its features or of ``x``: an item's own link first, then the most alike; nothing where it is missing."""
    there = PRESENT[name]
    alike = cosines(*[RAW[name] if x is None else x] * 2)
    order = alike.detach().clone().fill_diagonal_(9.0)
    order[:, ~there] = -9.0
    links = torch.zeros(5, 5)
    for row in there.nonzero().flatten():
        chosen = order[row].argsort(descending=True)[: min(k, int(there.sum()))]
        links[row, chosen] = alike[row, chosen].clamp(min=0) if weighted else 1 / min(k, int(there.sum()))
    if not weighted:
        return links
    root = inverse(links.sum(1), 0.5)
    return root[:, None] * links * root


def partners(likes, k):
    """A softmax over how many choices are shared with the ``k`` who share most; of equals the first."""
    shared = likes @ likes.T
    shared.fill_diagonal_(0)
    graph = torch.zeros_like(shared)
    for row in range(len(shared)):
        chosen = [other for other in shared[row].argsort(descending=True, stable=True)[:k].tolist() if shared[row, other] > 0]
        if chosen:
            graph[row, chosen] = shared[row, chosen].softmax(0)
    return graph


def nce(a, b, temperature, extra=None):
    """``-ln e^{cos(a_r, b_r) / t} / sum_s e^{cos(a_r, b_s) / t}``, the mean over rows; ``extra`` joins the denominators."""
    e = (cosines(a, b) / temperature).exp()
    below = e.sum(1) if extra is None else e.sum(1) + extra.exp().sum(1)
    return -(e.diagonal() / below).log().mean()


def attended(attention, stacked):
    """``sum_m softmax_m(q . tanh(W h_m + b)) h_m``, over the rows that aren't zero."""
    w, b, q = attention.hidden.weight, attention.hidden.bias, attention.query.weight[0]
    out = torch.zeros_like(stacked[0])
    for row in range(stacked.shape[1]):
        known = [m for m in range(len(stacked)) if stacked[m, row].any()]
        if known:
            a = torch.stack([(w @ stacked[m, row] + b).tanh() @ q for m in known]).softmax(0)
            out[row] = sum(share * stacked[m, row] for share, m in zip(a, known, strict=True))
    return out


def distance_correlation(x, y):
    """dCov over the root of both dVar."""

    def doubly_centered(z):
        d = torch.cdist(z, z)
        return d - d.mean(0) - d.mean(1, keepdim=True) + d.mean()

    a, b = doubly_centered(x), doubly_centered(y)
    return ((a * b).mean() / ((a * a).mean() * (b * b).mean()).sqrt()).clamp(min=0).sqrt()
