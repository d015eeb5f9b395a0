"""Parts of a representation that say different things."""

from collections.abc import Sequence
from itertools import combinations

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, normalize

from mllm_rec.interaction.bridge import Links, history_links
from mllm_rec.interaction.fusion import products

#: Rows that a distance correlation is measured on, because it takes all their pairs.
SAMPLE = 256


def distance_correlation(x: Tensor, y: Tensor) -> Tensor:
    """Distance correlation of two samples, in [0, 1]; zero for independent ones; a scalar.

    Args:
        x, y: ``(n, width)``, row by row of the same things.

    Source:
        Szekely, Rizzo and Bakirov. Measuring and testing dependence by correlation of distances. Annals of Statistics 2007, eq. 2.8-2.10.
    """
    return pairwise_distance_correlation([x, y])


def pairwise_distance_correlation(parts: Sequence[Tensor]) -> Tensor:
    """Sum of ``distance_correlation`` over all pairs of parts; each part's distances are computed once, on the first ``SAMPLE`` rows: let them be in random order."""
    centered = [_centered_distances(part[:SAMPLE]) for part in parts]
    spread = [matrix.pow(2).mean().clamp(min=1e-16).sqrt() for matrix in centered]
    total = parts[0].new_zeros(())
    for (a, of_a), (b, of_b) in combinations(zip(centered, spread, strict=True), 2):
        shared = (a * b).mean().clamp(min=1e-16)
        total = total + (shared / (of_a * of_b)).sqrt()
    return total


def _centered_distances(x: Tensor) -> Tensor:
    """Distances between rows, less the means of both rows, plus the mean of all."""
    squared = x.pow(2).sum(1)
    distance = (squared[:, None] + squared - 2 * x @ x.T).clamp(min=1e-8).sqrt()
    return distance - distance.mean(0) - distance.mean(1, keepdim=True) + distance.mean()


class MacroMicro(nn.Module):
    """The autoencoder of users over items and their prototypes: which prototype an item goes by, and a taste for each.

    Args:
        items: ``(num_items, dim)``, to begin with.
        prototypes: ``(factors, dim)``, to begin with.
        hidden: width of the encoder's layer.
        drop: share of a history left out at random while training.
        temperature: of both cosines (tau).
        noise: scale of the tastes' noise while training (sigma_0).
        kl_weight: weight of the divergence in the end (beta).
        anneal_steps: calls of ``loss`` until it is reached.

    Source:
        Ma et al. Learning Disentangled Representations for Recommendation. NeurIPS 2019, sec. 3.
    """

    steps: Tensor

    def __init__(
        self,
        items: Tensor,
        prototypes: Tensor,
        hidden: int,
        drop: float,
        temperature: float,
        noise: float,
        kl_weight: float,
        anneal_steps: int,
    ):
        super().__init__()
        self.drop, self.temperature, self.noise = drop, temperature, noise
        self.kl_weight, self.anneal_steps = kl_weight, anneal_steps
        self.items, self.prototypes = nn.Parameter(items), nn.Parameter(prototypes)
        self.first = nn.Linear(items.shape[0], hidden)
        self.second = nn.Linear(hidden, 2 * items.shape[1])
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def represent(self, user_items: Tensor) -> tuple[Tensor, Tensor]:
        """Tastes of all users, factor by factor, ``(num_users, factors * dim)``, and items; ``user_items`` are histories (CSR)."""
        everyone = history_links(user_items, torch.arange(user_items.shape[0], device=self.items.device))
        return self.tastes(everyone, self.assignment(self.items))[0].flatten(1), self.items

    def assignment(self, items: Tensor) -> Tensor:
        """``(.., factors)``: shares of each item, of ``items`` ``(.., dim)``."""
        return (normalize(items, dim=-1) @ normalize(self.prototypes, dim=1).T / self.temperature).softmax(-1)

    def tastes(self, rows: Links, share: Tensor, drop: float = 0.0) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of each user's taste by factor, ``(users, factors, dim)`` each.

        Args:
            rows: from items to the users of whose histories they are.
            share: of ``assignment``.
            drop: share of the entries left out at random.
        """
        weights, found = self.first.weight.T.contiguous(), []
        for part in share.T:
            entry = rows.of_sources(part[:, None])
            length = rows.sum(entry.pow(2), torch.ones_like(part[:, None])).clamp(min=1e-24).sqrt()
            entry = dropout(entry / rows.of_targets(length), drop, drop > 0)
            found.append(self.second((rows.sum(entry, weights) + self.first.bias).tanh()))
        mean, log_variance = torch.stack(found, 1).chunk(2, dim=2)
        return normalize(mean, dim=2), -log_variance

    def match(self, user: Tensor, items: Tensor) -> Tensor:
        """``ln sum_k c_ik exp(z_k . h_i / tau)``, ``(users, num_items)``.

        Args:
            user: ``(users, factors * dim)``, tastes.
            items: ``(num_items, dim)``, or ``(users, num_items, dim)``, of each user's own.
        """
        unit, share = normalize(items, dim=-1), self.assignment(items)
        found = [
            products(taste, unit) / self.temperature + share[..., factor].log()
            for factor, taste in enumerate(user.chunk(len(self.prototypes), 1))
        ]
        return torch.stack(found).logsumexp(0) if len(found) > 1 else found[0]

    def as_user(self, items: Tensor) -> Tensor:
        """``(n, factors * dim)``: items ``(n, dim)`` as the taste for every prototype."""
        return normalize(items, dim=1).repeat(1, len(self.prototypes))

    def loss(self, user_items: Tensor, users: Tensor) -> dict[str, Tensor]:
        """How badly histories are rebuilt, and how far the spread of tastes is from the prior's, by user.

        Args:
            user_items: ``(num_users, num_items)`` histories (CSR).
            users: ``(n,)`` int64, whose; each once.
        """
        rows = history_links(user_items, users)
        kl_weight = self.kl_weight * min(1.0, float(self.steps) / self.anneal_steps)
        self.steps += 1
        mean, log_variance = self.tastes(rows, self.assignment(self.items), self.drop)
        tastes = mean + self.noise * torch.randn_like(mean) * (0.5 * log_variance).exp()
        logits = self.match(tastes.flatten(1), self.items)
        chosen = logits[rows.targets, rows.sources].sum()
        missed = (rows.degrees() * logits.logsumexp(1)).sum() - chosen
        return {
            "reconstruction": missed / rows.shape[0],
            "kl": kl_weight * divergence(log_variance).sum(1).mean(),
        }


def divergence(log_variance: Tensor) -> Tensor:
    """Divergence of the spread from that of the prior, summed over the last axis: ``(e^lv - lv - 1) / 2``.

    The means lie on the unit sphere and are not drawn toward zero.
    """
    return 0.5 * (log_variance.exp() - log_variance - 1).sum(-1)
