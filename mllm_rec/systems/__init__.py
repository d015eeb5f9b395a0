"""The systems, by name: ``SYSTEMS`` is the one table."""

import difflib
import sys

from mllm_rec.errors import InputError
from mllm_rec.recommender import Recommender
from mllm_rec.systems.topn.bm3 import BM3
from mllm_rec.systems.topn.bpr import BPR
from mllm_rec.systems.topn.dicer import DICER
from mllm_rec.systems.topn.dmrl import DMRL
from mllm_rec.systems.topn.dualgnn import DualGNN
from mllm_rec.systems.topn.ease import EASE
from mllm_rec.systems.topn.freedom import FREEDOM
from mllm_rec.systems.topn.grcn import GRCN
from mllm_rec.systems.topn.hcgcn import HCGCN
from mllm_rec.systems.topn.iris import IRIS
from mllm_rec.systems.topn.itemknn import ItemKNN
from mllm_rec.systems.topn.lattice import LATTICE
from mllm_rec.systems.topn.lightgcn import LightGCN
from mllm_rec.systems.topn.macridvae import MacridVAE
from mllm_rec.systems.topn.mario import MARIO
from mllm_rec.systems.topn.mcln import MCLN
from mllm_rec.systems.topn.mcptr import MCPTR
from mllm_rec.systems.topn.mdr import MDR
from mllm_rec.systems.topn.megcf import MEGCF
from mllm_rec.systems.topn.mgat import MGAT
from mllm_rec.systems.topn.mgcn import MGCN
from mllm_rec.systems.topn.micro import MICRO
from mllm_rec.systems.topn.mmgcl import MMGCL
from mllm_rec.systems.topn.mmgcn import MMGCN
from mllm_rec.systems.topn.mmssl import MMSSL
from mllm_rec.systems.topn.mvbpr import MVBPR
from mllm_rec.systems.topn.mvgae import MVGAE
from mllm_rec.systems.topn.pamd import PAMD
from mllm_rec.systems.topn.pmgcrn import PMGCRN
from mllm_rec.systems.topn.pmgt import PMGT
from mllm_rec.systems.topn.popularity import Popularity
from mllm_rec.systems.topn.semmacridvae import SEMMacridVAE
from mllm_rec.systems.topn.tesm import TESM
from mllm_rec.systems.topn.tmfun import TMFUN
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
    "mmgcn": MMGCN,
    "grcn": GRCN,
    "dualgnn": DualGNN,
    "mmgcl": MMGCL,
    "mgat": MGAT,
    "tesm": TESM,
    "mgcn": MGCN,
    "bm3": BM3,
    "mmssl": MMSSL,
    "lattice": LATTICE,
    "micro": MICRO,
    "hcgcn": HCGCN,
    "pmgt": PMGT,
    "tmfun": TMFUN,
    "mario": MARIO,
    "mvbpr": MVBPR,
    "iris": IRIS,
    "mcptr": MCPTR,
    "pmgcrn": PMGCRN,
    "megcf": MEGCF,
    "mvgae": MVGAE,
    "mcln": MCLN,
    "dmrl": DMRL,
    "macridvae": MacridVAE,
    "semmacridvae": SEMMacridVAE,
    "dicer": DICER,
    "mdr": MDR,
    "pamd": PAMD,
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


def is_reconstructed(name: str) -> bool:
    """Whether a system was built from an abstract rather than from its paper or code; its docstring then says what is ours."""
    said = sys.modules[system_class(name).__module__].__doc__ or ""
    return "(reconstructed" in said.partition("\n")[0]
