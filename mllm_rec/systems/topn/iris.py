"""IRIS: items are recommended by what they have to do with each item of the history. (reconstructed)

Lv, Song, Guo, Du and Guizani. Interest-Related Item Similarity Model Based on Multimodal Data for Top-N Recommendation. IEEE Access 2019.
https://ieeexplore.ieee.org/document/8618448

Streams ``s_m = LReLU(W_m x_m + b)`` and the ID's own, ``s_0 = e``, share what they know, ``t_a = sum_b C_ab s_b`` (a cross-stitch), and are fused,
``v = F [t_0 | t_1 | ..]``. The history attends to the target: ``a_ij = e^{l_ij} / (sum_j' e^{l_ij'})^beta``, ``l_ij = R v_i . v_j / sqrt(d)``,
over the items j of the history but for i, and the score is ``b_i + sum_j a_ij v_j . v_i``.

Cell: Interaction: other fusion. Enhancement: none. Optimization: end-to-end.
Related: ItemKNN and EASE read item similarity off the log; FREEDOM links items by features alone.
Differs from the paper: from its abstract; the ID's stream, attention by products and the exponent beta (He et al. NAIS, 2018) are reconstructed.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, leaky_relu

from mllm_rec.data.dataset import Dataset
from mllm_rec.interaction import bridge, fusion
from mllm_rec.optimization import losses
from mllm_rec.recommender import Batch, Query, Recommender, entries, products, table

#: Pairs of a chosen and a ranked item compared at a time.
ENTRIES = 2**21


class IRIS(Recommender):
    multimodal = True

    @dataclass(frozen=True)
    class Settings:
        dim: int = 64  #: width of streams and item vectors
        smoothing: float = 0.5  #: exponent of the attention's denominator (beta); 1 is a softmax
        decay: float = 1e-3  #: weight of the squared length of the batch's item vectors

    settings: Settings

    def __init__(self, data: Dataset, settings: Settings | None = None):
        super().__init__(data, settings)
        dim, streams = self.settings.dim, 1 + len(self.content)
        self.items = table(data.num_items, dim)
        self.biases = nn.Parameter(torch.zeros(data.num_items))
        self.projections = fusion.projections(self.content.widths, dim, bias=True)
        self.sharing = nn.Parameter(torch.eye(streams) * 0.9 + 0.1 / streams)
        self.fuse, self.relation = nn.Linear(streams * dim, dim, bias=False), nn.Linear(dim, dim, bias=False)
        self.forget_vectors()

    def represent(self) -> Tensor:
        """``(num_items, dim)``: fused item vectors."""
        streams = [self.items]
        for name, x in self.content.items():
            streams.append(leaky_relu(self.projections[name](x)) * self.present[name][:, None])
        shared = torch.einsum("ab,bnd->nad", self.sharing, torch.stack(streams))
        return self.fuse(shared.flatten(1))

    def pair_scores(self, v: Tensor, rows: bridge.Links, items: Tensor) -> Tensor:
        """``(batch,)``: one item for each row of histories."""
        target = embedding(items, v)
        apart = items[rows.targets] != rows.sources
        strength = self.strength(rows.dot(self.relation(target), v)) * apart
        parts = rows.sum_of(torch.stack([strength * rows.dot(target, v), strength], 1))
        return embedding(items, self.biases[:, None])[:, 0] + parts[:, 0] / parts[:, 1].clamp(min=1e-12).pow(self.settings.smoothing)

    def strength(self, related: Tensor) -> Tensor:
        """``e^l`` of ``R v_i . v_j``."""
        return (related / self.settings.dim**0.5).clamp(max=30).exp()

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The chosen against the others, and penalty."""
        v, rows = self.represent(), bridge.history_links(self.data.user_items, batch.users)
        scores = [self.pair_scores(v, rows, items) for items in (batch.positives, batch.negatives)]
        penalty = losses.l2(embedding(batch.positives, self.items), embedding(batch.negatives, self.items))
        return {"bce": losses.pointwise(*scores), "l2": self.settings.decay * penalty}

    def train(self, mode: bool = True) -> "IRIS":
        """Switch between training and serving."""
        self.forget_vectors()
        return super().train(mode)

    def forget_vectors(self) -> None:
        """Compute the item vectors anew when they are next asked for."""
        self._vectors: Tensor | None = None

    @torch.no_grad()
    def score(self, query: Query) -> Tensor:
        """What the history, and what was liked beside it, has to do with each item; what was disliked counts against it by half."""
        if self._vectors is None or self.training:
            self._vectors = self.represent()
        v, related = self._vectors, self.relation(self._vectors)
        width = len(v) if query.items is None else query.items.shape[1]
        total, whole = v.new_zeros(2, len(query), width)
        for owner, item, weight in zip(*(part.to(v.device).split(max(1, ENTRIES // width)) for part in self.said(query)), strict=True):
            if query.items is None:
                strength, alike = self.strength(v[item] @ related.T), v[item] @ v.T
                strength[torch.arange(len(item)), item] = 0
            else:
                target = query.items.to(v.device)[owner]
                strength = self.strength(products(v[item], related[target])) * (target != item[:, None])
                alike = products(v[item], v[target])
            total.index_add_(0, owner, strength * alike * weight[:, None])
            whole.index_add_(0, owner, strength * weight.abs()[:, None])
        bias = self.biases if query.items is None else self.biases[query.items.to(v.device)]
        return bias + total / whole.clamp(min=1e-12).pow(self.settings.smoothing)

    def said(self, query: Query) -> tuple[Tensor, Tensor, Tensor]:
        """Row, item and weight of all that is known of each request."""
        parts = []
        if query.users is not None:
            rows = bridge.history_links(self.data.user_items, query.users)
            parts.append((rows.targets, rows.sources, torch.ones(len(rows))))
        for chosen, weight in ((query.liked, 1.0), (query.disliked, -0.5)):
            if chosen:
                owner, item = entries(chosen)
                parts.append((owner, item, torch.full((len(item),), weight)))
        nothing = torch.empty(0, dtype=torch.int64)
        owner, item, weight = (torch.cat(part) for part in zip((nothing, nothing, torch.empty(0)), *parts, strict=True))
        return owner, item, weight
