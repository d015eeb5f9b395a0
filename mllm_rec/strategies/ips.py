"""IPS: interactions count by the inverse of how likely they were to be seen at all.

Saito, Yaginuma, Nishino, Sakata and Nakata. Unbiased Recommender Learning from Missing-Not-At-Random Implicit Feedback. WSDM 2020.
https://arxiv.org/abs/1909.03601 (after Schnabel et al. Recommendations as Treatments. ICML 2016. https://arxiv.org/abs/1602.05352)

The propensity of item i is ``theta_i = (n_i / max n)^eta``, of its training interactions n. The loss of an interaction is weighted by ``1 / max(theta_i, c)``, normalized by
the sum of the weights (self-normalized, clipped: less variance, little bias). Rows of a batch are drawn with chances in proportion to
the weights, with replacement; the expectation of the loss of what was drawn is the weighted mean of the rows' losses.

Related: with eta = 0 a batch is a bootstrap of itself, and the loss in expectation the unweighted one.
Differs from the paper: weights are met by drawing, so that any system takes them whatever its loss, instead of as factors in BPR alone;
negatives are not weighted.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mllm_rec.optimization.sampling import Batch
from mllm_rec.strategies.around import Around


class IPS(Around):
    """See the module."""

    @dataclass(frozen=True)
    class Settings:
        """Of the paper, but for the clip."""

        power: float = 0.5  #: of an item's relative popularity in its propensity (eta)
        clip: float = 0.05  #: propensities are at least this

    strategy: Settings

    def __init__(self, system: Any, settings: Any = None):
        super().__init__(system, settings)
        counts = self.data.item_counts.float()
        propensity = (counts / counts.max().clamp(min=1)).pow(self.strategy.power).clamp(min=self.strategy.clip)
        self.register_buffer("weights", 1 / propensity, persistent=False)

    @classmethod
    def unfit(cls, system: Any) -> str:
        """Interactions must be what is learned from."""
        return "it learns from whole histories, so that no interaction has a loss of its own" if system.by_user else ""

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The system's, of rows drawn by their weights."""
        drawn = torch.multinomial(self.weights[batch.positives], len(batch), replacement=True)
        return self.system.loss(Batch(batch.users[drawn], batch.positives[drawn], batch.negatives[drawn]))
