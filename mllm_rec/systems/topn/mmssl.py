"""MMSSL: learn from interactions that each modality would predict, judged by an adversary.

Wei, Huang, Xia and Zhang. Multi-Modal Self-Supervised Learning for Recommendation. WWW 2023. https://arxiv.org/abs/2302.10632

Per modality ``h_u = R W_m x``, ``h_i = R' h_u``. The links it predicts, each user's k items with the highest ``h_u . h_i``, make the graph
``A_m``; IDs travel over it, ``e_m``; attention across modalities gives ``e^``, and
``E = LightGCN(e + eta norm(mean_m e^_m)) + gamma sum_m norm(h_m)``. A critic tells predicted rows, ``softmax(h_u . h_I)``, from observed
ones, ``softmax(5 r_u + E_u . e_I + Gumbel noise)`` (Wasserstein with gradient penalty); the rows learn to pass. A contrast draws each user's ``e_m`` to ``E``.

An item that nobody chose has no ``h``, so content cannot rank it.

Cell: Interaction: user-item graph, coarse-grained attention. Enhancement: contrastive learning. Optimization: end-to-end.
Related: LightGCN without modalities; LATTICE learns links between items rather than of users.
Differs from the paper: the graphs are found anew once an epoch; the critic is one hidden layer of fixed width (the paper's grows with the
square of the items), sees 128 users of each batch, and steps together with the generator, whose gradient is reversed;
observed rows weigh 5 (the paper's 100 is of normalized likeness); no dropout and no penalty on features; features are centered and scaled to unit length.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, normalize

from mllm_rec.data.dataset import Dataset
from mllm_rec.enhancement import contrastive
from mllm_rec.interaction import bridge, fusion
from mllm_rec.optimization import losses, sampling
from mllm_rec.recommender import Batch, TopN, table

#: Users of a batch whose rows the critic sees.
CRITIC_ROWS = 128
#: What an observed link adds to the exponent of its smoothed row.
SMOOTH = 5.0


class MMSSL(TopN):
    multimodal = True
    cold_items = False

    @dataclass(frozen=True)
    class Settings:
        dim: int = 64  #: width of user and item vectors
        layers: int = 2  #: hops over the user-item graph
        heads: int = 4  #: of the attention across modalities
        neighbors: int = 10  #: items each user is linked with by a modality (k)
        id_share: float = 0.36  #: weight of what attention makes of the modalities' IDs (eta)
        content_share: float = 0.55  #: weight of the modalities' own vectors (gamma)
        temperature: float = 0.5  #: of the contrast (tau)
        contrast_weight: float = 0.03  #: weight of the contrast (lambda_1)
        adversarial_weight: float = 1e-4  #: share of the critic's gradient that the predicted rows learn against (lambda_2)
        penalty: float = 10.0  #: weight of the critic's gradient penalty
        critic_dim: int = 128  #: width of the critic's hidden layer
        decay: float = 1e-5  #: weight of the squared length of the batch's final vectors

    settings: Settings

    def __init__(self, data: Dataset, settings: Settings | None = None):
        super().__init__(data, settings)
        dim, hidden = self.settings.dim, self.settings.critic_dim
        self.users, self.items = table(data.num_users, dim), table(data.num_items, dim)
        self.projections = fusion.projections(self.content.widths, dim)
        if len(self.content):
            self.attention = nn.MultiheadAttention(dim, self.settings.heads, bias=False, batch_first=True)
            self.critic = nn.Sequential(nn.Linear(data.num_items, hidden), nn.LeakyReLU(), nn.Linear(hidden, 1, bias=False))
        self.graph = bridge.user_item_graph(data.edges, data.shape)
        self.histories = bridge.history_graph(data.edges, data.shape)
        self.rebuild()

    @torch.no_grad()
    def rebuild(self) -> None:
        """Link each user anew with the items that each modality predicts."""
        self.modality_graphs, self.ways_back = nn.ModuleDict(), nn.ModuleDict()
        for name, (users, items) in self.modal().items():
            lists = bridge.best_items(users, items, self.settings.neighbors)
            owner = torch.arange(len(lists), device=lists.device).repeat_interleave(lists.shape[1])
            edges = torch.stack([owner, lists.flatten()])[:, users.any(1)[owner]]
            self.modality_graphs[name] = bridge.history_graph(edges, self.data.shape, powers=(1, 0))
            self.ways_back[name] = bridge.history_graph(edges, self.data.shape, powers=(0, 1)).back()

    def modal(self) -> dict[str, tuple[Tensor, Tensor]]:
        """By modality ``h`` of users and of items."""
        found = {}
        for name, x in self.content.items():
            users = self.histories(self.projections[name](x))
            found[name] = users, self.histories.back()(users)
        return found

    def views(self) -> tuple[Tensor, dict[str, Tensor], dict[str, tuple[Tensor, Tensor]]]:
        """Final vectors of all nodes; by modality the IDs that traveled over its links, and ``h``."""
        ids, modal = torch.cat([self.users, self.items]), self.modal()
        traveled = {name: torch.cat([graph(self.items), self.ways_back[name](self.users)]) for name, graph in self.modality_graphs.items()}
        start = ids
        if traveled:
            tokens = torch.stack(list(traveled.values()), 1)
            attended = self.attention(tokens, tokens, tokens, need_weights=False)[0].mean(1)
            start = ids + self.settings.id_share * normalize(attended, dim=1)
        final = torch.cat(bridge.light_convolution(self.graph, *start.split(self.data.shape), self.settings.layers))
        for h in modal.values():
            final = final + self.settings.content_share * normalize(torch.cat(h), dim=1)
        return final, traveled, modal

    def represent(self) -> tuple[Tensor, Tensor]:
        """Final vectors."""
        return self.views()[0].split(self.data.shape)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Ranking, penalty, contrast, the critic's judgment."""
        final, traveled, modal = self.views()
        rows = batch.rows(*final.split(self.data.shape))
        terms = {"bpr": losses.bpr(*rows), "l2": self.settings.decay * losses.l2(*rows)}
        if not modal:
            return terms
        users, _ = batch.distinct()
        own = embedding(users, final)
        contrast = [contrastive.info_nce(embedding(users, ids), own, self.settings.temperature) for ids in traveled.values()]
        return terms | {
            "contrast": self.settings.contrast_weight * sum(contrast),
            "adversarial": self.judged(sampling.sample(users, CRITIC_ROWS), final, modal),
        }

    def judged(self, users: Tensor, final: Tensor, modal: dict[str, tuple[Tensor, Tensor]]) -> Tensor:
        """The critic's loss on predicted against observed rows of some users, a scalar; predicted rows get its reversed gradient."""
        observed = self.data.history(users).to(final.device)
        similar = final[users].detach() @ self.items.detach().T
        total = final.new_zeros(())
        for of_users, of_items in modal.values():
            gumbel = -torch.empty_like(observed).exponential_().log()
            real = (SMOOTH * observed + similar + gumbel).softmax(1)
            fake = (embedding(users, of_users) @ of_items.T).softmax(1)
            total = (
                total + self.critic(contrastive.reversed_gradient(fake, self.settings.adversarial_weight)).mean() - self.critic(real).mean()
            )
            share = torch.rand(len(real), 1, device=real.device)
            between = (share * real + (1 - share) * fake.detach()).requires_grad_()
            (slope,) = torch.autograd.grad(self.critic(between).sum(), between, create_graph=True)
            total = total + self.settings.penalty * (slope.norm(dim=1) - 1).pow(2).mean()
        return total
