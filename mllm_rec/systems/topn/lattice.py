"""LATTICE: learn which items are alike, and let their IDs travel over those links.

Zhang, Zhu, Liu, Wu, Wang and Wang. Mining Latent Structures for Multimedia Recommendation. ACM MM 2021.
https://arxiv.org/abs/2104.09036

Per modality ``A_m = lambda S(x_m) + (1 - lambda) S(W_m x_m + b)``, where ``S`` links the k nearest by cosine, normalized by both sums; the
second is learned. ``A = sum_m softmax(w)_m A_m``, ``h = A e``, and an item is its vector of any collaborative filter, here LightGCN,
plus ``h / |h|``.

Cell: Interaction: item-item graph. Enhancement: none. Optimization: end-to-end.
Related: FREEDOM freezes the item graph; MICRO keeps the modalities' graphs apart and contrasts them.
Differs from the paper: whom the learned part links is found once an epoch, how much each link weighs follows the projection at every
step (the released code lets it follow at the first step of an epoch); no matrix of items by items is held.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from mllm_rec.data.dataset import Dataset
from mllm_rec.interaction import bridge
from mllm_rec.optimization import losses
from mllm_rec.recommender import Batch, TopN, table


class LATTICE(TopN):
    multimodal = True

    @dataclass(frozen=True)
    class Settings:
        dim: int = 64  #: width of user and item vectors, and of projected features
        layers: int = 2  #: hops over the user-item graph
        neighbors: int = 10  #: links per item and modality, the item itself among them (k)
        frozen_share: float = 0.9  #: share of the links that features give as they are (lambda)
        decay: float = 1e-5  #: weight of the squared length of the batch's own vectors

    settings: Settings

    def __init__(self, data: Dataset, settings: Settings | None = None):
        super().__init__(data, settings)
        dim, neighbors, share = self.settings.dim, self.settings.neighbors, self.settings.frozen_share
        self.users, self.items = table(data.num_users, dim), table(data.num_items, dim)
        self.graphs = bridge.learned_item_graphs(self.features, self.present, self.content.widths, dim, neighbors, share)
        self.weights = nn.Parameter(torch.zeros(len(self.content)))
        self.graph = bridge.user_item_graph(data.edges, data.shape)
        self.rebuild()

    def rebuild(self) -> None:
        """Find anew whom the learned part links."""
        for name, graph in self.graphs.items():
            graph.rebuild(self.content[name])

    def represent(self) -> tuple[Tensor, Tensor]:
        """LightGCN, and the item links of all modalities."""
        users, items = bridge.light_convolution(self.graph, self.users, self.items, self.settings.layers)
        near = torch.zeros_like(items)
        for share, (name, graph) in zip(self.weights.softmax(0), self.graphs.items(), strict=True):
            near = near + share * graph(self.content[name], self.items) * self.present[name][:, None]
        return users, items + normalize(near, dim=1)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Ranking and penalty."""
        penalty = losses.l2(*batch.rows(self.users, self.items))
        return {"bpr": losses.bpr(*batch.rows(*self.represent())), "l2": self.settings.decay * penalty}
