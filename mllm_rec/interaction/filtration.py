"""Leaving out what misleads: links that say little."""

from typing import Any

import torch
from torch import Tensor

from mllm_rec.interaction import fusion
from mllm_rec.interaction.clusters import centers


def prune_by_degree(edges: Tensor, shape: tuple[int, int], keep_share: float, generator: torch.Generator) -> Tensor:
    """A random part of the edges, drawn without replacement with chances proportional to ``1 / sqrt(d_u d_i)``.

    The chance of the first draw is that ratio; later draws follow from what is left, as in ``torch.multinomial``, which
    stops at 2^24 edges. Here the draw is a race: edge ``e`` finishes at an exponential time of rate ``p_e``, and the
    first to finish are kept.

    Args:
        edges: ``(2, n)`` int64 user and item positions.
        shape: ``(num_users, num_items)``.
        keep_share: share of the edges to keep, in [0, 1].
        generator: source of chance.

    Returns:
        ``(2, round(keep_share * n))``, in the order they came.

    Source:
        Zhou and Shen. FREEDOM. ACM MM 2023, sec. 3.2; Efraimidis and Spirakis. Weighted random sampling. 2006.
    """
    users, items = edges
    user_degree = torch.bincount(users, minlength=shape[0]).double()
    item_degree = torch.bincount(items, minlength=shape[1]).double()
    rate = (user_degree[users] * item_degree[items]).rsqrt()
    finish = torch.empty(edges.shape[1], dtype=torch.float64).exponential_(generator=generator) / rate
    kept = finish.topk(round(keep_share * edges.shape[1]), largest=False, sorted=False).indices
    return edges[:, kept.sort().values]


def drop_links(edges: Tensor, drop: float, generator: torch.Generator) -> Tensor:
    """``(2, round((1 - drop) n))`` of the ``(2, n)`` edges, each with the same chance, in the order they came."""
    kept = torch.randperm(edges.shape[1], generator=generator)[: round((1 - drop) * edges.shape[1])]
    return edges[:, kept.sort().values]


def entity_links(features: Any, present: Any, entities: int, links: int) -> tuple[Tensor, list[str]]:
    """Things that items have in common: the nearest of ``entities`` centers of each modality's features.

    Args:
        features: ``(num_items, width)`` by modality.
        present: ``(num_items,)`` bool by modality.
        entities: centers of each modality, at most.
        links: centers that an item has, at most.

    Returns:
        ``(2, n)`` int64 item and entity of each link, and the modality of each entity.
    """
    found = [torch.empty(2, 0, dtype=torch.int64)]
    owners: list[str] = []
    for name, values in features.items():
        items = present[name].nonzero().flatten()
        if not len(items):
            continue
        rows = fusion.unit_rows(values, present[name])[items]
        middle = centers(rows, entities)
        nearest = torch.cdist(rows, middle).topk(min(links, len(middle)), largest=False).indices
        found.append(torch.stack([items.repeat_interleave(nearest.shape[1]), nearest.flatten() + len(owners)]))
        owners += [name] * len(middle)
    return torch.cat(found, 1), owners
