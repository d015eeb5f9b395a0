"""Published feature matrices: one row of numbers per item."""

import re
from pathlib import Path

import numpy as np

from mllm_rec.data.features import Features
from mllm_rec.errors import InputError

#: What a feature may be called.
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,39}")


def feature_name(path: Path) -> str:
    """The feature that a file ``NAME_feat.npy`` (or ``NAME.npy``) holds.

    Raises:
        InputError: the name is no plain word.
    """
    name = path.stem.removesuffix("_feat")
    if not _NAME.fullmatch(name):
        raise InputError(f"{path} can't name a feature: wanted a letter, then letters, digits, '_' or '-', 40 at most; rename the file")
    return name


def read_matrix(path: Path | str, num_items: int, present: np.ndarray | None = None, mend: str = "rows must follow item order") -> Features:
    """The matrix in a ``.npy`` file, rows in item order; float16 is cast before anything is summed; a row of zeros is missing.

    Args:
        path: the file.
        num_items: rows it must have.
        present: ``(num_items,)`` bool, False where an item is missing whatever its row holds.
        mend: what to do about another number of rows.

    Raises:
        InputError: no matrix of numbers, other than ``num_items`` rows, NaN or infinite values, or every row the same but for those of zeros.
    """
    try:
        values = np.load(path, allow_pickle=False)
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist; wanted a NumPy matrix with a row for each of the {num_items} items") from error
    except Exception as error:  # NumPy reads a header as Python's words: a broken one gives whatever their reader raises
        raise InputError(f"{path} can't be read as a NumPy matrix (.npy): {error}; write it anew by numpy.save, numbers only") from error
    if not isinstance(values, np.ndarray) or values.ndim != 2 or values.dtype.kind not in "fiub" or values.shape[1] == 0:
        raise InputError(
            f"{path} holds {getattr(values, 'dtype', type(values).__name__)} of shape {getattr(values, 'shape', '')}; wanted numbers of shape (num_items, width)"
        )
    if len(values) != num_items:
        raise InputError(f"{path} has {len(values)} rows but there are {num_items} items; {mend}")
    if present is not None and np.shape(present) != (num_items,):
        raise InputError(f"the mask for {path} has shape {np.shape(present)}; wanted ({num_items},)")
    with np.errstate(over="ignore"):  # a float64 beyond float32 becomes infinite, and is refused with its row
        values = values.astype(np.float32)
    if present is not None:
        values[~np.asarray(present, dtype=bool)] = 0
    broken = ~np.isfinite(values).all(axis=1)
    if broken.any():
        raise InputError(
            f"{path} has NaN or infinite values in {broken.sum()} rows, the first is row {int(broken.argmax())} (counted from 0); set such rows to zeros to mark them missing"
        )
    said = np.asarray(values.any(axis=1))
    alike = (values == values[said.argmax()]).all(axis=1) | ~said if num_items > 1 else np.zeros(1, dtype=bool)
    if alike.all() and said.sum() != 1:
        rows = f"all {num_items} rows" if said.sum() in (0, num_items) else f"all {said.sum()} rows that are not zeros"
        raise InputError(f"{path} has the same values in {rows}; it says nothing of the items")
    return Features(values, said, {"encoder": "published", "file": Path(path).name})
