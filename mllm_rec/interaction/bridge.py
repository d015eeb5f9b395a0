"""Graphs between users and items, and between items; propagation over them."""

from typing import Any

import torch
from torch import Tensor, nn

from mllm_rec.data import sparse

#: Similarities held at once while an item graph is built: 64 MiB.
BLOCK = 2**24


class _Multiply(torch.autograd.Function):
    """Sparse times dense; the gradient is a product with the stored transpose, so nothing is transposed or coalesced while training."""

    @staticmethod
    def forward(ctx: Any, matrix: Tensor, transpose: Tensor, dense: Tensor) -> Tensor:
        ctx.save_for_backward(transpose)
        return matrix @ dense

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, None, Tensor]:
        return None, None, ctx.saved_tensors[0] @ gradients[0].contiguous()


class Graph(nn.Module):
    """A constant sparse matrix and its transpose, which is itself where the matrix is symmetric; not saved with its system.

    Args:
        matrix: ``(rows, columns)`` sparse CSR float32.
        transpose: ``(columns, rows)`` sparse CSR; None: the matrix is symmetric.
    """

    matrix: Tensor
    transpose: Tensor | None

    def __init__(self, matrix: Tensor, transpose: Tensor | None = None):
        super().__init__()
        self.register_buffer("matrix", matrix, persistent=False)
        self.register_buffer("transpose", transpose, persistent=False)

    def forward(self, dense: Tensor) -> Tensor:
        """``matrix @ dense``, ``(rows, dim)``, differentiable in ``dense`` ``(columns, dim)``."""
        transpose = self.matrix if self.transpose is None else self.transpose
        return _Multiply.apply(self.matrix, transpose, dense.float())


