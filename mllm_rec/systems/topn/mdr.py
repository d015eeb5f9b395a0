"""MDR: what modalities have in common, and what each says alone. (reconstructed)

Wang, Chen and Zhu. Multimodal Disentangled Representation for Recommendation. ICME 2021.
https://ieeexplore.ieee.org/document/9428193

Per modality ``c_m = C_m x_m`` and ``s_m = S_m x_m``. The item is ``e_i + F [mean_m c_m | s_1 | s_2 ..]``, a user ``e_u``. The common parts are
aligned, ``1 - cos(c_m, c_m')``, and each is made independent of its modality's own part by their distance correlation.

Cell: Interaction: other fusion. Enhancement: disentangled representation. Optimization: end-to-end.
Related: PAMD separates them beforehand and by contrast; VBPR doesn't separate.
Differs from the paper: from the survey's words (common and complementary parts); all formulas are reconstructed; the distance correlation is taken of
256 items of a batch.
"""

from dataclasses import dataclass
from itertools import combinations

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding

from mllm_rec.data.dataset import Dataset
from mllm_rec.enhancement import contrastive, disentangled
from mllm_rec.interaction import fusion
from mllm_rec.optimization import losses, sampling
from mllm_rec.recommender import Batch, TopN, table


class MDR(TopN):
    multimodal = True

    @dataclass(frozen=True)
    class Settings:
        dim: int = 64  #: width of user and item vectors, and of each part
        align_weight: float = 0.1  #: weight of the common parts' alignment
        split_weight: float = 0.01  #: weight of the distance correlation of a modality's two parts
        decay: float = 1e-3  #: weight of the squared length of the batch's own vectors

    settings: Settings

    def __init__(self, data: Dataset, settings: Settings | None = None):
        super().__init__(data, settings)
        dim = self.settings.dim
        self.users, self.items = table(data.num_users, dim), table(data.num_items, dim)
        self.common, self.own = (fusion.projections(self.content.widths, dim) for _ in range(2))
        if len(self.content):
            self.fuse = nn.Linear((1 + len(self.content)) * dim, dim, bias=False)

    def parts(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Common and own part by modality, ``(num_items, dim)`` each."""
        return {name: self.common[name](x) for name, x in self.content.items()}, {
            name: self.own[name](x) for name, x in self.content.items()
        }

    def joined(self, common: dict[str, Tensor], own: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Users; items and their parts, fused."""
        if not common:
            return self.users, self.items
        known = torch.stack([self.present[name] for name in common]).sum(0).clamp(min=1)
        shared = torch.stack(list(common.values())).sum(0) / known[:, None]
        return self.users, self.items + self.fuse(torch.cat([shared, *own.values()], 1))

    def represent(self) -> tuple[Tensor, Tensor]:
        """Users; items and their parts, fused."""
        return self.joined(*self.parts())

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Ranking, penalty, alignment, independence."""
        common, own = self.parts()
        terms = {
            "bpr": losses.bpr(*batch.rows(*self.joined(common, own))),
            "l2": self.settings.decay * losses.l2(*batch.rows(self.users, self.items)),
        }
        items, split = batch.distinct()[1], self.items.new_zeros(())
        for name in common:
            known = sampling.sample(items[self.present[name][items]], disentangled.SAMPLE)
            if len(known) > 1:
                split = split + disentangled.distance_correlation(embedding(known, common[name]), embedding(known, own[name]))
        aligned = self.items.new_zeros(())
        for one, other in combinations(common, 2):
            both = self.present[one][batch.positives] & self.present[other][batch.positives]
            far = contrastive.apart(embedding(batch.positives, common[one]), embedding(batch.positives, common[other]))
            aligned = aligned + losses.mean_where(far, both)
        terms |= {"split": self.settings.split_weight * split} if common else {}
        return terms | ({"align": self.settings.align_weight * aligned} if len(common) > 1 else {})
