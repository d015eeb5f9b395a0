"""GRCN: find out which links are noise, and let the IDs travel over the others.

Wei, Wang, Nie, He and Chua. Graph-Refined Convolutional Network for Multimedia Recommendation with Implicit Feedback.
ACM MM 2020. https://arxiv.org/abs/2111.02036

Per modality, ``z_i = norm(LReLU(W x_i))``, and a user's prototype is found by routing,
``p_u <- norm(p_u + sum_i softmax_i(p_u . z_i) z_i)``. Links get scores ``a^m_jv = softmax_j(z_v . z_j)`` and content
``c_m = z + sum_j a^m_jv z_j``; a link's weight is ``w_jv = ReLU(max_m a^m_jv c^m_j)`` with a learned confidence ``c^m_j`` of
each node in each modality. IDs are summed over hops of ``w``; the final vector is ``[ID | c_1 | ...]``.

Cell: Interaction: user-item graph, filtration. Enhancement: none. Optimization: end-to-end.
Related: LightGCN keeps every link, FREEDOM drops links by degree; MGAT attends without routing.
Differs from the paper: features are centered and scaled to unit length; the penalty falls on the rows of the batch.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, leaky_relu, normalize, relu

from mllm_rec.data.dataset import Dataset
from mllm_rec.interaction import bridge, fusion
from mllm_rec.optimization import losses
from mllm_rec.recommender import Batch, TopN, table


class GRCN(TopN):
    multimodal = True
    needs_features = True

    @dataclass(frozen=True)
    class Settings:
        dim: int = 64  #: width of ID and of content vectors
        layers: int = 2  #: hops of the IDs
        routing: int = 3  #: rounds in which a user's prototype is found (T)
        decay: float = 1e-3  #: weight of the squared length of the batch's IDs and preferences, and of the mean squared confidence

    settings: Settings

    def __init__(self, data: Dataset, settings: Settings | None = None):
        super().__init__(data, settings)
        dim = self.settings.dim
        self.users, self.items = table(data.num_users, dim), table(data.num_items, dim)
        self.preferences = nn.ParameterDict({name: table(data.num_users, dim) for name in self.content})
        self.projections = fusion.projections(self.content.widths, dim)
        self.confidence = nn.Parameter(torch.rand(sum(data.shape), len(self.content)))
        self.histories = bridge.Links(bridge.distinct(data.edges, data.shape), data.shape)
        self.links = bridge.Links(bridge.both_ways(data.edges, data.shape), (sum(data.shape), sum(data.shape)))

    def prototypes(self, name: str, z: Tensor) -> Tensor:
        """``(num_users, dim)``: users routed toward what they chose, of ``z`` ``(num_items, dim)``."""
        prototype = normalize(self.preferences[name], dim=1)
        for _ in range(self.settings.routing):
            share = self.histories.softmax(self.histories.dot(prototype, z))
            prototype = normalize(prototype + self.histories.sum(share, z), dim=1)
        return prototype

    def represent(self) -> tuple[Tensor, Tensor]:
        """IDs over the refined graph, beside each modality's content."""
        content, strength = [], []
        for place, (name, features) in enumerate(self.content.items()):
            z = normalize(leaky_relu(self.projections[name](features)), dim=1)
            x = torch.cat([self.prototypes(name, z), z])
            share = self.links.softmax(self.links.dot(x, x))
            content.append(x + self.links.sum(share, x))
            strength.append(share * self.links.of_sources(self.confidence[:, place : place + 1]))
        weight = relu(torch.stack(strength).amax(0))
        hops = [normalize(torch.cat([self.users, self.items]), dim=1)]
        for _ in range(self.settings.layers):
            hops.append(self.links.sum(weight, hops[-1]))
        return torch.cat([sum(hops[1:], hops[0]), *content], 1).split(self.data.shape)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Ranking and penalties."""
        preferences = [embedding(batch.users, preference) for preference in self.preferences.values()]
        penalty = losses.l2(*batch.rows(self.users, self.items), *preferences)
        return {
            "bpr": losses.bpr(*batch.rows(*self.represent())),
            "l2": self.settings.decay * penalty,
            "confidence": self.settings.decay * 0.5 * self.confidence.pow(2).mean(),
        }
