"""Ranking metrics at K, each from the hits of ranked lists: one row per user, float64.

``hits``: ``(batch, length)`` bool, whether the item at each rank is relevant, best first. ``relevant``: ``(batch,)``
int64, how many items are, at least 1. ``k``: list length that counts; shorter lists end early.
"""

import difflib
from collections.abc import Callable

import torch
from torch import Tensor

from mllm_rec.errors import InputError


def recall(hits: Tensor, relevant: Tensor, k: int) -> Tensor:
    """Share of the relevant items that are in the first ``k``, ``(batch,)`` in [0, 1]."""
    return hits[:, :k].sum(1).double() / relevant


def precision(hits: Tensor, relevant: Tensor, k: int) -> Tensor:
    """Share of ``k`` places that hold a relevant item, ``(batch,)`` in [0, 1]."""
    return hits[:, :k].sum(1).double() / k


def hit_rate(hits: Tensor, relevant: Tensor, k: int) -> Tensor:
    """1 where any of the first ``k`` is relevant, ``(batch,)``."""
    return hits[:, :k].any(1).double()


def reciprocal_rank(hits: Tensor, relevant: Tensor, k: int) -> Tensor:
    """1 / rank of the first relevant item, 0 where it is not among the first ``k``, ``(batch,)``."""
    return (hits[:, :k] / _ranks(hits, k)).amax(1)


def average_precision(hits: Tensor, relevant: Tensor, k: int) -> Tensor:
    """Sum of the precision at each hit over the most hits there could be, min(relevant, k); ``(batch,)`` in [0, 1]."""
    found = hits[:, :k].double()
    return (found * found.cumsum(1) / _ranks(hits, k)).sum(1) / relevant.clamp(max=k)


def ndcg(hits: Tensor, relevant: Tensor, k: int) -> Tensor:
    """Discounted gain over that of the best possible list, ``(batch,)`` in [0, 1].

    Binary gain, discount 1 / log2(rank + 1); the best list has min(relevant, k) hits in front. Järvelin and Kekäläinen.
    Cumulated gain-based evaluation of IR techniques. TOIS 2002.
    """
    discount = 1 / torch.log2(_ranks(hits, k) + 1)
    return (hits[:, :k] * discount).sum(1) / discount.cumsum(0)[relevant.clamp(max=len(discount)) - 1]


#: What is averaged over users; names as in "recall@20".
ACCURACY: dict[str, Callable[[Tensor, Tensor, int], Tensor]] = {
    "recall": recall,
    "ndcg": ndcg,
    "precision": precision,
    "map": average_precision,
    "mrr": reciprocal_rank,
    "hr": hit_rate,
}
#: Every metric: accuracy, then what the lists are made of.
NAMES = (*ACCURACY, "novelty", "popularity-bias", "coverage")


def self_information(counts: Tensor, num_users: int) -> Tensor:
    """Bits of surprise in meeting each item, ``(num_items,)``: -log2 of the share of users who know it.

    Both numbers are one higher than counted, so that an item nobody knows has a finite value. Averaged over a list it is
    the novelty of Zhou et al. Solving the apparent diversity-accuracy dilemma of recommender systems. PNAS 2010.
    """
    return torch.log2((num_users + 1) / (counts.double() + 1))


def list_mean(values: Tensor, lists: Tensor) -> Tensor:
    """Mean of ``values[item]`` over each list, ``(batch,)``; 0 for a list without items.

    Args:
        values: ``(num_items,)``.
        lists: ``(batch, length)`` int64 positions, -1 where there is no item.
    """
    there = lists >= 0
    return (values[lists.clamp(min=0)] * there).sum(1) / there.sum(1).clamp(min=1)


def top_items(scores: Tensor, k: int) -> Tensor:
    """Positions of the ``k`` highest scores of each row, ``(batch, min(k, num_items))`` int64, best first.

    Equal scores rank by position, lower first, whatever the batch. An item at -inf is not listed: -1 stands there.

    Raises:
        InputError: a score is NaN.
    """
    num_items = scores.shape[1]
    k = min(k, num_items)
    values, items = scores.topk(min(k + 1, num_items))
    if values[:, 0].isnan().any():
        raise InputError("a score is NaN; a system must give every item a number (-inf: never show it)")
    if num_items > k:
        # topk takes any of the items that are level at the last place: choose again where that matters.
        tied = ((values[:, k - 1] == values[:, k]) & (values[:, k] > -torch.inf)).nonzero()[:, 0]
        items = items[:, :k].contiguous()
        if len(tied):
            items[tied] = _first_at_level(scores[tied], values[tied, k - 1 : k], k)
    items = items.sort(dim=1).values
    values, order = scores.gather(1, items).sort(dim=1, descending=True, stable=True)
    return items.gather(1, order).masked_fill_(values == -torch.inf, -1)


def parse(name: str) -> tuple[str, int]:
    """``("ndcg", 20)`` from ``"ndcg@20"``.

    Raises:
        InputError: no such metric, or no K.
    """
    metric, _, k = name.partition("@")
    if metric not in NAMES:
        near = difflib.get_close_matches(metric, NAMES, n=1)
        raise InputError(
            f"'{name}' is not a metric; " + (f"did you mean '{near[0]}@20'?" if near else f"there are {', '.join(NAMES)}, each with @K")
        )
    if not k.isdecimal() or int(k) < 1:
        raise InputError(f"metric '{name}' lacks a list length of at least 1; write for example '{metric}@20'")
    return metric, int(k)


def _ranks(hits: Tensor, k: int) -> Tensor:
    return torch.arange(1, min(k, hits.shape[1]) + 1, dtype=torch.float64, device=hits.device)


def _first_at_level(scores: Tensor, level: Tensor, k: int) -> Tensor:
    above, at = scores > level, scores == level
    room = k - above.sum(1, keepdim=True)
    chosen = above | (at & (at.cumsum(1, dtype=torch.int32) <= room))
    return chosen.nonzero()[:, 1].view(-1, k)
