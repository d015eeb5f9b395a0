"""Synthetic people who buy in a synthetic shop: hidden tastes, popularity, chance, time."""

from __future__ import annotations

import numpy as np
import pandas as pd

#: The last moment of the log (2025-06-30) and its length, about 18 months; seconds.
END, SPAN = 1_751_241_600, 547 * 24 * 3600

#: What people have a taste for, and how much of it.
_TASTES = {"color": 1.0, "pattern": 1.0, "shape": 0.8, "material": 0.9, "style": 0.8}
_CIRCLES, _CATEGORY, _POPULAR, _NEW, _BUDGET, _SHARPNESS = 12, 0.5, 0.6, 0.8, 0.5, 2.1


def shop(goods: pd.DataFrame, users: int, rng: np.random.Generator) -> pd.DataFrame:
    """What ``users`` people buy, as user_id, item_id, timestamp (seconds), in order of time.

    A purchase is drawn from the goods released by then and not yet bought by this person, with
    log-odds = taste + popularity + novelty. Tastes are shared by circles of people.

    Args:
        goods: item_id, price, released (seconds), category and the columns tastes are about.
    """
    utility = _SHARPNESS * _tastes(goods, users, rng) + _POPULAR * rng.standard_normal(len(goods))
    released = goods["released"].to_numpy()
    log = []
    for user in range(users):
        times = _visits(rng)
        age = times[:, None] - released
        odds = utility[user] + _NEW * np.exp(-np.maximum(age, 0) / (60 * 24 * 3600)) + rng.gumbel(size=age.shape)
        odds[age < 0] = -np.inf
        for time, row in zip(times, odds, strict=True):
            item = int(row.argmax())
            if np.isfinite(row[item]):
                odds[:, item] = -np.inf
                log.append((f"U{user + 1:04d}", goods["item_id"].iat[item], int(time)))
    table = pd.DataFrame(log, columns=["user_id", "item_id", "timestamp"])
    return table.sort_values(["timestamp", "user_id", "item_id"], ignore_index=True)


def _tastes(goods: pd.DataFrame, users: int, rng: np.random.Generator) -> np.ndarray:
    """How much each person likes each item, ``(users, items)``, before popularity."""
    circles = rng.dirichlet(np.full(_CIRCLES, 0.18), users)
    total = np.zeros((users, len(goods)))
    for field, weight in {**_TASTES, "category": _CATEGORY}.items():
        codes, values = pd.factorize(goods[field], sort=True)
        shared = rng.standard_normal((_CIRCLES, len(values)))
        own = rng.standard_normal((users, len(values)))
        total += weight * (circles @ shared + 0.3 * own)[:, codes]
    price = np.log(goods["price"].to_numpy())
    level = price - goods.assign(price=price).groupby("category")["price"].transform("mean").to_numpy()
    return total + _BUDGET * rng.standard_normal((users, 1)) * level


def _visits(rng: np.random.Generator) -> np.ndarray:
    """When one person buys, in order, at least five times; a quarter come late, a few buy very often."""
    start = rng.uniform(0, 0.2) if rng.random() < 0.75 else rng.uniform(0.2, 0.97)
    count = 5 + int(min(rng.lognormal(2.95, 0.75), 140) * (1 - start) ** 0.5)
    moments = np.sort(rng.uniform(start, 1, count))
    return (END - SPAN + moments * SPAN).astype(np.int64)
