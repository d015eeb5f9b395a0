"""A system of one's own, trained and judged like the others: python examples/own_system.py WORKSPACE"""

import sys
from dataclasses import dataclass

import torch
from torch import nn

from mllm_rec import SYSTEMS, Dataset, FitSettings, Interactions, create, evaluate, fit, validator
from mllm_rec.interaction import bridge, fusion
from mllm_rec.optimization import losses
from mllm_rec.recommender import TopN


class Blend(TopN):
    """LightGCN over item vectors to which each modality adds its projection, weighted by one learned share per modality."""

    multimodal = True

    @dataclass(frozen=True)
    class Settings:
        dim: int = 64  #: width of user and item vectors
        layers: int = 2  #: hops over the user-item graph

    def __init__(self, data, settings=None):
        super().__init__(data, settings)
        self.users = nn.Parameter(torch.randn(data.num_users, self.settings.dim) * 0.1)
        self.items = nn.Parameter(torch.randn(data.num_items, self.settings.dim) * 0.1)
        self.projections = nn.ModuleDict({name: nn.Linear(x.shape[1], self.settings.dim, bias=False) for name, x in self.features.items()})
        self.shares = nn.Parameter(torch.zeros(len(self.projections)))
        self.graph = bridge.user_item_graph(data.edges, data.shape)

    def represent(self):
        items = self.items
        for share, (name, project) in zip(self.shares.softmax(0), self.projections.items(), strict=True):
            items = items + share * project(fusion.unit_rows(self.features[name], self.present[name]))
        return bridge.light_convolution(self.graph, self.users, items, self.settings.layers)

    def loss(self, batch):
        penalty = losses.l2(*batch.rows(self.users, self.items))
        return {"bpr": losses.bpr(*batch.rows(*self.represent())), "l2": 1e-4 * penalty}


if __name__ == "__main__":
    data = Dataset.load(sys.argv[1])
    held = {part: data.index(Interactions.load(sys.argv[1], part)) for part in ("validation", "test")}
    for kind in (SYSTEMS["lightgcn"], Blend):
        system = create(kind, data)
        run = fit(system, data, validator(held["validation"], data.edges), FitSettings())
        table = evaluate(system, held["test"], torch.cat([data.edges, held["validation"]], 1))
        print(f"{kind.__name__:10} recall@20 {table.mean('recall@20'):.4f}  {run.seconds:.0f} s")
