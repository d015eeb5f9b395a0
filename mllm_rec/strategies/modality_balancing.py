"""Modality balancing: no modality may decide alone between items that are alike in it. (reconstructed)

Shang, Gao, Chen, Jin, Ma and Li. Enhancing Adversarial Robustness of Multi-modal Recommendation via Modality Balancing. ACM MM 2023.
https://doi.org/10.1145/3581783.3612337

What modality m adds to a score is ``c_m(u, i) = s(u, i) - s(u, i without m)``. The sensitive modality ``m*`` is the one whose part moves most between
an item i and its nearest item i' in that modality: alike in content, yet different in prediction, so that a small change of the content
changes the ranking. Its mean movement is the vulnerable margin ``D = |c_m*(u, i) - c_m*(u, i')|``. A hinge makes the other modalities hold i above i' by as much:
``sum over m != m* of max(0, D - (c_m(u, i) - c_m(u, i')))``.

Related: with weight 0 it is plain training.
Differs from the paper: known from its abstract. Reconstructed are the part of a modality as leaving it out, the nearest item in place of
distilled embeddings, and that ``m*`` and ``D`` are found anew for each batch, without gradient.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import embedding

from mllm_rec.interaction import bridge
from mllm_rec.optimization.losses import mean_where
from mllm_rec.optimization.sampling import Batch
from mllm_rec.recommender import TopN
from mllm_rec.strategies.around import Around


class ModalityBalancing(Around):
    """See the module."""

    @dataclass(frozen=True)
    class Settings:
        """Ours."""

        weight: float = 0.1  #: of the hinge
        rows: int = 512  #: of a batch that it looks at

    strategy: Settings

    def __init__(self, system: Any, settings: Any = None):
        super().__init__(system, settings)
        for name, x in self.features.items():
            rows, lists, _ = bridge.nearest(x, self.present[name], 2)
            twin = torch.full((self.data.num_items,), -1, device=x.device)
            if lists.shape[1] > 1:
                twin[rows] = torch.where(lists[:, 0] == rows, lists[:, 1], lists[:, 0])
            self.register_buffer(f"twins_{name}", twin, persistent=False)

    @classmethod
    def unfit(cls, system: Any) -> str:
        """Scores must follow from at least two modalities."""
        suited = isinstance(system, TopN) and system.serves_content and len(system.content) > 1
        return "" if suited else "scores must follow from two modalities at least, by vectors of users and items"

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The system's, and the hinge."""
        users, items = batch.users[: self.strategy.rows], batch.positives[: self.strategy.rows]
        whole, alone = self._vectors(), {}
        for name in self.content:
            with self.without(name):
                alone[name] = self._vectors()
        parts, there = {}, {}
        for twin in self.content:  # between an item and its twin in modality ``twin``
            other = getattr(self, f"twins_{twin}")[items]
            there[twin] = other >= 0
            pairs = torch.stack([items, other.clamp(min=0)], 1)
            gap = self._gap(whole, users, pairs)
            for name in self.content:
                parts[twin, name] = gap - self._gap(alone[name], users, pairs)
        moved = {name: mean_where(parts[name, name].abs(), there[name]).detach() for name in self.content}
        sensitive = max(moved, key=lambda name: float(moved[name]))
        margin = parts[sensitive, sensitive].abs().detach()
        hinges = [mean_where((margin - parts[sensitive, name]).relu(), there[sensitive]) for name in self.content if name != sensitive]
        return {**self.system.loss(batch), "balance": self.strategy.weight * sum(hinges)}

    def _vectors(self) -> tuple[Tensor, Tensor, Tensor | None]:
        return *self.represent(), self.item_bias()

    def _gap(self, vectors: tuple[Tensor, Tensor, Tensor | None], users: Tensor, pairs: Tensor) -> Tensor:
        """``(rows,)``: score of the first item of each pair less that of the second."""
        of_users, of_items, bias = vectors
        scores = self.score_of(embedding(users, of_users), of_items, bias, pairs)
        return scores[:, 0] - scores[:, 1]
