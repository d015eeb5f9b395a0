"""Published feature matrices: one row of numbers per item."""

from pathlib import Path

import numpy as np

from mllm_rec.data.features import Features
from mllm_rec.errors import InputError


def read_matrix(path: Path | str, num_items: int, present: np.ndarray | None = None) -> Features:
    """The matrix in a ``.npy`` file, rows in item order; float16 is cast before anything is summed; a row of zeros is missing.

    Args:
        path: the file.
        num_items: rows it must have.
        present: ``(num_items,)`` bool, False where an item is missing whatever its row holds.

    Raises:
        InputError: no matrix of numbers, other than ``num_items`` rows, NaN or infinite values, or every row the same.
    """
    try:
        values = np.load(path, allow_pickle=False)
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist; wanted a NumPy matrix with a row for each of the {num_items} items") from error
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path} can't be read as a NumPy matrix (.npy): {error}") from error
    if not isinstance(values, np.ndarray) or values.ndim != 2 or values.dtype.kind not in "fiub" or values.shape[1] == 0:
        raise InputError(
            f"{path} holds {getattr(values, 'dtype', type(values).__name__)} of shape {getattr(values, 'shape', '')}; wanted numbers of shape (num_items, width)"
        )
    if len(values) != num_items:
        raise InputError(f"{path} has {len(values)} rows but there are {num_items} items; rows must follow item order")
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
    if num_items > 1 and (values == values[0]).all():
        raise InputError(f"{path} has the same values in all {num_items} rows; it says nothing of the items")
    return Features(values, np.asarray(values.any(axis=1)), {"encoder": "published", "file": Path(path).name})