def csr(rows: Tensor, columns: Tensor, values: Tensor, shape: tuple[int, int]) -> Tensor:
    """Sparse CSR matrix of entries in any order; entries of the same place are added."""
    place, where = torch.unique(rows * shape[1] + columns, return_inverse=True)
    summed = torch.zeros(len(place), dtype=values.dtype).index_add_(0, where, values)
    return sparse.csr(sparse.row_starts(place // max(1, shape[1]), shape[0]), place % max(1, shape[1]), summed, shape)


def user_item_graph(edges: Tensor, shape: tuple[int, int]) -> Graph:
    """The bipartite graph, users first, normalized symmetrically: ``D^-1/2 A D^-1/2``.

    A node without an edge has an empty row. A repeated edge counts once.

    Args:
        edges: ``(2, n)`` int64 user and item positions.
        shape: ``(num_users, num_items)``.

    Returns:
        ``(num_users + num_items, num_users + num_items)``, symmetric.

    Source:
        He et al. LightGCN. SIGIR 2020, eq. 8.
    """
    num_items = shape[1]
    place = torch.unique(edges[0] * num_items + edges[1])
    users, items = place // max(1, num_items), place % max(1, num_items)
    return _bipartite(users, items, torch.ones(len(place)), shape)


def item_attribute_graph(items: Tensor, attributes: Tensor, weights: Tensor, shape: tuple[int, int]) -> Graph:
    """The bipartite graph of items and what they are said to be, items first, normalized symmetrically by weighted degrees.

    A value that many items have passes little on to each; one that is surer passes more.

    Args:
        items, attributes: ``(n,)`` int64 positions, each pair once.
        weights: ``(n,)`` float32, above 0: how sure each is.
        shape: ``(num_items, num_attributes)``.

    Returns:
        ``(num_items + num_attributes, num_items + num_attributes)``, symmetric.
    """
    return _bipartite(items, attributes, weights.float(), shape)


def _bipartite(left: Tensor, right: Tensor, weights: Tensor, shape: tuple[int, int]) -> Graph:
    """``D^-1/2 A D^-1/2`` of weighted edges between two kinds of nodes."""
    first, second = (torch.bincount(ends, weights, minlength=many).float() for ends, many in zip((left, right), shape, strict=True))
    values = weights * (first[left] * second[right]).rsqrt()
    rows, columns = torch.cat([left, right + shape[0]]), torch.cat([right + shape[0], left])
    return Graph(csr(rows, columns, values.repeat(2), (sum(shape), sum(shape))))


def propagate(graph: Graph, x: Tensor, layers: int) -> list[Tensor]:
    """``x`` and what it becomes after each of ``layers`` hops: ``layers + 1`` tensors, the deepest last."""
    reached = [x]
    for _ in range(layers):
        reached.append(graph(reached[-1]))
    return reached


def light_convolution(graph: Graph, users: Tensor, items: Tensor, layers: int) -> tuple[Tensor, Tensor]:
    """Mean over hops 0 to ``layers`` on the user-item graph.

    Args:
        graph: of ``user_item_graph``.
        users: ``(num_users, dim)``.
        items: ``(num_items, dim)``.
        layers: hops; 0 gives the tables back.

    Returns:
        Users ``(num_users, dim)`` and items ``(num_items, dim)``.

    Source:
        He et al. LightGCN. SIGIR 2020, eq. 4 with weights 1 / (layers + 1).
    """
    hops = propagate(graph, torch.cat([users, items]), layers)
    mean = sum(hops[1:], hops[0]) / len(hops)
    return mean[: len(users)], mean[len(users) :]


def item_item_graph(values: Tensor, present: Tensor, neighbors: int) -> Graph:
    """Links each item to those most alike in one modality: cosine, unweighted, rows summing to one.

    Built in blocks of rows, so memory is linear in items. As in the released code an item is its own first neighbor,
    and links have a direction. An item whose modality is missing has no links, neither out nor in.

    Args:
        values: ``(num_items, width)``.
        present: ``(num_items,)`` bool.
        neighbors: links per item, itself among them (k).

    Returns:
        ``(num_items, num_items)``; each entry is one over the links of its row.

    Source:
        Zhou and Shen. FREEDOM. ACM MM 2023, eq. 1-3 (row degrees are all k, so ``D^-1/2 S D^-1/2`` is ``S / k``).
    """
    num_items = len(values)
    rows = present.nonzero().flatten()
    unit = nn.functional.normalize(values[rows].float(), dim=1)
    links = min(neighbors, len(rows))
    nearest = torch.empty(len(rows), links, dtype=torch.int64)
    for start in range(0, len(rows) if links else 0, step := max(1, BLOCK // max(1, len(rows)))):
        similar = unit[start : start + step] @ unit.T
        similar.diagonal(start).fill_(torch.inf)
        nearest[start : start + step] = similar.topk(links, dim=1).indices
    owner, neighbor = rows.repeat_interleave(links), rows[nearest.flatten()]
    share = torch.full((len(owner),), 1 / max(1, links))
    shape = (num_items, num_items)
    return Graph(csr(owner, neighbor, share, shape), csr(neighbor, owner, share, shape))


def merge(graphs: list[Graph], weights: list[float], shape: tuple[int, int]) -> Graph:
    """The weighted sum of graphs as one graph, so that propagation is one product; no graphs give the empty graph.

    Source:
        Zhou and Shen. FREEDOM. ACM MM 2023, eq. 4.
    """
    rows, columns, values = [torch.empty(0, dtype=torch.int64)], [torch.empty(0, dtype=torch.int64)], [torch.empty(0)]
    for graph, weight in zip(graphs, weights, strict=True):
        starts = graph.matrix.crow_indices().cpu()
        rows.append(torch.repeat_interleave(torch.arange(shape[0]), starts.diff()))
        columns.append(graph.matrix.col_indices().cpu())
        values.append(graph.matrix.values().cpu() * weight)
    row, column, value = torch.cat(rows), torch.cat(columns), torch.cat(values)
    return Graph(csr(row, column, value, shape), csr(column, row, value, (shape[1], shape[0])))
