"""DualGNN: how much each modality matters to a user, smoothed over users alike.

Wang, Wei, Yin, Wu, Song and Nie. DualGNN: Dual Graph Neural Network for Multimedia Recommendation.
IEEE Transactions on Multimedia 2021. https://doi.org/10.1109/TMM.2021.3138298

Per modality, ``x = norm([p_u^m; MLP(x_i^m)])`` and ``r^m = sum over hops l of A^l x`` on the normalized user-item graph. A user
is ``h_u = sum_m w_um r_u^m`` with free weights of their own, then takes in the users who share most items:
``h_u + sum_v softmax(counts)_uv h_v``. An item is ``sum_m r_i^m``.

Cell: Interaction: user-item graph. Enhancement: none. Optimization: end-to-end.
Related: MMGCN weighs modalities alike; MVBPR has weights of a user's own without graphs.
Differs from the paper: features are centered and scaled to unit length; the penalty falls on the rows of the batch.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, normalize

from mllm_rec.data.dataset import Dataset
from mllm_rec.interaction import bridge
from mllm_rec.optimization import losses
from mllm_rec.recommender import Batch, TopN, table


class DualGNN(TopN):
    multimodal = True
    needs_features = True

    @dataclass(frozen=True)
    class Settings:
        dim: int = 64  #: width of user and item vectors
        layers: int = 2  #: hops over the user-item graph
        neighbors: int = 40  #: users each user takes in (k)
        decay: float = 1e-3  #: weight of the squared length of the batch's preferences and modality weights

    settings: Settings

    def __init__(self, data: Dataset, settings: Settings | None = None):
        super().__init__(data, settings)
        dim = self.settings.dim
        self.preferences = nn.ParameterDict({name: table(data.num_users, dim) for name in self.content})
        self.encoders = nn.ModuleDict(
            {
                name: nn.Sequential(nn.Linear(width, 4 * dim), nn.LeakyReLU(), nn.Linear(4 * dim, dim))
                for name, width in self.content.widths.items()
            }
        )
        self.weights = nn.Parameter(torch.rand(data.num_users, len(self.content)).softmax(1))
        self.graph = bridge.user_item_graph(data.edges, data.shape)
        self.user_graph = bridge.partner_graph(data.edges, data.shape, self.settings.neighbors)

    def represent(self) -> tuple[Tensor, Tensor]:
        """Each user's own blend of the modalities, and that of users alike; items with all modalities summed."""
        users, items = [], []
        for name, features in self.content.items():
            encoded = self.encoders[name](features) * self.present[name][:, None]
            start = normalize(torch.cat([self.preferences[name], encoded]), dim=1)
            of_users, of_items = self.graph.sum_of_hops(start, self.settings.layers).split(self.data.shape)
            users.append(of_users)
            items.append(of_items)
        own = torch.einsum("um,mud->ud", self.weights, torch.stack(users))
        return own + self.user_graph(own), torch.stack(items).sum(0)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Ranking and penalty."""
        rows = [embedding(batch.users, free) for free in (*self.preferences.values(), self.weights)]
        return {"bpr": losses.bpr(*batch.rows(*self.represent())), "l2": self.settings.decay * losses.l2(*rows)}
