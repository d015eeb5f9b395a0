"""Amazon Sports and Outdoors, five reviews or more of each user and item, in MMRec's numbers and split, with words picked out of the descriptions.

He and McAuley. Ups and Downs: Modeling the Visual Evolution of Fashion Trends with One-Class Collaborative Filtering. WWW 2016.
https://arxiv.org/abs/1602.01585
"""

from dataclasses import replace

from mllm_rec.data.catalog import Catalog
from mllm_rec.data.sources.base import Source, find
from mllm_rec.data.sources.mmrec import mmrec

#: Folders of the data cache that it may lie in, and a file that it has.
FOLDERS, NEEDED = ("amazon-sports-mmrec", "sports"), "sports.inter"
_KEYWORDS = "idgenrec_keywords"
_HOW = (
    "Get sports.inter as MMRec publishes it (userID, itemID and x_label with tabs between them) and, beside it, item_keywords.tsv "
    "(itemID, idgenrec_keywords: three to eight words that IDGenRec picked out of each description)."
)


def amazon_sports() -> Source:
    """35,598 users, 18,357 items; an item's one modality are its keywords, which stand for its title; the given split.

    Raises:
        InputError: the data set is not on this machine.
    """
    folder = find(FOLDERS, NEEDED, "Amazon Sports", _HOW)
    source = mmrec(folder / NEEDED, "amazon-sports-mmrec")
    table = source.catalog.table
    if _KEYWORDS in table:
        titles = table[_KEYWORDS].where(table[_KEYWORDS].notna(), table["title"])
        table = table[["item_id"]].assign(title=[" ".join(title) if isinstance(title, tuple) else title for title in titles])
    return replace(source, catalog=Catalog(table, {}), split_name="mmrec")
