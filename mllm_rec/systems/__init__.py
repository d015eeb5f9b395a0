"""The systems, by name: ``SYSTEMS`` is the one table."""

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
