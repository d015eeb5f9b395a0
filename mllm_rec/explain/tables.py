"""Tables that evidence is read from: which item has which attribute value, and how alike two pictures or texts are."""

from functools import cached_property

import numpy as np
import pandas as pd
from scipy import sparse

from mllm_rec.data.catalog import Catalog
from mllm_rec.data.features import Features
from mllm_rec.explain.templates import column_word

#: Pairs drawn to learn how alike two items usually are, and the share of them that counts as close.
PAIRS, CLOSE_SHARE = 4096, 0.005
#: Of a long set (a cast) the values listed first are those that people know it by; later ones count less and less.
PROMINENT = 5


def _told(column: str, values: list[str]) -> list[str]:
    """Values as written; a yes or no as what it says yes or no to: "waterproof", "no handle"."""
    if not values or not {value.casefold() for value in values} <= {"yes", "no"}:
        return values
    return [column_word(column) if value.casefold() == "yes" else f"no {column_word(column)}" for value in values]


class AttributeTable:
    """Inverted index of the category, ordinal and set columns.

    Attributes:
        matrix: ``(num_items, num_values)`` CSR of ones.
        prominence: the same entries, in (0, 1]: 1 for the first ``PROMINENT`` values of a set, then falling with the place.
        values: ``(num_values,)`` the values as written; a yes or no names its column.
        columns: names of the columns.
        owner: ``(num_values,)`` column of each value.
    """

    def __init__(self, catalog: Catalog):
        self.columns = [name for name, column in catalog.attributes.items() if column.kind in ("category", "ordinal", "set")]
        parts, values, owner = [], [], []
        for number, name in enumerate(self.columns):
            column = catalog.table[name].astype(object)
            if catalog.columns[name].kind == "set":
                column = column.explode()
            codes, found = pd.factorize(column)
            rows = column.index.to_numpy()
            place = np.arange(len(rows)) - np.searchsorted(rows, rows)
            kept = codes >= 0
            prominence = np.minimum(1, PROMINENT / (place[kept] + 1)).astype(np.float32)
            parts.append(sparse.csr_array((prominence, (rows[kept], codes[kept])), shape=(len(catalog), len(found))))
            values.append(np.asarray(_told(name, list(found)), dtype=object))
            owner.append(np.full(len(found), number))
        empty = sparse.csr_array((len(catalog), 0), dtype=np.float32)
        self.prominence = sparse.csr_array(sparse.hstack(parts, format="csr") if parts else empty)
        self.prominence.data = np.minimum(self.prominence.data, 1)  # a value listed twice was added up
        self.matrix = self.prominence.copy()
        self.matrix.data[:] = 1
        self.values = np.concatenate(values) if values else np.empty(0, dtype=object)
        self.owner = np.concatenate(owner) if owner else np.empty(0, dtype=np.int64)
        self.spread = np.bincount(self.owner, minlength=len(self.columns))

    def column(self, value: int) -> str:
        """Name of a value's column."""
        return self.columns[self.owner[value]]

    def counts(self, items: np.ndarray) -> np.ndarray:
        """``(num_values,)`` how many of the items have each value."""
        chosen = self.matrix[items]
        return np.bincount(chosen.indices, minlength=len(self.values)).astype(float)

    @cached_property
    def _frequency(self) -> np.ndarray:
        return np.bincount(self.matrix.indices, minlength=len(self.values)).astype(float)

    @cached_property
    def _known(self) -> sparse.csr_array:
        """``(num_items, num_columns)`` CSR: the item has a known value in the column."""
        to_column = sparse.csr_array(
            (np.ones(len(self.owner)), (np.arange(len(self.owner)), self.owner)), shape=(len(self.owner), len(self.columns))
        )
        known = sparse.csr_array(self.matrix @ to_column)
        known.data[:] = 1
        return known

    @cached_property
    def _known_items(self) -> np.ndarray:
        return np.asarray(self._known.sum(axis=0)).ravel()

    def surprise(self, liked: np.ndarray) -> np.ndarray:
        """``(num_values,)`` in [0, 1): how far liking goes together with each value.

        Deviance of a Poisson count from what the value's frequency among all items predicts, so that a rare value and
        one that many of the liked share both count; 0 where there is no more of it than chance predicts.
        """
        if not len(self.values):
            return np.zeros(0)
        seen = self.counts(liked)
        known = np.asarray(self._known[liked].sum(axis=0)).ravel()[self.owner]
        expected = known * self._frequency / np.maximum(self._known_items[self.owner], 1)
        with np.errstate(divide="ignore", invalid="ignore"):
            deviance = np.where(seen > expected, seen * np.log(seen / expected) - (seen - expected), 0.0)
        return deviance / (deviance + 3)


class Looks:
    """Cosine likeness of one modality's centered features, and from where on it is unusual."""

    def __init__(self, features: Features):
        self.features = features

    @cached_property
    def _center(self) -> np.ndarray:
        present = self.features.present
        return self.features.values[present].mean(axis=0) if present.any() else np.zeros(self.features.width, dtype=np.float32)

    @cached_property
    def close(self) -> float:
        """Likeness that one in two hundred pairs of items reaches; at least 0.5."""
        present = np.flatnonzero(self.features.present)
        if len(present) < 2:
            return 2.0
        generator = np.random.default_rng(0)
        first = generator.integers(len(present), size=PAIRS)
        second = (first + generator.integers(1, len(present), size=PAIRS)) % len(present)
        likeness = (self._unit(present[first]) * self._unit(present[second])).sum(axis=1)
        return max(0.5, float(np.quantile(likeness, 1 - CLOSE_SHARE)) - 1e-6)

    def _unit(self, items: np.ndarray) -> np.ndarray:
        vectors = self.features.values[items] - self._center
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)

    def alike(self, items: np.ndarray, others: np.ndarray) -> np.ndarray:
        """``(items, others)`` cosine likeness; -1 where one lacks the modality or both are the same item."""
        likeness = self._unit(items) @ self._unit(others).T
        present = self.features.present
        return np.where(present[items][:, None] & present[others][None, :] & (items[:, None] != others[None, :]), likeness, -1.0)
