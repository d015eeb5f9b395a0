"""SGFD: what the recommender reads of an item passes a small network that learns from a larger one that knows kinds of items.

Liu, Chen, Cheng, Nie and Kankanhalli. Semantic-Guided Feature Distillation for Multimodal Recommendation. ACM MM 2023.
https://doi.org/10.1145/3581783.3611886

Per modality a teacher ``t = norm(MLP(x))`` is trained first, by a classifier that all modalities share, to tell an item's kind, alone and from the
mean over modalities. The student ``s = norm(LReLU(W x + b))`` is what the system reads instead of x, trained with it. To the system's loss are added
the response, ``|softmax(t / T) - softmax(s / T)|_1``, the features, ``|t - s|^2``, and the cross-entropy of the teacher's classifier on s, alone and from the mean.

Related: without the three terms the student is a trained projection (``end-to-end``); with ``dim`` at the width of x it compresses nothing.
Differs from the paper: the teacher is trained before and stays (the paper trains both at once, its code lets gradients into the teacher);
kinds are clusters of the features, since not every catalog has categories; graphs of alike items are built on leading principal components.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, embedding, normalize

from mllm_rec.data.dataset import Dataset
from mllm_rec.data.features import Encodable, Features
from mllm_rec.interaction import clusters, fusion
from mllm_rec.optimization.sampling import Batch
from mllm_rec.recommender import Recommender
from mllm_rec.strategies.around import Around


def distilled(data: Dataset, dim: int) -> Dataset:
    """The data set with a student of each modality, to be trained with the system that reads it, and features as wide as what it makes, at most ``dim``."""
    found = Dataset.__new__(Dataset)
    found.__dict__.update(vars(data), features={}, encodable={})
    for name, feature in data.features.items():
        width = min(dim, feature.values.shape[1])
        x, present = torch.from_numpy(feature.values), torch.from_numpy(feature.present)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            student = nn.Sequential(nn.Linear(feature.values.shape[1], width), nn.LeakyReLU())
        found.encodable[name] = Encodable(fusion.unit_rows(x, present).numpy(), student)
        leading = fusion.principal({name: x}, {name: present}, width).numpy() if width < feature.values.shape[1] else feature.values
        found.features[name] = Features(np.where(feature.present[:, None], leading, 0).astype(np.float32), feature.present, feature.spec)
    return found


class SGFDTeacher(Recommender):
    """Tells an item's kind from each modality; it ranks nothing."""

    multimodal = True
    needs_features = True

    kinds: Tensor

    @dataclass(frozen=True)
    class Settings:
        """Ours, within the paper's ranges."""

        dim: int = 64  #: width that features wider than that are brought to
        kinds: int = 32  #: clusters of items
        epochs: int = 10  #: of the teacher's training

    settings: Settings

    def __init__(self, data: Dataset, settings: Any = None):
        super().__init__(data, settings)
        said, widths = self.settings, self.content.widths
        self.networks = nn.ModuleDict({name: self._network(width, min(said.dim, width)) for name, width in widths.items()})
        wide = torch.cat([x for _, x in self.content.items()], 1)
        middles = clusters.centers(wide, said.kinds)
        self.classifiers = nn.ModuleDict(
            {str(width): nn.Linear(width, len(middles)) for width in {min(said.dim, w) for w in widths.values()}}
        )
        self.register_buffer("kinds", torch.cdist(wide, middles).argmin(1), persistent=False)

    @staticmethod
    def _network(width: int, dim: int) -> nn.Sequential:
        hidden = max(dim, width // 4)
        return nn.Sequential(nn.Linear(width, hidden), nn.LeakyReLU(), nn.Linear(hidden, dim), nn.LeakyReLU())

    def features_of(self, rows: Tensor) -> dict[str, Tensor]:
        """``(n, dim)`` by modality, length one; zero where an item lacks it."""
        return {
            name: normalize(self.networks[name](embedding(rows, x)), dim=1) * self.present[name][rows][:, None]
            for name, x in self.content.items()
        }

    def tell(self, made: dict[str, Tensor], rows: Tensor) -> Tensor:
        """Cross-entropy of the kinds of items, from each modality that they have, and from the mean over those of one width."""
        terms: list[Tensor] = []
        of_width: dict[int, list[Tensor]] = {}
        for name, x in made.items():
            there = self.present[name][rows]
            terms.append(self._entropy(x[there], rows[there]))
            of_width.setdefault(x.shape[1], []).append(x)
        terms += [self._entropy(torch.stack(parts).mean(0), rows) for parts in of_width.values() if len(parts) > 1]
        return sum(terms)  # type: ignore[return-value]

    def _entropy(self, x: Tensor, rows: Tensor) -> Tensor:
        return cross_entropy(self.classifiers[str(x.shape[1])](x), self.kinds[rows]) if len(rows) else x.sum()

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Kinds of the batch's items."""
        rows = torch.unique(torch.cat([batch.positives, batch.negatives]))
        return {"kinds": self.tell(self.features_of(rows), rows)}


class SGFD(Around):
    """See the module."""

    @dataclass(frozen=True)
    class Settings:
        """Ours, within the paper's ranges."""

        temperature: float = 10.0  #: of the response (T)
        response_weight: float = 0.1  #: of the response
        feature_weight: float = 0.1  #: of the distance of features
        kind_weight: float = 0.1  #: of the cross-entropy of kinds

    strategy: Settings

    def __init__(self, system: Any, settings: Any = None, teacher: SGFDTeacher | None = None):
        super().__init__(system, settings)
        assert teacher is not None
        self.teacher = [teacher.eval().requires_grad_(False)]  # in a list: it is no part of what is trained

    @classmethod
    def unfit(cls, system: Any) -> str:
        """Students must be read."""
        return "" if len(system.content) else "it reads no features, so that there is nothing to distill"

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The system's, and what the students learn from the teacher."""
        (teacher,) = self.teacher
        rows = torch.unique(torch.cat([batch.positives, batch.negatives]))
        teacher.to(rows.device)
        with torch.no_grad():
            wanted = teacher.features_of(rows)
        with self.content.only(rows):
            made = {name: embedding(rows, self.content[name]) for name in self.content}
        said, warm = self.strategy, self.strategy.temperature
        response = feature = rows.new_zeros((), dtype=torch.float32)
        for name, s in made.items():
            there = self.present[name][rows]
            t, s = wanted[name][there], s[there]
            if len(s):
                response = response + ((t / warm).softmax(1) - (s / warm).softmax(1)).abs().sum(1).mean()
                feature = feature + (t - s).pow(2).sum(1).mean()
        return {
            **self.system.loss(batch),
            "response": said.response_weight * response,
            "feature": said.feature_weight * feature,
            "kinds": said.kind_weight * teacher.tell(made, rows),
        }
