"""MARIO: how much each modality counts is decided for every pair of user and item.

Kim, Lee, Shin and Kim. MARIO: Modality-Aware Attention and Modality-Preserving Decoders for Multimedia Recommendation. CIKM 2022.
https://doi.org/10.1145/3511808.3557387

``e_u, e_i`` of LightGCN, ``z_m = W_m x_m``. For user u and item i ``a_m = softmax_m((Q e_u + K e_i) . z_m / sqrt(d))``; the item is, for this
user, ``v = e_i + sum_m a_m z_m``, and the score ``e_u . v``. Decoders keep the modalities in it: ``|D_m(v) - x_m|^2`` is small.

Cell: Interaction: fine-grained attention. Enhancement: none. Optimization: end-to-end.
Related: DualGNN has weights of each user, MICRO of each item; DMRL attends within factors.
Differs from the paper: attention by products, so that all pairs are scored by matrix products (the paper's form of ``a_m`` is not at hand); an item
that lacks a modality attends to the others.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding

from mllm_rec.data.dataset import Dataset
from mllm_rec.interaction import bridge, fusion
from mllm_rec.optimization import losses
from mllm_rec.recommender import Batch, TopN, products, table


class MARIO(TopN):
    multimodal = True
    product = False

    @dataclass(frozen=True)
    class Settings:
        dim: int = 64  #: width of user and item vectors, and of projected features
        layers: int = 2  #: hops over the user-item graph
        content_weight: float = 0.1  #: weight of each modality's decoder (lambda)
        decay: float = 1e-4  #: weight of the squared length of the batch's own vectors

    settings: Settings

    def __init__(self, data: Dataset, settings: Settings | None = None):
        super().__init__(data, settings)
        dim = self.settings.dim
        self.users, self.items = table(data.num_users, dim), table(data.num_items, dim)
        self.projections = fusion.projections(self.content.widths, dim)
        if len(self.content):
            self.user_query, self.item_query = nn.Linear(dim, dim, bias=False), nn.Linear(dim, dim, bias=False)
        self.decoders = nn.ModuleDict({name: nn.Linear(dim, width, bias=False) for name, width in self.content.widths.items()})
        self.graph = bridge.user_item_graph(data.edges, data.shape)

    def represent(self) -> tuple[Tensor, Tensor]:
        """Users; items, and beside them what each modality says."""
        users, items = bridge.light_convolution(self.graph, self.users, self.items, self.settings.layers)
        return users, torch.cat([items, *(self.projections[name](x) for name, x in self.content.items())], 1)

    def as_user(self, items: Tensor) -> Tensor:
        """LightGCN's part."""
        return items[:, : self.settings.dim]

    def match(self, user: Tensor, items: Tensor) -> Tensor:
        """``e_u . (e_i + sum_m a_m z_m)``."""
        ids, *modal = items.split(self.settings.dim, -1)
        score = products(user, ids)
        if modal:
            share = self.shares(user, ids, modal)
            score = score + sum(a * products(user, z) for a, z in zip(share, modal, strict=True))
        return score

    def shares(self, user: Tensor, ids: Tensor, modal: list[Tensor]) -> Tensor:
        """``(modalities, batch, items)`` attention of each pair."""
        asked, own = self.user_query(user), self.item_query(ids)
        logits = torch.stack([products(asked, z) + (own * z).sum(-1) for z in modal]) / self.settings.dim**0.5
        return fusion.known_softmax(logits, torch.stack([z.any(-1).expand(logits.shape[1:]) for z in modal]), 0)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Ranking, penalty, and each modality rebuilt from the item as the user sees it."""
        user, positive, negative = batch.rows(*self.represent())
        score = self.match(user, torch.stack([positive, negative], 1))
        terms = {
            "bpr": losses.ranking(score[:, 0], score[:, 1]),
            "l2": self.settings.decay * losses.l2(*batch.rows(self.users, self.items)),
        }
        ids, *modal = positive[:, None].split(self.settings.dim, -1)
        if modal:
            seen = ids + sum(a[..., None] * z for a, z in zip(self.shares(user, ids, modal), modal, strict=True))
        for name, x in self.content.items():
            missed = (self.decoders[name](seen[:, 0]) - embedding(batch.positives, x)).pow(2).mean(1)
            terms[name] = self.settings.content_weight * losses.mean_where(missed, self.present[name][batch.positives])
        return terms
