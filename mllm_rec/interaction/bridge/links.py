"""Links whose weights are learned or depend on what they join: attention over a graph, without a matrix of nodes by nodes."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding

from mllm_rec.data import sparse
from mllm_rec.data.dataset import gather_rows


class _Sum(torch.autograd.Function):
    """Weighted sums over each target's links: a sparse product, differentiable in the weights too."""

    @staticmethod
    def forward(ctx: Any, links: "Links", weights: Tensor, x: Tensor) -> Tensor:
        ctx.links = links
        ctx.save_for_backward(weights, x)
        return links.matrix(weights) @ x

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor | None, Tensor | None]:
        weights, x = ctx.saved_tensors
        links, gradient = ctx.links, gradients[0].contiguous()
        to_weights = links.products(gradient, x) if ctx.needs_input_grad[1] else None
        return None, to_weights, links.transposed(weights) @ gradient if ctx.needs_input_grad[2] else None


class _Dot(torch.autograd.Function):
    """Products of both ends of each link; the gradients are sparse products."""

    @staticmethod
    def forward(ctx: Any, links: "Links", targets: Tensor, sources: Tensor) -> Tensor:
        ctx.links = links
        ctx.save_for_backward(targets, sources)
        return links.products(targets, sources)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor | None, Tensor | None]:
        targets, sources = ctx.saved_tensors
        links, gradient = ctx.links, gradients[0].contiguous()
        to_targets = links.matrix(gradient) @ sources if ctx.needs_input_grad[1] else None
        return None, to_targets, links.transposed(gradient) @ targets if ctx.needs_input_grad[2] else None


class _SumOf(torch.autograd.Function):
    """Sums of consecutive rows; the gradient is the target's, repeated."""

    @staticmethod
    def forward(ctx: Any, links: "Links", values: Tensor) -> Tensor:
        ctx.links = links
        return torch.segment_reduce(values, "sum", lengths=links.starts.diff(), unsafe=True)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor]:
        return None, gradients[0][ctx.links.targets]


class Links(nn.Module):
    """Directed links from sources to targets, in order of targets; memory is linear in links. Not saved with its system.

    Args:
        places: ``(2, n)`` int64 target and source of each link, each pair once.
        shape: numbers of targets and of sources.
    """

    starts: Tensor
    sources: Tensor
    targets: Tensor
    turned: Tensor
    turned_starts: Tensor
    turned_targets: Tensor

    def __init__(self, places: Tensor, shape: tuple[int, int]):
        super().__init__()
        self.shape = shape
        targets, sources = places[:, torch.argsort(places[0] * shape[1] + places[1])]
        turned = torch.argsort(sources * shape[0] + targets)
        parts = {"starts": sparse.row_starts(targets, shape[0]), "targets": targets, "sources": sources}
        back = {"turned": turned, "turned_starts": sparse.row_starts(sources, shape[1])}
        for name, tensor in {**parts, **back, "turned_targets": targets[turned]}.items():
            self.register_buffer(name, tensor, persistent=False)

    def __len__(self) -> int:
        return len(self.targets)

    def degrees(self) -> Tensor:
        """``(targets,)``: links of each target."""
        return self.starts.diff().float()

    def matrix(self, weights: Tensor) -> Tensor:
        """``(targets, sources)`` sparse CSR of weights ``(n,)``."""
        return sparse.csr(self.starts, self.sources, weights, self.shape)

    def transposed(self, weights: Tensor) -> Tensor:
        """``(sources, targets)`` sparse CSR of weights ``(n,)``."""
        return sparse.csr(self.turned_starts, self.turned_targets, weights[self.turned], self.shape[::-1])

    def products(self, targets: Tensor, sources: Tensor) -> Tensor:
        """``(n,)``: the product of both ends of each link; not differentiable, see ``dot``."""
        if torch.backends.mkl.is_available() or targets.is_cuda:
            nothing = self.matrix(torch.zeros(len(self), device=targets.device))
            return torch.sparse.sampled_addmm(nothing, targets.contiguous(), sources.contiguous().T, beta=0.0).values()
        return (targets[self.targets] * sources[self.sources]).sum(1)

    def dot(self, targets: Tensor, sources: Tensor) -> Tensor:
        """``(n,)``: the product of both ends of each link.

        Args:
            targets: ``(targets, dim)``.
            sources: ``(sources, dim)``.
        """
        return _Dot.apply(self, targets, sources)

    def softmax(self, logits: Tensor) -> Tensor:
        """``(n,)``: shares that sum to one over each target's links."""
        from torch_geometric.utils import softmax

        return softmax(logits, self.targets, num_nodes=self.shape[0])

    def sum(self, weights: Tensor, x: Tensor) -> Tensor:
        """``(targets, dim)``: weighted sums of the sources' rows, ``(sources, dim)``, over each target's links."""
        return _Sum.apply(self, weights, x)

    def sum_of(self, values: Tensor) -> Tensor:
        """``(targets, width)``: sums of the links' own values, ``(n, width)``, over each target's links."""
        return _SumOf.apply(self, values)

    def of_targets(self, x: Tensor) -> Tensor:
        """``(n,)``: each link's value of ``(targets, 1)``, summed in a fixed order on the way back."""
        return embedding(self.targets, x)[:, 0]

    def of_sources(self, x: Tensor) -> Tensor:
        """``(n,)``: each link's value of ``(sources, 1)``."""
        return embedding(self.sources, x)[:, 0]


def history_links(user_items: Tensor, users: Tensor) -> Links:
    """Links from the items of some users' histories to those users.

    Args:
        user_items: ``(num_users, num_items)`` sparse CSR.
        users: ``(batch,)`` int64; a user may come more than once.

    Returns:
        ``batch`` targets, ``num_items`` sources.
    """
    owner, where = gather_rows(user_items.crow_indices(), users.to(user_items.device))
    places = torch.stack([owner, user_items.col_indices()[where]]).to(users.device)
    return Links(places, (len(users), user_items.shape[1]))
