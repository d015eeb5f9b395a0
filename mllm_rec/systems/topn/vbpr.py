"""VBPR: matrix factorization with a second set of factors for what an item looks like.

He and McAuley. VBPR: Visual Bayesian Personalized Ranking from Implicit Feedback. AAAI 2016.
https://arxiv.org/abs/1510.01784

The score is ``b_i + gamma_u . gamma_i + sum over modalities of (theta_u . E f_i + b' . f_i)``: an item's bias and
factors from the log, its features projected into a space of taste, and a bias for what everyone likes to see.
An item nobody chose yet is ranked by its features alone.

Cell: Interaction: other fusion. Enhancement: none. Optimization: end-to-end.
Related: BPR is VBPR without features.
Differs from the paper: any number of modalities, each with its own factors and projection; features are centered and
scaled to unit length; Adam on batches; the user bias and the constant are left out, as they change no ranking.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding

from mllm_rec.data.dataset import Dataset
from mllm_rec.optimization import losses
from mllm_rec.recommender import Batch, TopN, table


class VBPR(TopN):
    multimodal = True

    @dataclass(frozen=True)
    class Settings:
        dim: int = 64  #: width of the factors from the log (K)
        content_dim: int = 64  #: width of the factors of each modality (D)
        decay: float = 1e-2  #: weight of the squared length of the batch's factors and item biases (lambda_Theta)
        projection_decay: float = 1e-2  #: weight of the squared projections and modality biases (lambda_E)

    settings: Settings

    def __init__(self, data: Dataset, settings: Settings | None = None):
        super().__init__(data, settings)
        dim, content_dim = self.settings.dim, self.settings.content_dim
        self.users = table(data.num_users, dim + content_dim * len(data.features))
        self.items = table(data.num_items, dim)
        self.biases = nn.Parameter(torch.zeros(data.num_items))
        self.projections = nn.ParameterDict(
            {name: nn.init.xavier_normal_(torch.empty(width, content_dim)) for name, width in self.content.widths.items()}
        )
        self.content_biases = nn.ParameterDict({name: torch.zeros(width) for name, width in self.content.widths.items()})

    def represent(self) -> tuple[Tensor, Tensor]:
        """Factors from the log beside those of each modality."""
        return self.users, torch.cat([self.items, *(x @ self.projections[name] for name, x in self.content.items())], 1)

    def item_bias(self) -> Tensor:
        """Bias from the log and from each modality."""
        return sum((x @ self.content_biases[name] for name, x in self.content.items()), self.biases)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Ranking and penalties."""
        chosen = torch.cat([batch.positives, batch.negatives])
        user, item, bias = embedding(batch.users, self.users), embedding(chosen, self.items), embedding(chosen, self.biases[:, None])
        with self.content.only(chosen):
            looks = {name: embedding(chosen, x) for name, x in self.content.items()}
        liked = bias + sum(x @ self.content_biases[name][:, None] for name, x in looks.items())
        vectors = torch.cat([item, *(x @ self.projections[name] for name, x in looks.items()), liked], 1)
        projections = sum(0.5 * tensor.pow(2).sum() for tensor in (*self.projections.values(), *self.content_biases.values()))
        return {
            "bpr": losses.bpr(torch.cat([user, torch.ones_like(user[:, :1])], 1), *vectors.chunk(2)),
            "l2": self.settings.decay * losses.l2(user, *item.chunk(2), *bias.chunk(2)),
            "projections": torch.as_tensor(self.settings.projection_decay * projections),
        }
