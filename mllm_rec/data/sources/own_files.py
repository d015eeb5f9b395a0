"""A shop's own files: a table of items, a folder of pictures, a log."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from mllm_rec.data import mapping
from mllm_rec.data.catalog import Column
from mllm_rec.data.download import Downloads
from mllm_rec.data.interactions import Interactions
from mllm_rec.data.items import catalog_from
from mllm_rec.data.log import interactions_from, keep_core
from mllm_rec.data.problems import Problems
from mllm_rec.data.sources.base import Source
from mllm_rec.data.tables import Table, read_table
from mllm_rec.errors import InputError


def own_files(
    items: Path | str,
    images: Path | str | None = None,
    interactions: Path | str | None = None,
    map: Mapping[str, str] | None = None,
    kinds: Mapping[str, str | Column] | None = None,
    min_rating: float | None = None,
    k_core: int = 0,
    downloads: Downloads | None = None,
) -> Source:
    """Read a shop's own files.

    Args:
        items: table of items (see ``read_table``).
        images: folder that the paths in the items start from.
        interactions: table of who liked what; None: a catalog without a log.
        map: column by field (see ``mapping.understand``); the rest is guessed.
        kinds: kind by column (see ``kinds.read_kinds``); the rest is inferred.
        min_rating: a rating from which on a row is a like; lower ones are only seen.
        k_core: users and items with fewer likes are taken out of the log until none is; 0: none.
        downloads: fetches pictures from the web; None: those are marked missing.

    Raises:
        InputError: a file that can't be read or understood; it says what must be given.
    """
    problems = Problems()
    table = read_table(items, problems)
    log = read_table(interactions, problems) if interactions is not None else None
    meaning = mapping.understand(table, log, map, Path(images) if images is not None else None)
    return from_tables(table, log, meaning, problems, images, kinds, min_rating, k_core, downloads)


def from_tables(
    table: Table,
    log: Table | None,
    meaning: mapping.Meaning,
    problems: Problems,
    images: Path | str | None = None,
    kinds: Mapping[str, str | Column] | None = None,
    min_rating: float | None = None,
    least: int = 0,
    downloads: Downloads | None = None,
) -> Source:
    """The source that tables give once their columns are understood; see ``own_files``.

    Raises:
        InputError: a table without a usable row, or options that don't fit it.
    """
    if min_rating is not None and log is None:
        raise InputError("--min-rating is set, but there is no log; name one with --interactions or leave --min-rating out")
    notes = _guesses(meaning)
    catalog = catalog_from(table, meaning.items, problems, kinds, Path(images) if images is not None else None, notes, downloads)
    name = Path(table.path).stem
    if log is None:
        return Source(name, catalog, no_interactions(), problems=problems, notes=notes)
    likes, seen = interactions_from(log, meaning.log, catalog.item_ids, problems, min_rating)
    if "rating" in meaning.log and min_rating is None:
        notes.append(
            f"every row of the log counts as a like, whatever its '{meaning.log['rating']}'; say from where on it is one with --min-rating"
        )
    if least > 1:
        likes, note = keep_core(likes, least)
        notes.append(note)
    how = "none" if not len(likes) else "global-time" if likes.timed else "random"
    return Source(name, catalog, likes, seen, how, how, problems=problems, notes=notes)


def _guesses(meaning: mapping.Meaning) -> list[str]:
    """A note on the columns that were guessed under another name than the field's."""
    said = [("items", meaning.items), ("log", meaning.log)]
    guesses = [
        f"{name}={column}"
        for file, fields in said
        for name, column in fields.items()
        if (file, name) not in meaning.given and name != column
    ]
    return [f"guessed from names and contents: {', '.join(dict.fromkeys(guesses))}; say otherwise with --map"] if guesses else []


def no_interactions() -> Interactions:
    """A log without a row."""
    return Interactions(pd.DataFrame({"user_id": pd.Series(dtype="str"), "item_id": pd.Series(dtype="str")}))
