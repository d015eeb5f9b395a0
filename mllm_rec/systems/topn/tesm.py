"""TESM: pretrain a graph network on each modality's item graph, then attend over its frozen embeddings. (reconstructed)

Ni, Huang, Hu and Lin. A two-stage embedding model for recommendation with multimodal auxiliary information. Information
Sciences 2022. https://www.sciencedirect.com/science/article/pii/S0020025521009270

Stage 1, per modality m on the graph ``S_m`` of items alike: ``z_m = B LReLU(S_m A x_m)``, trained to predict the links,
``softplus(-z_i . z_k) + softplus(z_i . z_j)`` for linked k and items j that the user of a triple did not choose. Stage 2: an item is
``e_i + sum_m a_m V_m z_m`` with ``a_m = softmax_m(q . tanh(W V_m z_m + b))``, a user ``e_u``, trained to rank.

Cell: Interaction: user-item graph, fine-grained attention. Enhancement: none. Optimization: two-step.
Related: PMGT pretrains a transformer over neighbors; VBPR adds projected features without a graph or attention.
Differs from the paper: neither text nor code of it was at hand; from the survey's words (graph pretraining of modality embeddings,
then collaborative filtering with attention) all formulas are reconstructed.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, leaky_relu, softplus

from mllm_rec.data.dataset import Dataset
from mllm_rec.interaction import bridge, fusion
from mllm_rec.optimization import losses
from mllm_rec.recommender import Batch, Buffers, TopN, table


class TESM(TopN):
    multimodal = True
    needs_features = True

    @dataclass(frozen=True)
    class Settings:
        dim: int = 64  #: width of user, item and modality vectors
        neighbors: int = 10  #: links per item and modality, the item itself among them (k)
        pretrain_epochs: int = 5  #: epochs of stage 1
        decay: float = 1e-3  #: weight of the squared length of the batch's own vectors

    settings: Settings

    def __init__(self, data: Dataset, settings: Settings | None = None):
        super().__init__(data, settings)
        dim = self.settings.dim
        self.users, self.items = table(data.num_users, dim), table(data.num_items, dim)
        self.first = fusion.projections(self.content.widths, dim)
        self.second = fusion.projections(dict.fromkeys(self.content, dim), dim)
        self.values = fusion.projections(dict.fromkeys(self.content, dim), dim)
        self.attention = fusion.ModalityAttention(dim)
        self.graphs = nn.ModuleDict(
            {name: bridge.item_item_graph(x, self.present[name], self.settings.neighbors) for name, x in self.features.items()}
        )
        self.linked = nn.ModuleDict(
            {name: bridge.item_links(x, self.present[name], self.settings.neighbors) for name, x in self.features.items()}
        )
        self.embeddings = Buffers({name: torch.zeros(data.num_items, dim) for name in self.content}, saved=True)

    def encode(self, name: str) -> Tensor:
        """``(num_items, dim)``: one modality's embeddings of the graph network."""
        hidden = leaky_relu(self.graphs[name](self.first[name](self.content[name])))
        return self.second[name](hidden) * self.present[name][:, None]

    def pretrain_loss(self, batch: Batch) -> dict[str, Tensor]:
        """By modality: linked items are near, a user's item and one not chosen are not."""
        terms = {}
        for name, links in self.linked.items():
            z = self.encode(name)
            missed = links.sum(softplus(-links.dot(z, z)), torch.ones_like(z[:, :1])) / links.degrees().clamp(min=1)[:, None]
            positive, negative = embedding(batch.positives, z), embedding(batch.negatives, z)
            term = embedding(batch.positives, missed)[:, 0] + softplus((positive * negative).sum(1))
            known = self.present[name][batch.positives] & self.present[name][batch.negatives]
            terms[name] = losses.mean_where(term, known)
        return terms

    @torch.no_grad()
    def end_pretraining(self) -> None:
        """Freeze the embeddings."""
        for name in self.content:
            self.embeddings[name] = self.encode(name)

    def represent(self) -> tuple[Tensor, Tensor]:
        """Users; items and what attention makes of their embeddings."""
        seen = [value(self.embeddings[name] * self.present[name][:, None]) for name, value in self.values.items()]
        return self.users, self.items + self.attention(torch.stack(seen))

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Ranking and penalty."""
        penalty = losses.l2(*batch.rows(self.users, self.items))
        return {"bpr": losses.bpr(*batch.rows(*self.represent())), "l2": self.settings.decay * penalty}
