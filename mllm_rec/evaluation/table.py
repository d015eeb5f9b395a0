"""The answer of an evaluation: every metric of every user, and the lists it was measured on."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from mllm_rec.errors import InputError
from mllm_rec.evaluation.significance import bootstrap


@dataclass(frozen=True, eq=False)
class Table:
    """Metrics of one system, named like "recall@20".

    Attributes:
        users: ``(num_users,)`` int64 positions of the users that count, ascending.
        values: by metric, ``(num_users,)`` float64; averaged over seeds where there were several.
        lists: ``(seeds, num_users, length)`` int32 positions of the recommended items, best first; -1: none.
        num_items: items that could be recommended.
        ks: list lengths.
        left_out: users of the data set who have nothing to be found.
    """

    users: np.ndarray
    values: dict[str, np.ndarray]
    lists: np.ndarray
    num_items: int
    ks: tuple[int, ...]
    left_out: int = 0

    def __len__(self) -> int:
        return len(self.users)

    @property
    def names(self) -> tuple[str, ...]:
        """Every metric that can be asked for."""
        return (*self.values, *(f"coverage@{k}" for k in self.ks))

    def per_user(self, name: str) -> np.ndarray:
        """``(num_users,)`` values of a metric.

        Raises:
            InputError: no such metric, or coverage, which belongs to no single user.
        """
        if name in self.values:
            return self.values[name]
        if name in self.names:
            raise InputError(f"'{name}' is one number for all users; it has no value per user")
        near = difflib.get_close_matches(name, self.names, n=1)
        raise InputError(f"the table has no '{name}'; " + (f"did you mean '{near[0]}'?" if near else f"it has {', '.join(self.names)}"))

    def mean(self, name: str) -> float:
        """Mean over users and seeds; for "coverage@K" the share of the catalog that is in any list, mean over seeds."""
        if name in self.names and name not in self.values:
            return self._coverage(int(name.partition("@")[2]))
        return float(self.per_user(name).mean())

    def interval(self, name: str) -> tuple[float, float]:
        """95 % bootstrap over users (1,000 resamplings, seed 0) of the mean: low, high."""
        low, high = self._intervals[:, list(self.values).index(name)] if name in self.values else self.per_user(name)
        return float(low), float(high)

    def only(self, mask: np.ndarray) -> "Table":
        """The users that a ``(num_users,)`` boolean mask chooses.

        Raises:
            InputError: it chooses nobody.
        """
        if not mask.any():
            raise InputError(f"none of the table's {len(self)} users is left")
        return replace(
            self, users=self.users[mask], values={name: value[mask] for name, value in self.values.items()}, lists=self.lists[:, mask]
        )

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """``{"recall@20": {"mean": .., "low": .., "high": ..}}``; coverage has no interval over users: None."""
        said: dict[str, dict[str, Any]] = {}
        for name in self.names:
            low, high = self.interval(name) if name in self.values else (None, None)
            said[name] = {"mean": self.mean(name), "low": low, "high": high}
        return said

    @cached_property
    def _intervals(self) -> np.ndarray:
        return bootstrap(np.stack(list(self.values.values()), axis=1))

    def _coverage(self, k: int) -> float:
        shown = [np.unique(lists[:, :k]) for lists in self.lists]
        return float(np.mean([(items >= 0).sum() / self.num_items for items in shown]))


def over_seeds(tables: Sequence[Table]) -> Table:
    """One table of several runs of a system: each user's mean over the seeds, so an interval is one over users.

    Raises:
        InputError: no table, or tables over different users or metrics.
    """
    if not tables:
        raise InputError("there are no tables to average; give one per seed")
    first = tables[0]
    for table in tables[1:]:
        if not np.array_equal(table.users, first.users) or table.names != first.names or table.num_items != first.num_items:
            raise InputError("tables of several seeds must be over the same users, items and metrics; evaluate each on the same parts")
    values = {name: np.mean([table.values[name] for table in tables], axis=0) for name in first.values}
    return replace(first, values=values, lists=np.concatenate([table.lists for table in tables]))
