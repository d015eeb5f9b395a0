"""BM3: draw a user, their item and its modalities together, without a single negative.

Zhou, Zhou, Liu, Zeng, Miao, Wang, You and Jiang. Bootstrap Latent Representations for Multi-modal Recommendation. WWW 2023.
https://arxiv.org/abs/2207.05969

``U, I`` are LightGCN's vectors, ``I`` plus the item's own; ``h_m = W_m x_m``; one linear predictor ``f``. Targets are dropped-out
copies that get no gradient, ``u' = drop(sg(U))``, ``i' = drop(sg(I))``, ``h' = drop(sg(h_m))``. Minimized are
``1 - cos(f(U), i')``, ``1 - cos(f(I), u')``, and by modality ``1 - cos(f(h_m), i')`` (alignment) and
``1 - cos(f(h_m), h')`` (masking). The score is ``f(U) . f(I)``.

Cell: Interaction: user-item graph, other fusion. Enhancement: contrastive learning. Optimization: end-to-end.
Related: LightGCN ranks against negatives; MMGCL contrasts with them. Features shape the training and take no part in the score.
Differs from the paper: the penalty is squared, on the rows of the batch; features are centered and scaled to unit length; an item without
a modality has no terms of it.
"""

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.functional import dropout, embedding

from mllm_rec.data.dataset import Dataset
from mllm_rec.enhancement.contrastive import apart
from mllm_rec.interaction import bridge, fusion
from mllm_rec.optimization import losses
from mllm_rec.recommender import Batch, TopN, table


class BM3(TopN):
    multimodal = True
    serves_content = False
    cold_items = False

    @dataclass(frozen=True)
    class Settings:
        dim: int = 64  #: width of user and item vectors
        layers: int = 1  #: hops over the user-item graph
        drop: float = 0.3  #: share of a target's entries left out
        content_weight: float = 2.0  #: weight of the modalities' terms
        decay: float = 0.01  #: weight of the squared length of the batch's vectors (lambda)

    settings: Settings

    def __init__(self, data: Dataset, settings: Settings | None = None):
        super().__init__(data, settings)
        dim = self.settings.dim
        self.users, self.items = table(data.num_users, dim), table(data.num_items, dim)
        self.projections = fusion.projections(self.content.widths, dim, bias=True)
        self.predictor = nn.Linear(dim, dim)
        self.graph = bridge.user_item_graph(data.edges, data.shape)

    def online(self) -> tuple[Tensor, Tensor]:
        """``U`` and ``I``."""
        users, items = bridge.light_convolution(self.graph, self.users, self.items, self.settings.layers)
        return users, items + self.items

    def represent(self) -> tuple[Tensor, Tensor]:
        """What is predicted of both."""
        users, items = self.online()
        return self.predictor(users), self.predictor(items)

    def target(self, rows: Tensor) -> Tensor:
        """A copy without gradient, some entries left out."""
        return dropout(rows.detach(), self.settings.drop)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Reconstruction from both sides, alignment and masking by modality, penalty."""
        users, items = self.online()
        user, item = embedding(batch.users, users), embedding(batch.positives, items)
        user_target, item_target = self.target(user), self.target(item)
        terms = {
            "user": apart(self.predictor(user), item_target).mean(),
            "item": apart(self.predictor(item), user_target).mean(),
            "l2": self.settings.decay * losses.l2(user, item),
        }
        with self.content.only(batch.positives):
            for name, x in self.content.items():
                (h,) = fusion.project_rows(self.projections[name], x, batch.positives)
                predicted = self.predictor(h)
                term = apart(predicted, item_target) + apart(predicted, self.target(h))
                terms[name] = self.settings.content_weight * losses.mean_where(term, self.present[name][batch.positives])
        return terms
