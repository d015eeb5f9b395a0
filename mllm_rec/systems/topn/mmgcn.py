"""MMGCN: one graph of users and items for each modality.

Wei, Wang, Nie, He, Hong and Chua. MMGCN: Multi-modal Graph Convolution Network for Personalized Recommendation of
Micro-video. ACM MM 2019. https://doi.org/10.1145/3343031.3351034

Per modality m a user starts as a free preference and an item as its projected feature, ``x = norm([p_u; W^m x_i])``. A layer
averages the neighbors, ``h = LReLU(mean_j W1 x_j)``, re-enters the ID vector that all modalities share,
``x^ = LReLU(W2 x) + e_id``, and joins both, ``x <- LReLU(W3 [h | x^])``. The mean over modalities is the final vector.

Cell: Interaction: user-item graph. Enhancement: none. Optimization: end-to-end.
Related: MGAT weighs the neighbors; LightGCN has one graph of IDs and no weights.
Differs from the paper: features are centered and scaled to unit length; the IDs and preferences are trained (the released code
leaves them as drawn); the penalty falls on the rows of the batch.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, leaky_relu, normalize

from mllm_rec.data.dataset import Dataset
from mllm_rec.interaction import bridge, fusion
from mllm_rec.optimization import losses
from mllm_rec.recommender import Batch, TopN, table


class MMGCN(TopN):
    multimodal = True
    needs_features = True

    @dataclass(frozen=True)
    class Settings:
        dim: int = 64  #: width of user and item vectors
        layers: int = 2  #: hops in each modality's graph
        decay: float = 1e-3  #: weight of the squared length of the batch's IDs and preferences (lambda)

    settings: Settings

    def __init__(self, data: Dataset, settings: Settings | None = None):
        super().__init__(data, settings)
        dim = self.settings.dim
        self.users, self.items = table(data.num_users, dim), table(data.num_items, dim)
        self.preferences = nn.ParameterDict({name: table(data.num_users, dim) for name in self.content})
        self.projections = fusion.projections(self.content.widths, dim)
        self.convolutions = nn.ModuleDict(
            {name: nn.ModuleList(self._layer(dim) for _ in range(self.settings.layers)) for name in self.content}
        )
        self.mean_graph = bridge.user_item_graph(data.edges, data.shape, powers=(1, 0))

    @staticmethod
    def _layer(dim: int) -> nn.ModuleDict:
        return nn.ModuleDict({"neighbor": nn.Linear(dim, dim, bias=False), "own": nn.Linear(dim, dim), "joint": nn.Linear(2 * dim, dim)})

    def represent(self) -> tuple[Tensor, Tensor]:
        """Mean over the modalities' graphs."""
        ids = torch.cat([self.users, self.items])
        reached = []
        for name, features in self.content.items():
            x = normalize(torch.cat([self.preferences[name], self.projections[name](features)]), dim=1)
            for layer in self.convolutions[name]:
                neighbors = leaky_relu(self.mean_graph(layer["neighbor"](x)))
                x = leaky_relu(layer["joint"](torch.cat([neighbors, leaky_relu(layer["own"](x)) + ids], 1)))
            reached.append(x)
        return torch.stack(reached).mean(0).split(self.data.shape)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Ranking and penalty."""
        preferences = [embedding(batch.users, preference) for preference in self.preferences.values()]
        penalty = losses.l2(*batch.rows(self.users, self.items), *preferences)
        return {"bpr": losses.bpr(*batch.rows(*self.represent())), "l2": self.settings.decay * penalty}
