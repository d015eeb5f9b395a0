"""MacridVAE: which prototype an item goes by, and a taste of the user for each.

Ma, Zhou, Cui, Yang and Zhu. Learning Disentangled Representations for Recommendation. NeurIPS 2019. https://arxiv.org/abs/1910.14238

Items h and K prototypes m have length one. Macro: ``c_ik = softmax_k(h_i . m_k / tau)``. Micro: of the history as prototype k sees it,
``(a, b) = f(norm(x * c_k))`` with a two-layer f that all k share, ``mu_k = a / |a|``, ``log sigma_k^2 = -b``, ``z_k = mu_k + sigma_0 eps sigma_k``.
``p_i`` is in proportion to ``sum_k c_ik exp(z_k . h_i / tau)``; minimized is ``-sum_i x_i ln p_i + beta KL``, beta rising from zero.

Cell: Interaction: other fusion. Enhancement: disentangled representation. Optimization: end-to-end.
Related: SEM-MacridVAE starts items and prototypes from what the items look like; EASE is linear and in closed form.
Differs from the paper: smaller by default (the paper tunes widths up to 250); the shares c are the softmax itself in training, too.
"""

from dataclasses import dataclass

from torch import Tensor

from mllm_rec.data.dataset import Dataset
from mllm_rec.enhancement import disentangled
from mllm_rec.recommender import Batch, TopN, table


class MacridVAE(TopN):
    by_user = True
    product = False

    @dataclass(frozen=True)
    class Settings:
        dim: int = 64  #: width of items, prototypes and tastes (d)
        factors: int = 4  #: prototypes (K)
        hidden: int = 192  #: width of the encoder's layer
        drop: float = 0.5  #: share of the history left out at random
        temperature: float = 0.1  #: of cosines (tau)
        noise: float = 0.075  #: scale of the noise of tastes (sigma_0)
        kl_weight: float = 0.2  #: weight of the divergence in the end (beta)
        anneal_steps: int = 2000  #: batches until it is reached

    settings: Settings

    def __init__(self, data: Dataset, settings: Settings | None = None):
        super().__init__(data, settings)
        s = self.settings
        items, prototypes = table(data.num_items, s.dim), table(s.factors, s.dim)
        self.autoencoder = disentangled.MacroMicro(items, prototypes, s.hidden, s.drop, s.temperature, s.noise, s.kl_weight, s.anneal_steps)

    def represent(self) -> tuple[Tensor, Tensor]:
        """Tastes of users, factor by factor, and items."""
        return self.autoencoder.represent(self.data.user_items)

    def match(self, user: Tensor, items: Tensor) -> Tensor:
        """By the taste for each prototype that an item goes by."""
        return self.autoencoder.match(user, items)

    def as_user(self, items: Tensor) -> Tensor:
        """An item as the taste for every prototype."""
        return self.autoencoder.as_user(items)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Reconstruction and divergence of the batch's users."""
        return self.autoencoder.loss(self.data.user_items, batch.distinct()[0])
