"""HCGCN: users and items travel within soft clusters. (reconstructed; also called LHBPMR)

Mu, Zhuang, Tan, Xiao and Tang. Learning Hybrid Behavior Patterns for Multimedia Recommendation. ACM MM 2022.
https://doi.org/10.1145/3503161.3548119

Shared prototypes give each node shares ``q(v) = softmax_k(cos(e_v, c_k) / tau)``, kept for an epoch. A message inside cluster k counts by
both ends' shares, so over all clusters a link weighs ``A_ui q(u) . q(i)``: ``C = sum_k diag(q_k) A diag(q_k)``. Users and items are
means over hops of ``C``; an item adds the mean over its modalities' links ``S_m``,
weighed alike to sum to one. Users and items that
meet share clusters, ``-ln q(u) . q(i)``; the modalities of one item are drawn together (CLIP), and so are items of like behavior.

Cell: Interaction: item-item graph. Enhancement: contrastive learning. Optimization: end-to-end.
Related: LightGCN is one cluster without item links; FREEDOM thins links by degree instead.
Differs from the paper: code of it was not at hand; from its abstract (co-clustering, propagation within clusters, two contrasts) the formulas
are reconstructed.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, normalize

from mllm_rec.data.dataset import Dataset
from mllm_rec.enhancement import contrastive
from mllm_rec.interaction import bridge, fusion
from mllm_rec.optimization import losses
from mllm_rec.recommender import Batch, TopN, table


class HCGCN(TopN):
    multimodal = True

    @dataclass(frozen=True)
    class Settings:
        dim: int = 64  #: width of user and item vectors, of prototypes and projected features
        layers: int = 2  #: hops over the user-item graph
        neighbors: int = 10  #: links per item and modality, the item itself among them
        clusters: int = 8  #: prototypes (K)
        temperature: float = 0.2  #: of the shares and of both contrasts (tau)
        cluster_weight: float = 0.1  #: weight of the co-clustering term
        contrast_weight: float = 0.01  #: weight of both contrasts
        decay: float = 1e-4  #: weight of the squared length of the batch's own vectors

    settings: Settings

    def __init__(self, data: Dataset, settings: Settings | None = None):
        super().__init__(data, settings)
        dim = self.settings.dim
        self.users, self.items = table(data.num_users, dim), table(data.num_items, dim)
        self.projections = fusion.projections(self.content.widths, dim)
        self.prototypes = nn.Parameter(torch.randn(self.settings.clusters, dim))
        self.graph = bridge.user_item_graph(data.edges, data.shape)
        self.item_graphs = nn.ModuleDict(
            {name: bridge.item_item_graph(x, self.present[name], self.settings.neighbors) for name, x in self.features.items()}
        )
        self.register_buffer("nearest", torch.empty(0, dtype=torch.int64), persistent=False)
        self.rebuild()

    @torch.no_grad()
    def rebuild(self) -> None:
        """Assign users and items anew, and find which item behaves most like each."""
        of_users, of_items = self.shares(self.users), self.shares(self.items)
        nodes = torch.cat([of_users, of_items])
        self.cluster_graph = bridge.scaled(self.graph, nodes, nodes)
        self.item_cluster_graphs = nn.ModuleDict(
            {name: bridge.scaled(graph, of_items, of_items, rows_to_one=True) for name, graph in self.item_graphs.items()}
        )
        everything = torch.ones(self.data.num_items, dtype=torch.bool, device=self.items.device)
        self.nearest = bridge.nearest(self.represent()[1], everything, 2)[1][:, -1]

    def shares(self, nodes: Tensor) -> Tensor:
        """``(n, clusters)`` shares of nodes ``(n, dim)``."""
        return (normalize(nodes, dim=1) @ normalize(self.prototypes, dim=1).T / self.settings.temperature).softmax(1)

    def represent(self) -> tuple[Tensor, Tensor]:
        """Means over hops within clusters, and the items' own links."""
        users, items = bridge.light_convolution(self.cluster_graph, self.users, self.items, self.settings.layers)
        for name, graph in self.item_cluster_graphs.items():
            items = items + graph(self.items) * self.present[name][:, None] / len(self.content)
        return users, items

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Ranking, penalty, co-clustering, contrasts of modalities and of behavior."""
        users, items = self.represent()
        own = batch.rows(self.users, self.items)
        agreement = (self.shares(own[0]) * self.shares(own[1])).sum(1)
        _, distinct = batch.distinct()
        t, weight = self.settings.temperature, self.settings.contrast_weight
        terms = {
            "bpr": losses.bpr(*batch.rows(users, items)),
            "l2": self.settings.decay * losses.l2(*own),
            "cluster": self.settings.cluster_weight * -agreement.clamp(min=1e-12).log().mean(),
            "behavior": weight * contrastive.info_nce(embedding(distinct, items), embedding(self.nearest[distinct], items), t),
        }
        if len(self.content) > 1:
            projected = {name: project(self.content[name]) for name, project in self.projections.items()}
            terms["alignment"] = weight * contrastive.between_modalities(projected, self.present, distinct, t)
        return terms
