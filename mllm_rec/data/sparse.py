"""Sparse matrices in rows (CSR)."""

import warnings

import torch
from torch import Tensor


def row_starts(rows: Tensor, num_rows: int) -> Tensor:
    """Where each row begins among entries sorted by row, ``(num_rows + 1,)`` int64; the last is the number of entries."""
    starts = torch.zeros(num_rows + 1, dtype=torch.int64, device=rows.device)
    starts[1:] = torch.bincount(rows, minlength=num_rows).cumsum(0)
    return starts


def csr(starts: Tensor, columns: Tensor, values: Tensor, shape: tuple[int, int]) -> Tensor:
    """Sparse CSR matrix of its parts, which are trusted; without torch's notices that sparse tensors are new."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta")
        return torch.sparse_csr_tensor(starts, columns, values, shape, check_invariants=False)
