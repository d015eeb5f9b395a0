"""PMGCRN: correct what mismatched links say instead of cutting them. (reconstructed)

Jia, Dong, Zhu, Xin and Qian. Preference-Corrected Multimodal Graph Convolutional Recommendation Network. Applied Intelligence 2022.
Entry 19 of the survey, https://arxiv.org/abs/2302.03883

A structure channel sums hops of the IDs, ``sum_l A^l e``. A channel of each modality starts from ``x = norm([p_u^m; W_m x_i])`` and has positive
attention: link (u, i) of the normalized graph counts ``1 + cos(x_u, x_i)``, so a mismatched one fades and none is cut;
hops are summed. Self-attention over the channels of a node, ``T + softmax(Q T (K T)' / sqrt(d)) V T``, and their mean is its vector.

Cell: Interaction: filtration. Enhancement: none. Optimization: end-to-end.
Related: GRCN cuts links by confidence; MMGCN averages channels; LightGCN is the structure channel's mean.
Differs from the paper: from its abstract; the form of the positive attention and of the self-attention is reconstructed.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, normalize

from mllm_rec.data.dataset import Dataset
from mllm_rec.interaction import bridge, fusion
from mllm_rec.optimization import losses
from mllm_rec.recommender import Batch, TopN, table


class PMGCRN(TopN):
    multimodal = True

    @dataclass(frozen=True)
    class Settings:
        dim: int = 64  #: width of user and item vectors
        layers: int = 2  #: hops of each channel
        decay: float = 1e-3  #: weight of the squared length of the batch's IDs and preferences

    settings: Settings

    def __init__(self, data: Dataset, settings: Settings | None = None):
        super().__init__(data, settings)
        dim = self.settings.dim
        self.users, self.items = table(data.num_users, dim), table(data.num_items, dim)
        self.preferences = nn.ParameterDict({name: table(data.num_users, dim) for name in self.content})
        self.projections = fusion.projections(self.content.widths, dim)
        self.query, self.key, self.value = (nn.Linear(dim, dim, bias=False) for _ in range(3))
        self.graph = bridge.user_item_graph(data.edges, data.shape)
        self.links = bridge.Links(bridge.both_ways(data.edges, data.shape), (sum(data.shape), sum(data.shape)))

    def represent(self) -> tuple[Tensor, Tensor]:
        """Channels, attending to each other."""
        ids = torch.cat([self.users, self.items])
        channels = [self.graph.sum_of_hops(ids, self.settings.layers)]
        for name, features in self.content.items():
            x = normalize(torch.cat([self.preferences[name], self.projections[name](features)]), dim=1)
            weight = self.graph.matrix.values() * (1 + self.links.dot(x, x))
            hops = [x]
            for _ in range(self.settings.layers):
                hops.append(self.links.sum(weight, hops[-1]))
            channels.append(sum(hops))
        tokens = torch.stack(channels, 1)
        attention = (self.query(tokens) @ self.key(tokens).transpose(1, 2) / self.settings.dim**0.5).softmax(2)
        return (tokens + attention @ self.value(tokens)).mean(1).split(self.data.shape)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Ranking and penalty."""
        preferences = [embedding(batch.users, preference) for preference in self.preferences.values()]
        penalty = losses.l2(*batch.rows(self.users, self.items), *preferences)
        return {"bpr": losses.bpr(*batch.rows(*self.represent())), "l2": self.settings.decay * penalty}
