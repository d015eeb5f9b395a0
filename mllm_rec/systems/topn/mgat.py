"""MGAT: attend to neighbors through a gate that trusts well-connected nodes less.

Tao, Wei, Wang, He, Huang and Chua. MGAT: Multimodal Graph Attention Network for Recommendation.
Information Processing and Management 2020. https://doi.org/10.1016/j.ipm.2020.102277

As in MMGCN each modality has its graph, and the ID re-enters at each layer. A neighbor's score is ``s = <W1 x_v, LReLU(W1 x_j)>``,
a gate ``g = sigmoid(s / sqrt(deg_v))`` scales it, and ``h = norm(sum_j softmax_j(g s) W1 x_j + b)``; then
``x <- LReLU(W3 h + LReLU(W2 x) + e_id)``. The mean over modalities is the final vector.

Cell: Interaction: user-item graph, fine-grained attention. Enhancement: none. Optimization: end-to-end.
Related: MMGCN averages the neighbors; GRCN weighs the ID's graph by content.
Differs from the paper: features are centered and scaled to unit length; the penalty falls on the rows of the batch; all layers count
(the released code returns after the first).
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, leaky_relu, normalize

from mllm_rec.data.dataset import Dataset
from mllm_rec.interaction import bridge, fusion
from mllm_rec.optimization import losses
from mllm_rec.recommender import Batch, TopN, table


class MGAT(TopN):
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
        self.links = bridge.Links(bridge.both_ways(data.edges, data.shape), (sum(data.shape), sum(data.shape)))
        self.register_buffer("root_degree", self.links.degrees().clamp(min=1).sqrt()[:, None], persistent=False)

    @staticmethod
    def _layer(dim: int) -> nn.ModuleDict:
        layer = nn.ModuleDict({"neighbor": nn.Linear(dim, dim, bias=False), "own": nn.Linear(dim, dim), "joint": nn.Linear(dim, dim)})
        layer.register_parameter("offset", nn.Parameter(torch.zeros(dim)))
        return layer

    def attend(self, layer: nn.ModuleDict, x: Tensor) -> Tensor:
        """``(n, dim)``: what each node takes of its neighbors."""
        y = layer["neighbor"](x)
        score = self.links.dot(y, leaky_relu(y))
        gate = (score / self.links.of_targets(self.root_degree)).sigmoid()
        return normalize(self.links.sum(self.links.softmax(gate * score), y) + layer.offset, dim=1)

    def represent(self) -> tuple[Tensor, Tensor]:
        """Mean over the modalities' graphs."""
        ids = torch.cat([self.users, self.items])
        reached = []
        for name, features in self.content.items():
            x = normalize(torch.cat([self.preferences[name], self.projections[name](features)]), dim=1)
            for layer in self.convolutions[name]:
                x = leaky_relu(layer["joint"](self.attend(layer, x)) + leaky_relu(layer["own"](x)) + ids)
            reached.append(x)
        return torch.stack(reached).mean(0).split(self.data.shape)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Ranking and penalty."""
        preferences = [embedding(batch.users, preference) for preference in self.preferences.values()]
        penalty = losses.l2(*batch.rows(self.users, self.items), *preferences)
        return {"bpr": losses.bpr(*batch.rows(*self.represent())), "l2": self.settings.decay * penalty}
