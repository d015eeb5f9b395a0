"""Last.fm-2K: artists with the words that listeners tagged them with and features of their sound, split given.

Cantador, Brusilovsky, Kuflik. Second Workshop on Information Heterogeneity and Fusion in Recommender Systems. RecSys 2011.
https://doi.org/10.1145/2043932.2044016
"""

from dataclasses import replace

import numpy as np

from mllm_rec.data.features import Features
from mllm_rec.data.matrices import read_matrix
from mllm_rec.data.sources.base import Source, find
from mllm_rec.data.sources.mmrec import mmrec

#: Folders of the data cache that it may lie in, and a file that it has.
FOLDERS, NEEDED = ("lfm2k-mm", "lfm2k"), "lfm2k.inter"
#: File of each feature.
MATRICES = {"text": "all-MiniLM-L6-v2.npy", "vggish": "vggish.npy", "whisper": "whisper.npy"}
_HOW = (
    "Get the Last.fm-2K folder of the repository giuspillo/extending_sota_data_mm_feat: lfm2k.inter (userID, itemID, rating and x_label with "
    f"tabs between them) and {', '.join(MATRICES.values())}; names are added where items.tsv (itemID, name, tags_text) lies beside them."
)


def lastfm() -> Source:
    """1,858 users, 1,425 artists; features "text" (tags by MiniLM), "vggish" and "whisper" (sound), rows of unit length; the given split.

    Raises:
        InputError: the data set is not on this machine, or a matrix is missing.
    """
    folder = find(FOLDERS, NEEDED, "Last.fm-2K", _HOW)
    source = mmrec(folder / NEEDED, "lfm2k-mm", "Artist")
    read = {name: read_matrix(folder / file, len(source.catalog)) for name, file in MATRICES.items()}
    notes = [note for note in source.notes if not any(file in note for file in MATRICES.values())]
    return replace(source, split_name="lfm2k", features={name: _unit(one) for name, one in read.items()}, notes=notes)


def _unit(feature: Features) -> Features:
    length = np.linalg.norm(feature.values, axis=1, keepdims=True)
    return Features(feature.values / np.maximum(length, np.finfo(np.float32).tiny), feature.present, feature.spec)
