"""Typed columns as a vector: multi-hot words, standardized numbers."""

from collections import Counter
from typing import Any

import numpy as np

from mllm_rec.data.catalog import Catalog, Column
from mllm_rec.data.features import Features
from mllm_rec.encoders import Encoder
from mllm_rec.encoders.store import Store

#: Standardized numbers are cut here, in standard deviations, so that one odd price is not all that counts.
_FURTHEST = 4.0
#: Kinds that are encoded as words, and as numbers.
WORDS, NUMBERS = ("category", "set"), ("number", "date", "ordinal")


class Attributes(Encoder):
    """Attributes of a catalog; ``available`` is none, it says nothing of what an item is.

    A category is one-hot and a set multi-hot, each item's values of one column together of length 1, so that a cast of
    fifty weighs as much as one genre. Numbers (price as its logarithm), dates and ordinals (as their rank) are
    standardized; a missing one is 0, and a column of its own says so. Rows have length 1. An item without any known
    attribute is missing.

    Args:
        min_count: values that fewer items have are left out.
        most_values: only the most frequent values are kept, over all columns together.
    """

    name = "attributes"

    def __init__(self, min_count: int = 2, most_values: int = 512):
        super().__init__()
        self.min_count, self.most_values = min_count, most_values
        #: Of each column that is encoded its values (words), or its mean, deviation and whether a gap is told apart (numbers).
        self._learned: dict[str, Any] = {}

    @property
    def names(self) -> list[str]:
        """What each column of the features says, such as ``genres=Comedy``, ``price`` or ``price unknown``."""
        said: list[str] = []
        for name, learned in self._learned.items():
            if isinstance(learned, list):
                said += [f"{name}={value}" for value in learned]
            else:
                said += [name, f"{name} unknown"] if learned["gaps"] else [name]
        return said

    def spec(self) -> dict[str, Any]:
        """Settings and version."""
        return {"encoder": self.name, "version": 2, "min_count": self.min_count, "most_values": self.most_values}

    @classmethod
    def from_spec(cls, spec: dict[str, Any]) -> "Attributes":
        """The encoder a spec describes."""
        return cls(spec["min_count"], spec["most_values"])

    def encode(self, catalog: Catalog, store: Store | None = None, progress: bool = False) -> Features:
        """Features of every item; nothing is stored, it takes moments."""
        kept = self._kept(catalog)
        self._learned = {}
        for column in catalog.attributes.values():
            if column.kind in WORDS and column.name in kept:
                self._learned[column.name] = kept[column.name]
            elif column.kind in NUMBERS:
                self._learned[column.name] = _scale(_numbers(catalog, column))
        return self.encode_new(catalog)

    def encode_new(self, catalog: Catalog, store: Store | None = None, progress: bool = False) -> Features:
        """Features of items that came later: values that were unknown then have no place."""
        present = np.zeros(len(catalog), dtype=bool)
        blocks: list[np.ndarray] = []
        for column in catalog.attributes.values():
            learned = self._learned.get(column.name)
            if column.kind in WORDS:
                rows = _value_lists(catalog, column)
                present |= np.fromiter(map(bool, rows), dtype=bool, count=len(rows))
                if learned:
                    blocks.append(_multi_hot(rows, learned))
            elif column.kind in NUMBERS and learned:
                numbers = _numbers(catalog, column)
                known = np.isfinite(numbers)
                present |= known
                blocks.append(_standardized(numbers, known, learned)[:, None])
                if learned["gaps"]:
                    blocks.append((~known).astype(np.float32)[:, None])
        if not blocks:
            return Features(np.zeros((len(catalog), 1), np.float32), np.zeros(len(catalog), bool), self.spec())
        values = np.concatenate(blocks, axis=1)
        length = np.sqrt((values.astype(np.float64) ** 2).sum(axis=1, keepdims=True))
        return Features(values / np.where(length > 0, length, 1), present, self.spec())

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """What was learned of each column."""
        return {}, {"learned": list(self._learned.items())}

    def restore(self, arrays: dict[str, np.ndarray], values: dict[str, Any]) -> None:
        """Take up what ``state`` gave."""
        self._learned = dict(values["learned"])

    def _kept(self, catalog: Catalog) -> dict[str, list[str]]:
        """Values of each column that get a place of their own."""
        counts = {
            (column.name, value): count
            for column in catalog.attributes.values()
            if column.kind in WORDS
            for value, count in Counter(value for row in _value_lists(catalog, column) for value in row).items()
            if count >= min(self.min_count, len(catalog))
        }
        kept: dict[str, list[str]] = {}
        for name, value in sorted(counts, key=lambda key: (-counts[key], key))[: self.most_values]:
            kept.setdefault(name, []).append(value)
        return {name: sorted(values) for name, values in kept.items()}


def _value_lists(catalog: Catalog, column: Column) -> list[tuple[str, ...]]:
    values = catalog.table[column.name].tolist()
    if column.kind == "set":
        return [tuple(sorted(set(value))) if value is not None else () for value in values]
    return [(value,) if isinstance(value, str) else () for value in values]


def _multi_hot(rows: list[tuple[str, ...]], values: list[str]) -> np.ndarray:
    """``(num_items, len(values))`` float32, rows of length 1 or 0."""
    places = {value: place for place, value in enumerate(values)}
    pairs = np.array([(row, places[value]) for row, said in enumerate(rows) for value in said if value in places], dtype=np.int64).reshape(
        -1, 2
    )
    block = np.zeros((len(rows), len(values)), dtype=np.float32)
    block[pairs[:, 0], pairs[:, 1]] = 1.0
    count = block.sum(axis=1, keepdims=True)
    return block / np.sqrt(np.maximum(count, 1))


def _numbers(catalog: Catalog, column: Column) -> np.ndarray:
    """``(num_items,)`` float64, NaN where unknown."""
    values = catalog.table[column.name]
    if column.kind == "ordinal":
        ranks = {value: float(rank) for rank, value in enumerate(column.order)}
        return np.array([ranks.get(value, np.nan) for value in values.tolist()], dtype=np.float64)
    if column.kind == "date":
        days = values.to_numpy(dtype="datetime64[s]")
        return np.where(np.isnat(days), np.nan, days.astype(np.int64) / 86_400)
    numbers = values.to_numpy(dtype=np.float64)
    return np.log1p(np.maximum(numbers, 0)) if column.name == "price" else numbers


def _scale(numbers: np.ndarray) -> dict[str, Any]:
    """Mean and deviation of what is known, and whether some are known and others not."""
    known = np.isfinite(numbers)
    mean, deviation = (float(numbers[known].mean()), float(numbers[known].std())) if known.any() else (0.0, 0.0)
    return {"mean": mean, "deviation": deviation, "gaps": bool(0 < known.sum() < len(known))}


def _standardized(numbers: np.ndarray, known: np.ndarray, scale: dict[str, Any]) -> np.ndarray:
    """Mean 0 and deviation 1 over what was known, cut at the furthest; 0 where unknown or all were alike."""
    mean, deviation = scale["mean"], scale["deviation"]
    scaled = (np.where(known, numbers, mean) - mean) / (deviation if deviation > 1e-9 * max(1.0, abs(mean)) else np.inf)
    return np.clip(scaled, -_FURTHEST, _FURTHEST).astype(np.float32)
