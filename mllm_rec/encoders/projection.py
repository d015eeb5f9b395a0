"""Another encoder's features in fewer numbers: PCA, or whitening, whose numbers all vary alike.

Whitening as in Su et al. Whitening Sentence Representations for Better Semantics and Faster Retrieval. 2021 (eq. 5-7).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from mllm_rec.data.catalog import Catalog
from mllm_rec.data.features import Features
from mllm_rec.encoders import Encoder
from mllm_rec.encoders.store import Store
from mllm_rec.errors import InputError

KINDS = ("pca", "whiten")


class Projected(Encoder):
    """The directions in which an encoder's features differ most.

    Args:
        encoder: whose features are projected.
        kind: ``pca`` keeps lengths, ``whiten`` divides each direction by its deviation.
        width: directions at most; no more than the features' rank.

    Raises:
        InputError: no such kind, or a width below 1.
    """

    name = "projected"

    def __init__(self, encoder: Encoder, kind: str, width: int):
        super().__init__()
        if kind not in KINDS or width < 1:
            raise InputError(f"projection '{kind}' to {width} numbers can't be made; choose {' or '.join(KINDS)}, and a width from 1")
        self.encoder, self.kind, self.width = encoder, kind, width
        self._mean, self._directions = np.zeros(0, np.float32), np.zeros((0, 1), np.float32)

    @property
    def queries(self) -> tuple[str, ...]:  # type: ignore[override]
        """Those of the encoder."""
        return self.encoder.queries

    def spec(self) -> dict[str, Any]:
        """The encoder's spec, kind and width."""
        return {"encoder": self.name, "version": 1, "kind": self.kind, "width": self.width, "of": self.encoder.spec()}

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> "Projected":
        """The encoder a spec describes."""
        return cls(spec["of"], spec["kind"], spec["width"])

    def encode(self, catalog: Catalog, store: Store | None = None, progress: bool = False) -> Features:
        """Features of every item; the directions are those of the items that have the feature."""
        from threadpoolctl import threadpool_limits

        found = self.encoder.encode(catalog, store, progress)
        self.problems = self.encoder.problems
        with threadpool_limits(1):  # the order of sums, and so the last bits, would depend on the number of threads
            self._learn(found.values[found.present])
            return Features(self._placed(found.values) * found.present[:, None], found.present, self.spec())

    def encode_new(self, catalog: Catalog, store: Store | None = None, progress: bool = False) -> Features:
        """Features of items that came later, in the same directions."""
        found = self.encoder.encode_new(catalog, store, progress)
        self.problems = self.encoder.problems
        return Features(self._placed(found.values) * found.present[:, None], found.present, self.spec())

    def encode_query(self, query: Any) -> np.ndarray:
        """``(width,)`` float32 vector of a query; zero where the encoder knows nothing of it."""
        vector = self.encoder.encode_query(query)
        return self._placed(vector[None])[0] if vector.any() else np.zeros(self._directions.shape[1], np.float32)

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Mean and directions, and the encoder's own state."""
        arrays, values = self.encoder.state()
        own = {"mean": self._mean, "directions": self._directions}
        return {**own, **{f"of.{name}": array for name, array in arrays.items()}}, {"of": values}

    def restore(self, arrays: dict[str, np.ndarray], values: dict[str, Any]) -> None:
        """Take up what ``state`` gave."""
        self._mean, self._directions = arrays["mean"], arrays["directions"]
        own = {name.removeprefix("of."): array for name, array in arrays.items() if name.startswith("of.")}
        self.encoder.restore(own, values["of"])

    def _learn(self, rows: np.ndarray) -> None:
        """Mean and directions of ``(n, encoder's width)``."""
        width = rows.shape[1]
        self._mean = rows.mean(axis=0, dtype=np.float64).astype(np.float32) if len(rows) else np.zeros(width, np.float32)
        deviation, directions = principal(rows - self._mean)
        kept = np.flatnonzero(deviation > 1e-5 * max(deviation.max(initial=0), 1e-12))[: self.width]
        found = directions[kept].T / (deviation[kept] if self.kind == "whiten" else 1.0)
        self._directions = np.ascontiguousarray(found if len(kept) else np.zeros((width, 1)), dtype=np.float32)

    def _placed(self, rows: np.ndarray) -> np.ndarray:
        return (rows - self._mean) @ self._directions


def principal(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Deviation of centered rows along each of their principal directions, most first, and the directions ``(directions, columns)``."""
    triangle = np.linalg.qr(rows.astype(np.float64), mode="r")  # as wide as the rows, but not as many
    _, length, directions = np.linalg.svd(triangle, full_matrices=False)
    return length / np.sqrt(max(1, len(rows))), directions
