"""PromptMM: a prompted multimodal teacher is trained first; the system, its student, learns the teacher's rankings beside its own task.

Wei, Tang, Xia, Jiang and Huang. PromptMM: Multi-Modal Knowledge Distillation for Recommendation with Prompt-Tuning. WWW 2024.
https://arxiv.org/abs/2402.17188

An item's hard token is the leading principal components of its features, a user's the mean of the tokens of his items; one linear map makes soft
prompts P of them. The teacher adds prompts to its IDs, and to its features what the prompts gather, ``x + P_i P_i' X / N``; both travel over the user-item graph:
``[u; i] = LGN(e + a P) + sum_m norm([R z_m; z_m])``, ``z_m = W_m x``. The student's loss is joined by three terms, of scores s
and of the teacher's t: the order of each pair, ``-[p ln sigmoid(s_i - s_j) + (1 - p) ln sigmoid(s_j - s_i)]`` with ``p = sigmoid(t_i - t_j)``; over the chosen item and k others
the divergence of the chosen one's share and that among the others, each for itself (decoupled); and ``(1 - cos(W s_i, t_i))^2`` of item vectors.

Related: the paper's student is LightGCN, ``--systems lightgcn --strategy promptmm``; with all weights at 0 the student is trained as always.
Differs from the paper: the student is any system whose scores are products; lists are of the teacher's final scores rather than one for
each modality; prompts are tuned with the teacher and stay. The released code selects on test and leaves its decoupled term unused.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cosine_similarity, embedding, kl_div, logsigmoid, normalize

from mllm_rec.data.dataset import Dataset
from mllm_rec.interaction import bridge, fusion
from mllm_rec.optimization import losses
from mllm_rec.optimization.sampling import Batch
from mllm_rec.recommender import TopN, table
from mllm_rec.strategies.around import Around


class PromptMMTeacher(TopN):
    """LightGCN beside projected features, both prompted."""

    multimodal = True
    needs_features = True

    @dataclass(frozen=True)
    class Settings:
        """Of the paper where it says them."""

        dim: int = 64  #: width of vectors
        layers: int = 2  #: hops
        prompt: float = 0.1  #: share of the prompts in the IDs (a)
        decay: float = 1e-4  #: weight of the squared length of the batch's ID vectors

    settings: Settings

    def __init__(self, data: Dataset, settings: Any = None):
        super().__init__(data, settings)
        dim = self.settings.dim
        self.users, self.items = table(data.num_users, dim), table(data.num_items, dim)
        self.projections = fusion.projections(self.content.widths, dim, bias=True)
        self.soft = nn.Linear(dim, dim)
        self.graph = bridge.user_item_graph(data.edges, data.shape)
        self.histories = bridge.history_graph(data.edges, data.shape, (1.0, 0.0))
        self.register_buffer("tokens", fusion.principal(self.features, self.present, dim), persistent=False)

    def represent(self) -> tuple[Tensor, Tensor]:
        """Prompted IDs and prompted features, each over the graph."""
        of_items = self.soft(self.tokens)
        of_users = self.soft(self.histories(self.tokens))
        share = self.settings.prompt
        users, items = bridge.light_convolution(
            self.graph, self.users + share * of_users, self.items + share * of_items, self.settings.layers
        )
        for name, x in self.content.items():
            gathered = of_items @ (of_items.T @ x) / len(x)
            z = self.projections[name]((x + gathered) * self.present[name][:, None])
            users, items = users + normalize(self.histories(z), dim=1), items + normalize(z, dim=1)
        return users, items

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Ranking and penalty."""
        ids = batch.rows(self.users, self.items)
        return {"bpr": losses.bpr(*batch.rows(*self.represent())), "l2": self.settings.decay * losses.l2(*ids)}


class PromptMM(Around):
    """See the module."""

    @dataclass(frozen=True)
    class Settings:
        """Weights are ours."""

        others: int = 10  #: items in a list beside the chosen one (k)
        temperature: float = 1.0  #: of the scores in a list
        pair_weight: float = 0.1  #: of the order of pairs
        list_weight: float = 0.1  #: of the lists
        feature_weight: float = 0.01  #: of the vectors

    strategy: Settings

    def __init__(self, system: Any, settings: Any = None, teacher: PromptMMTeacher | None = None):
        super().__init__(system, settings)
        assert teacher is not None
        users, items = teacher.eval().serving()[:2]
        self.register_buffer("teacher_users", users.detach(), persistent=False)
        self.register_buffer("teacher_items", items.detach(), persistent=False)
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.adapter = nn.Linear(self.represent()[1].shape[1], items.shape[1])

    @classmethod
    def unfit(cls, system: Any) -> str:
        """Scores must be compared."""
        return "" if isinstance(system, TopN) and not system.by_user else "it does not rank by vectors of users and items, pair by pair"

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The student's own, and what it learns from the teacher."""
        said = self.strategy
        users, items = self.represent()
        lists = torch.cat([batch.positives[None], batch.candidates(said.others)]).T
        scores = self.score_of(embedding(batch.users, users), items, self.item_bias(), lists)
        wanted = fusion.products(self.teacher_users[batch.users], self.teacher_items[lists])
        chosen = torch.unique(batch.positives)
        alike = cosine_similarity(self.adapter(embedding(chosen, items)), self.teacher_items[chosen])
        return {
            **self.system.loss(batch),
            "pairs": said.pair_weight * order(scores[:, 0] - scores[:, 1], wanted[:, 0] - wanted[:, 1]),
            "lists": said.list_weight * decoupled(scores / said.temperature, wanted / said.temperature),
            "vectors": said.feature_weight * (1 - alike).pow(2).mean(),
        }


def order(student: Tensor, teacher: Tensor) -> Tensor:
    """Cross-entropy of the teacher's order of pairs, from differences of scores ``(batch,)``; a scalar."""
    return binary_cross_entropy_with_logits(student, teacher.sigmoid())


def decoupled(student: Tensor, teacher: Tensor) -> Tensor:
    """Divergence of the student's share of the first item from the teacher's, and of its shares among the others; a scalar.

    Args:
        student: ``(batch, 1 + others)`` scores.
        teacher: ``(batch, 1 + others)`` scores.

    Source:
        Zhao et al. Decoupled Knowledge Distillation. CVPR 2022, eq. 7.
    """
    first = [logsigmoid(sign * (x[:, :1] - x[:, 1:].logsumexp(1, keepdim=True))) for x in (student, teacher) for sign in (1, -1)]
    target = kl_div(torch.cat(first[:2], 1), torch.cat(first[2:], 1), reduction="batchmean", log_target=True)
    among = kl_div(student[:, 1:].log_softmax(1), teacher[:, 1:].log_softmax(1), reduction="batchmean", log_target=True)
    return target + among
