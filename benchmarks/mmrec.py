"""A checkout of MMRec, run by its own loaders, trainer and defaults; nothing of it is kept."""

import os
import sys
import types
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse
import torch
from torch_geometric.utils import scatter

from mllm_rec.data.sources import load
from mllm_rec.errors import InputError


@dataclass(frozen=True)
class MMRec:
    """What MMRec made of one of its models on TikTok: batches to train on, the held-out parts, the model, what trains and ranks it."""

    train_data: Any
    held_out: list[Any]
    model: Any
    trainer: Any


def require(checkout: Path) -> None:
    """Raises ``InputError`` where the folder is no checkout of MMRec."""
    if not (checkout / "src" / "utils" / "configurator.py").exists():
        raise InputError(f"{checkout} is no checkout of MMRec: it has no src/utils/configurator.py")


def write_tiktok(folder: Path) -> None:
    """TikTok as MMRec reads it, and DualGNN's graph of users who share most items."""
    source = load("tiktok-va")
    table = source.interactions.table
    users, items = pd.unique(table["user_id"]), {item: place for place, item in enumerate(source.catalog.item_ids)}
    label = {"train": 0, "validation": 1, "test": 2}
    log = pd.DataFrame(
        {
            "userID": pd.Index(users).get_indexer(table["user_id"]),
            "itemID": table["item_id"].map(items),
            "x_label": table["part"].map(label),
        }
    )
    (folder / "tiktok").mkdir()
    log.to_csv(folder / "tiktok" / "tiktok.inter", sep="\t", index=False)
    for name, feature in zip(("image", "text"), source.features.values(), strict=False):
        np.save(folder / "tiktok" / f"{name}_feat.npy", feature.values.astype(np.float32))
    learned = log[log["x_label"] == 0]
    chosen = scipy.sparse.csr_matrix((np.ones(len(learned)), (learned["userID"], learned["itemID"])), (len(users), len(items)))
    shared = (chosen @ chosen.T).tolil()
    shared.setdiag(0)
    shared = shared.tocsr()
    graph = {}
    for user in range(len(users)):
        row = shared[user]
        order = np.argsort(-row.data, kind="stable")[:200]
        graph[user] = [row.indices[order].tolist(), row.data[order].tolist()]
    np.save(folder / "tiktok" / "user_graph_dict.npy", graph, allow_pickle=True)


def opened(checkout: Path, data: Path, name: str) -> MMRec:
    """A model of MMRec by its own defaults (of several that it would search the first, of step sizes its general one), on what ``write_tiktok`` wrote.

    The process's folder and module path become those of the checkout: for a process of its own.
    """
    require(checkout)
    os.chdir(checkout / "src")
    sys.path.insert(0, ".")
    for module in ("lmdb", "utils.data_utils"):  # read pictures, which nothing here does
        sys.modules[module] = types.ModuleType(module)
    for function in ("ImageResize", "ImagePad", "image_to_tensor", "load_decompress_img_from_lmdb_value"):
        setattr(sys.modules["utils.data_utils"], function, None)
    scipy.sparse.dok_matrix._update = lambda self, entries: self._dict.update(entries)  # of older SciPy
    np.float, np.int = float, int  # of older NumPy
    sys.modules["torch_scatter"] = types.ModuleType("torch_scatter")
    sys.modules["torch_scatter"].scatter_add = scatter  # which adds by default
    torch.Tensor.cuda = lambda self: self  # MGCN asks for it whatever the device
    from utils.configurator import Config
    from utils.dataloader import EvalDataLoader, TrainDataLoader
    from utils.dataset import RecDataset
    from utils.utils import get_model, get_trainer, init_seed

    said = {
        "use_gpu": False,
        "data_path": f"{data}/",
        "inter_file_name": "tiktok.inter",
        "USER_ID_FIELD": "userID",
        "ITEM_ID_FIELD": "itemID",
        "vision_feature_file": "image_feat.npy",
        "text_feature_file": "text_feat.npy",
        "user_graph_dict_file": "user_graph_dict.npy",
        "learning_rate": 1e-3,
    }
    config = Config(name, "tiktok", said)
    for key in config["hyper_parameters"]:
        config[key] = config[key][0] if isinstance(config[key], list) else config[key]
    init_seed(config["seed"])
    learned, validation, test = parts = RecDataset(config).split()
    for part in parts:
        str(part)  # counts its interactions
    train_data = TrainDataLoader(config, learned, batch_size=config["train_batch_size"], shuffle=True)
    held_out = [
        EvalDataLoader(config, part, additional_dataset=learned, batch_size=config["eval_batch_size"]) for part in (validation, test)
    ]
    train_data.pretrain_setup()
    model = get_model(name)(config, train_data)
    for result in ("result", "result_embed"):  # written by forward, which a parameter forbids
        model._parameters.pop(result, None)
    return MMRec(train_data, held_out, model, get_trainer()(config, model))
