"""FREEDOM: freeze the item graph, denoise the user graph.

Zhou and Shen. A Tale of Two Graphs: Freezing and Denoising Graph Structures for Multimodal Recommendation.
ACM MM 2023. https://arxiv.org/abs/2211.06924

Items alike in picture or text are linked once and for all; links between users and items are thinned anew each epoch,
popular ones first. An item is its LightGCN vector plus what its item links bring; projected features are trained to
rank too, with a small weight. Serving uses the whole user graph.

Cell: Interaction: filtration. Enhancement: none. Optimization: end-to-end.
Related: LATTICE learns the item graph instead; LightGCN has neither edit.
Differs from the paper: features are centered and scaled to unit length before they are projected, and stay fixed (the
released code trains them on); an item without a modality has no links of that kind; ``decay`` is ours (0 is the paper's).
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from mllm_rec.data.dataset import Dataset
from mllm_rec.errors import InputError
from mllm_rec.interaction import bridge, filtration, fusion
from mllm_rec.optimization import losses
from mllm_rec.recommender import Batch, TopN, table


class FREEDOM(TopN):
    multimodal = True

    @dataclass(frozen=True)
    class Settings:
        dim: int = 64  #: width of user and item vectors
        user_layers: int = 2  #: hops over the user-item graph
        item_layers: int = 1  #: hops over the item-item graph
        neighbors: int = 10  #: links per item and modality, the item itself among them (k)
        modality_weights: Mapping[str, float] | None = None  #: None: equal; the paper: image .1, text .9
        drop: float = 0.8  #: share of user-item links left out of an epoch (rho)
        content_weight: float = 1e-3  #: weight of the per-modality ranking losses (lambda)
        decay: float = 0.0  #: weight of the squared length of the batch's own vectors

    settings: Settings

    def __init__(self, data: Dataset, settings: Settings | None = None):
        super().__init__(data, settings)
        dim = self.settings.dim
        self.users, self.items = table(data.num_users, dim), table(data.num_items, dim)
        self.projections = fusion.projections(self.content.widths, dim)
        self.weights = self._modality_weights()
        self.item_graphs = {
            name: bridge.item_item_graph(values, self.present[name], self.settings.neighbors) for name, values in self.features.items()
        }
        self.item_graph = self._linked()
        self.full_graph = self.thin_graph = bridge.user_item_graph(data.edges, data.shape)

    def begin_epoch(self, generator: torch.Generator) -> None:
        """Thin the user graph anew."""
        kept = filtration.prune_by_degree(self.data.edges, self.data.shape, 1 - self.settings.drop, generator)
        self.thin_graph = bridge.user_item_graph(kept, self.data.shape).to(self.users.device)

    def represent(self) -> tuple[Tensor, Tensor]:
        """LightGCN on the thinned graph (serving: the whole one), plus the item links."""
        graph = self.thin_graph if self.training else self.full_graph
        users, items = bridge.light_convolution(graph, self.users, self.items, self.settings.user_layers)
        return users, items + bridge.propagate(self.item_graph, self.items, self.settings.item_layers)[-1]

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Ranking, and ranking by each modality's projected features where both items have it."""
        user, positive, negative = batch.rows(*self.represent())
        terms = {"bpr": losses.bpr(user, positive, negative)}
        with self.content.only(batch.positives, batch.negatives):
            for name, x in self.content.items():
                known = self.present[name][batch.positives] & self.present[name][batch.negatives]
                positive, negative = fusion.project_rows(self.projections[name], x, batch.positives, batch.negatives)
                terms[name] = self.settings.content_weight * losses.bpr(user, positive, negative, where=known)
        terms["l2"] = self.settings.decay * losses.l2(*batch.rows(self.users, self.items))
        return terms

    @contextmanager
    def without(self, modality: str) -> Iterator[None]:
        """Inside the block no item has ``modality``, and so no links of that kind."""
        with super().without(modality):
            kept, self.item_graph = self.item_graph, self._linked()
            try:
                yield
            finally:
                self.item_graph = kept

    def _linked(self) -> bridge.Graph:
        left = [name for name in self.item_graphs if self.present[name].any()]
        shape = (self.data.num_items, self.data.num_items)
        graph = bridge.merge([self.item_graphs[name] for name in left], [self.weights[name] for name in left], shape)
        return graph.to(self.users.device)

    def _modality_weights(self) -> dict[str, float]:
        given = self.settings.modality_weights
        if given is None:
            return {name: 1 / len(self.content) for name in self.content}
        if set(given) != set(self.content):
            raise InputError(f"modality_weights name {', '.join(given) or 'nothing'}; the features are {', '.join(self.content) or 'none'}")
        return dict(given)
