"""What is worth showing: the system's best, what is close in content, what the words, the picture and the wishes ask for.

Everything is scored exactly over the items that are allowed; filters have been applied before. A channel is one reason
to rank (taste, closeness to what was liked, words, ...). Each channel's best become candidates; over the candidates each
channel is standardized, weighted and added, so that a list's order can be told as a sum of parts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from mllm_rec.data.catalog import Catalog
from mllm_rec.data.dataset import Dataset
from mllm_rec.encoders import Encoder
from mllm_rec.recommender import Query, Recommender
from mllm_rec.retrieval.index import Index
from mllm_rec.retrieval.known import Known
from mllm_rec.retrieval.search import BEST, Search
from mllm_rec.retrieval.spaces import Space, word_share

if TYPE_CHECKING:
    from PIL import Image

#: Weight of a channel of standard deviation 1: what a person says now counts more than what is known of their taste.
WEIGHTS = {"taste": 1.0, "liked": 0.5, "words": 2.0, "like": 3.0, "picture": 3.0, "wishes": 2.0}
#: Warm neighbors that a cold item takes its score from, and items compared with each other at once.
NEIGHBORS, BLOCK = 10, 1024


@dataclass(frozen=True, eq=False)
class Request:
    """What a list is asked for with.

    Attributes:
        allowed: ``(num_items,)`` bool, the items that may be shown.
        user: position of a known user; None: a stranger.
        liked, disliked: item positions said in this conversation.
        words: wishes that no column knows.
        picture: what the list should look like.
        like: position of an item that the list should be close to.
        wishes: ``(num_items,)`` in [0, 1], the share of the wishes over columns that each item meets; None: no wish.
    """

    allowed: np.ndarray
    user: int | None = None
    liked: Sequence[int] | np.ndarray = ()
    disliked: Sequence[int] | np.ndarray = ()
    words: str = ""
    picture: "Image.Image | None" = None
    like: int | None = None
    wishes: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Ranked:
    """A list, best first: ``items`` ``(k,)`` positions, ``scores`` ``(k,)``, and what made them.

    ``parts[name]`` ``(k,)`` is each part's share of the score less its mean over the candidates; the parts sum to the
    score, and a part counts where it sets an item apart.
    """

    items: np.ndarray
    scores: np.ndarray
    parts: dict[str, np.ndarray] = field(default_factory=dict)

    def rows(self, rows: np.ndarray | slice) -> "Ranked":
        """Some of the list, in that order."""
        return Ranked(self.items[rows], self.scores[rows], {name: values[rows] for name, values in self.parts.items()})


class Candidates:
    """Ranks the items that are allowed.

    Args:
        catalog: the items.
        data: the whole log and the features, items in catalog order.
        system: the recommender that serves, trained on ``data`` or on its first users and items.
        encoders: by feature, those that understand queries.
        index: of the same features; None: what is near words or a picture is found by looking at every item.
    """

    def __init__(
        self,
        catalog: Catalog,
        data: Dataset,
        system: Recommender,
        encoders: Mapping[str, Encoder] | None = None,
        index: Index | None = None,
    ):
        self.catalog, self.data, self.system = catalog, data, system.eval()
        self.spaces = {name: Space(features, (encoders or {}).get(name)) for name, features in data.features.items()}
        self.known = Known(self.system, data)
        self.search = Search(catalog, self.spaces, index)

    def finds(self, words: str) -> bool:
        """Whether words tell any two items apart: a title or a text has one of them, or an encoder knows one."""
        return bool(words.strip()) and bool(np.ptp(self._words(words)) > 0)

    @property
    def sees_pictures(self) -> bool:
        """Whether a dropped picture can be compared with the items'."""
        return any(space.understands("picture") for space in self.spaces.values())

    def rank(self, request: Request, k: int) -> Ranked:
        """The best ``k`` of the allowed items, fewer where fewer are allowed; equal scores in catalog order."""
        channels = self._channels(request)
        scored = self._scored(request, channels, self._candidates(channels, request))
        return scored.rows(np.lexsort((scored.items, -np.round(scored.scores, 9)))[:k])

    def measure(self, request: Request, items: Sequence[int]) -> Ranked:
        """The given items in the given order, allowed or not, scored among the candidates of the request."""
        channels, asked = self._channels(request), np.asarray(items, dtype=np.int64)
        scored = self._scored(request, channels, np.union1d(self._candidates(channels, request), asked))
        return scored.rows(np.searchsorted(scored.items, asked))

    def _scored(self, request: Request, channels: Mapping[str, np.ndarray], chosen: np.ndarray) -> Ranked:
        """Every chosen item with its score and parts, in the order given."""
        parts: dict[str, np.ndarray] = {}
        for name, values in channels.items() if len(chosen) else ():
            scale = WEIGHTS[name] / max(float(values[chosen].std()), 1e-9) if np.ptp(values[chosen]) > 0 else 0.0
            for part, share in self._told(name, request, chosen, values[chosen]).items():
                parts[part] = parts.get(part, 0.0) + scale * (share - share.mean())
        return Ranked(chosen, sum(parts.values(), np.zeros(len(chosen))), parts)

    def taste(self, query: Query) -> Tensor:
        """The system's scores, ``(batch, num_items)``, with those of cold items taken from their neighbors in content."""
        scores = self.known.score(query)
        cold, neighbors, share = self._borrowed
        if len(cold):
            scores = scores.clone()
            for start in range(0, len(cold), BLOCK):
                rows = slice(start, start + BLOCK)
                scores[:, cold[rows]] = torch.einsum("bcn,cn->bc", scores[:, neighbors[rows]], share[rows])
        return scores

    # Channels: one number for every item, higher is better

    def _channels(self, request: Request) -> dict[str, np.ndarray]:
        """``(num_items,)`` by channel, for what the request says; those that tell no two items apart are left out."""
        found = {"taste": self.taste(_query(request))[0].cpu().numpy().astype(np.float64)}
        if len(request.liked) + len(request.disliked):
            found["liked"] = sum(self._liked(request).values(), np.zeros(len(self.catalog)))
        if request.words.strip():
            found["words"] = self._words(request.words)
        if request.like is not None:
            found["like"] = self._mean(
                [_standard(space.near_items([request.like])) for space in self.spaces.values() if space.present[request.like]]
            )
        if request.picture is not None:
            found["picture"] = self._mean(self._near("picture", request.picture))
        if request.wishes is not None:
            found["wishes"] = np.asarray(request.wishes, dtype=np.float64)
        return {name: values for name, values in found.items() if np.ptp(values) > 0}

    def _liked(self, request: Request) -> dict[str, np.ndarray]:
        """Closeness to what was liked less half the closeness to what was disliked, by feature."""
        return {
            name: (_standard(space.near_items(request.liked)) - 0.5 * _standard(space.near_items(request.disliked))) / len(self.spaces)
            for name, space in self.spaces.items()
        }

    def _words(self, words: str) -> np.ndarray:
        """Likeness in the spaces of words, and ``word_share``."""
        return self._mean(self._near("words", words)) + word_share(self.catalog, words)

    def _near(self, query: str, given: Any) -> list[np.ndarray]:
        """Likeness to words or a picture, in each space that understands them."""
        spaces = [space for space in self.spaces.values() if space.understands(query)]
        return [near for space in spaces if (near := space.near_query(given)) is not None]

    def _mean(self, channels: Sequence[np.ndarray]) -> np.ndarray:
        return np.stack(channels).astype(np.float64).mean(axis=0) if channels else np.zeros(len(self.catalog))

    def _candidates(self, channels: Mapping[str, np.ndarray], request: Request) -> np.ndarray:
        """Positions, ascending: every allowed item while there are few, else the best of each channel and what the search finds."""
        open_rows = np.flatnonzero(request.allowed)
        if len(open_rows) <= BEST or not channels:
            return open_rows
        best = [open_rows[np.argpartition(-values[open_rows], BEST - 1)[:BEST]] for values in channels.values()]
        if request.words.strip() or request.picture is not None:
            best.append(self.search.find(request.allowed, BEST, request.words, request.picture).items)
        return np.unique(np.concatenate(best))

    # Parts: what a channel is made of

    def _told(self, channel: str, request: Request, chosen: np.ndarray, values: np.ndarray) -> dict[str, np.ndarray]:
        """A channel's values at the chosen items as a sum of named parts."""
        if channel == "liked":
            return {name: near[chosen] for name, near in self._liked(request).items()}
        if channel != "taste":
            return {channel: values}
        query = _query(request)
        parts = self.known.contributions(Query(query.users, query.liked, query.disliked, torch.from_numpy(chosen)[None]))
        told = {name: part[0].cpu().numpy().astype(np.float64) for name, part in parts.items()}
        told.setdefault("log", np.zeros(len(chosen)))
        told["log"] = told["log"] + (values - sum(told.values(), np.zeros(len(chosen))))
        self._credit_content(told, chosen, values)
        if not self._personal(request):
            told["popularity"] = told.pop("log")
        return told

    def _credit_content(self, told: dict[str, np.ndarray], chosen: np.ndarray, values: np.ndarray) -> None:
        """A borrowed score is owed to the features that found its neighbors, not to a log that says nothing of the item."""
        borrowed = np.isin(chosen, self._borrowed[0].numpy())
        if borrowed.any():
            for name in told:
                told[name] = np.where(borrowed, 0.0, told[name])
            have = np.stack([space.present[chosen] for space in self.spaces.values()]).sum(axis=0)
            for name, space in self.spaces.items():
                owed = np.where(borrowed & space.present[chosen], values / np.maximum(have, 1), 0.0)
                told[name] = told.get(name, np.zeros(len(chosen))) + owed

    def _personal(self, request: Request) -> bool:
        known = request.user is not None and bool(self.data.user_counts[request.user] > 0)
        return self.system.personalized and (known or len(request.liked) + len(request.disliked) > 0)

    @cached_property
    def _borrowed(self) -> tuple[Tensor, Tensor, Tensor]:
        """Cold items ``(n,)`` with a feature, their nearest warm items ``(n, neighbors)``, and each one's share ``(n, neighbors)``."""
        warm = np.flatnonzero(self.known.warm)
        described = np.logical_or.reduce([np.zeros_like(self.known.warm), *(space.present for space in self.spaces.values())])
        cold = np.flatnonzero(~self.known.warm & described) if len(warm) else np.zeros(0, dtype=np.int64)
        most = min(NEIGHBORS, len(warm))
        neighbors, share = np.zeros((len(cold), most), dtype=np.int64), np.zeros((len(cold), most), dtype=np.float32)
        for start in range(0, len(cold), BLOCK):
            rows = cold[start : start + BLOCK]
            like = sum(
                (space.unit[rows] @ space.unit[warm].T for space in self.spaces.values()), np.zeros((len(rows), len(warm)), np.float32)
            )
            nearest = np.argpartition(-like, most - 1, axis=1)[:, :most]
            weight = np.maximum(np.take_along_axis(like, nearest, axis=1), 1e-6)
            neighbors[start : start + BLOCK], share[start : start + BLOCK] = warm[nearest], weight / weight.sum(axis=1, keepdims=True)
        return torch.from_numpy(cold), torch.from_numpy(neighbors), torch.from_numpy(share)


def _query(request: Request) -> Query:
    liked, disliked = (torch.as_tensor(np.asarray(rows, dtype=np.int64)) for rows in (request.liked, request.disliked))
    return Query(None if request.user is None else torch.tensor([request.user]), [liked], [disliked])


def _standard(values: np.ndarray) -> np.ndarray:
    """Mean 0 and standard deviation 1, so that no feature rules by its spread; zeros where all are the same."""
    return (values - values.mean()) / max(float(values.std()), 1e-9) if np.ptp(values) > 0 else np.zeros(len(values))
