"""PAMD: before ranking, pull modalities' common parts together and push each from its own part. (reconstructed)

Han, Wang, Niu and Li. Modality Matches Modality: Pretraining Modality-Disentangled Item Representations for Recommendation. WWW 2022.
https://doi.org/10.1145/3485447.3512079

Per modality ``c_m = C_m x_m`` and ``s_m = S_m x_m``. Pretraining: among the items of a batch ``c_m`` finds its item's ``c_m'``, and both own parts are further
negatives (consistence); ``cos(c_m, s_m)^2`` is small (gap); ``c_m + s_m`` rebuilds ``x_m``. Then ``f = [mean_m c_m | s_1 | s_2 ..]`` is frozen, and the
score is ``p_u . q_i + t_u . f_i``.

Cell: Interaction: fine-grained attention. Enhancement: disentangled representation. Optimization: two-step.
Related: MDR learns both at once, by correlation; VBPR has the features as they are.
Differs from the paper: from its abstract; the decoders and the exact terms are reconstructed.
"""

from dataclasses import dataclass
from itertools import combinations

import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity, embedding

from mllm_rec.data.dataset import Dataset
from mllm_rec.enhancement import contrastive
from mllm_rec.interaction import fusion
from mllm_rec.optimization import losses
from mllm_rec.recommender import Batch, Buffers, TopN, table


class PAMD(TopN):
    multimodal = True
    needs_features = True

    @dataclass(frozen=True)
    class Settings:
        dim: int = 64  #: width of user and item vectors, and of each part
        temperature: float = 0.2  #: of the contrast (tau)
        orthogonal_weight: float = 0.1  #: weight of the gap between a modality's two parts
        pretrain_epochs: int = 5  #: epochs of pretraining
        decay: float = 1e-2  #: weight of the squared length of the batch's vectors, while ranking

    settings: Settings

    def __init__(self, data: Dataset, settings: Settings | None = None):
        super().__init__(data, settings)
        dim, widths = self.settings.dim, self.content.widths
        self.users, self.items = table(data.num_users, dim), table(data.num_items, dim)
        self.tastes = table(data.num_users, (1 + len(widths)) * dim)
        self.common, self.own = (fusion.projections(widths, dim) for _ in range(2))
        self.decoders = nn.ModuleDict({name: nn.Linear(dim, width, bias=False) for name, width in widths.items()})
        self.frozen = Buffers(
            {f"{part}_{name}": torch.zeros(data.num_items, dim) for part in ("common", "own") for name in widths}, saved=True
        )

    def pretrain_loss(self, batch: Batch) -> dict[str, Tensor]:
        """Consistence, gap and reconstruction over the batch's items."""
        items = batch.distinct()[1]
        gap, missed = self.items.new_zeros(()), self.items.new_zeros(())
        common = {name: self.common[name](x) for name, x in self.content.items()}
        own = {name: self.own[name](x) for name, x in self.content.items()}
        for name, x in self.content.items():
            known = items[self.present[name][items]]
            c, s = embedding(known, common[name]), embedding(known, own[name])
            one = torch.ones(len(known), dtype=torch.bool, device=known.device)
            gap = gap + losses.mean_where(cosine_similarity(c, s).pow(2), one)
            missed = missed + losses.mean_where((self.decoders[name](c + s) - embedding(known, x)).pow(2).mean(1), one)
        terms = {"gap": self.settings.orthogonal_weight * gap, "reconstruction": missed}
        if len(common) > 1:
            terms["consistence"] = sum(self.consistence(common, own, one, other, items) for one, other in combinations(common, 2))
        return terms

    def consistence(self, common: dict[str, Tensor], own: dict[str, Tensor], one: str, other: str, items: Tensor) -> Tensor:
        """A scalar: two modalities' common parts of the items that have both."""
        t, known = self.settings.temperature, items[self.present[one][items] & self.present[other][items]]
        a, b = embedding(known, common[one]), embedding(known, common[other])
        against = [cosine_similarity(part, embedding(known, own[name])) / t for part, name in ((a, one), (b, other))]
        return contrastive.info_nce(a, b, t, torch.stack(against, 1))

    @torch.no_grad()
    def end_pretraining(self) -> None:
        """Freeze the parts."""
        for name, x in self.content.items():
            self.frozen[f"common_{name}"], self.frozen[f"own_{name}"] = self.common[name](x), self.own[name](x)

    def embeddings(self) -> Tensor:
        """``(num_items, (1 + modalities) * dim)``: what is frozen, of the modalities that an item has."""
        known = {name: self.present[name][:, None] for name in self.content}
        shared = sum(self.frozen[f"common_{name}"] * there for name, there in known.items())
        count = sum(there.long() for there in known.values()).clamp(min=1)
        return torch.cat([shared / count, *(self.frozen[f"own_{name}"] * there for name, there in known.items())], 1)

    def represent(self) -> tuple[Tensor, Tensor]:
        """Factors from the log beside tastes and what is frozen."""
        return torch.cat([self.users, self.tastes], 1), torch.cat([self.items, self.embeddings()], 1)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Ranking and penalty."""
        penalty = losses.l2(*batch.rows(self.users, self.items), embedding(batch.users, self.tastes))
        return {"bpr": losses.bpr(*batch.rows(*self.represent())), "l2": self.settings.decay * penalty}
