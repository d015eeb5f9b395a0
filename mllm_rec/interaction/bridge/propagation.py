"""What travels over a graph."""

import torch
from torch import Tensor

from mllm_rec.interaction.bridge.graph import Graph


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
    mean = graph.sum_of_hops(torch.cat([users, items]), layers, 1 / (layers + 1))
    return mean[: len(users)], mean[len(users) :]
