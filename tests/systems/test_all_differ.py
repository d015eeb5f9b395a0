"""No two systems are the same under other names."""

import torch
from checkerboard import checkerboard

from mllm_rec.optimization.fit import FitSettings, fit
from mllm_rec.recommender import Query, create
from mllm_rec.systems import SYSTEMS


def test_scores_on_the_planted_set_differ_pairwise():
    """From the same seed and after the same few steps, by the order in which users see items."""
    board = checkerboard()
    orders = {}
    for name, kind in SYSTEMS.items():
        system = create(kind, board, seed=0)
        fit(system, board, settings=FitSettings(epochs=3, batch_size=128, lr=0.01))
        ranks = system.score(Query(torch.arange(30)))[:, :30].argsort(1).argsort(1).float()
        orders[name] = (ranks - ranks.mean(1, keepdim=True)).flatten() / ranks.std() / ranks.numel() ** 0.5
    stacked = torch.stack(list(orders.values()))
    alike = stacked @ stacked.T
    alike.fill_diagonal_(0)
    nearest, place = alike.max(1)
    names = list(orders)
    same = [(name, names[other]) for name, value, other in zip(names, nearest, place.tolist(), strict=True) if value > 0.999]
    assert not same
