"""Features somebody else computed: a matrix on disk, a row per item."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from mllm_rec.data.catalog import Catalog
from mllm_rec.data.features import Features
from mllm_rec.data.matrices import read_matrix
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
        """The matrix as float32, checked by ``read_matrix``."""
        read = read_matrix(self.path, len(catalog), self.present)
        return Features(read.values, read.present, self.spec())

    @classmethod
    def from_spec(cls, spec: dict[str, Any]) -> "Published":
        """Not to be had: the file's place is not part of the spec."""
        raise InputError(f"published features ('{spec.get('file')}') have no state to load; they understand no queries")

    def _digest(self) -> str:
        with open(self.path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
