"""MCLN: subtract from attention what an item not chosen would cause as well.

Li, Guo, Liu, Hong and Xue. Multimodal Counterfactual Learning Network for Multimedia-based Recommendation. SIGIR 2023.
https://doi.org/10.1145/3539618.3591739

``e_u, e_i`` of LightGCN. An item's tokens are its ID and projected features, ``T = [e_i; W_m x_m]``. A block of counterfactual attention is
``T <- (softmax(Q K' / sqrt(d) - Q_c K_c' / sqrt(d))) V``, where c is an item that the user did not choose; the joint vector is
``g = D [T]``. The score is ``e_u . (e_i + lambda sum_m W_m x_m + g)``. Serving and items not chosen subtract nothing.

Cell: Interaction: filtration. Enhancement: none. Optimization: end-to-end.
Related: LightGCN is the first term; DMRL attends within factors.
Differs from the paper: attention is among the tokens of one item (the released code attends across the batch, so that scores depend on who else is in
it); every modality has the weight that the paper gives the picture; the batch's negatives are the counterfactual items.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding

from mllm_rec.data.dataset import Dataset
from mllm_rec.interaction import bridge, fusion
from mllm_rec.optimization import losses
from mllm_rec.recommender import Batch, TopN, table


class MCLN(TopN):
    multimodal = True

    @dataclass(frozen=True)
    class Settings:
        dim: int = 64  #: width of user and item vectors, and of tokens
        layers: int = 4  #: hops over the user-item graph
        attention_layers: int = 2  #: blocks of counterfactual attention
        content_weight: float = 0.2  #: weight of each modality in score and loss (lambda)
        decay: float = 1e-4  #: weight of the squared length of the batch's own vectors

    settings: Settings

    def __init__(self, data: Dataset, settings: Settings | None = None):
        super().__init__(data, settings)
        dim = self.settings.dim
        self.users, self.items = table(data.num_users, dim), table(data.num_items, dim)
        self.projections = fusion.projections(self.content.widths, dim)
        self.blocks = nn.ModuleList(
            nn.ModuleDict({name: nn.Linear(dim, dim, bias=False) for name in ("query", "key", "value")})
            for _ in range(self.settings.attention_layers)
        )
        self.dense = nn.Linear((1 + len(self.content)) * dim, dim, bias=False)
        self.graph = bridge.user_item_graph(data.edges, data.shape)

    def parts(self) -> tuple[Tensor, Tensor]:
        """Users ``(num_users, dim)`` and the items' tokens ``(num_items, 1 + modalities, dim)``."""
        users, items = bridge.light_convolution(self.graph, self.users, self.items, self.settings.layers)
        return users, torch.stack([items, *(self.projections[name](x) for name, x in self.content.items())], 1)

    def joint(self, tokens: Tensor, counterfactual: Tensor | None = None) -> Tensor:
        """``(n, dim)``: tokens ``(n, 1 + modalities, dim)`` after attention, less that of the counterfactual items, joined."""
        for block in self.blocks:
            logits = self.affinity(block, tokens)
            if counterfactual is not None:
                other = self.affinity(block, counterfactual)
                logits, counterfactual = logits - other, other.softmax(2) @ block["value"](counterfactual)
            tokens = logits.softmax(2) @ block["value"](tokens)
        return self.dense(tokens.flatten(1))

    def affinity(self, block: nn.ModuleDict, tokens: Tensor) -> Tensor:
        """``(n, 1 + modalities, 1 + modalities)`` exponents of attention."""
        return block["query"](tokens) @ block["key"](tokens).transpose(1, 2) / self.settings.dim**0.5

    def represent(self) -> tuple[Tensor, Tensor]:
        """Users; the sum of what items are scored by."""
        users, tokens = self.parts()
        return users, tokens[:, 0] + self.settings.content_weight * tokens[:, 1:].sum(1) + self.joint(tokens)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Ranking by the ID, by each modality and by the joint vector; penalty."""
        users, tokens = self.parts()
        user = embedding(batch.users, users)
        positive, negative = (
            embedding(rows, tokens.flatten(1)).view(len(rows), *tokens.shape[1:]) for rows in (batch.positives, batch.negatives)
        )
        terms = {
            "bpr": losses.bpr(user, positive[:, 0], negative[:, 0]),
            "mix": losses.bpr(user, self.joint(positive, negative), self.joint(negative)),
            "l2": self.settings.decay * losses.l2(*batch.rows(self.users, self.items)),
        }
        for place, name in enumerate(self.content, 1):
            terms[name] = self.settings.content_weight * losses.bpr(user, positive[:, place], negative[:, place])
        return terms
