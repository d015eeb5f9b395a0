"""Constant graphs: sparse matrices, normalized by degrees."""

from typing import Any

import torch
from torch import Tensor, nn

from mllm_rec.data import sparse


class _Multiply(torch.autograd.Function):
    """Sparse times dense; the gradient is a product with the stored transpose, so nothing is transposed or coalesced while training."""

    @staticmethod
    def forward(ctx: Any, matrix: Tensor, transpose: Tensor, dense: Tensor) -> Tensor:
        ctx.save_for_backward(transpose)
        return _product(matrix, dense)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, None, Tensor]:
        return None, None, _product(ctx.saved_tensors[0], gradients[0].contiguous())


def _product(matrix: Tensor, dense: Tensor) -> Tensor:
    """``matrix @ dense``, written where it stays: the operator would clear a matrix and copy it first."""
    made = dense.new_empty(matrix.shape[0], dense.shape[1])
    return torch.addmm(made, matrix, dense, beta=0, out=made)


class _SumOfHops(torch.autograd.Function):
    """``s (x + A x + ... + A^n x)`` as ``s x + s A (x + A (x + ...))``: one product a hop, which adds as it goes, and no hop is kept."""

    @staticmethod
    def forward(ctx: Any, matrix: Tensor, transpose: Tensor, dense: Tensor, hops: int, scale: float) -> Tensor:
        ctx.save_for_backward(transpose)
        ctx.hops, ctx.scale = hops, scale
        return _summed(matrix, dense, hops, scale)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, None, Tensor, None, None]:
        return None, None, _summed(ctx.saved_tensors[0], gradients[0].contiguous(), ctx.hops, ctx.scale), None, None


def _summed(matrix: Tensor, dense: Tensor, hops: int, scale: float) -> Tensor:
    if not hops:
        return scale * dense
    summed = dense
    for _ in range(hops - 1):
        summed = torch.addmm(dense, matrix, summed)
    return torch.addmm(dense, matrix, summed, beta=scale, alpha=scale)


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
        return _Multiply.apply(self.matrix, self._way_back, dense.float())

    def sum_of_hops(self, dense: Tensor, hops: int, scale: float = 1.0) -> Tensor:
        """``scale`` times what 0 to ``hops`` hops from ``dense`` reach together, ``(rows, dim)``; the matrix is square."""
        return _SumOfHops.apply(self.matrix, self._way_back, dense.float(), hops, scale)

    def back(self) -> "Graph":
        """The same links the other way: its matrix is the transpose."""
        return self if self.transpose is None else Graph(self.transpose, self.matrix)

    @property
    def _way_back(self) -> Tensor:
        return self.matrix if self.transpose is None else self.transpose


