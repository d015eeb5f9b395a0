"""MMGCL: tell a user's item from others in views that lack links or modalities.

Yi, Wang, Ounis and Macdonald. Multi-modal Graph Contrastive Learning for Micro-video Recommendation. SIGIR 2022.
https://doi.org/10.1145/3477495.3532027

IDs and projected features travel over the user-item graph in channels that share the users; ``u = W_u [.|.]`` and
``i = W_i [.|.]`` join them. Two views: all channels with a few links dropped (modality edge dropout), and one modality alone on a
graph with other links dropped (modality masking). In each, a user and an item they chose are told from the batch's other
items and from a challenging negative, the same item with one modality swapped for that of an item not chosen.

Cell: Interaction: user-item graph. Enhancement: contrastive learning. Optimization: end-to-end.
Related: LightGCN is the ID channel alone; MICRO contrasts modalities of one item, BM3 needs no negatives.
Differs from the paper: views are drawn once an epoch; the masked modality is the one that is swapped, each with the same chance; features
are centered and scaled to unit length.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity

from mllm_rec.data.dataset import Dataset
from mllm_rec.enhancement import contrastive
from mllm_rec.interaction import bridge, filtration, fusion
from mllm_rec.optimization import losses
from mllm_rec.recommender import Batch, TopN, table


class MMGCL(TopN):
    multimodal = True

    @dataclass(frozen=True)
    class Settings:
        dim: int = 64  #: width of user and item vectors, and of each channel
        layers: int = 3  #: hops
        drop: float = 0.05  #: share of links left out of a view
        temperature: float = 0.2  #: of the contrast (tau)
        contrast_weight: float = 0.4  #: weight of the contrast (alpha)
        decay: float = 1e-4  #: weight of the squared length of the batch's own vectors

    settings: Settings

    def __init__(self, data: Dataset, settings: Settings | None = None):
        super().__init__(data, settings)
        dim = self.settings.dim
        self.users, self.items = table(data.num_users, dim), table(data.num_items, dim)
        self.projections = fusion.projections(self.content.widths, dim)
        wide = dim * (1 + len(self.content))
        self.user_mix, self.item_mix = nn.Linear(wide, dim, bias=False), nn.Linear(wide, dim, bias=False)
        self.graph = self.first_graph = self.second_graph = bridge.user_item_graph(data.edges, data.shape)
        self.masked = next(iter(self.content), None)

    def begin_epoch(self, generator: torch.Generator) -> None:
        """Draw both views' links, and the modality that stands alone in the second."""
        if self.masked is None:
            return
        self.first_graph, self.second_graph = (
            bridge.user_item_graph(filtration.drop_links(self.data.edges, self.settings.drop, generator), self.data.shape).to(
                self.users.device
            )
            for _ in range(2)
        )
        self.masked = list(self.content)[int(torch.randint(len(self.content), (), generator=generator))]

    def channels(self, graph: bridge.Graph, alone: str | None = None) -> tuple[Tensor, Tensor]:
        """Users and items ``(n, channels * dim)``, IDs first; ``alone``: only this modality's channel isn't zero."""
        starts = {"": self.items, **{name: self.projections[name](x) for name, x in self.content.items()}}
        kept = torch.cat([start for name, start in starts.items() if alone in (None, name)], 1)
        users = self.users.repeat(1, kept.shape[1] // self.settings.dim)
        reached = bridge.light_convolution(graph, users, kept, self.settings.layers)
        if alone is None:
            return reached
        before = list(starts).index(alone) * self.settings.dim
        after = len(starts) * self.settings.dim - before - self.settings.dim
        users, items = (nn.functional.pad(part, (before, after)) for part in reached)
        return users, items

    def represent(self) -> tuple[Tensor, Tensor]:
        """All channels over the whole graph, joined."""
        users, items = self.channels(self.graph)
        return self.user_mix(users), self.item_mix(items)

    def contrast(self, batch: Batch, users: Tensor, items: Tensor) -> Tensor:
        """A scalar: users and what they chose, in one view's channels."""
        user, positive, negative = batch.rows(users, items)
        place = (1 + list(self.content).index(self.masked)) * self.settings.dim
        swapped = torch.cat(
            [positive[:, :place], negative[:, place : place + self.settings.dim], positive[:, place + self.settings.dim :]], 1
        )
        anchor = self.user_mix(user)
        hard = cosine_similarity(anchor, self.item_mix(swapped), dim=1) / self.settings.temperature
        return contrastive.info_nce(anchor, self.item_mix(positive), self.settings.temperature, hard[:, None])

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Ranking, contrast in both views, penalty."""
        terms = {
            "bpr": losses.bpr(*batch.rows(*self.represent())),
            "l2": self.settings.decay * losses.l2(*batch.rows(self.users, self.items)),
        }
        if self.masked is not None:
            views = self.channels(self.first_graph), self.channels(self.second_graph, self.masked)
            terms["contrast"] = self.settings.contrast_weight * sum(self.contrast(batch, *view) for view in views)
        return terms
