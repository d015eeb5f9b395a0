"""Features somebody else computed: a matrix on disk, a row per item."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from mllm_rec.data.catalog import Catalog
from mllm_rec.data.features import Features
from mllm_rec.encoders import Encoder
from mllm_rec.encoders.store import Store
from mllm_rec.errors import InputError


class Published(Encoder):
    """A matrix from a ``.npy`` file, rows in catalog order; a row of zeros is a missing item.

    Args:
        path: the file.
        source: where it comes from, for the spec: a name or an address.
        present: ``(num_items,)`` bool, False where the item is to count as missing; None: every row but those of zeros.
    """

    name = "published"

    def __init__(self, path: Path, source: str = "", present: np.ndarray | None = None):
        super().__init__()
        self.path, self.source, self.present = Path(path), source, present

    def spec(self) -> dict[str, Any]:
        """File name, content and source; the file's folder is left out, it determines nothing."""
        mask = None if self.present is None else hashlib.sha256(np.packbits(np.asarray(self.present, dtype=bool)).tobytes()).hexdigest()
        return {"encoder": self.name, "file": self.path.name, "source": self.source, "sha256": self._digest(), "mask": mask}

    def encode(self, catalog: Catalog, store: Store | None = None, progress: bool = False) -> Features:
        """The matrix as float32, cast before anything is computed: sums of float16 overflow.

        Raises:
            InputError: no such file, not a numeric matrix, another number of rows than the catalog, NaN or infinite.
        """
        values = self._read()
        if values.ndim != 2 or values.shape[0] != len(catalog) or values.shape[1] == 0:
            raise InputError(
                f"{self.path} has shape {values.shape} but the catalog has {len(catalog)} items; wanted ({len(catalog)}, width), rows in catalog order"
            )
        if values.dtype.kind not in "fiu":
            raise InputError(f"{self.path} holds {values.dtype} values; wanted numbers")
        with np.errstate(over="ignore"):  # a float64 beyond float32 becomes infinite, and is refused with its row
            values = np.asarray(values, dtype=np.float32)
        present = (values != 0).any(axis=1)
        if self.present is not None:
            if np.shape(self.present) != present.shape:
                raise InputError(f"the mask for {self.path} has shape {np.shape(self.present)}; wanted ({len(catalog)},)")
            present &= np.asarray(self.present, dtype=bool)
        try:
            return Features(values, present, self.spec())
        except InputError as error:
            raise InputError(f"{self.path}: {error}") from error

    @classmethod
    def from_spec(cls, spec: dict[str, Any]) -> "Published":
        """Not to be had: the file's place is not part of the spec."""
        raise InputError(f"published features ('{spec.get('file')}') have no state to load; they understand no queries")

    def _read(self) -> np.ndarray:
        try:
            return np.load(self.path, mmap_mode="r", allow_pickle=False)
        except FileNotFoundError as error:
            raise InputError(f"there is no file {self.path}; name a .npy file with a row per item") from error
        except (ValueError, OSError, EOFError) as error:
            raise InputError(f"{self.path} is not a .npy matrix of numbers ({error})") from error

    def _digest(self) -> str:
        with open(self.path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
