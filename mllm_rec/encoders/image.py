"""Pictures as a vector: statistics of color, texture and shape."""

import hashlib
import json
import os
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
from tqdm import tqdm

from mllm_rec.data.catalog import Catalog
from mllm_rec.data.features import Features
from mllm_rec.encoders import Encoder
from mllm_rec.encoders.statistics import BLOCKS, describe
from mllm_rec.encoders.store import Store
from mllm_rec.errors import InputError

#: How much each block counts in a likeness, as a length: layout is mostly the background's.
_WEIGHTS = {"color": 1.2, "layout": 0.5, "pattern": 1.0, "texture": 1.0, "shape": 1.0, "outline": 1.0}


class Image(Encoder):
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
    queries = "picture"

    def __init__(self, axes: int = 32, batch_size: int = 64):
        super().__init__()
        self.axes, self.batch_size = axes, batch_size
        self._mean: np.ndarray | None = None
        self._axes: dict[str, np.ndarray] = {}

    def spec(self) -> dict[str, Any]:
        """Settings, version, and the libraries that decode and measure."""
        return {"encoder": self.name, "version": 1, "axes": self.axes, "scikit-image": version("scikit-image"), "pillow": PIL.__version__}

    @classmethod
    def from_spec(cls, spec: dict[str, Any]) -> "Image":
        """The encoder a spec describes."""
        return cls(spec["axes"])

    def encode(self, catalog: Catalog, store: Store | None = None, progress: bool = False) -> Features:
        """Features of every item; each distinct content is measured once, and never again where a store keeps it."""
        from threadpoolctl import threadpool_limits

        paths = [catalog.picture(row) for row in range(len(catalog))]
        keys, found = self._measured(list(dict.fromkeys(path for path in paths if path)), store, progress)
        faults = {key: _fault(result) for key, result in found.items() if isinstance(result, Exception)}
        self.problems = [(row, faults[keys[path]]) for row, path in enumerate(paths) if path and keys[path] in faults]
        contents = sorted(found.keys() - faults.keys())  # learned in this order, whatever the catalog's
        measured = np.stack([found[key] for key in contents]) if contents else np.zeros((0, sum(BLOCKS.values())), np.float32)
        with threadpool_limits(1):  # the order of sums, and so the last bits, would depend on the number of threads
            self._learn(measured)
            vectors = self._placed(measured)
        places = {key: place for place, key in enumerate(contents)}
        place = np.array([places.get(keys[path], -1) if path else -1 for path in paths])
        values = np.zeros((len(catalog), vectors.shape[1]), dtype=np.float32)
        values[place >= 0] = vectors[place[place >= 0]]
        return Features(values, place >= 0, self.spec())

    def encode_query(self, query: "PIL.Image.Image | bytes") -> np.ndarray:
        """``(width,)`` float32 vector of a picture, open or as the bytes of its file.

        Raises:
            InputError: the picture can't be read, or nothing was encoded or loaded before.
        """
        if self._mean is None:
            raise InputError("the image encoder has seen no pictures yet; encode a catalog or load its state first")
        measured = _tried(describe, query)
        if isinstance(measured, Exception):
            raise InputError(f"the picture {_fault(measured)}") from measured
        return self._placed(measured[None])[0]

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Mean of the statistics, and the axes of each block."""
        return ({} if self._mean is None else {"mean": self._mean, **self._axes}), {}

    def restore(self, arrays: dict[str, np.ndarray], values: dict[str, Any]) -> None:
        """Take up what ``state`` gave."""
        self._mean, self._axes = arrays.get("mean"), {name: arrays[name] for name in BLOCKS if name in arrays}

    def _measured(self, paths: list[Path], store: Store | None, progress: bool) -> tuple[dict[Path, str], dict[str, Any]]:
        """Key of each file, by its content (by its path where it can't be read); and by key the statistics, or the error."""
        spec = json.dumps(self.spec(), sort_keys=True).encode()
        keys: dict[Path, str] = {}
        found: dict[str, Any] = {}
        with (
            ThreadPoolExecutor(os.cpu_count()) as threads,
            tqdm(total=len(paths), desc="image", unit="picture", disable=not progress) as bar,
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")  # Pillow's, of odd metadata and of sizes that are refused anyway
            for start in range(0, len(paths), self.batch_size):
                batch = paths[start : start + self.batch_size]
                contents = dict(zip(batch, threads.map(partial(_tried, Path.read_bytes), batch), strict=True))
                for path, content in contents.items():
                    keys[path] = hashlib.sha256(spec + content).hexdigest() if isinstance(content, bytes) else str(path)
                if store is not None:  # an empty store is false
                    kept = store.find(keys[path] for path in batch)
                    found |= {key: np.frombuffer(value, dtype=np.float32) for key, value in kept.items()}
                new = {keys[path]: content for path, content in contents.items() if keys[path] not in found}
                made = dict(zip(new, threads.map(partial(_tried, describe), new.values()), strict=True))
                if store is not None:
                    store.add({key: result.tobytes() for key, result in made.items() if isinstance(result, np.ndarray)})
                found |= made
                bar.update(len(batch))
        return keys, found

    def _learn(self, measured: np.ndarray) -> None:
        """Mean and axes of each block, of ``(num_pictures, sum(BLOCKS.values()))``."""
        self._mean = (
            measured.mean(axis=0, dtype=np.float64).astype(np.float32) if len(measured) else np.zeros(measured.shape[1], np.float32)
        )
        self._axes = {name: _principal(block, self.axes) for name, block in _blocks(measured - self._mean)}

    def _placed(self, measured: np.ndarray) -> np.ndarray:
        """``(num_pictures, width)`` float32: rows of length 1, or 0."""
        assert self._mean is not None
        blocks = [_WEIGHTS[name] * _unit(block @ self._axes[name]) for name, block in _blocks(measured - self._mean)]
        return _unit(np.concatenate(blocks, axis=1))


def _blocks(rows: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """Name and columns of each block."""
    return list(zip(BLOCKS, np.split(rows, np.cumsum(list(BLOCKS.values()))[:-1], axis=1), strict=True))


def _principal(rows: np.ndarray, most: int) -> np.ndarray:
    """``(columns, axes)`` float32: the directions in which centered rows differ most, divided by the square root of their deviation."""
    triangle = np.linalg.qr(rows.astype(np.float64), mode="r")  # as wide as the rows, but not as many
    _, length, directions = np.linalg.svd(triangle, full_matrices=False)
    deviation = length / np.sqrt(max(1, len(rows)))
    kept = np.flatnonzero(deviation > 3e-4 * max(deviation.max(initial=0), 3e-4))[:most]
    axes = directions[kept].T / np.sqrt(deviation[kept]) if len(kept) else np.zeros((rows.shape[1], 1))
    return np.ascontiguousarray(axes, dtype=np.float32)


def _unit(rows: np.ndarray) -> np.ndarray:
    """Rows scaled to length 1; a row that is nothing but rounding is 0."""
    length = np.sqrt((rows.astype(np.float64) ** 2).sum(axis=1, keepdims=True))
    return np.where(length > 1e-6, rows / np.maximum(length, 1e-6), 0).astype(np.float32)


def _tried(work: Callable[[Any], Any], given: Any) -> Any:
    """What ``work`` makes of something, or the error it raises; an earlier error stays what it is."""
    if isinstance(given, Exception):
        return given
    try:
        return work(given)
    except Exception as error:  # Pillow's readers raise whatever they like on a broken file
        return error


def _fault(error: Exception) -> str:
    """An error in the words of ``Encoder.problems``."""
    if isinstance(error, FileNotFoundError):
        return "is not in the folder"
    if isinstance(error, PIL.UnidentifiedImageError):
        return "is no picture"
    return f"can't be read: {getattr(error, 'strerror', None) or error}"
