"""Links between items that are alike."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mllm_rec.interaction.bridge.graph import Graph, csr
from mllm_rec.interaction.bridge.links import Links

#: Similarities held at once while an item graph is built: 64 MiB.
BLOCK = 2**24


def nearest(values: Tensor, present: Tensor, neighbors: int) -> tuple[Tensor, Tensor, Tensor]:
    """The items most alike by cosine, an item itself first; in blocks of rows, so memory is linear in items.

    Args:
        values: ``(num_items, width)``.
        present: ``(num_items,)`` bool; others are in nobody's list and have none.
        neighbors: length of the lists, the item itself counted (k).

    Returns:
        Items ``(n,)`` int64 that are present, their lists ``(n, min(k, n))`` int64, and the cosines, of that shape.
    """
    rows = present.nonzero().flatten()
    unit = nn.functional.normalize(values[rows].float(), dim=1)
    links = min(neighbors, len(rows))
    found = torch.empty(len(rows), links, dtype=torch.int64, device=values.device)
    cosine = torch.empty(len(rows), links, device=values.device)
    for start in range(0, len(rows) if links else 0, step := max(1, BLOCK // max(1, len(rows)))):
        similar = unit[start : start + step] @ unit.T
        similar.diagonal(start).fill_(torch.inf)
        cosine[start : start + step], found[start : start + step] = similar.topk(links, dim=1)
    if links:
        cosine[:, 0] = unit.pow(2).sum(1)
    return rows, rows[found], cosine


def item_item_graph(values: Tensor, present: Tensor, neighbors: int, weighted: bool = False) -> Graph:
    """Links each item to those most alike in one modality, by cosine.

    As in the released code an item is its own first neighbor, and links have a direction. An item whose modality is
    missing has no links, neither out nor in.

    Args:
        values: ``(num_items, width)``.
        present: ``(num_items,)`` bool.
        neighbors: links per item, itself among them (k).
        weighted: a link weighs its cosine (below zero nothing) over the roots of both items' sums; otherwise all weigh 1 / k.

    Returns:
        ``(num_items, num_items)``.

    Source:
        Zhou and Shen. FREEDOM. ACM MM 2023, eq. 1-4 (row degrees are all k, so ``D^-1/2 S D^-1/2`` is ``S / k``);
        weighted: Zhang et al. LATTICE. ACM MM 2021, eq. 2-4.
    """
    rows, lists, cosine = nearest(values, present, neighbors)
    share = torch.full(lists.shape, 1 / max(1, lists.shape[1]), device=values.device)
    if weighted:
        weight = cosine.clamp(min=0)
        root = torch.zeros(len(values), device=values.device).index_copy(0, rows, _root(weight.sum(1)))
        share = weight * root[rows][:, None] * root[lists]
    owner, neighbor = rows.repeat_interleave(lists.shape[1]), lists.flatten()
    shape = (len(values), len(values))
    return Graph(csr(owner, neighbor, share.flatten(), shape), csr(neighbor, owner, share.flatten(), shape))


def _root(total: Tensor) -> Tensor:
    """One over the root."""
    return total.clamp(min=1e-12).rsqrt()


def best_items(users: Tensor, items: Tensor, count: int) -> Tensor:
    """``(num_users, min(count, num_items))`` int64: the items of the highest products with each user, in blocks of users.

    Args:
        users: ``(num_users, dim)``.
        items: ``(num_items, dim)``.
        count: items of each.
    """
    step = max(1, BLOCK // max(1, len(items)))
    return torch.cat([(block @ items.T).topk(min(count, len(items)), dim=1).indices for block in users.split(step)])


def item_links(values: Tensor, present: Tensor, neighbors: int) -> Links:
    """The links of ``item_item_graph``, but for those of an item with itself, to be weighed by what they join."""
    rows, lists, _ = nearest(values, present, neighbors)
    others = lists[:, 1:]
    return Links(torch.stack([rows.repeat_interleave(others.shape[1]), others.flatten()]), (len(values), len(values)))


class LearnedItemGraph(nn.Module):
    """Item links of one modality, a part as the features say, the rest as a learned projection of them says.

    Which items are linked by the projection is found anew by ``rebuild``; how much each link weighs follows the projection at every
    step. Nothing dense of items by items is kept.

    Args:
        values: ``(num_items, width)`` for the frozen part.
        present: ``(num_items,)`` bool.
        width: of the content that is projected.
        dim: width of the projection.
        neighbors: links per item of each part, itself among them (k).
        frozen_share: share of the frozen part, in [0, 1] (lambda).

    Source:
        Zhang et al. LATTICE. ACM MM 2021, eq. 2-8.
    """

    def __init__(self, values: Tensor, present: Tensor, width: int, dim: int, neighbors: int, frozen_share: float):
        super().__init__()
        self.neighbors, self.frozen_share = neighbors, frozen_share
        self.projection = nn.Linear(width, dim)
        self.frozen = item_item_graph(values, present, neighbors, weighted=True)
        self.present = present

    @torch.no_grad()
    def rebuild(self, content: Tensor) -> None:
        """Find anew whom the projection of ``content``, ``(num_items, width)``, links."""
        rows, lists, _ = nearest(self.projection(content), self.present.to(content.device), self.neighbors)
        places = torch.stack([rows.repeat_interleave(lists.shape[1]), lists.flatten()])
        self.learned = Links(places, (len(content), len(content)))

    def forward(self, content: Tensor, x: Tensor) -> Tensor:
        """What items get, ``(num_items, dim)``, of ``x``, of that shape, by their links.

        Args:
            content: ``(num_items, width)``.
            x: ``(num_items, dim)``.
        """
        projected = nn.functional.normalize(self.projection(content), dim=1)
        weight = self.learned.dot(projected, projected).clamp(min=0)
        root = _root(self.learned.sum(weight, torch.ones_like(x[:, :1])))
        weight = weight * self.learned.of_targets(root) * self.learned.of_sources(root)
        return self.frozen_share * self.frozen(x) + (1 - self.frozen_share) * self.learned.sum(weight, x)


def learned_item_graphs(
    features: Mapping[str, Tensor], present: Mapping[str, Tensor], widths: Mapping[str, int], dim: int, neighbors: int, frozen_share: float
) -> nn.ModuleDict:
    """A ``LearnedItemGraph`` of each modality, by name."""
    return nn.ModuleDict(
        {name: LearnedItemGraph(x, present[name], widths[name], dim, neighbors, frozen_share) for name, x in features.items()}
    )
