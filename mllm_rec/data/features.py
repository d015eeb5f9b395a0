"""What an encoder says of every item: a matrix, and which of its rows mean something."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mllm_rec.data.files import atomic
from mllm_rec.errors import InputError

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, eq=False)
class Features:
    """One modality of every item; a missing row is marked, and zero.

    Attributes:
        values: ``(num_items, width)`` float32, rows in item order.
        present: ``(num_items,)`` bool: the item has this modality.
        spec: encoder, settings and source, enough to make the matrix again.
        center: ``(width,)`` what likeness is measured around; None: the mean of the rows that are there. Rows that come later
            keep it, so that those before them stay where they are.

    Raises:
        InputError: wrong shape, zero width, NaN or infinite values in a present row.
    """

    values: np.ndarray
    present: np.ndarray
    spec: Mapping[str, Any] = field(default_factory=dict)
    center: np.ndarray | None = None

    def __post_init__(self):
        with np.errstate(over="ignore"):  # beyond float32 becomes infinite, and is refused with its row
            values = np.ascontiguousarray(self.values, dtype=np.float32)
        present = np.asarray(self.present, dtype=bool)
        if values.ndim != 2 or values.shape[1] == 0 or present.shape != values.shape[:1]:
            raise InputError(
                f"features have shape {values.shape} and presence {present.shape}; wanted (num_items, width) and (num_items,), width at least 1"
            )
        broken = present & ~np.isfinite(values).all(axis=1)
        if broken.any():
            raise InputError(
                f"features have NaN or infinite values in {broken.sum()} rows, the first is row {int(broken.argmax())}; mark such rows as missing or mend them"
            )
        center = self.center
        if center is None:
            center = values[present].mean(axis=0) if present.any() else np.zeros(values.shape[1], np.float32)
        object.__setattr__(self, "values", np.where(present[:, None], values, np.float32(0)))
        object.__setattr__(self, "present", present)
        object.__setattr__(self, "center", np.asarray(center, dtype=np.float32))

    @classmethod
    def nothing(cls, num_items: int) -> "Features":
        """A modality that no item has."""
        return cls(np.zeros((num_items, 1), np.float32), np.zeros(num_items, dtype=bool))

    def rows(self, chosen: np.ndarray) -> "Features":
        """The chosen rows alone."""
        return Features(self.values[chosen], self.present[chosen], self.spec, self.center)

    def padded(self, num_items: int) -> "Features":
        """With missing rows at the end, up to ``num_items``."""
        more = num_items - len(self.values)
        values, present = np.pad(self.values, ((0, more), (0, 0))), np.pad(self.present, (0, more))
        return Features(values, present, self.spec, self.center)

    def replaced(self, rows: np.ndarray, by: "Features") -> "Features":
        """With other rows at ``rows``, ``(n,)``; what likeness is measured around stays.

        Raises:
            InputError: they have another width.
        """
        if by.present.any() and by.width != self.width:
            raise InputError(
                f"the new rows have {by.width} numbers, the feature has {self.width}; 'mllm-rec update W --retrain' makes all anew"
            )
        values, present = self.values.copy(), self.present.copy()
        values[rows], present[rows] = by.values if by.width == self.width else 0.0, by.present
        return Features(values, present, self.spec, self.center)

    @property
    def width(self) -> int:
        """Columns of ``values``."""
        return self.values.shape[1]

    def save(self, path: Path) -> None:
        """Write as safetensors, spec in its metadata, atomically."""
        from safetensors.numpy import save_file

        with atomic(path) as temporary:
            arrays = {"values": self.values, "present": self.present, "center": np.asarray(self.center)}
            save_file(arrays, temporary, metadata={"spec": json.dumps(dict(self.spec), sort_keys=True)})

    @classmethod
    def load(cls, path: Path) -> "Features":
        """Read what ``save`` wrote.

        Raises:
            InputError: the file is broken, or ``save`` did not write it.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="numpy") as file:
                values, present, center = (file.get_tensor(name) for name in ("values", "present", "center"))
                spec = json.loads(file.metadata()["spec"])
        except (SafetensorError, OSError, ValueError, TypeError, KeyError) as error:
            raise InputError(f"{path} can't be read as features that 'mllm-rec build' wrote: {error}; build them again") from error
        return cls(values, present, spec, center)


@dataclass(frozen=True, eq=False)
class Encodable:
    """One modality before it is encoded, for training its encoder with a system; presence is that of the feature of its name.

    Attributes:
        inputs: ``(num_items, ...)`` what the module reads, rows in item order; rows of missing items are not looked at.
        module: makes ``(n, width)`` of ``(n, ...)`` inputs, row by row, as wide as the feature; each system trains a copy.
    """

    inputs: np.ndarray
    module: "nn.Module"
