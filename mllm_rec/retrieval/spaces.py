"""Spaces of likeness: a feature as unit vectors around its mean, and the words that stand in an item's texts."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from mllm_rec.data.catalog import Catalog
from mllm_rec.data.features import Features
from mllm_rec.encoders import Encoder
from mllm_rec.retrieval.columns import column_index

#: Words of a query that are looked for one by one, the last said.
WORDS = 40


class Space:
    """One feature as unit vectors around their mean, so that a product is a likeness; a missing item is like nothing.

    Args:
        features: of every item.
        encoder: puts words or pictures among them; None: only items have a place.
    """

    def __init__(self, features: Features, encoder: Encoder | None = None):
        self.present, self.encoder = features.present, encoder
        self.center = np.asarray(features.center)
        self.unit = _unit(features.values - self.center) * features.present[:, None]

    def near_items(self, items: Sequence[int] | np.ndarray) -> np.ndarray:
        """``(num_items,)`` mean likeness to the items that have this feature; zeros where none has."""
        known = [int(item) for item in items if self.present[item]]
        return self.unit @ self.unit[known].mean(axis=0) if known else np.zeros(len(self.unit), np.float32)

    def near_query(self, query: Any) -> np.ndarray | None:
        """``(num_items,)`` likeness to words or a picture; None where the encoder knows nothing of it."""
        vector = self.place(query)
        return self.unit @ vector if vector is not None else None

    def place(self, query: Any) -> np.ndarray | None:
        """``(width,)`` unit vector of words or a picture among the items; None where the encoder knows nothing of it."""
        vector = self.encoder.encode_query(query) if self.encoder is not None else np.zeros(1)
        return _unit(vector - self.center) if vector.any() else None

    def understands(self, query: str) -> bool:
        """Whether "words" or a "picture" can be put among the items."""
        return self.encoder is not None and query in self.encoder.queries


def word_share(catalog: Catalog, words: str) -> np.ndarray:
    """``(num_items,)`` in [0, 1]: the share of the words, rare ones counting more, that stand in an item's title or texts."""
    columns = [column_index(catalog, name) for name, column in catalog.columns.items() if column.kind == "text"]
    said = [np.logical_or.reduce([column.contains((word,)) for column in columns]) for word in list(dict.fromkeys(words.split()))[-WORDS:]]
    if not said:
        return np.zeros(len(catalog))
    rarity = np.array([np.log((1 + len(catalog)) / (1 + found.sum())) if found.any() else 0.0 for found in said])
    return rarity @ np.stack(said) / max(rarity.sum(), 1e-9)


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-9)
