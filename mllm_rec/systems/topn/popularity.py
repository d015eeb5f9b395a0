"""Popularity: what most people chose, for everyone.

The baseline that every other system has to beat. No paper; the tests of recommenders that matter most use it:
Ferrari Dacrema, Cremonesi and Jannach. Are We Really Making Much Progress? RecSys 2019. https://arxiv.org/abs/1907.06902

An item's score is the number of its training interactions.

Related: every other system reads who chose, this one only how many.
Differs from the paper: there is none.
"""

import torch
from torch import Tensor

from mllm_rec.data.dataset import Dataset
from mllm_rec.recommender import Query, Recommender


class Popularity(Recommender):
    trained = False
    personalized = False
    counts: Tensor

    def __init__(self, data: Dataset, settings: "Popularity.Settings | None" = None):
        super().__init__(data, settings)
        self.register_buffer("counts", torch.zeros(data.num_items))

    def solve(self) -> None:
        """Count."""
        self.counts = self.data.item_counts.float()

    def score(self, query: Query) -> Tensor:
        """The counts, whoever asks."""
        if query.items is None:
            return self.counts.expand(len(query), -1)
        return self.counts[query.items]
