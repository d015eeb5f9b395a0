"""Training triples: who chose what, and what not."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import embedding

from mllm_rec.errors import InputError


@dataclass(frozen=True)
class Batch:
    """Training triples: ``users`` chose ``positives`` and not ``negatives``, each ``(batch,)`` int64."""

    users: Tensor
    positives: Tensor
    negatives: Tensor

    def __len__(self) -> int:
        return len(self.users)

    def rows(self, users: Tensor, items: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Vectors of users, positives and negatives, each ``(batch, dim)``.

        By ``embedding`` rather than by index: its gradient is added up in a fixed order, so that runs repeat exactly.
        """
        positive, negative = embedding(torch.cat([self.positives, self.negatives]), items).chunk(2)  # one gradient of the table, not two
        return embedding(self.users, users), positive, negative

    def nodes(self, num_users: int) -> tuple[Tensor, "Batch"]:
        """The batch's nodes of the user-item graph, ascending and each once, and the triples by their places among them.

        What a system computes node by node after its last hop, it needs for these alone.

        Args:
            num_users: an item's node comes after all users'.
        """
        triples = torch.cat([self.users, self.positives + num_users, self.negatives + num_users])
        nodes, places = torch.unique(triples, return_inverse=True)
        return nodes, Batch(*places.chunk(3))

    def distinct(self) -> tuple[Tensor, Tensor]:
        """The users and the positives, ascending and each once."""
        return torch.unique(self.users), torch.unique(self.positives)

    def candidates(self, count: int) -> Tensor:
        """``(count, batch)`` items to choose the hardest negative from: each row's own, and those of the rows before it."""
        return torch.stack([self.negatives.roll(step) for step in range(count)])

    def to(self, device: torch.device) -> "Batch":
        """The same triples on a device."""
        return Batch(self.users.to(device), self.positives.to(device), self.negatives.to(device))

    def every(self, step: int, first: int) -> "Batch":
        """Every ``step``-th triple from ``first`` on; the whole batch where it has fewer than ``step``."""
        if len(self) < step:
            return self
        return Batch(self.users[first::step], self.positives[first::step], self.negatives[first::step])


def sample(rows: Tensor, count: int) -> Tensor:
    """``count`` of the rows, drawn at random; the rows themselves where there are no more."""
    return rows if len(rows) <= count else rows[torch.randperm(len(rows), device=rows.device)[:count]]


class Negatives:
    """Draws items that a user has not chosen, each with the same chance, without trial and error.

    The ``r``-th item missing from a sorted history ``h`` is ``r + j``, where ``j`` counts the entries with
    ``h_k - k <= r``; one binary search over all histories at once finds ``j``.

    Args:
        edges: ``(2, n)`` int64 training interactions.
        shape: ``(num_users, num_items)``.
    """

    def __init__(self, edges: Tensor, shape: tuple[int, int]):
        num_users, self.num_items = shape
        place = torch.unique(edges[0] * self.num_items + edges[1])
        users, items = place // max(1, self.num_items), place % max(1, self.num_items)
        length = torch.bincount(users, minlength=num_users)
        self.starts = length.cumsum(0) - length
        self.left = self.num_items - length
        rank = torch.arange(len(place)) - self.starts[users]
        # stride num_items + 1 keeps one user's keys from reaching the next user's
        self.keys = users * (self.num_items + 1) + items - rank

    def draw(self, users: Tensor, generator: torch.Generator) -> Tensor:
        """``(batch,)`` item positions outside each user's history; users must have one left (``self.left > 0``)."""
        chance = torch.rand(len(users), generator=generator, dtype=torch.float64)
        left = self.left[users]
        rank = torch.minimum((chance * left).long(), left - 1)
        found = torch.searchsorted(self.keys, users * (self.num_items + 1) + rank, right=True)
        return rank + found - self.starts[users]


class Triples:
    """The training interactions in batches, each with a negative drawn anew.

    Args:
        edges: ``(2, n)`` int64 training interactions; those of users who chose every item have no counterpart and are left out.
        shape: ``(num_users, num_items)``.
        batch_size: triples at a time.
        by_user: each user once an epoch, with one interaction of theirs, rather than each interaction.

    Raises:
        InputError: no interaction can be compared with anything.
    """

    def __init__(self, edges: Tensor, shape: tuple[int, int], batch_size: int, by_user: bool = False):
        self.by_user = by_user
        self.negatives = Negatives(edges, shape)
        self.edges = edges[:, self.negatives.left[edges[0]] > 0]
        self.batch_size = batch_size
        if self.edges.shape[1] == 0:
            raise InputError(
                f"nothing to train on: {edges.shape[1]} interactions of {shape[0]} users with {shape[1]} items, and no user has both "
                "an item chosen and one not chosen; bring a longer log, or use 'popularity', which needs no training"
            )

    def epoch(self, generator: torch.Generator) -> Iterator[Batch]:
        """Every interaction once (``by_user``: every user), in random order."""
        order = torch.randperm(self.edges.shape[1], generator=generator)
        for chosen in (self._first_of_each_user(order) if self.by_user else order).split(self.batch_size):
            users, positives = self.edges[:, chosen]
            yield Batch(users, positives, self.negatives.draw(users, generator))

    def _first_of_each_user(self, order: Tensor) -> Tensor:
        users = self.edges[0, order]
        first = torch.full((int(users.max()) + 1,), len(order)).scatter_reduce_(0, users, torch.arange(len(order)), "amin")
        return order[first[first < len(order)].sort().values]
