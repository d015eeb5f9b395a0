"""PMGT: pretrain item vectors by a transformer over each item and its neighbors.

Liu, Yang, Lei, Wang, Tang, Zhang, Sun and Miao. Pre-training Graph Transformer with Multimodal Side Information for Recommendation.
ACM MM 2021. https://arxiv.org/abs/2010.12284

Items that the same users chose are neighbors. A token is ``sum_m g_m W_m x_m`` with gates ``g = softmax(W tanh([W_m x_m]))``, plus its rank's and
its role's vector (the item itself, or a neighbor). Attention mixes likeness with diversity,
``(1 - b) softmax(Q K' / sqrt(d)) + b softmax(1 - cos(D, D) + I)``. Pretraining tells neighbors from other items by cosine and rebuilds the
features of masked neighbors. The output at the item itself starts its vector in a downstream recommender, here matrix factorization.

Cell: Interaction: item-item graph, fine-grained attention. Enhancement: none. Optimization: two-step.
Related: BPR is PMGT without pretraining; TESM pretrains a graph network of each modality and attends later.
Differs from the paper: the context is the neighbors that share most users (the paper samples three hops and keeps the most frequent), one shared user
being enough; each item's pair is its first neighbor, with one negative drawn from all items; masked neighbors are zeros; downstream a product instead of NCF; features are centered and scaled to unit length.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity, embedding, gelu, logsigmoid, normalize

from mllm_rec.data.dataset import Dataset
from mllm_rec.interaction import bridge, fusion
from mllm_rec.optimization import losses
from mllm_rec.recommender import Batch, TopN, table

#: Items encoded at a time.
BLOCK = 1024


class PMGT(TopN):
    multimodal = True
    needs_features = True
    serves_content = False
    cold_items = False

    @dataclass(frozen=True)
    class Settings:
        dim: int = 64  #: width of tokens, user and item vectors
        layers: int = 2  #: of the transformer
        heads: int = 2  #: of its attention
        context: int = 10  #: neighbors in a sequence
        diversity: float = 0.2  #: share of the diversity attention (beta)
        mask_share: float = 0.2  #: share of the neighbors whose features are masked and rebuilt
        pretrain_epochs: int = 5  #: epochs of pretraining
        decay: float = 1e-2  #: weight of the squared length of the batch's vectors, downstream

    settings: Settings

    def __init__(self, data: Dataset, settings: Settings | None = None):
        super().__init__(data, settings)
        dim, widths = self.settings.dim, self.content.widths
        self.users, self.items = table(data.num_users, dim), table(data.num_items, dim)
        self.projections = fusion.projections(widths, dim)
        self.gate = nn.Linear(len(widths) * dim, len(widths))
        self.positions, self.roles = table(self.settings.context + 1, dim), table(2, dim)
        self.transformer = nn.ModuleList(self._layer(dim) for _ in range(self.settings.layers))
        self.decoders = nn.ModuleDict({name: nn.Linear(dim, width) for name, width in widths.items()})
        contexts, _ = bridge.partners(data.edges.flip(0), data.shape[::-1], self.settings.context)
        self.register_buffer("contexts", contexts, persistent=False)

    @staticmethod
    def _layer(dim: int) -> nn.ModuleDict:
        attention = {name: nn.Linear(dim, dim) for name in ("query", "key", "value", "out")}
        rest = {"first": nn.Linear(dim, 2 * dim), "second": nn.Linear(2 * dim, dim), "norm1": nn.LayerNorm(dim), "norm2": nn.LayerNorm(dim)}
        return nn.ModuleDict({**attention, **rest})

    def tokens(self) -> Tensor:
        """``(num_items, dim)``: gated sum of the modalities."""
        projected = [self.projections[name](x) for name, x in self.content.items()]
        gates = self.gate(torch.cat(projected, 1).tanh()).softmax(1)
        return torch.einsum("nm,mnd->nd", gates, torch.stack(projected))

    def attend(self, layer: nn.ModuleDict, x: Tensor, there: Tensor) -> Tensor:
        """Attention of likeness and of diversity over ``(n, length, dim)``; places that aren't ``there`` ``(n, length)`` are left out."""
        n, length, dim = x.shape
        query, key, value = (layer[name](x).view(n, length, self.settings.heads, -1).transpose(1, 2) for name in ("query", "key", "value"))
        nowhere = torch.where(there, 0.0, -torch.inf)[:, None, None]
        alike = (query @ key.transpose(2, 3) / query.shape[-1] ** 0.5 + nowhere).softmax(3)
        unit = normalize(x, dim=2)
        unlike = (1 - unit @ unit.transpose(1, 2) + torch.eye(length, device=x.device))[:, None]
        diverse = (unlike + nowhere).softmax(3)
        mixed = (1 - self.settings.diversity) * alike + self.settings.diversity * diverse
        return layer["out"]((mixed @ value).transpose(1, 2).reshape(n, length, dim))

    def hidden(self, rows: Tensor, tokens: Tensor, masked: Tensor | None = None) -> Tensor:
        """``(n, 1 + context, dim)``: outputs for items and their neighbors; the features at ``masked`` places are hidden."""
        sequence = torch.cat([rows[:, None], self.contexts[rows]], 1)
        there = sequence >= 0
        x = embedding(sequence.clamp(min=0), tokens)
        if masked is not None:
            x = x * ~masked[:, :, None]
        role = torch.ones_like(sequence[0])
        role[0] = 0
        x = x + self.positions + self.roles[role]
        for layer in self.transformer:
            x = layer["norm1"](x + self.attend(layer, x, there))
            x = layer["norm2"](x + layer["second"](gelu(layer["first"](x))))
        return x

    def encode(self, rows: Tensor) -> Tensor:
        """``(n, dim)``: the output at the items themselves."""
        tokens = self.tokens()
        return torch.cat([self.hidden(block, tokens)[:, 0] for block in rows.split(BLOCK)])

    def pretrain_loss(self, batch: Batch) -> dict[str, Tensor]:
        """Neighbors are near and others are not; masked neighbors' features are rebuilt."""
        near = self.contexts[batch.positives, 0] >= 0
        items, place, counts = torch.unique(batch.positives[near], return_inverse=True, return_counts=True)
        if not len(items):
            return {"graph": 0 * self.positions.sum(), "features": 0 * self.positions.sum()}
        first = place.argsort(stable=True)[counts.cumsum(0) - counts]
        neighbors, others = self.contexts[items, 0], batch.negatives[near][first]
        own, partner, other = self.encode(torch.cat([items, neighbors, others])).split(len(items))
        graph = -(logsigmoid(cosine_similarity(own, partner)) + logsigmoid(-cosine_similarity(own, other))).mean()
        sequence = torch.cat([items[:, None], self.contexts[items]], 1)
        masked = (torch.rand(sequence.shape, device=items.device) < self.settings.mask_share) & (sequence >= 0)
        masked[:, 0] = False
        rebuilt, place = self.hidden(items, self.tokens(), masked)[masked], sequence[masked]
        missed = graph.new_zeros(())
        for name, x in self.content.items():
            error = (self.decoders[name](rebuilt) - embedding(place, x)).pow(2).mean(1)
            missed = missed + losses.mean_where(error, self.present[name][place])
        return {"graph": graph, "features": missed}

    @torch.no_grad()
    def end_pretraining(self) -> None:
        """Item vectors start as encoded."""
        self.items.copy_(self.encode(torch.arange(self.data.num_items, device=self.items.device)))

    def represent(self) -> tuple[Tensor, Tensor]:
        """The tables."""
        return self.users, self.items

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Ranking and penalty."""
        rows = batch.rows(self.users, self.items)
        return {"bpr": losses.bpr(*rows), "l2": self.settings.decay * losses.l2(*rows)}
