"""MEGCF: items meet over the things that are seen or said of them, too.

Liu, Xue, Guo, Wu, Li and Hong. MEGCF: Multimodal Entity Graph Collaborative Filtering for Personalized Recommendation.
ACM TOIS 2022. https://doi.org/10.1145/3544106

Two linear graph convolutions, one over users and items, one over users, items and entities that items have in common, start from the same
vectors. Links are normalized ``D^-1/2 A D^-a`` and the last layer alone counts. The score is ``u1 . i1 + u2 . i2``.

Cell: Interaction: filtration. Enhancement: none. Optimization: end-to-end.
Related: LightGCN is the first with a symmetric norm and all layers; MGCN links items directly.
Differs from the paper: entities are the nearest centers of a k-means over each modality's features (the paper extracts objects of pictures and words of
titles); without reviews no item is weighed by sentiment.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from mllm_rec.data.dataset import Dataset
from mllm_rec.interaction import bridge, filtration
from mllm_rec.optimization import losses
from mllm_rec.recommender import Batch, TopN, table


class MEGCF(TopN):
    multimodal = True

    @dataclass(frozen=True)
    class Settings:
        dim: int = 64  #: width of user, item and entity vectors
        layers: int = 3  #: hops of both convolutions
        entities: int = 64  #: entities of each modality
        links: int = 3  #: entities of an item in each modality
        power: float = 0.4  #: of the neighbor's degree in the norm (a)
        decay: float = 1e-3  #: weight of the squared length of the batch's own vectors

    settings: Settings

    def __init__(self, data: Dataset, settings: Settings | None = None):
        super().__init__(data, settings)
        dim, powers = self.settings.dim, (0.5, self.settings.power)
        self.users, self.items = table(data.num_users, dim), table(data.num_items, dim)
        self.links_of, self.owners = filtration.entity_links(self.features, self.present, self.settings.entities, self.settings.links)
        self.entities = table(len(self.owners), dim)
        self.user_graph = bridge.user_item_graph(data.edges, data.shape, powers)
        self.entity_graph = self.linked(self.links_of)

    def linked(self, entity_links: Tensor) -> bridge.Graph:
        """Users, items and entities, with these ``(2, n)`` links of items to entities."""
        size = sum(self.data.shape)
        offsets = torch.tensor([[self.data.num_users], [size]])
        links = torch.cat([bridge.bipartite(self.data.edges, self.data.shape), entity_links + offsets], 1)
        return bridge.normalized(links, size + len(self.owners), (0.5, self.settings.power))

    def represent(self) -> tuple[Tensor, Tensor]:
        """The last layers of both convolutions, side by side."""
        graph = self.entity_graph
        if self.content.hidden:
            kept = torch.tensor([name not in self.content.hidden for name in self.owners])
            graph = self.linked(self.links_of[:, kept[self.links_of[1]]]).to(self.users.device)
        ids = torch.cat([self.users, self.items])
        plain = bridge.propagate(self.user_graph, ids, self.settings.layers)[-1]
        by_entity = bridge.propagate(graph, torch.cat([ids, self.entities]), self.settings.layers)[-1][: len(ids)]
        return torch.cat([plain, by_entity], 1).split(self.data.shape)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Ranking by each convolution, penalty."""
        plain, by_entity = zip(*(rows.chunk(2, 1) for rows in batch.rows(*self.represent())), strict=True)
        penalty = losses.l2(*batch.rows(self.users, self.items))
        return {"bpr": losses.bpr(*plain), "entities": losses.bpr(*by_entity), "l2": self.settings.decay * penalty}
