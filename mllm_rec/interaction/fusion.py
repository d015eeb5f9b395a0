"""Putting modalities of unlike scale on one footing."""

from collections.abc import Callable

import torch
from torch import Tensor
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
