"""LightGCN: the average of what lies 0, 1, 2, ... hops away.

He, Deng, Wang, Li, Zhang and Wang. LightGCN: Simplifying and Powering Graph Convolution Network for Recommendation.
SIGIR 2020. https://arxiv.org/abs/2002.02126

Vectors of users and items travel over the links between them, normalized by the root of both degrees, with no weights
and no nonlinearity in between; the mean over hops is the final vector, and a product is the score.

Related: BPR is LightGCN with 0 layers; FREEDOM adds an item graph and thins the user graph.
Differs from the paper: nothing known (the penalty falls on the vectors of the batch, as in the released code).
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mllm_rec.data.dataset import Dataset
from mllm_rec.interaction import bridge
from mllm_rec.optimization import losses
from mllm_rec.recommender import Batch, TopN


class LightGCN(TopN):
    @dataclass(frozen=True)
    class Settings:
        dim: int = 64  #: width of user and item vectors
        layers: int = 3  #: hops (K)
        decay: float = 1e-4  #: weight of the squared length of the batch's own vectors (lambda)

    settings: Settings

    def __init__(self, data: Dataset, settings: Settings | None = None):
        super().__init__(data, settings)
        self.users = nn.Parameter(torch.randn(data.num_users, self.settings.dim) * 0.1)
        self.items = nn.Parameter(torch.randn(data.num_items, self.settings.dim) * 0.1)
        self.graph = bridge.user_item_graph(data.edges, data.shape)

    def represent(self) -> tuple[Tensor, Tensor]:
        """Mean over hops."""
        return bridge.light_convolution(self.graph, self.users, self.items, self.settings.layers)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Ranking, and the penalty on the vectors before propagation."""
        return {
            "bpr": losses.bpr(*batch.rows(*self.represent())),
            "l2": self.settings.decay * losses.l2(*batch.rows(self.users, self.items)),
        }
