"""MVBPR: factors for each view of an item, weighted by each user. (reconstructed)

Zhang, Luo, Chen and Guo. Multi-view visual Bayesian personalized ranking for restaurant recommendation. Applied Intelligence 2020.
Entry 76 of the survey, https://arxiv.org/abs/2302.03883

The score is ``b_i + p_u . q_i + sum_v w_uv theta_u^v . E_v f_i^v``: beside factors from the log, each view v (there: kinds of pictures, here:
modalities) has factors of its own, and a user's weight of it.

Cell: Interaction: other fusion. Enhancement: none. Optimization: end-to-end.
Related: VBPR has no weights and a bias of content; DualGNN's weights act on graphs.
Differs from the paper: from its abstract; views are the modalities, one feature vector each; Adam on batches.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding

from mllm_rec.data.dataset import Dataset
from mllm_rec.interaction import fusion
from mllm_rec.optimization import losses
from mllm_rec.recommender import Batch, TopN, table


class MVBPR(TopN):
    multimodal = True

    @dataclass(frozen=True)
    class Settings:
        dim: int = 64  #: width of the factors from the log
        content_dim: int = 32  #: width of the factors of each view
        decay: float = 1e-2  #: weight of the squared length of the batch's factors, weights and biases (lambda)

    settings: Settings

    def __init__(self, data: Dataset, settings: Settings | None = None):
        super().__init__(data, settings)
        dim, content_dim = self.settings.dim, self.settings.content_dim
        self.users, self.items = table(data.num_users, dim), table(data.num_items, dim)
        self.biases = nn.Parameter(torch.zeros(data.num_items))
        self.tastes = nn.ParameterDict({name: table(data.num_users, content_dim) for name in self.content})
        self.projections = fusion.projections(self.content.widths, content_dim)
        self.view_weights = nn.Parameter(torch.ones(data.num_users, len(self.content)))

    def represent(self) -> tuple[Tensor, Tensor]:
        """Factors from the log beside those of each view."""
        weighted = [taste * self.view_weights[:, place : place + 1] for place, taste in enumerate(self.tastes.values())]
        projected = [self.projections[name](x) for name, x in self.content.items()]
        return torch.cat([self.users, *weighted], 1), torch.cat([self.items, *projected], 1)

    def item_bias(self) -> Tensor:
        """From the log."""
        return self.biases

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Ranking and penalty."""
        user, positive, negative = batch.rows(*self.represent())
        biases = [embedding(rows, self.biases[:, None]) for rows in (batch.positives, batch.negatives)]
        of_user = [embedding(batch.users, free) for free in (*self.tastes.values(), self.view_weights)]
        penalty = losses.l2(*batch.rows(self.users, self.items), *of_user, *biases)
        scores = [(user * item).sum(1) + bias[:, 0] for item, bias in zip((positive, negative), biases, strict=True)]
        return {"bpr": losses.ranking(*scores), "l2": self.settings.decay * penalty}
