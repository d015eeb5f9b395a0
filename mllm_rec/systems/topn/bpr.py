"""BPR: matrix factorization that ranks what was chosen above what was not.

Rendle, Freudenthaler, Gantner and Schmidt-Thieme. BPR: Bayesian Personalized Ranking from Implicit Feedback.
UAI 2009. https://arxiv.org/abs/1205.2618

A user and an item each have a vector; the score is their product. Training compares a chosen item with one drawn from
those not chosen.

Related: LightGCN adds the neighbors of both vectors, VBPR what the item looks like.
Differs from the paper: Adam on batches instead of single steps of gradient descent; one penalty for all vectors instead of three.
"""

from dataclasses import dataclass

from torch import Tensor

from mllm_rec.data.dataset import Dataset
from mllm_rec.optimization import losses
from mllm_rec.recommender import Batch, TopN, table


class BPR(TopN):
    @dataclass(frozen=True)
    class Settings:
        dim: int = 64  #: width of user and item vectors (k)
        decay: float = 1e-2  #: weight of the squared length of the batch's vectors (lambda)

    settings: Settings

    def __init__(self, data: Dataset, settings: Settings | None = None):
        super().__init__(data, settings)
        self.users, self.items = table(data.num_users, self.settings.dim), table(data.num_items, self.settings.dim)

    def represent(self) -> tuple[Tensor, Tensor]:
        """The tables."""
        return self.users, self.items

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Ranking and penalty."""
        user, positive, negative = batch.rows(*self.represent())
        return {"bpr": losses.bpr(user, positive, negative), "l2": self.settings.decay * losses.l2(user, positive, negative)}
