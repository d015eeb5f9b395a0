"""MVGAE: each modality is an expert that says how sure it is.

Yi and Chen. Multi-Modal Variational Graph Auto-Encoder for Recommendation Systems. IEEE Transactions on Multimedia 2021.
https://doi.org/10.1109/TMM.2021.3111487

The log's channel starts from IDs, a modality's from ``[p_u^m; W_m x_i]``. A graph convolution (the mean over neighbors and the node itself) gives
each channel a mean and a log-variance of every node. A product of experts weighs means by precision, ``T = e^-lv``:
``mu = sum_c mu_c T_c / sum_c T_c``. With ``z = mu + noise eps e^{lv / 2}`` the chosen item beats the hardest of some others, for the
fused experts and for each alone, and all stay near N(0, I). The score is ``mu_u . mu_i``.

Cell: Interaction: filtration. Enhancement: none. Optimization: end-to-end.
Related: LightGCN is sure of everything; DualGNN weighs modalities by user instead of by certainty.
Differs from the paper: the hardest of the batch's own negatives and those of some rows before; the experts of the modalities and of the
log are multiplied at once (the same product); an item without a modality has no such expert.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, leaky_relu

from mllm_rec.data.dataset import Dataset
from mllm_rec.interaction import bridge, fusion
from mllm_rec.optimization import losses
from mllm_rec.recommender import Batch, TopN, table


class MVGAE(TopN):
    multimodal = True
    cold_items = False
    needs_features = True

    @dataclass(frozen=True)
    class Settings:
        dim: int = 64  #: width of user and item vectors
        noise: float = 0.1  #: scale of the noise of z
        kl_weight: float = 1e-2  #: weight of the divergences (beta)
        candidates: int = 4  #: items that the hardest is chosen from

    settings: Settings

    def __init__(self, data: Dataset, settings: Settings | None = None):
        super().__init__(data, settings)
        dim = self.settings.dim
        self.users, self.items = table(data.num_users, dim), table(data.num_items, dim)
        self.preferences = nn.ParameterDict({name: table(data.num_users, dim) for name in self.content})
        self.projections = fusion.projections(self.content.widths, dim)
        channels = dict.fromkeys(["log", *self.content], dim)
        self.hidden, self.mean, self.log_variance = (fusion.projections(channels, dim, bias=True) for _ in range(3))
        self.graph = bridge.normalized(bridge.bipartite(data.edges, data.shape), sum(data.shape), (1, 0), loops=True)

    def experts(self) -> tuple[dict[str, tuple[Tensor, Tensor]], tuple[Tensor, Tensor]]:
        """By channel the mean and log-variance of every node; the same of their product."""
        found, precision = {}, []
        for channel, hidden in self.hidden.items():
            start = [self.users, self.items]
            if channel != "log":
                start = [self.preferences[channel], self.projections[channel](self.content[channel])]
            h = leaky_relu(self.graph(hidden(torch.cat(start))))
            mean, log_variance = self.graph(self.mean[channel](h)), self.graph(self.log_variance[channel](h))
            found[channel] = mean, log_variance
            precision.append((-log_variance).exp() * self.known(channel)[:, None])
        total = sum(precision)
        mean = sum(part * mean for part, (mean, _) in zip(precision, found.values(), strict=True)) / total
        return found, (mean, -total.log())

    def known(self, channel: str) -> Tensor:
        """``(num_users + num_items,)`` bool: nodes that the channel is an expert of."""
        if channel == "log":
            return torch.ones(sum(self.data.shape), dtype=torch.bool, device=self.users.device)
        present = self.present[channel]
        return torch.cat([present.any().expand(self.data.num_users), present])

    def represent(self) -> tuple[Tensor, Tensor]:
        """Means of the product of experts."""
        return self.experts()[1][0].split(self.data.shape)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Ranking against the hardest and divergence, of the product and of each expert."""
        found, product = self.experts()
        others = batch.candidates(self.settings.candidates)
        nodes = torch.cat([batch.users, batch.positives + self.data.num_users])
        terms, divergence = {}, self.users.new_zeros(())
        for channel, (mean, log_variance) in {"fused": product, **found}.items():
            z = mean + self.settings.noise * torch.randn_like(mean) * (0.5 * log_variance).exp()
            users, items = z.split(self.data.shape)
            user, positive = embedding(batch.users, users), embedding(batch.positives, items)
            hardest = torch.stack([(user * embedding(rows, items)).sum(1) for rows in others]).amax(0)
            terms[channel] = losses.ranking((user * positive).sum(1), hardest)
            mu, lv = embedding(nodes, mean), embedding(nodes, log_variance)
            divergence = divergence + 0.5 * (lv.exp() + mu.pow(2) - lv - 1).sum(1).mean()
        return terms | {"kl": self.settings.kl_weight * divergence}
