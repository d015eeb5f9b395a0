"""DMRL: split everything into factors, and let each factor of a user decide which modality counts.

Liu, Chen, Cheng, Liu, Nie and Kankanhalli. Disentangled Multimodal Representation Learning for Recommendation. IEEE Transactions on
Multimedia 2022. https://arxiv.org/abs/2203.05406

``y_m = norm(LReLU(W_m x_m + b))``; users, items and all ``y_m`` are cut into K factors. Per factor
``a_k = softmax(G tanh(H norm([u_k | i_k | y_m,k ..]) + b))`` over the log and the modalities, and the score is
``sum_k (a_k0 sp(u_k . i_k) + sum_m a_km sp(u_k . y_m,k))``, sp = softplus. The chosen item beats the hardest of some others; the factors of
each kind of vector are made independent by their distance correlation.

Cell: Interaction: fine-grained attention. Enhancement: disentangled representation. Optimization: end-to-end.
Related: MARIO attends for every pair without factors; MacridVAE has factors of the log alone.
Differs from the paper: no dropout; the hardest of the batch's own negatives and those of some rows before; features are centered and scaled to
unit length; attention skips a modality that the item lacks; the correlation is measured on at most 256 rows of a batch.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, leaky_relu, normalize, softplus

from mllm_rec.data.dataset import Dataset
from mllm_rec.enhancement import disentangled
from mllm_rec.interaction import fusion
from mllm_rec.optimization import losses
from mllm_rec.recommender import Batch, TopN, products, table


class DMRL(TopN):
    multimodal = True
    cold_items = False
    product = False

    @dataclass(frozen=True)
    class Settings:
        dim: int = 64  #: width of user, item and modality vectors
        factors: int = 4  #: that all of them are cut into (K)
        candidates: int = 4  #: items that the hardest is chosen from
        independence_weight: float = 1e-3  #: weight of the factors' distance correlations (lambda_c)
        decay: float = 1e-3  #: weight of the squared length of the batch's own vectors (lambda_r)

    settings: Settings

    def __init__(self, data: Dataset, settings: Settings | None = None):
        super().__init__(data, settings)
        dim, parts = self.settings.dim, 1 + len(self.content)
        self.users, self.items = table(data.num_users, dim), table(data.num_items, dim)
        self.projections = fusion.projections(self.content.widths, dim, bias=True)
        if parts > 1:
            self.hidden = nn.Linear((parts + 1) * dim // self.settings.factors, parts)
            self.gate = nn.Linear(parts, parts, bias=False)

    def represent(self) -> tuple[Tensor, Tensor]:
        """Users; items, and beside them what each modality says."""
        modal = [normalize(leaky_relu(self.projections[name](x)), dim=1) * self.present[name][:, None] for name, x in self.content.items()]
        return self.users, torch.cat([self.items, *modal], 1)

    def as_user(self, items: Tensor) -> Tensor:
        """The log's part."""
        return items[:, : self.settings.dim]

    def match(self, user: Tensor, items: Tensor) -> Tensor:
        """The sum over factors."""
        parts = items.split(self.settings.dim, -1)
        known = torch.stack([torch.ones_like(parts[0][..., 0], dtype=torch.bool), *(part.any(-1) for part in parts[1:])], -1)
        total = None
        for factor in range(self.settings.factors):
            u, *rest = (part.chunk(self.settings.factors, -1)[factor] for part in (user, *parts))
            agreed = torch.stack([softplus(products(u, part)) for part in rest], -1)
            if len(rest) > 1:
                agreed = agreed * fusion.known_softmax(self.gate(self.asked(u, torch.cat(rest, -1))), known, -1)
            total = agreed.sum(-1) if total is None else total + agreed.sum(-1)
        return total  # type: ignore[return-value]

    def asked(self, user: Tensor, rest: Tensor) -> Tensor:
        """``tanh(H norm([u_k | i_k | ..]) + b)`` of every pair, ``(batch, items, parts)``; the map is applied to both sides apart."""
        of_user, of_rest = self.hidden.weight.split([user.shape[-1], rest.shape[-1]], 1)
        length = (user.pow(2).sum(-1)[:, None] + rest.pow(2).sum(-1)).clamp(min=1e-24).sqrt()
        return (((user @ of_user.T)[:, None] + rest @ of_rest.T) / length[..., None] + self.hidden.bias).tanh()

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Ranking against the hardest, independence of factors, penalty."""
        users, items = self.represent()
        compared = torch.cat([batch.positives[None], batch.candidates(self.settings.candidates)])
        rows = embedding(compared.T, items)
        score = self.match(embedding(batch.users, users), rows)
        own = batch.rows(self.users, self.items)
        kinds = own[0], *rows[:, 0].split(self.settings.dim, 1)
        dependence = sum(disentangled.pairwise_distance_correlation(kind.chunk(self.settings.factors, 1)) for kind in kinds)
        return {
            "ranking": losses.ranking(score[:, 0], score[:, 1:].amax(1)),
            "independence": self.settings.independence_weight * dependence,
            "l2": self.settings.decay * losses.l2(*own),
        }
