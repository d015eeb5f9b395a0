"""The systems, by name: ``SYSTEMS`` is the one table."""

import difflib

from mllm_rec.errors import InputError
from mllm_rec.recommender import Recommender
from mllm_rec.systems.topn.bpr import BPR
from mllm_rec.systems.topn.ease import EASE
from mllm_rec.systems.topn.freedom import FREEDOM
from mllm_rec.systems.topn.itemknn import ItemKNN
from mllm_rec.systems.topn.lightgcn import LightGCN
from mllm_rec.systems.topn.popularity import Popularity
from mllm_rec.systems.topn.vbpr import VBPR

#: Every system by its name on the command line; a file of this package each.
SYSTEMS: dict[str, type[Recommender]] = {
    "popularity": Popularity,
    "itemknn": ItemKNN,
    "ease": EASE,
    "bpr": BPR,
    "lightgcn": LightGCN,
    "vbpr": VBPR,
    "freedom": FREEDOM,
}


def system_class(name: str) -> type[Recommender]:
    """The system of a name.

    Raises:
        InputError: there is none; the nearest is named.
    """
    if name not in SYSTEMS:
        near = difflib.get_close_matches(name, SYSTEMS, n=1)
        raise InputError(f"'{name}' is not a system; " + (f"did you mean '{near[0]}'?" if near else f"there are {', '.join(SYSTEMS)}"))
    return SYSTEMS[name]
