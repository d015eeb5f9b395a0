"""What a trained system says of a catalog and a log that have grown since."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from mllm_rec.data.dataset import Dataset, gather_rows
from mllm_rec.data.sparse import row_starts
from mllm_rec.recommender import Query, Recommender


class Known:
    """A system's scores over all items; it was trained on the first users and items of ``data``, and on a part of its log.

    An item that it doesn't know scores 0: it is for content to say more. What the log shows since is folded in as if it
    were said in the conversation; a user that it doesn't know is nothing else.

    Args:
        system: as it was trained.
        data: all there is now.
    """

    def __init__(self, system: Recommender, data: Dataset):
        self.system, self.data = system, data
        self.num_users, self.num_items = system.data.shape
        self.warm = np.zeros(data.num_items, dtype=bool)
        self.warm[: self.num_items] = system.data.item_counts.cpu().numpy() > 0
        learned = system.data.edges[0] * data.num_items + system.data.edges[1]
        every = torch.unique(data.edges[0] * data.num_items + data.edges[1])
        since = every[~torch.isin(every, learned)]
        self._starts, self._since = row_starts(since // data.num_items, data.num_users), since % data.num_items
        self._grown = bool(len(since)) or system.data.shape != data.shape

    def score(self, query: Query) -> Tensor:
        """``(batch, candidates or num_items)`` float32."""
        return self._each(query, lambda asked: {"": self.system.score(asked)})[""].float()

    def contributions(self, query: Query) -> dict[str, Tensor]:
        """Parts of ``score``, by modality and log."""
        return self._each(query, self.system.contributions)

    def _each(self, query: Query, ask: Callable[[Query], dict[str, Tensor]]) -> dict[str, Tensor]:
        """What ``ask`` says of the users that are known and of the others, each in its rows."""
        if not self._grown:
            return ask(query)
        new = torch.zeros(len(query), dtype=torch.bool) if query.users is None else query.users >= self.num_users
        width = self.data.num_items if query.items is None else query.items.shape[1]
        whole: dict[str, Tensor] = {}
        for rows in (torch.nonzero(~new)[:, 0], torch.nonzero(new)[:, 0]):
            for name, part in ask(self._of(query, rows)).items() if len(rows) else ():
                whole.setdefault(name, torch.zeros(len(query), width))[rows, : part.shape[1]] = part.float().cpu()
        if query.items is not None:
            whole = {name: part.masked_fill(query.items >= self.num_items, 0.0) for name, part in whole.items()}
        return whole

    def _of(self, query: Query, rows: Tensor) -> Query:
        """Some rows of a query, all of known users or all of others, as far as the system knows the items they name."""
        users = None if query.users is None else query.users[rows]
        liked, disliked = (self._items(said, rows) for said in (query.liked, query.disliked))
        if users is not None:
            owner, places = gather_rows(self._starts, users)
            since = self._since[places].split(torch.bincount(owner, minlength=len(users)).tolist())
            liked = [torch.unique(torch.cat([mine, said])) for mine, said in zip(since, liked or since, strict=True)]
            liked = [said[said < self.num_items] for said in liked]
        items = None if query.items is None else query.items[rows].clamp(max=self.num_items - 1)
        return Query(users if users is None or users[0] < self.num_users else None, liked, disliked, items)

    def _items(self, said: Sequence[Tensor] | None, rows: Tensor) -> list[Tensor] | None:
        return None if said is None else [said[row][said[row] < self.num_items] for row in rows.tolist()]
