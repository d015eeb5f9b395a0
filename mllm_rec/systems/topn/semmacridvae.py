"""SEMMacridVAE: MacridVAE whose items and prototypes start from what the items look like (SEM-MacridVAE).

Wang, Chen, Zhou, Ma and Zhu. Disentangled Representation Learning for Recommendation. IEEE TPAMI 2023.
https://ieeexplore.ieee.org/document/9720218

As in MacridVAE ``p_i`` is in proportion to ``sum_k c_ik exp(z_k . h_i / tau)``. Items start at the leading principal components of their
features times ``sqrt(2 / (N + d))``, prototypes at the centers of a k-means of them, so that a prototype means a kind of thing to be seen.

Cell: Interaction: other fusion. Enhancement: disentangled representation. Optimization: end-to-end.
Related: MacridVAE starts from chance.
Differs from the paper: all modalities side by side, each row at length one (the paper: pictures); sizes as in our MacridVAE.
"""

from dataclasses import dataclass

from torch import Tensor

from mllm_rec.data.dataset import Dataset
from mllm_rec.enhancement import disentangled
from mllm_rec.interaction import fusion
from mllm_rec.interaction.clusters import centers
from mllm_rec.recommender import Batch, TopN


class SEMMacridVAE(TopN):
    multimodal = True
    needs_features = True
    serves_content = False
    cold_items = False
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
        items = fusion.principal(self.features, self.present, s.dim) * (2 / (data.num_items + s.dim)) ** 0.5
        prototypes = centers(items, s.factors)
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
