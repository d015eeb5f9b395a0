"""Graphs between users and items, and between items; what travels over them."""

from mllm_rec.interaction.bridge.co_occurrence import partner_graph, partners, strongest
from mllm_rec.interaction.bridge.graph import (
    Graph,
    bipartite,
    both_ways,
    csr,
    distinct,
    history_graph,
    item_attribute_graph,
    merge,
    normalized,
    scaled,
    user_item_graph,
)
from mllm_rec.interaction.bridge.item_graph import LearnedItemGraph, best_items, item_item_graph, item_links, learned_item_graphs, nearest
from mllm_rec.interaction.bridge.links import Links, history_links
from mllm_rec.interaction.bridge.propagation import light_convolution, propagate

__all__ = [
    "Graph",
    "LearnedItemGraph",
    "Links",
    "best_items",
    "bipartite",
    "both_ways",
    "csr",
    "distinct",
    "history_graph",
    "history_links",
    "item_attribute_graph",
    "item_item_graph",
    "item_links",
    "learned_item_graphs",
    "light_convolution",
    "merge",
    "nearest",
    "normalized",
    "partner_graph",
    "partners",
    "propagate",
    "scaled",
    "strongest",
    "user_item_graph",
]
