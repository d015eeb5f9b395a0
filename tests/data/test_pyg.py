"""A data set as a graph of PyTorch Geometric."""

import numpy as np
import pandas as pd
from torch_geometric.transforms import ToUndirected

from mllm_rec.data.dataset import Dataset
from mllm_rec.data.features import Features
from mllm_rec.data.interactions import Interactions


def test_nodes_edges_and_features():
    log = Interactions(pd.DataFrame({"user_id": ["a", "a", "b"], "item_id": ["x", "z", "y"]}))
    values, present = np.arange(6, dtype=np.float32).reshape(3, 2), np.array([True, False, True])
    data = Dataset(["x", "y", "z"], ["a", "b", "c"], log, {"image": Features(values, present)})
    graph = data.to_pyg()
    assert graph.validate() and (graph["user"].num_nodes, graph["item"].num_nodes) == (3, 3)
    assert graph["user", "likes", "item"].edge_index.tolist() == [[0, 0, 1], [0, 2, 1]]
    assert graph["item"].image.tolist() == [[0, 1], [0, 0], [4, 5]]
    assert graph["item"].image_present.tolist() == [True, False, True]
    back = ToUndirected()(graph)["item", "rev_likes", "user"].edge_index
    assert sorted(map(tuple, back.T.tolist())) == [(0, 0), (1, 1), (2, 0)]
