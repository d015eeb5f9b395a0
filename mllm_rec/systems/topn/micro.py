"""MICRO: keep each modality's learned item graph apart, and contrast what they say with their fusion.

Zhang, Zhu, Liu, Zhang, Wu and Wang. Latent Structure Mining with Contrastive Modality Fusion for Multimedia Recommendation.
IEEE TKDE 2022. https://arxiv.org/abs/2111.00678

Item graphs ``A_m`` as in LATTICE; ``h_m = A_m e``; fused by ``a_m = softmax_m(q . tanh(W h_m + b))``, ``h = sum_m a_m h_m``. Each ``h_m``
is drawn to ``h`` of the same item and away from both views of the others (GRACE). An item is LightGCN's vector plus ``h / |h|``.

Cell: Interaction: item-item graph. Enhancement: contrastive learning. Optimization: end-to-end.
Related: LATTICE sums the graphs with one weight each; MGCN purifies before it propagates.
Differs from the paper: the contrast is among the distinct items of a batch instead of all items in chunks; links and weights as in our
LATTICE.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import embedding, normalize

from mllm_rec.data.dataset import Dataset
from mllm_rec.enhancement import contrastive
from mllm_rec.interaction import bridge, fusion
from mllm_rec.optimization import losses
from mllm_rec.recommender import Batch, TopN, table


class MICRO(TopN):
    multimodal = True

    @dataclass(frozen=True)
    class Settings:
        dim: int = 64  #: width of user and item vectors, and of projected features
        layers: int = 2  #: hops over the user-item graph
        neighbors: int = 10  #: links per item and modality, the item itself among them (k)
        frozen_share: float = 0.9  #: share of the links that features give as they are (lambda)
        temperature: float = 0.5  #: of the contrast (tau)
        contrast_weight: float = 0.03  #: weight of the contrast (beta)
        decay: float = 1e-5  #: weight of the squared length of the batch's own vectors

    settings: Settings

    def __init__(self, data: Dataset, settings: Settings | None = None):
        super().__init__(data, settings)
        dim, neighbors, share = self.settings.dim, self.settings.neighbors, self.settings.frozen_share
        self.users, self.items = table(data.num_users, dim), table(data.num_items, dim)
        self.graphs = bridge.learned_item_graphs(self.features, self.present, self.content.widths, dim, neighbors, share)
        if len(self.content):
            self.attention = fusion.ModalityAttention(dim)
        self.graph = bridge.user_item_graph(data.edges, data.shape)
        self.rebuild()

    def rebuild(self) -> None:
        """Find anew whom the learned part links."""
        for name, graph in self.graphs.items():
            graph.rebuild(self.content[name])

    def near(self) -> tuple[dict[str, Tensor], Tensor]:
        """What items get by each modality's links, ``(num_items, dim)``, and the fusion of all."""
        modal = {name: graph(self.content[name], self.items) * self.present[name][:, None] for name, graph in self.graphs.items()}
        return modal, self.attention(torch.stack(list(modal.values()))) if modal else torch.zeros_like(self.items)

    def joined(self, fused: Tensor) -> tuple[Tensor, Tensor]:
        """LightGCN, and the item links."""
        users, items = bridge.light_convolution(self.graph, self.users, self.items, self.settings.layers)
        return users, items + normalize(fused, dim=1)

    def represent(self) -> tuple[Tensor, Tensor]:
        """LightGCN, and the item links of all modalities, fused."""
        return self.joined(self.near()[1])

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Ranking, penalty, contrast of each modality with the fusion."""
        modal, fused = self.near()
        terms = {
            "bpr": losses.bpr(*batch.rows(*self.joined(fused))),
            "l2": self.settings.decay * losses.l2(*batch.rows(self.users, self.items)),
        }
        _, items = batch.distinct()
        contrast = []
        for name, h in modal.items():
            known = items[self.present[name][items]]
            contrast.append(self.both_views(embedding(known, h), embedding(known, fused)))
        if contrast:
            terms["contrast"] = self.settings.contrast_weight * sum(contrast)
        return terms

    def both_views(self, a: Tensor, b: Tensor) -> Tensor:
        """Contrast whose denominators hold the other items of both views, from either side."""
        t = self.settings.temperature
        one = contrastive.info_nce(a, b, t, contrastive.within(a, t))
        return (one + contrastive.info_nce(b, a, t, contrastive.within(b, t))) / 2
