"""Leaving out what misleads: links that say little."""

import torch
from torch import Tensor


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
