"""Search by words, a picture, a person's taste: each in the spaces that understand it, united by reciprocal rank."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from mllm_rec.data.catalog import Catalog
from mllm_rec.data.features import Features
from mllm_rec.errors import InputError
from mllm_rec.retrieval.index import Index
from mllm_rec.retrieval.spaces import Space, word_share

#: Spaces whose vectors are indexed.
INDEXED = ("text", "image", "taste")
#: Items that each space brings.
BEST = 200
#: Rank that counts half as much as the first. Cormack et al. Reciprocal Rank Fusion. SIGIR 2009.
HALF = 60
#: Share of the best match from which on an item's words count as a match.
MATCH = 0.5


@dataclass(frozen=True, eq=False)
class Found:
    """Items, best first: ``items`` ``(k,)`` positions, ``scores`` ``(k,)`` sums of reciprocal ranks, and by space the rank of each (0: not among its best)."""

    items: np.ndarray
    scores: np.ndarray
    ranks: dict[str, np.ndarray]


class Search:
    """Finds what is near.

    Args:
        catalog: the items.
        spaces: by feature.
        index: of the workspace's vectors; None, or where it fails: every item is looked at.
    """

    def __init__(self, catalog: Catalog, spaces: Mapping[str, Space], index: Index | None = None):
        self.catalog, self.spaces, self.index = catalog, spaces, index
        self._said: set[str] = set()

    def find(self, allowed: np.ndarray, k: int, words: str = "", picture: Any = None, taste: np.ndarray | None = None) -> Found:
        """The best ``k`` of the allowed items, fewer where fewer are near.

        Args:
            allowed: ``(num_items,)`` bool; what is not allowed is never found.
            k: how many.
            words: what is looked for.
            picture: what it should look like.
            taste: a user's vector in the space ``taste``, ``(dim,)``.
        """
        lists: dict[str, np.ndarray] = {}
        if words.strip():
            lists |= self.lists("words", words, allowed)
            if len(matched := self._matched(words, allowed)):
                lists["title and texts"] = matched
        for name, found in (self.lists("picture", picture, allowed) if picture is not None else {}).items():
            lists[f"{name} of the picture" if name in lists else name] = found
        if taste is not None:
            lists["taste"] = self._nearest("taste", taste, allowed)
        return united(lists, k)

    def lists(self, query: str, given: Any, allowed: np.ndarray) -> dict[str, np.ndarray]:
        """By space that understands "words" or a "picture", positions of its ``BEST`` allowed items, nearest first."""
        placed = {name: space.place(given) for name, space in self.spaces.items() if space.understands(query)}
        return {name: self._nearest(name, vector, allowed) for name, vector in placed.items() if vector is not None}

    def _nearest(self, name: str, vector: np.ndarray, allowed: np.ndarray) -> np.ndarray:
        """The index's best as far as they are allowed, if these are enough; else the best of a look at every allowed item."""
        few = min(BEST, int(allowed.sum()))
        if self.index is not None and name in INDEXED:
            try:
                ids, _ = self.index.nearest(name, vector, BEST)
            except InputError as error:
                self._tell(str(error))
            else:
                rows = np.array([row for one in ids if (row := self.catalog.positions.get(one)) is not None], dtype=np.int64)
                rows = rows[allowed[rows]]
                if len(rows) >= min(BEST // 2, few):
                    return rows
        space = self.spaces[name]
        rows = np.flatnonzero(allowed & space.present)
        near = space.unit[rows] @ vector
        return rows[np.argsort(-near, kind="stable")[:few]]

    def _matched(self, words: str, allowed: np.ndarray) -> np.ndarray:
        """Allowed items whose title or texts hold at least ``MATCH`` of what the best one holds of the words, best first."""
        share = word_share(self.catalog, words) * allowed
        rows = np.flatnonzero((share > 0) & (share >= MATCH * share.max()))
        return rows[np.argsort(-share[rows], kind="stable")[:BEST]]

    def _tell(self, fault: str) -> None:
        """Say once what the search goes on without."""
        if fault not in self._said:
            self._said.add(fault)
            print(f"  searching without the index: {fault}", file=sys.stderr)


def united(lists: Mapping[str, np.ndarray], k: int) -> Found:
    """One list from several, best ``k`` first, by the sum of ``1 / (HALF + rank)``; equal sums in catalog order."""
    items = np.unique(np.concatenate([np.zeros(0, np.int64), *lists.values()]))
    ranks = {name: np.zeros(len(items), dtype=np.int64) for name in lists}
    for name, found in lists.items():
        ranks[name][np.searchsorted(items, found)] = np.arange(1, len(found) + 1)
    scores = sum((np.where(rank > 0, 1 / (HALF + rank), 0.0) for rank in ranks.values()), np.zeros(len(items)))
    best = np.lexsort((items, -scores))[:k]
    return Found(items[best], scores[best], {name: rank[best] for name, rank in ranks.items()})


def taste_space(users: Tensor, items: Tensor, warm: np.ndarray) -> tuple[np.ndarray, Features]:
    """Users ``(num_users, dim + 1)`` and items ``(num_items, dim + 1)`` whose cosine orders the items as their product does.

    Args:
        users, items: of ``Recommender.vectors``.
        warm: ``(num_items,)`` bool; what nobody chose has no place.

    Source: Bachrach et al. Speeding Up the Xbox Recommender System Using a Euclidean Transformation for Inner-Product
    Spaces. RecSys 2014, the reduction to cosine.
    """
    values = items.cpu().numpy()
    length = np.linalg.norm(values, axis=1)
    rest = np.sqrt(np.maximum(length.max() ** 2 - length**2, 0))
    longer = np.concatenate([values, rest[:, None]], axis=1)
    asking = np.pad(users.cpu().numpy(), ((0, 0), (0, 1)))
    asking /= np.maximum(np.linalg.norm(asking, axis=1, keepdims=True), 1e-9)
    return asking, Features(longer, warm, {}, np.zeros(longer.shape[1]))
