"""A system around a layer of PyTorch Geometric, beside LightGCN: python examples/pyg_layer.py WORKSPACE"""

import sys
from dataclasses import dataclass

import torch
from torch import nn
from torch_geometric.nn import HeteroConv, SAGEConv
from torch_geometric.transforms import ToUndirected

from mllm_rec import SYSTEMS, Dataset, FitSettings, Interactions, create, evaluate, fit, validator
from mllm_rec.interaction import fusion
from mllm_rec.optimization import losses
from mllm_rec.recommender import TopN, table


class GraphSAGE(TopN):
    """Users and items collect what their neighbors say (Hamilton et al., NeurIPS 2017); an item says its ID and what it looks like."""

    multimodal = True

    @dataclass(frozen=True)
    class Settings:
        dim: int = 64  #: width of user and item vectors
        layers: int = 2  #: hops over the user-item graph

    def __init__(self, data, settings=None):
        super().__init__(data, settings)
        dim = self.settings.dim
        self.users, self.items = table(data.num_users, dim), table(data.num_items, dim)
        self.projections = nn.ModuleDict({name: nn.Linear(x.shape[1], dim, bias=False) for name, x in self.features.items()})
        graph = ToUndirected()(data.to_pyg())
        for relation, edges in graph.edge_index_dict.items():
            self.register_buffer("_".join(relation), edges, persistent=False)
        self.relations = graph.edge_types
        self.convolutions = nn.ModuleList(
            HeteroConv({relation: SAGEConv(dim, dim) for relation in self.relations}) for _ in range(self.settings.layers)
        )

    def represent(self):
        looks = [project(fusion.unit_rows(self.features[name], self.present[name])) for name, project in self.projections.items()]
        nodes = {"user": self.users, "item": self.items + sum(looks)}
        edges = {relation: getattr(self, "_".join(relation)) for relation in self.relations}
        said = nodes
        for convolution in self.convolutions:
            said = convolution(said, edges)
        return nodes["user"] + said["user"], nodes["item"] + said["item"]

    def loss(self, batch):
        return {"bpr": losses.bpr(*batch.rows(*self.represent())), "l2": 1e-4 * losses.l2(*batch.rows(self.users, self.items))}


if __name__ == "__main__":
    data = Dataset.load(sys.argv[1])
    held = {part: data.index(Interactions.load(sys.argv[1], part)) for part in ("validation", "test")}
    for kind in (SYSTEMS["lightgcn"], GraphSAGE):
        system = create(kind, data)
        run = fit(system, data, validator(held["validation"], data.edges), FitSettings())
        results = evaluate(system, held["test"], torch.cat([data.edges, held["validation"]], 1))
        print(f"{kind.__name__:10} recall@20 {results.mean('recall@20'):.4f}  {run.seconds:.0f} s")
