"""A shop of six lamps and mugs, and who liked what, small enough to count by hand."""

import numpy as np
import pandas as pd

from mllm_rec.data.catalog import Catalog
from mllm_rec.data.dataset import Dataset
from mllm_rec.data.interactions import Interactions
from mllm_rec.explain import Explainer

TITLES = ("Nola lamp", "Alba lamp", "Stripe mug", "Tove lamp", "Plain mug", "Orla lamp")
#: Five people: three liked both Nola (0) and Alba (1).
LIKES = {"ann": (0, 1), "bob": (0, 1, 2), "cyd": (0, 1), "dan": (2, 4), "eve": (4, 3)}


def shop(titles=TITLES, **columns) -> Catalog:
    """Six items; ``columns`` replace or add columns as ``name=(kind, values)``."""
    given = {
        "price": ("number", [39.5, 34.0, 12.0, 39.5, 9.0, np.nan]),
        "color": ("category", ["red", "red", "red", "green", "white", "blue"]),
        "makers": ("set", [("Ada Berg",), ("Ada Berg", "Jo Lund"), None, None, ("Jo Lund",), None]),
        "material": ("category", ["brass", "brass", None, None, None, "oak"]),
        **columns,
    }
    table = pd.DataFrame({"item_id": [f"i{row}" for row in range(len(titles))], "title": list(titles)}, dtype=object)
    for name, (kind, values) in given.items():
        table[name] = values if kind == "number" else pd.Series(values, dtype=object)
    return Catalog(table, {name: kind for name, (kind, _) in given.items()})


def log(likes=None) -> Interactions:
    pairs = [(user, f"i{item}") for user, items in (likes or LIKES).items() for item in items]
    return Interactions(pd.DataFrame(pairs, columns=["user_id", "item_id"]))


def explainer(catalog: Catalog, likes=None, features=None) -> Explainer:
    return Explainer(catalog, Dataset(catalog.item_ids, list(likes or LIKES), log(likes), features))
