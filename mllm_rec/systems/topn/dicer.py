"""DICER: a user's taste in content and their habits beyond it, kept apart on two levels. (reconstructed in part)

Zhang, Zhu, He and Caverlee. Content-Collaborative Disentanglement Representation Learning for Enhanced Recommendation. RecSys 2020.
https://doi.org/10.1145/3383313.3412239

Two encoders give ``z_f`` of the history ``x_u`` (normalized) and ``z_c`` of its content ``t_u`` (the mean of the chosen items' features), normal with mean and
log-variance ``B tanh(A . + a) + b``. The co-decoder rebuilds both: ``p = softmax(z_f . q_i + z_c . V x_i + b_i)`` and ``D z_c + d``.
Of ``z = [z_f | z_c]``, with q estimated among the users of a batch,
``L = -sum x ln p + |D z_c + d - t|^2 + beta (MI(z; u) + alpha TC(z) + KL_d(z)) + gamma MI(z_f; z_c)``.

Cell: Interaction: other fusion. Enhancement: disentangled representation. Optimization: end-to-end.
Related: MacridVAE separates kinds of items instead of content from the log; VBPR adds both without keeping them apart.
Differs from the paper: its code was not at hand; the estimators are those of Chen et al. (beta-TCVAE, NeurIPS 2018), the widths and weights ours; q is estimated
on at most 256 users of a batch.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding

from mllm_rec.data.dataset import Dataset
from mllm_rec.interaction import bridge, fusion
from mllm_rec.optimization import sampling
from mllm_rec.recommender import Batch, TopN, table

#: Users of a batch that the divergences are estimated on; their pairs are held at once.
ESTIMATED = 256


class DICER(TopN):
    multimodal = True
    needs_features = True
    by_user = True

    @dataclass(frozen=True)
    class Settings:
        dim: int = 64  #: width of each of the two tastes
        hidden: int = 192  #: width of the encoders' layers
        content_weight: float = 1.0  #: weight of the content's reconstruction
        kl_weight: float = 0.1  #: weight of the divergence's three parts (beta)
        correlation_weight: float = 2.0  #: further weight of the total correlation (alpha)
        independence_weight: float = 0.1  #: weight of the two tastes' mutual information (gamma)

    settings: Settings

    def __init__(self, data: Dataset, settings: Settings | None = None):
        super().__init__(data, settings)
        dim, hidden, width = self.settings.dim, self.settings.hidden, sum(self.content.widths.values())
        self.items, self.biases = table(data.num_items, dim), nn.Parameter(torch.zeros(data.num_items))
        self.projections = fusion.projections(self.content.widths, dim)
        self.history_weights, self.history_bias = table(data.num_items, hidden), nn.Parameter(torch.zeros(hidden))
        self.history_encoder = nn.Linear(hidden, 2 * dim)
        self.content_encoder = nn.Sequential(nn.Linear(width, hidden), nn.Tanh(), nn.Linear(hidden, 2 * dim))
        self.content_decoder = nn.Linear(dim, width)
        self.histories = bridge.history_graph(data.edges, data.shape, powers=(0.5, 0))
        self.chosen = bridge.history_graph(data.edges, data.shape, powers=(1, 0))

    def encoded(self) -> tuple[Tensor, Tensor, Tensor]:
        """Means and log-variances of both tastes, ``(num_users, 2 dim)`` each, and the content of histories, ``(num_users, width)``."""
        content = self.chosen(torch.cat([x for _, x in self.content.items()], 1))
        of_log = self.history_encoder((self.histories(self.history_weights) + self.history_bias).tanh())
        of_content = self.content_encoder(content)
        means, spreads = zip(of_log.chunk(2, 1), of_content.chunk(2, 1), strict=True)
        return torch.cat(means, 1), torch.cat(spreads, 1), content

    def represent(self) -> tuple[Tensor, Tensor]:
        """The means of both tastes; items' vectors beside their projected features."""
        seen = sum(self.projections[name](x) for name, x in self.content.items())
        return self.encoded()[0], torch.cat([self.items, seen], 1)

    def item_bias(self) -> Tensor:
        """From the log."""
        return self.biases

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Reconstruction of choices and of content, divergence, independence of the two tastes."""
        s, users = self.settings, batch.distinct()[0]
        mean, log_variance, content = (embedding(users, part) for part in self.encoded())
        z = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
        rows = bridge.history_links(self.data.user_items, users)
        logits = z @ self.represent()[1].T + self.biases
        missed = (rows.degrees() * logits.logsumexp(1)).sum() - logits[rows.targets, rows.sources].sum()
        rebuilt = (self.content_decoder(z[:, s.dim :]) - content).pow(2).sum(1).mean()
        part = sampling.sample(torch.arange(len(users), device=z.device), ESTIMATED)
        index, correlation, distance, mutual = self.divergences(z[part], mean[part], log_variance[part])
        return {
            "reconstruction": missed / len(users),
            "content": s.content_weight * rebuilt,
            "kl": s.kl_weight * (index + s.correlation_weight * correlation + distance),
            "independence": s.independence_weight * mutual,
        }

    def divergences(self, z: Tensor, mean: Tensor, log_variance: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Index-code information, total correlation, distance from the prior by dimension, and the information between both tastes."""
        pairs = log_normal(z[:, None], mean, log_variance)
        offset = math.log(len(z) * self.data.num_users)
        joint = pairs.sum(2).logsumexp(1) - offset
        each = (pairs.logsumexp(1) - offset).sum(1)
        of_log, of_content = (half.sum(2).logsumexp(1) - offset for half in pairs.chunk(2, 2))
        own = log_normal(z, mean, log_variance).sum(1)
        prior = log_normal(z, torch.zeros_like(z), torch.zeros_like(z)).sum(1)
        return (own - joint).mean(), (joint - each).mean(), (each - prior).mean(), (joint - of_log - of_content).mean()


def log_normal(z: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """Log density of a normal distribution, entry by entry."""
    return -0.5 * (math.log(2 * math.pi) + log_variance + (z - mean).pow(2) / log_variance.exp())
