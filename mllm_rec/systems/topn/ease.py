"""EASE: a linear item-to-item model with one closed-form solution.

Steck. Embarrassingly Shallow Autoencoders for Sparse Data. WWW 2019. https://arxiv.org/abs/1905.03375

Each item is predicted from the others by ridge regression over users; an item may not predict itself. With the Gram
matrix ``G = X'X`` and ``P = (G + regularization I)^-1`` the weights are ``B_ij = -P_ij / P_jj``, zero on the diagonal.

Related: ItemKNN reads its weights from the counts; SLIM is EASE with non-negative, sparse weights.
Differs from the paper: nothing known.
"""

from dataclasses import dataclass

import torch

from mllm_rec.data.dataset import Dataset
from mllm_rec.errors import InputError
from mllm_rec.recommender import ItemToItem


class EASE(ItemToItem):
    @dataclass(frozen=True)
    class Settings:
        regularization: float = 500.0  #: L2 weight (lambda); the paper's value for ML-20M
        max_items: int = 20_000  #: refuse above: memory grows with the square of the items, time with the cube

    settings: Settings

    def __init__(self, data: Dataset, settings: Settings | None = None):
        super().__init__(data, settings)
        if data.num_items > self.settings.max_items:
            raise InputError(
                f"EASE needs a matrix of {data.num_items} x {data.num_items} items, more than max_items = {self.settings.max_items}; "
                "use ItemKNN ('itemknn'), or raise max_items if memory allows"
            )

    def solve(self) -> None:
        """Invert the regularized Gram matrix."""
        seen = self.data.user_items.to(torch.float64)
        gram = torch.sparse.mm(seen.to_sparse_csc().t(), seen).to_dense()
        gram.diagonal().add_(self.settings.regularization)
        inverse = torch.cholesky_inverse(torch.linalg.cholesky(gram))
        weights = inverse / -inverse.diagonal()
        weights.fill_diagonal_(0)
        self.weights = weights.float()
