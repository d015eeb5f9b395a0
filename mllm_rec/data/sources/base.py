"""What every source gives, and where data sets lie."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mllm_rec.data.catalog import Catalog
from mllm_rec.data.features import Features
from mllm_rec.data.interactions import Interactions
from mllm_rec.data.problems import Problems
from mllm_rec.errors import InputError


@dataclass(frozen=True)
class Source:
    """A catalog and a log, read and cleaned, and how they are to be used.

    Attributes:
        name: of the source, such as "movielens-100k".
        catalog: the items.
        interactions: what users liked; may be empty. With ``split`` "given" its column ``part`` says "train",
            "validation" or "test".
        seen: rows that are hidden from their users in serving but are no likes, such as low ratings.
        split: how the log is split: "given", "global-time", "random", or "none" where it is empty.
        split_name: what the split is called in tables, such as "ua".
        features: published matrices by name, rows in catalog order.
        domain: a domain file, if the source has one.
        problems: what was mended or refused.
        notes: sentences on choices made in reading.
        preset: by system, settings that suit this source; names that start with "fit." are ``FitSettings``.
        draw_pictures: draws the pictures that the catalog names into a folder, those that lie there left out; None:
            the pictures are files already, below the catalog's root.
    """

    name: str
    catalog: Catalog
    interactions: Interactions
    seen: Interactions | None = None
    split: str = "none"
    split_name: str = ""
    features: Mapping[str, Features] = field(default_factory=dict)
    domain: Path | None = None
    problems: Problems = field(default_factory=Problems)
    notes: Sequence[str] = ()
    preset: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    draw_pictures: Callable[[Path], None] | None = None


def data_cache() -> Path:
    """Where data sets are looked for: ``MLLM_REC_DATA``, by default ``~/.cache/mllm-rec``."""
    return Path(os.environ.get("MLLM_REC_DATA") or Path.home() / ".cache" / "mllm-rec")


@dataclass(frozen=True)
class Named:
    """A data set with a name.

    Attributes:
        load: reads it; raises ``InputError`` where it isn't on this machine.
        folders: where it may lie below ``data_cache``, best first; empty: it is made, not read.
        needed: a file that its folder has.
    """

    load: Callable[[], Source]
    folders: Sequence[str] = ()
    needed: str = ""

    def present(self, cache: Path) -> bool:
        """Whether it can be read from a data cache."""
        return not self.folders or any((cache / folder / self.needed).is_file() for folder in self.folders)


def find(folders: Sequence[str], needed: str, what: str, how: str) -> Path:
    """The first of the folders, below ``data_cache``, that holds a file.

    Args:
        folders: names to look for, best first.
        needed: a file that has to be in it.
        what: the data set's name, for the error.
        how: what to get, for the error.

    Raises:
        InputError: none does; it says what to get and where to put it.
    """
    root = data_cache()
    for name in folders:
        if (root / name / needed).is_file():
            return root / name
    places = " or ".join(str(root / name) for name in folders)
    raise InputError(
        f"{what} is not on this machine: there is no file '{needed}' in {places}. {how} Another place is named by the environment variable MLLM_REC_DATA."
    )