def csr(rows: Tensor, columns: Tensor, values: Tensor, shape: tuple[int, int]) -> Tensor:
    """Sparse CSR matrix of entries in any order; entries of the same place are added."""
    place, where = torch.unique(rows * shape[1] + columns, return_inverse=True)
    summed = torch.zeros(len(place), dtype=values.dtype, device=values.device).index_add_(0, where, values)
    return sparse.csr(sparse.row_starts(place // max(1, shape[1]), shape[0]), place % max(1, shape[1]), summed, shape)


def normalized(
    links: Tensor, size: int, powers: tuple[float, float] = (0.5, 0.5), weights: Tensor | None = None, loops: bool = False
) -> Graph:
    """``D^-a A D^-b`` of undirected links; a node without any has an empty row.

    Args:
        links: ``(2, n)`` int64 nodes, each pair once and in one direction.
        size: number of nodes.
        powers: a and b; (0.5, 0.5) is symmetric, (1, 0) the mean over neighbors.
        weights: ``(n,)``, above 0; None: ones. Degrees are sums of them.
        loops: each node is linked with itself, too.

    Returns:
        ``(size, size)``.
    """
    rows, columns = torch.cat([links, links.flip(0)], 1)
    values = torch.ones(len(rows)) if weights is None else weights.float().repeat(2)
    if loops:
        nodes = torch.arange(size)
        rows, columns, values = torch.cat([rows, nodes]), torch.cat([columns, nodes]), torch.cat([values, torch.ones(size)])
    degree = torch.bincount(rows, values, minlength=size).float()
    left, right = powers
    values = values * degree[rows].pow(-left) * degree[columns].pow(-right)
    return Graph(csr(rows, columns, values, (size, size)), None if left == right else csr(columns, rows, values, (size, size)))


def distinct(edges: Tensor, shape: tuple[int, int]) -> Tensor:
    """``(2, n)`` edges in order of users and items, each once."""
    place = torch.unique(edges[0] * shape[1] + edges[1])
    return torch.stack([place // max(1, shape[1]), place % max(1, shape[1])])


def bipartite(edges: Tensor, shape: tuple[int, int]) -> Tensor:
    """``(2, n)`` edges as links between nodes of one graph, users first; each once."""
    return distinct(edges, shape) + torch.tensor([[0], [shape[0]]])


def both_ways(edges: Tensor, shape: tuple[int, int]) -> Tensor:
    """``(2, 2n)`` directed links of the bipartite graph, users first: from each end to the other."""
    there = bipartite(edges, shape)
    return torch.cat([there, there.flip(0)], 1)


def user_item_graph(edges: Tensor, shape: tuple[int, int], powers: tuple[float, float] = (0.5, 0.5)) -> Graph:
    """The bipartite graph, users first, normalized symmetrically: ``D^-1/2 A D^-1/2``.

    A node without an edge has an empty row. A repeated edge counts once.

    Args:
        edges: ``(2, n)`` int64 user and item positions.
        shape: ``(num_users, num_items)``.
        powers: of another normalization, see ``normalized``.

    Returns:
        ``(num_users + num_items, num_users + num_items)``.

    Source:
        He et al. LightGCN. SIGIR 2020, eq. 8.
    """
    return normalized(bipartite(edges, shape), sum(shape), powers)


def history_graph(edges: Tensor, shape: tuple[int, int], powers: tuple[float, float] = (0.5, 0.5)) -> Graph:
    """What users get of their items: the ``(num_users, num_items)`` block of ``user_item_graph``.

    Args:
        edges: ``(2, n)`` int64 user and item positions.
        shape: ``(num_users, num_items)``.
        powers: of the users' and of the items' degrees; (1, 0) is the mean of a user's items, (0, 1) suits the way back.
    """
    users, items = distinct(edges, shape)
    user_degree, item_degree = torch.bincount(users, minlength=shape[0]).float(), torch.bincount(items, minlength=shape[1]).float()
    values = user_degree[users].pow(-powers[0]) * item_degree[items].pow(-powers[1])
    return Graph(csr(users, items, values, shape), csr(items, users, values, (shape[1], shape[0])))


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
    return normalized(torch.stack([items, attributes + shape[0]]), sum(shape), weights=weights)


def _entries(graph: Graph) -> tuple[Tensor, Tensor, Tensor]:
    """Row, column and value of each entry."""
    starts = graph.matrix.crow_indices()
    rows = torch.repeat_interleave(torch.arange(len(starts) - 1, device=starts.device), starts.diff())
    return rows, graph.matrix.col_indices(), graph.matrix.values()


def scaled(graph: Graph, targets: Tensor, sources: Tensor, rows_to_one: bool = False) -> Graph:
    """The graph with each entry times the product of its ends' rows.

    Args:
        graph: ``(rows, columns)``.
        targets: ``(rows, dim)``.
        sources: ``(columns, dim)``.
        rows_to_one: rows are divided by their sums.
    """
    row, column, value = _entries(graph)
    value = value * (targets[row] * sources[column]).sum(1)
    if rows_to_one:
        value = value / torch.bincount(row, value, minlength=graph.matrix.shape[0]).float()[row]
    shape = tuple(graph.matrix.shape)
    return Graph(csr(row, column, value, shape), csr(column, row, value, shape[::-1]))


def merge(graphs: list[Graph], weights: list[float], shape: tuple[int, int]) -> Graph:
    """The weighted sum of graphs as one graph, so that propagation is one product; no graphs give the empty graph.

    Source:
        Zhou and Shen. FREEDOM. ACM MM 2023, eq. 4.
    """
    rows, columns, values = [torch.empty(0, dtype=torch.int64)], [torch.empty(0, dtype=torch.int64)], [torch.empty(0)]
    for graph, weight in zip(graphs, weights, strict=True):
        row, column, value = (part.cpu() for part in _entries(graph))
        rows.append(row)
        columns.append(column)
        values.append(value * weight)
    row, column, value = torch.cat(rows), torch.cat(columns), torch.cat(values)
    return Graph(csr(row, column, value, shape), csr(column, row, value, (shape[1], shape[0])))
