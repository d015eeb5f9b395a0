"""Where catalogs and logs come from: data sets by name, folders of known layouts, a shop's own files."""

import difflib
from collections.abc import Callable
from pathlib import Path

from mllm_rec.data.sources import amazon_sports, demo, lastfm, movielens, tiktok
from mllm_rec.data.sources.base import Named, Source, data_cache
from mllm_rec.data.sources.mmrec import mmrec
from mllm_rec.data.sources.own_files import own_files
from mllm_rec.data.sources.recbole import recbole
from mllm_rec.errors import InputError

__all__ = ["LAYOUTS", "SOURCES", "Source", "data_cache", "load", "own_files", "place_of"]

#: Data sets by name.
SOURCES: dict[str, Named] = {
    "demo": Named(demo.demo),
    "movielens-100k": Named(movielens.movielens, movielens.FOLDERS, movielens.NEEDED),
    "movielens-100k-u1": Named(lambda: movielens.movielens("u1"), movielens.FOLDERS, "u1.base"),
    "tiktok-va": Named(tiktok.tiktok, tiktok.FOLDERS, tiktok.NEEDED),
    "amazon-sports-mmrec": Named(amazon_sports.amazon_sports, amazon_sports.FOLDERS, amazon_sports.NEEDED),
    "lfm2k-mm": Named(lastfm.lastfm, lastfm.FOLDERS, lastfm.NEEDED),
}
#: Layouts of folders; a source is named LAYOUT:FOLDER.
LAYOUTS: dict[str, Callable[[str], Source]] = {"mmrec": mmrec, "recbole": recbole}


def load(name: str) -> Source:
    """A source by its name: an entry of ``SOURCES``, ``mmrec:FOLDER`` or ``recbole:FOLDER``.

    Raises:
        InputError: no such source, or it isn't on this machine; it says what to get and where to put it.
    """
    if name in SOURCES:
        return SOURCES[name].load()
    layout, _, folder = name.partition(":")
    if layout in LAYOUTS and folder:
        return LAYOUTS[layout](folder)
    near = difflib.get_close_matches(name, SOURCES, n=1)
    known = ", ".join([*SOURCES, *(f"{layout}:FOLDER" for layout in LAYOUTS)])
    raise InputError(
        f"'{name}' is not a source; "
        + (f"did you mean '{near[0]}'?" if near else f"there are {known}; your own files are given with --items")
    )


def place_of(name: str) -> Path | None:
    """The folder that a source is read from, to see whether its files changed; None where it is made or isn't there."""
    if name in SOURCES:
        found = (data_cache() / folder for folder in SOURCES[name].folders if (data_cache() / folder / SOURCES[name].needed).is_file())
        return next(found, None)
    folder = name.partition(":")[2]
    return next((place for place in (Path(folder), data_cache() / folder) if folder and place.exists()), None)
