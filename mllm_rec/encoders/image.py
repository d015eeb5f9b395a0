"""Pictures as a vector: statistics of color, texture and shape."""

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
import PIL.Image

from mllm_rec.data.catalog import Catalog
from mllm_rec.encoders.content import ContentEncoder, Source, fault, files, in_threads, tried
from mllm_rec.encoders.projection import principal
from mllm_rec.encoders.statistics import BLOCKS, describe
from mllm_rec.errors import InputError

#: How much each block counts in a likeness, as a length: layout is mostly the background's.
_WEIGHTS = {"color": 1.2, "layout": 0.5, "pattern": 1.0, "texture": 1.0, "shape": 1.0, "outline": 1.0}


class Image(ContentEncoder):
    """Color, layout, pattern, texture, shape and outline of an item's picture.

    Each block of statistics is turned to the axes along which the catalog's pictures differ most, each divided by the
    square root of its deviation so that no axis rules, and scaled to its weight's length. Rows have length 1. They are
    the same whatever files are called and in whatever order they come. An item without a picture is missing, and so is
    one whose picture can't be read, which ``problems`` names; where all pictures are the same, rows are 0.

    Args:
        axes: dimensions of a block at most.
        batch_size: pictures that are kept together; what is lost at most when the work is killed.
    """

    name = "image"
    queries = ("picture",)
    unit = "picture"

    def __init__(self, axes: int = 32, batch_size: int = 64):
        super().__init__(batch_size)
        self.axes = axes
        self._mean: np.ndarray | None = None
        self._axes: dict[str, np.ndarray] = {}

    def spec(self) -> dict[str, Any]:
        """Settings, version, and the libraries that decode and measure."""
        return {"encoder": self.name, "version": 1, "axes": self.axes, "scikit-image": version("scikit-image"), "pillow": PIL.__version__}

    @classmethod
    def from_spec(cls, spec: dict[str, Any]) -> "Image":
        """The encoder a spec describes."""
        return cls(spec["axes"])

    @property
    def embedded_width(self) -> int:
        """Statistics of a picture."""
        return sum(BLOCKS.values())

    def sources(self, catalog: Catalog) -> list[Source | None]:
        """The pictures."""
        return files(catalog, "image")

    def embed(self, contents: Sequence[bytes]) -> list[np.ndarray | Exception]:
        """The statistics of each picture."""
        return in_threads(describe, contents)

    def encode_query(self, query: "PIL.Image.Image | bytes") -> np.ndarray:
        """``(width,)`` float32 vector of a picture, open or as the bytes of its file.

        Raises:
            InputError: the picture can't be read, or nothing was encoded or loaded before.
        """
        if self._mean is None:
            raise InputError("the image encoder has seen no pictures yet; encode a catalog or load its state first")
        measured = tried(describe, query)
        if isinstance(measured, Exception):
            raise InputError(f"the picture {fault(measured)}") from measured
        return self.place(measured[None])[0]

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Mean of the statistics, and the axes of each block."""
        return ({} if self._mean is None else {"mean": self._mean, **self._axes}), {}

    def restore(self, arrays: dict[str, np.ndarray], values: dict[str, Any]) -> None:
        """Take up what ``state`` gave."""
        self._mean, self._axes = arrays.get("mean"), {name: arrays[name] for name in BLOCKS if name in arrays}

    def learn(self, embedded: np.ndarray) -> None:
        """Mean and axes of each block."""
        self._mean = (
            embedded.mean(axis=0, dtype=np.float64).astype(np.float32) if len(embedded) else np.zeros(embedded.shape[1], np.float32)
        )
        self._axes = {name: _principal(block, self.axes) for name, block in _blocks(embedded - self._mean)}

    def place(self, embedded: np.ndarray) -> np.ndarray:
        """Rows of length 1, or 0."""
        assert self._mean is not None
        blocks = [_WEIGHTS[name] * _unit(block @ self._axes[name]) for name, block in _blocks(embedded - self._mean)]
        return _unit(np.concatenate(blocks, axis=1))


def _blocks(rows: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """Name and columns of each block."""
    return list(zip(BLOCKS, np.split(rows, np.cumsum(list(BLOCKS.values()))[:-1], axis=1), strict=True))


def _principal(rows: np.ndarray, most: int) -> np.ndarray:
    """``(columns, axes)`` float32: the directions in which centered rows differ most, divided by the square root of their deviation."""
    deviation, directions = principal(rows)
    kept = np.flatnonzero(deviation > 3e-4 * max(deviation.max(initial=0), 3e-4))[:most]
    axes = directions[kept].T / np.sqrt(deviation[kept]) if len(kept) else np.zeros((rows.shape[1], 1))
    return np.ascontiguousarray(axes, dtype=np.float32)


def _unit(rows: np.ndarray) -> np.ndarray:
    """Rows scaled to length 1; a row that is nothing but rounding is 0."""
    length = np.sqrt((rows.astype(np.float64) ** 2).sum(axis=1, keepdims=True))
    return np.where(length > 1e-6, rows / np.maximum(length, 1e-6), 0).astype(np.float32)
