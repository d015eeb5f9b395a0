"""Links between items that the same users chose, or between users who chose the same items."""

import numpy as np
import torch
from scipy import sparse as scipy_sparse
from torch import Tensor

from mllm_rec.interaction.bridge.graph import Graph, csr

#: Rows whose partners are counted at once.
BLOCK = 2048


def partners(edges: Tensor, shape: tuple[int, int], neighbors: int) -> tuple[Tensor, Tensor]:
    """Whom each user shares most items with; of equals the first. For items give ``edges.flip(0)`` and ``shape[::-1]``.

    Counted in blocks of rows, so that no matrix of users by users is held.

    Args:
        edges: ``(2, n)`` int64 user and item positions.
        shape: ``(num_users, num_items)``.
        neighbors: partners of each, at most.

    Returns:
        ``(num_users, neighbors)`` int64 partners, most first, -1 where there are fewer, and how many items are shared, of that shape.
    """
    starts = np.concatenate([[0], np.cumsum(np.bincount(edges[0].numpy(), minlength=shape[0]))])
    order = np.argsort(edges[0].numpy(), kind="stable")
    chosen = scipy_sparse.csr_matrix((np.ones(edges.shape[1], dtype=np.float32), edges[1].numpy()[order], starts), shape)
    chosen.sum_duplicates()
    chosen.data[:] = 1
    chosen_by = chosen.T.tocsr()
    found = np.full((shape[0], neighbors), -1, dtype=np.int64)
    shared = np.zeros((shape[0], neighbors), dtype=np.float32)
    for first in range(0, shape[0], BLOCK):
        both = (chosen[first : first + BLOCK] @ chosen_by).tocoo()
        other = both.col != both.row + first
        row, column, count = both.row[other], both.col[other], both.data[other]
        kept, rank = strongest(row, column, count, neighbors)
        found[first + row[kept], rank] = column[kept]
        shared[first + row[kept], rank] = count[kept]
    return torch.from_numpy(found), torch.from_numpy(shared)


def strongest(row: np.ndarray, column: np.ndarray, value: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Which entries of a sparse matrix are the ``most`` greatest of their row, of equals the first, and their rank in it."""
    order = np.lexsort((column, -value, row))
    rank = np.arange(len(order)) - np.searchsorted(row[order], row[order])
    near = rank < most
    return order[near], rank[near]


def partner_graph(edges: Tensor, shape: tuple[int, int], neighbors: int) -> Graph:
    """Links each user to the partners of ``partners``, weighed by a softmax over how much they share.

    Source:
        Wang et al. DualGNN. IEEE Transactions on Multimedia 2021 (the user co-occurrence graph).
    """
    found, shared = partners(edges, shape, neighbors)
    there = found >= 0
    weights = torch.where(there, shared, -torch.inf).softmax(1)
    owner = torch.arange(shape[0])[:, None].expand(found.shape)[there]
    size = (shape[0], shape[0])
    return Graph(csr(owner, found[there], weights[there], size), csr(found[there], owner, weights[there], size))
