"""MGCN: purify each modality by the ID before it travels, then fuse by behavior.

Yu, Tan, Lu and Bao. Multi-View Graph Convolutional Network for Multimedia Recommendation. ACM MM 2023.
https://arxiv.org/abs/2308.03588

Behavior-guided purifier: ``e_m = e_i * sigmoid(G_m(W_m x_m))``. Item view: ``h_m = S_m e_m`` on the graph of items alike in m; users are
``R h_m``. User-item view: LightGCN on IDs, ``E``. Behavior-aware fuser over the views ``E_m = [users; items]``: the common part
``sum_m a_m E_m``, ``a_m = softmax_m(q . tanh(W E_m + b))``; specific parts ``(E_m - common) * sigmoid(P_m E)``; their mean
with the common part is the side vector, added to ``E``. A contrast draws ``E`` and the side vector of a node together.

Cell: Interaction: user-item graph, item-item graph, coarse-grained attention. Enhancement: none. Optimization: end-to-end.
Related: FREEDOM adds frozen item links to LightGCN without purifier or fuser; MICRO contrasts modalities with their fusion.
Differs from the paper: the contrast takes each user and item of a batch once; features are centered and scaled to unit length before
they are projected; an item without a modality has no links of that kind.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding

from mllm_rec.data.dataset import Dataset
from mllm_rec.enhancement import contrastive
from mllm_rec.interaction import bridge, fusion
from mllm_rec.optimization import losses
from mllm_rec.recommender import Batch, TopN, table


class MGCN(TopN):
    multimodal = True

    @dataclass(frozen=True)
    class Settings:
        dim: int = 64  #: width of user and item vectors
        user_layers: int = 2  #: hops over the user-item graph
        item_layers: int = 1  #: hops over the item graphs
        neighbors: int = 10  #: links per item and modality, the item itself among them (k)
        temperature: float = 0.2  #: of the contrast (tau)
        contrast_weight: float = 0.01  #: weight of the contrast (lambda_c)
        decay: float = 1e-4  #: weight of the squared length of the batch's final vectors (lambda_E)

    settings: Settings

    def __init__(self, data: Dataset, settings: Settings | None = None):
        super().__init__(data, settings)
        dim = self.settings.dim
        self.users, self.items = table(data.num_users, dim), table(data.num_items, dim)
        self.projections = fusion.projections(self.content.widths, dim, bias=True)
        self.purifiers = fusion.projections(dict.fromkeys(self.content, dim), dim, bias=True)
        self.preferences = fusion.projections(dict.fromkeys(self.content, dim), dim, bias=True)
        if len(self.content):
            self.attention = fusion.ModalityAttention(dim)
        self.item_graphs = nn.ModuleDict(
            {
                name: bridge.item_item_graph(x, self.present[name], self.settings.neighbors, weighted=True)
                for name, x in self.features.items()
            }
        )
        self.graph = bridge.user_item_graph(data.edges, data.shape)
        self.histories = bridge.history_graph(data.edges, data.shape)

    def views(self, nodes: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Nodes by behavior and by side information, ``(n, dim)`` each; None: all, users first."""
        behavior = torch.cat(bridge.light_convolution(self.graph, self.users, self.items, self.settings.user_layers))
        if not len(self.content):
            behavior = chosen(behavior, nodes)
            return behavior, torch.zeros_like(behavior)
        items = []
        for name, x in self.content.items():
            purified = self.items * self.purifiers[name](self.projections[name](x)).sigmoid()
            near = bridge.propagate(self.item_graphs[name], purified, self.settings.item_layers)[-1]
            items.append(near * self.present[name][:, None])
        side_by_side = torch.cat(items, 1)
        modal = chosen(torch.cat([self.histories(side_by_side), side_by_side]), nodes)
        behavior, modal = chosen(behavior, nodes), torch.stack(modal.split(self.settings.dim, 1))
        common = self.attention(modal)
        wanted = torch.stack([prefer(behavior).sigmoid() for prefer in self.preferences.values()])
        specific = (modal - common) * wanted * modal.detach().any(2, keepdim=True)
        return behavior, (common + specific.sum(0)) / (len(modal) + 1)

    def represent(self) -> tuple[Tensor, Tensor]:
        """Both views, added."""
        return sum(self.views()).split(self.data.shape)  # type: ignore[union-attr]

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Ranking, penalty, contrast of the two views."""
        nodes, triples = batch.nodes(self.data.num_users)
        behavior, side = self.views(nodes)
        rows = triples.rows(behavior + side, behavior + side)
        terms = {"bpr": losses.bpr(*rows), "l2": self.settings.decay * losses.l2(*rows)}
        if len(self.content):
            contrast = [
                contrastive.info_nce(embedding(some, side), embedding(some, behavior), self.settings.temperature)
                for some in triples.distinct()
            ]
            terms["contrast"] = self.settings.contrast_weight * sum(contrast)
        return terms


def chosen(rows: Tensor, nodes: Tensor | None) -> Tensor:
    """Those of ``nodes``; None: all."""
    return rows if nodes is None else embedding(nodes, rows)
