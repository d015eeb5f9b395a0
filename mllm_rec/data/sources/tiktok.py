"""TikTok micro-videos with picture and sound features, in the split of MMSSL and DiffMM."""

from dataclasses import replace

from mllm_rec.data.sources.base import Source, find
from mllm_rec.data.sources.mmrec import mmrec

#: Folders of the data cache that it may lie in, and a file that it has.
FOLDERS, NEEDED = ("tiktok-va", "tiktok"), "tiktok.inter"
_HOW = (
    "Get Datasets/tiktok of the repository HKUDS/DiffMM and write its matrices as 'tiktok.inter' (userID, itemID and x_label with tabs "
    "between them; x_label 0 train, 1 validation, 2 test), image_feat.npy and audio_feat.npy."
)


def tiktok() -> Source:
    """9,308 users, 6,710 videos; features "image" and "audio"; the given split.

    Differs from copies in MMRec layout: some have x_label 1 and 2 swapped (there 1 is the test of 6,130 rows).

    Raises:
        InputError: the data set is not on this machine.
    """
    folder = find(FOLDERS, NEEDED, "TikTok", _HOW)
    return replace(mmrec(folder / NEEDED, "tiktok-va", "Video"), split_name="tiktok")
