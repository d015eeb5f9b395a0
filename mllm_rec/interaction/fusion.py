"""Putting modalities of unlike scale on one footing."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding


def unit_rows(values: Tensor, present: Tensor) -> Tensor:
    """Rows less their mean, each scaled to length one; rows that are missing, or equal to the mean, are zero.

    Published features differ in scale by orders of magnitude (and pictures' are all positive), so that without this
    one learning rate cannot serve them all.

    Args:
        values: ``(num_items, width)``.
        present: ``(num_items,)`` bool; rows that count toward the mean.

    Returns:
        ``(num_items, width)`` float32.
    """
    known = present[:, None].to(values.dtype)
    mean = (values * known).sum(0) / known.sum().clamp(min=1)
    return torch.nn.functional.normalize((values - mean) * known, dim=1, eps=1e-6)


def project_rows(projection: Callable[[Tensor], Tensor], values: Tensor, *rows: Tensor) -> list[Tensor]:
    """The projected features of chosen rows, ``(batch, dim)`` each.

    Everything is projected once where that is less work than projecting what was chosen; the result is the same.

    Args:
        projection: ``(n, width)`` to ``(n, dim)``, row by row.
        values: ``(num_items, width)``.
        rows: ``(batch,)`` int64 positions.
    """
    if len(values) <= sum(map(len, rows)):
        projected = projection(values)
        return [embedding(chosen, projected) for chosen in rows]
    return [projection(embedding(chosen, values)) for chosen in rows]


def projections(widths: Mapping[str, int], dim: int, bias: bool = False) -> nn.ModuleDict:
    """A linear map of each modality, by name, from its width to ``dim``."""
    return nn.ModuleDict({name: nn.Linear(width, dim, bias=bias) for name, width in widths.items()})


class ModalityAttention(nn.Module):
    """A softmax over modalities, row by row: ``a_m = softmax_m(q . tanh(W h_m + b))``; the weighted sum comes back.

    A modality whose row is zero says nothing and is left out; where all are, the result is zero.

    Args:
        dim: width of the rows.

    Shapes:
        ``(modalities, n, dim)`` to ``(n, dim)``.

    Source:
        Zhang et al. MICRO. IEEE TKDE 2022, eq. 11-12.
    """

    def __init__(self, dim: int):
        super().__init__()
        self.hidden = nn.Linear(dim, dim)
        self.query = nn.Linear(dim, 1, bias=False)

    def forward(self, stacked: Tensor) -> Tensor:
        """``stacked`` ``(modalities, n, dim)``."""
        logits = self.query(self.hidden(stacked).tanh())[..., 0]
        return attend(logits, stacked)


def attend(logits: Tensor, stacked: Tensor) -> Tensor:
    """Sum over candidates weighed by a softmax of ``logits`` over those whose row isn't zero; zero where all are.

    Args:
        logits: ``(candidates, n)``.
        stacked: ``(candidates, n, dim)``.

    Returns:
        ``(n, dim)``.
    """
    known = stacked.detach().any(2)
    return torch.einsum("mn,mnd->nd", known_softmax(logits, known, 0), stacked)


def known_softmax(logits: Tensor, known: Tensor, dim: int) -> Tensor:
    """Softmax over the entries that are known; the others are zero, and so are all where none is known.

    Args:
        logits: any shape.
        known: bool, broadcast to it.
        dim: the axis that sums to one.
    """
    exponents = torch.where(known, logits, -torch.inf)
    highest = exponents.detach().amax(dim, keepdim=True).clamp(min=torch.finfo(logits.dtype).min)
    share = (exponents - highest).exp()
    return share / share.sum(dim, keepdim=True).clamp(min=1e-12)


def products(user: Tensor, items: Tensor) -> Tensor:
    """``(batch, num_items)`` products of users ``(batch, dim)`` with items ``(num_items, dim)``, or with their own, ``(batch, num_items, dim)``."""
    return user @ items.T if items.ndim == 2 else torch.einsum("bd,bcd->bc", user, items)


def principal(features: Any, present: Any, dim: int) -> Tensor:
    """``(num_items, dim)``: leading principal components of all modalities side by side, each of unit variance; the same for the same features.

    Directions that the features don't have are zero, and so are items that have no modality.

    Args:
        features: ``(num_items, width)`` by modality.
        present: ``(num_items,)`` bool by modality.
        dim: components.
    """
    wide = torch.cat([unit_rows(x, present[name]) for name, x in features.items()], 1)
    wide = wide - wide.mean(0)
    _, directions = torch.linalg.eigh(wide.T.double() @ wide.double())
    found = (wide.double() @ directions.flip(1)[:, :dim]).float()
    spread = found.std(0, correction=0)
    scaled = torch.where(spread > 1e-6, found / spread.clamp(min=1e-6), 0.0)
    return nn.functional.pad(scaled, (0, dim - scaled.shape[1]))
