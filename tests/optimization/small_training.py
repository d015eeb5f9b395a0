"""A training of half a second, for the tests of ``fit``; importable by the processes that are killed."""

import numpy as np
import pandas as pd
import torch

from mllm_rec.data.dataset import Dataset
from mllm_rec.data.features import Features
from mllm_rec.data.interactions import Interactions
from mllm_rec.evaluation import validator
from mllm_rec.optimization.fit import FitSettings, fit
from mllm_rec.recommender import create
from mllm_rec.systems import SYSTEMS


def parts(num_users=60, num_items=40, each=9, seed=0):
    """A data set with two features, and held-out pairs ``(2, n)``."""
    random = np.random.default_rng(seed)
    chosen = np.stack([random.choice(num_items, each, replace=False) for _ in range(num_users)])
    pairs = [(f"u{user}", f"i{item}") for user, items in enumerate(chosen[:, 1:]) for item in items]
    features = {name: Features(random.normal(size=(num_items, 5)), random.random(num_items) < 0.9) for name in ("image", "text")}
    log = Interactions(pd.DataFrame(pairs, columns=["user_id", "item_id"]))
    data = Dataset([f"i{item}" for item in range(num_items)], [f"u{user}" for user in range(num_users)], log, features)
    return data, torch.stack([torch.arange(num_users), torch.from_numpy(chosen[:, 0])])


def train(out, system, epochs):
    """Fit a system, chosen by validation, into the folder ``out``."""
    torch.set_num_threads(1)
    data, held_out = parts()
    created = create(SYSTEMS[system], data, seed=1)
    settings = FitSettings(epochs=epochs, batch_size=32, lr=0.01, patience=epochs, seed=2)
    return created, fit(created, data, validator(held_out, data.edges), settings, out)
