"""TMFUN: the ID asks, in three steps, first the modalities, then the item graph, then the user-item graph. (reconstructed)

Zhou, Zhang, Zheng, Xu and Zhao. Attention-guided Multi-step Fusion: A Hierarchical Fusion Network for Multimodal Recommendation.
SIGIR 2023. https://arxiv.org/abs/2312.11816

``h_m = S_m W_m x_m`` on each modality's graph of items alike; ``h_I = B e`` on the graph of items that the same users chose;
``e_u, e_i`` of LightGCN. Attention of the ID over candidates c, ``a = softmax_c(Q_k e_i . c / sqrt(d))``, step by step:
``f1`` over the ``h_m``; ``f2`` over ``f1, h_I``; ``f3`` over ``f2, e_i``. The item is ``e_i + f3``. A contrast draws the modalities of one item
together.

Cell: Interaction: item-item graph, coarse-grained attention. Enhancement: contrastive learning. Optimization: end-to-end.
Related: MGCN fuses by a query that all items share; LATTICE sums graphs with one weight each.
Differs from the paper: its code was not at hand; which attention stands at each step, and the frozen feature graphs (the paper mixes frozen and learned
ones), are reconstructed.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mllm_rec.data.dataset import Dataset
from mllm_rec.enhancement import contrastive
from mllm_rec.interaction import bridge, fusion
from mllm_rec.optimization import losses
from mllm_rec.recommender import Batch, TopN, table


class TMFUN(TopN):
    multimodal = True

    @dataclass(frozen=True)
    class Settings:
        dim: int = 64  #: width of user and item vectors, and of projected features
        layers: int = 2  #: hops over the user-item graph
        neighbors: int = 10  #: links per item in each item graph
        temperature: float = 0.2  #: of the contrast (tau)
        contrast_weight: float = 0.01  #: weight of the contrast
        decay: float = 1e-4  #: weight of the squared length of the batch's own vectors

    settings: Settings

    def __init__(self, data: Dataset, settings: Settings | None = None):
        super().__init__(data, settings)
        dim, neighbors = self.settings.dim, self.settings.neighbors
        self.users, self.items = table(data.num_users, dim), table(data.num_items, dim)
        self.projections = fusion.projections(self.content.widths, dim)
        self.queries = nn.ModuleList(nn.Linear(dim, dim, bias=False) for _ in range(3))
        self.item_graphs = nn.ModuleDict(
            {name: bridge.item_item_graph(x, self.present[name], neighbors) for name, x in self.features.items()}
        )
        self.chosen_together = bridge.partner_graph(data.edges.flip(0), data.shape[::-1], neighbors)
        self.graph = bridge.user_item_graph(data.edges, data.shape)

    def modal(self) -> dict[str, Tensor]:
        """``h_m`` by modality."""
        return {name: graph(self.projections[name](self.content[name])) for name, graph in self.item_graphs.items()}

    def fused(self, modal: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Users, and items after all steps."""
        users, items = bridge.light_convolution(self.graph, self.users, self.items, self.settings.layers)
        queries = [query(items) / self.settings.dim**0.5 for query in self.queries]
        first = self.step(queries[0], *modal.values()) if modal else torch.zeros_like(items)
        second = self.step(queries[1], first, self.chosen_together(self.items))
        return users, items + self.step(queries[2], second, items)

    @staticmethod
    def step(query: Tensor, *candidates: Tensor) -> Tensor:
        """``(n, dim)``: the candidates, by their product with the query."""
        stacked = torch.stack(candidates)
        return fusion.attend((query * stacked).sum(2), stacked)

    def represent(self) -> tuple[Tensor, Tensor]:
        """Users, and items after all steps."""
        return self.fused(self.modal())

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Ranking, penalty, contrast of the modalities."""
        modal = self.modal()
        terms = {
            "bpr": losses.bpr(*batch.rows(*self.fused(modal))),
            "l2": self.settings.decay * losses.l2(*batch.rows(self.users, self.items)),
        }
        if len(modal) > 1:
            _, items = batch.distinct()
            contrast = contrastive.between_modalities(modal, self.present, items, self.settings.temperature, contrastive.info_nce)
            terms["contrast"] = self.settings.contrast_weight * contrast
        return terms
