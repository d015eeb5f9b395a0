"""What the benchmarks measure on: made-up data of TikTok's size, and TikTok itself where it lies in MLLM_REC_DATA."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mllm_rec.data.dataset import Dataset
from mllm_rec.data.interactions import Interactions
from mllm_rec.data.sources import SOURCES, data_cache, load
from mllm_rec.data.split import split
from mllm_rec.optimization.sampling import Batch, Triples
from mllm_rec.pipeline.processes import apart

USERS, ITEMS, TRAIN, TEST = 9_308, 6_710, 60_000, 6_000


@dataclass(frozen=True)
class Workload:
    """A data set, and held-out pairs ``(2, n)``."""

    name: str
    data: Dataset
    held_out: Tensor


def made_up(num_users: int = USERS, num_items: int = ITEMS, test: int = TEST) -> Workload:
    """Users of unlike activity, items of unlike popularity, nothing else."""
    random = np.random.default_rng(0)
    user_share, item_share = random.pareto(2.0, num_users) + 0.3, random.pareto(1.2, num_items) + 0.1
    drawn = random.choice(num_users, 4 * TRAIN, p=user_share / user_share.sum()) * num_items + random.choice(
        num_items, 4 * TRAIN, p=item_share / item_share.sum()
    )
    users, items = np.divmod(random.permutation(np.unique(drawn))[: TRAIN + test], num_items)
    log = Interactions(pd.DataFrame({"user_id": users[:TRAIN].astype(str), "item_id": items[:TRAIN].astype(str)}))
    data = Dataset([str(item) for item in range(num_items)], [str(user) for user in range(num_users)], log)
    return Workload("made up", data, torch.from_numpy(np.stack([users[TRAIN:], items[TRAIN:]])))


def tiktok() -> Workload:
    """The given split of ``tiktok-va``: test pairs held out."""
    source = load("tiktok-va")
    parts = split(source.interactions, "given")
    data = Dataset(source.catalog.item_ids, pd.unique(source.interactions.table["user_id"]), parts.train)
    return Workload("tiktok-va", data, data.index(parts.test))


def workloads() -> list[Workload]:
    """Those that can be measured here."""
    there = "MLLM_REC_DATA" in os.environ and SOURCES["tiktok-va"].present(data_cache())
    return [made_up(), *([tiktok()] if there else [])]


def alone(function: Callable[..., Any], *arguments: Any) -> Any:
    """What a function gives in a process of its own, with one thread; raises what it raised."""
    ((_, came),) = apart(function, {"": arguments}, 1)
    if isinstance(came, Exception):
        raise came
    return came


def batches_of(system: torch.nn.Module, data: Dataset, batch_size: int) -> Iterator[Batch]:
    """Batches of the epoch that the system, switched to training, begins."""
    generator = torch.Generator().manual_seed(0)
    system.train()
    if hasattr(system, "begin_epoch"):
        system.begin_epoch(generator)
    return Triples(data.edges, data.shape, batch_size, system.by_user).epoch(generator)


def step_of(system: torch.nn.Module, lower: bool = False) -> Callable[[Batch], None]:
    """Loss, gradient and Adam on a batch; ``lower``: matrix products in bfloat16, on a GPU."""
    optimizer = torch.optim.Adam(system.parameters(), lr=3e-3, fused=True)

    def step(batch: Batch) -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cuda", torch.bfloat16, enabled=lower):
            loss = sum(system.loss(batch).values())
        loss.backward()
        optimizer.step()

    return step
