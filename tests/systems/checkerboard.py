"""Even users like even items and odd users odd ones, all but the diagonal, which is held out."""

import numpy as np
import pandas as pd

from mllm_rec.data.dataset import Dataset
from mllm_rec.data.features import Features
from mllm_rec.data.interactions import Interactions
from mllm_rec.optimization.fit import FitSettings, fit
from mllm_rec.recommender import create

#: Users and items with interactions; after them comes a user without, and two items without.
SIZE = 30
STRANGER, COLD_EVEN, COLD_ODD = SIZE, SIZE, SIZE + 1
WITHOUT_IMAGE, WITHOUT_TEXT = 3, 4


def checkerboard() -> Dataset:
    """Features say whether an item is even; one item lacks each."""
    random = np.random.default_rng(0)
    pairs = [(f"u{user}", f"i{item}") for user in range(SIZE) for item in range(SIZE) if (user + item) % 2 == 0 and user != item]
    parity = np.where(np.arange(SIZE + 2) % 2 == 0, 1.0, -1.0)[:, None]
    features = {
        name: Features(parity * [[1, -1, 1]] + 0.5 * random.normal(size=(SIZE + 2, 3)), np.arange(SIZE + 2) != missing)
        for name, missing in (("image", WITHOUT_IMAGE), ("text", WITHOUT_TEXT))
    }
    log = Interactions(pd.DataFrame(pairs, columns=["user_id", "item_id"]))
    return Dataset([f"i{item}" for item in range(SIZE + 2)], [f"u{user}" for user in range(SIZE + 1)], log, features)


#: Attention, or projections that are held small, learn to look at the ID alone if they are hurried.
SLOW = {"HCGCN", "IRIS", "PMGCRN", "TMFUN", "VBPR"}


def learn(system, data):
    """A system fitted for ten short epochs; with one batch an epoch, or slowly, for more."""
    created = create(system, data, seed=4)
    slow = system.__name__ in SLOW
    epochs = 60 if system.by_user else 40 if slow else 10
    fit(created, data, settings=FitSettings(epochs=epochs, batch_size=128, lr=0.003 if slow else 0.02))
    return created
