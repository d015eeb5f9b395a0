"""What a system may see: contiguous ids, the training part of the log, and features."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mllm_rec.data.catalog import Catalog
from mllm_rec.data.features import Encodable, Features
from mllm_rec.data.interactions import Interactions
from mllm_rec.data.sparse import csr, row_starts
from mllm_rec.errors import InputError

if TYPE_CHECKING:
    from torch_geometric.data import HeteroData


class Dataset:
    """Users and items as 0..n-1; ``edges`` hold the TRAINING PART ONLY, so no system can see what it is tested on.

    Args:
        items: item ids, in catalog order.
        users: user ids, of the whole log (also those without a training row).
        train: the training part.
        features: by name, rows in item order.
        encodable: features that a system makes itself, of inputs, by a module that is trained with it; by the feature's name.

    Raises:
        InputError: a feature's rows differ from the items, or an id of ``train`` is not listed.
    """

    def __init__(
        self,
        items: Iterable[str],
        users: Iterable[str],
        train: Interactions,
        features: Mapping[str, Features] | None = None,
        encodable: Mapping[str, Encodable] | None = None,
    ):
        self.items = np.asarray(list(items), dtype=object)
        self.users = np.asarray(list(users), dtype=object)
        self._item_index = pd.Index(self.items)
        self._user_index = pd.Index(self.users)
        self.edges = self.index(train)
        if self.edges.shape[1] != len(train):
            raise InputError(
                f"{len(train) - self.edges.shape[1]} training interactions name a user or an item that the data set does not list"
            )
        self.features = dict(features or {})
        self.encodable = dict(encodable or {})
        for name, feature in self.features.items():
            if len(feature.values) != len(self.items):
                raise InputError(
                    f"feature '{name}' has {len(feature.values)} rows but the dataset has {len(self.items)} items; rows must follow item order"
                )

    @classmethod
    def load(cls, workspace: Path | str, *parts: str) -> "Dataset":
        """A workspace's items, users, features and the chosen parts of its log as training part.

        Args:
            workspace: folder that ``mllm-rec build`` made.
            parts: "train" where none is named; ``"train", "validation", "test"`` is the whole log, for serving.

        Raises:
            InputError: the folder is not a workspace.
        """
        workspace = Path(workspace)
        if not (workspace / "interactions.parquet").exists():
            raise InputError(f"{workspace} is not a workspace; make one with 'mllm-rec build ... --out {workspace}'")
        log = pd.read_parquet(workspace / "interactions.parquet", columns=["user_id"])
        features = {path.stem: Features.load(path) for path in sorted((workspace / "features").glob("*.safetensors"))}
        items = Catalog.load(workspace / "catalog.parquet").item_ids
        return cls(items, pd.unique(log["user_id"]), Interactions.load(workspace, *(parts or ("train",))), features)

    def first(self, num_users: int, num_items: int) -> "Dataset":
        """The first users and items alone, with what stands between them in ``edges``."""
        features = {name: one.rows(np.arange(num_items)) for name, one in self.features.items()}
        nothing = Interactions(pd.DataFrame(columns=["user_id", "item_id"]))
        part = Dataset(self.items[:num_items], self.users[:num_users], nothing, features)
        part.encodable = {name: replace(one, inputs=one.inputs[:num_items]) for name, one in self.encodable.items()}
        part.edges = self.edges[:, (self.edges[0] < num_users) & (self.edges[1] < num_items)]
        return part

    @property
    def num_users(self) -> int:
        """Users of the whole log."""
        return len(self.users)

    @property
    def num_items(self) -> int:
        """Items of the catalog."""
        return len(self.items)

    @property
    def shape(self) -> tuple[int, int]:
        """``(num_users, num_items)``."""
        return self.num_users, self.num_items

    def index(self, interactions: Interactions) -> Tensor:
        """Known (user, item) pairs of a log as ``(2, n)`` int64 positions; pairs with an unknown id are left out."""
        users = self._user_index.get_indexer(interactions.table["user_id"])
        items = self._item_index.get_indexer(interactions.table["item_id"])
        known = (users >= 0) & (items >= 0)
        return torch.from_numpy(np.stack([users[known], items[known]]).astype(np.int64))

    def user(self, user_id: str) -> int:
        """Position of a user.

        Raises:
            InputError: the log has no such user.
        """
        position = int(self._user_index.get_indexer([str(user_id)])[0])
        if position < 0:
            raise InputError(f"user '{user_id}' is not in the log of {self.num_users} users")
        return position

    @cached_property
    def user_items(self) -> Tensor:
        """``(num_users, num_items)`` sparse CSR of ones: the training history."""
        return _csr(self.edges, self.shape)

    def history(self, users: Tensor) -> Tensor:
        """Dense ``(batch, num_items)`` float32 rows of the training history (ones where seen)."""
        starts, columns = self.user_items.crow_indices(), self.user_items.col_indices()
        rows, where = gather_rows(starts, users.to(starts.device))
        block = torch.zeros(len(users), self.num_items)
        block[rows, columns[where]] = 1.0
        return block

    @cached_property
    def item_counts(self) -> Tensor:
        """``(num_items,)`` int64: training interactions of each item."""
        return torch.bincount(self.edges[1], minlength=self.num_items)

    @cached_property
    def user_counts(self) -> Tensor:
        """``(num_users,)`` int64: training interactions of each user."""
        return torch.bincount(self.edges[0], minlength=self.num_users)

    def to_pyg(self) -> "HeteroData":
        """The training part as a graph of PyTorch Geometric, for its layers, loaders and transforms.

        Returns:
            Nodes "user" and "item", in the order of ``users`` and ``items``; ``["user", "likes", "item"].edge_index`` ``(2, n)`` int64,
            the columns of ``edges``; of each feature ``["item"][name]`` ``(num_items, width)`` float32 and
            ``["item"][name + "_present"]`` ``(num_items,)`` bool.
        """
        from torch_geometric.data import HeteroData

        graph = HeteroData()
        graph["user"].num_nodes, graph["item"].num_nodes = self.shape
        graph["user", "likes", "item"].edge_index = self.edges
        for name, feature in self.features.items():
            graph["item"][name] = torch.from_numpy(feature.values)
            graph["item"][f"{name}_present"] = torch.from_numpy(feature.present)
        return graph


def gather_rows(starts: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Entries of chosen CSR rows, without a loop.

    Args:
        starts: ``(num_rows + 1,)`` row pointers.
        rows: ``(batch,)`` rows to take.

    Returns:
        ``(entries,)`` position in ``rows`` of each entry, and ``(entries,)`` its place in the CSR's columns.
    """
    first, length = starts[rows], starts[rows + 1] - starts[rows]
    owner = torch.repeat_interleave(torch.arange(len(rows), device=rows.device), length)
    offset = torch.arange(len(owner), device=rows.device) - torch.repeat_interleave(length.cumsum(0) - length, length)
    return owner, first[owner] + offset


def _csr(edges: Tensor, shape: tuple[int, int]) -> Tensor:
    unique = torch.unique(edges[0] * shape[1] + edges[1])
    return csr(row_starts(unique // max(1, shape[1]), shape[0]), unique % max(1, shape[1]), torch.ones(len(unique)), shape)
