"""Pulling together what belongs together and apart what does not."""

from collections.abc import Callable, Mapping
from itertools import combinations
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity, embedding, normalize


def info_nce(a: Tensor, b: Tensor, temperature: float, extra: Tensor | None = None) -> Tensor:
    """Mean of ``-ln e^{cos(a_r, b_r)/t} / sum_s e^{cos(a_r, b_s)/t}``: each row of ``a`` finds its own among the rows of ``b``; a scalar.

    Args:
        a, b: ``(n, dim)``, rows that belong together.
        temperature: t.
        extra: ``(n, k)`` further exponents of each row's denominator.

    Returns:
        Zero where there is no row.

    Source:
        van den Oord et al. Representation Learning with Contrastive Predictive Coding. 2018, eq. 4.
    """
    if not len(a):
        return a.new_zeros(())
    logits = normalize(a, dim=1) @ normalize(b, dim=1).T / temperature
    own = logits.diagonal()
    return (torch.logsumexp(logits if extra is None else torch.cat([logits, extra], 1), 1) - own).mean()


def symmetric(a: Tensor, b: Tensor, temperature: float) -> Tensor:
    """``info_nce`` both ways, halved."""
    return (info_nce(a, b, temperature) + info_nce(b, a, temperature)) / 2


def within(a: Tensor, temperature: float) -> Tensor:
    """``(n, n)`` exponents of each row's likeness to the others of its own view, -inf to itself; for ``info_nce(extra=...)``.

    Source:
        Zhu et al. Deep Graph Contrastive Representation Learning (GRACE). 2020, eq. 1.
    """
    unit = normalize(a, dim=1)
    return (unit @ unit.T / temperature).fill_diagonal_(-torch.inf)


def apart(a: Tensor, b: Tensor) -> Tensor:
    """``1 - cos`` of rows, ``(n,)``."""
    return 1 - cosine_similarity(a, b, dim=1)


def between_modalities(
    modal: Mapping[str, Tensor],
    present: Any,
    items: Tensor,
    temperature: float,
    contrast: Callable[[Tensor, Tensor, float], Tensor] = symmetric,
) -> Tensor:
    """Each pair of modalities of the same item drawn together, summed over pairs; a scalar.

    Args:
        modal: ``(num_items, dim)`` by modality.
        present: ``(num_items,)`` bool by modality; an item that lacks one of a pair is left out of it.
        items: ``(n,)`` int64, each once.
        temperature: of the contrast.
        contrast: of two views' rows, like ``symmetric`` or ``info_nce``.

    Source:
        Radford et al. CLIP. ICML 2021.
    """
    total = next(iter(modal.values())).new_zeros(())
    for one, other in combinations(modal, 2):
        known = items[present[one][items] & present[other][items]]
        total = total + contrast(embedding(known, modal[one]), embedding(known, modal[other]), temperature)
    return total


class _Reversed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: float) -> Tensor:
        ctx.scale = scale
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return -ctx.scale * gradients[0], None


def reversed_gradient(x: Tensor, scale: float) -> Tensor:
    """``x``; its gradient comes back times ``-scale``, so that it learns against what is minimized.

    Source:
        Ganin and Lempitsky. Unsupervised Domain Adaptation by Backpropagation. ICML 2015, sec. 3.
    """
    return _Reversed.apply(x, scale)
