"""MCPTR: pretrain users and items from modalities and co-choice graphs, then fine-tune a recommender from there. (reconstructed)

Liu, Ma, Schubert, Ouyang and Xiong. Multi-Modal Contrastive Pre-training for Recommendation. ICMR 2022.
https://doi.org/10.1145/3512527.3531378

Items chosen by the same users are linked, ``B_I``, and users who chose the same items, ``B_U``. Within a modality ``h_m = z_m + B_I z_m``,
``z_m = W_m x_m``, and so for a free structure vector, ``h_s``; users gather ``t = R h``, then ``t + B_U t``. Between modalities, attention:
``sum_m a_m h_m``. Stage 1 minimizes the cross-entropy of choices and draws the modalities of one item together; stage 2 starts LightGCN
from what was found.

Cell: Interaction: coarse-grained attention. Enhancement: contrastive learning. Optimization: two-step.
Related: LightGCN is MCPTR without stage 1; PMGT pretrains items by a transformer.
Differs from the paper: from its abstract; users have no reviews here, their modalities are means of what they chose; the downstream
recommender is LightGCN; features stay fixed (the paper fine-tunes their encoders).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from mllm_rec.data.dataset import Dataset
from mllm_rec.enhancement import contrastive
from mllm_rec.interaction import bridge, fusion
from mllm_rec.optimization import losses
from mllm_rec.recommender import Batch, TopN, table


class MCPTR(TopN):
    multimodal = True
    needs_features = True
    serves_content = False
    cold_items = False

    @dataclass(frozen=True)
    class Settings:
        dim: int = 64  #: width of user and item vectors, and of projected features
        layers: int = 2  #: hops over the user-item graph, in stage 2
        neighbors: int = 10  #: users or items that each is linked with, in stage 1
        temperature: float = 0.2  #: of the contrast (tau)
        contrast_weight: float = 0.1  #: weight of the contrast
        pretrain_epochs: int = 5  #: epochs of stage 1 (the survey: at most 100)
        decay: float = 1e-4  #: weight of the squared length of the batch's own vectors, in stage 2

    settings: Settings

    def __init__(self, data: Dataset, settings: Settings | None = None):
        super().__init__(data, settings)
        dim, neighbors = self.settings.dim, self.settings.neighbors
        self.users, self.items = table(data.num_users, dim), table(data.num_items, dim)
        self.projections = fusion.projections(self.content.widths, dim)
        self.structure = table(data.num_items, dim)
        self.user_attention, self.item_attention = fusion.ModalityAttention(dim), fusion.ModalityAttention(dim)
        self.item_partners = bridge.partner_graph(data.edges.flip(0), data.shape[::-1], neighbors)
        self.user_partners = bridge.partner_graph(data.edges, data.shape, neighbors)
        self.chosen = bridge.history_graph(data.edges, data.shape, powers=(1, 0))
        self.graph = bridge.user_item_graph(data.edges, data.shape)

    def pretrained(self) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Users and items of stage 1, and ``h_m`` of the items by modality."""
        starts = {name: self.projections[name](x) for name, x in self.content.items()}
        of_items = {name: z + self.item_partners(z) for name, z in {**starts, "": self.structure}.items()}
        gathered = [self.chosen(h) for h in of_items.values()]
        of_users = [t + self.user_partners(t) for t in gathered]
        users, items = self.user_attention(torch.stack(of_users)), self.item_attention(torch.stack(list(of_items.values())))
        return users, items, {name: of_items[name] for name in starts}

    def pretrain_loss(self, batch: Batch) -> dict[str, Tensor]:
        """The chosen against the others, and the modalities of one item together."""
        users, items, modal = self.pretrained()
        user, positive, negative = batch.rows(users, items)
        terms = {"bce": losses.pointwise((user * positive).sum(1), (user * negative).sum(1))}
        if len(modal) > 1:
            contrast = contrastive.between_modalities(modal, self.present, batch.distinct()[1], self.settings.temperature)
            terms["contrast"] = self.settings.contrast_weight * contrast
        return terms

    @torch.no_grad()
    def end_pretraining(self) -> None:
        """Stage 2 starts from what stage 1 found."""
        users, items, _ = self.pretrained()
        self.users.copy_(users)
        self.items.copy_(items)

    def represent(self) -> tuple[Tensor, Tensor]:
        """LightGCN."""
        return bridge.light_convolution(self.graph, self.users, self.items, self.settings.layers)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Ranking and penalty."""
        penalty = losses.l2(*batch.rows(self.users, self.items))
        return {"bpr": losses.bpr(*batch.rows(*self.represent())), "l2": self.settings.decay * penalty}
