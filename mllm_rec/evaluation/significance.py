"""How sure a mean over users is, and whether two systems differ: the bootstrap, and Holm's correction."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mllm_rec.errors import InputError

if TYPE_CHECKING:
    from mllm_rec.evaluation.table import Table

#: Random numbers drawn at a time: bounds the memory of a bootstrap.
BLOCK = 2**20


@dataclass(frozen=True)
class Difference:
    """``mean`` of a metric's difference over users, its 95 % interval from ``low`` to ``high``, two-sided ``p``."""

    name: str
    mean: float
    low: float
    high: float
    p: float


def resampled_means(values: np.ndarray, samples: int, seed: int) -> np.ndarray:
    """Means over users drawn with replacement, ``(samples, width)``; the same draws for every column.

    Args:
        values: ``(num_users, width)`` float64.
        samples: resamplings.
        seed: same seed, same draws.
    """
    num_users = len(values)
    random = np.random.default_rng(seed)
    rows = max(1, BLOCK // num_users)
    means = np.empty((samples, values.shape[1]))
    for start in range(0, samples, rows):
        size = min(rows, samples - start)
        drawn = random.integers(num_users, size=(size, num_users)) + np.arange(size)[:, None] * num_users
        counts = np.bincount(drawn.ravel(), minlength=size * num_users).reshape(size, num_users)
        means[start : start + size] = counts.astype(np.float64) @ values / num_users
    return means


def bootstrap(values: np.ndarray, samples: int = 1000, seed: int = 0) -> np.ndarray:
    """95 % percentile bootstrap over users of each column's mean, ``(2, width)``: low, high.

    Efron and Tibshirani. An Introduction to the Bootstrap. 1993, chapter 13.
    """
    return np.percentile(resampled_means(values, samples, seed), [2.5, 97.5], axis=0)


def paired_bootstrap(a: "Table", b: "Table", name: str, samples: int = 4000, seed: int = 0) -> Difference:
    """How much better ``a`` is than ``b`` in a metric, over the same users.

    ``p`` is twice the share of resamplings on the far side of zero (one is added to both counts, so it is never 0).

    Raises:
        InputError: the tables are not over the same users, or the metric is no mean over users.
    """
    if not np.array_equal(a.users, b.users):
        raise InputError(
            f"tables over {len(a.users)} and {len(b.users)} users cannot be paired; evaluate both systems on the same held-out part"
        )
    difference = a.per_user(name) - b.per_user(name)
    means = resampled_means(difference[:, None], samples, seed)[:, 0]
    low, high = np.percentile(means, [2.5, 97.5])
    against = 1 + min((means <= 0).sum(), (means >= 0).sum())
    return Difference(name, float(difference.mean()), float(low), float(high), min(1.0, 2 * float(against) / (samples + 1)))


def holm(p: Iterable[float]) -> np.ndarray:
    """p values corrected for how many there are, ``(comparisons,)``, in the given order.

    Holm. A simple sequentially rejective multiple test procedure. Scandinavian Journal of Statistics 1979.
    """
    given = np.asarray(list(p), dtype=np.float64)
    order = np.argsort(given, kind="stable")
    stepped = np.maximum.accumulate(given[order] * np.arange(len(given), 0, -1))
    corrected = np.empty_like(given)
    corrected[order] = np.minimum(stepped, 1.0)
    return corrected
