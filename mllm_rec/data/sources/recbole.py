"""Folders of RecBole's atomic files: ``NAME.inter`` and ``NAME.item``, whose headers say each column's type.

Zhao et al. RecBole: Towards a Unified, Comprehensive and Efficient Framework for Recommendation Algorithms. CIKM 2021.
https://arxiv.org/abs/2011.01731
"""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from mllm_rec.data import mapping
from mllm_rec.data.catalog import Catalog, Column
from mllm_rec.data.interactions import Interactions
from mllm_rec.data.items import catalog_from
from mllm_rec.data.log import interactions_from
from mllm_rec.data.problems import Problems
from mllm_rec.data.sources.base import Source, data_cache
from mllm_rec.data.tables import Table, read_table
from mllm_rec.errors import InputError

_TYPES = ("token", "token_seq", "float", "float_seq")
_PARTS = {"train": "train", "valid": "validation", "test": "test", "part1": "train", "part2": "validation", "part3": "test"}


def recbole(folder: Path | str, min_rating: float | None = None) -> Source:
    """A RecBole folder; a relative one is looked for here, then in the data cache.

    ``token`` columns are categories or words, ``token_seq`` are sets (blanks between the parts) but in titles and
    texts, ``float`` are numbers; ``float_seq`` is left out. Without ``NAME.item`` the items are those of the log.
    ``NAME.train.inter``, ``NAME.valid.inter`` and ``NAME.test.inter`` (or part1, part2, part3) are a given split.

    Args:
        folder: the folder.
        min_rating: a rating from which on a row is a like; None: every row is.

    Raises:
        InputError: no ``.inter`` file, or a header without types.
    """
    places = [Path(folder), data_cache() / folder]
    found = next((place for place in places if any(place.glob("*.inter"))), None)
    if found is None:
        raise InputError(f"no file *.inter in {' or '.join(map(str, places))}; RecBole's atomic files are NAME.inter and NAME.item")
    problems, notes = Problems(), []
    logs = {part: _typed(path, problems)[0] for part, path in _log_files(found).items()}
    first = next(iter(logs.values()))
    items = next(iter(sorted(found.glob("*.item"))), None)
    if items is None:
        notes.append("there is no *.item file; the items are those of the log")
    table, types = _typed(items, problems) if items else _items_of(logs)
    named = [name for name in ("item_id", "user_id") if name in first.columns]
    meaning = mapping.understand(table, first, dict(zip(named, named, strict=True)))
    free = [name for name in table.columns if name not in meaning.items.values()]
    kinds = {name: Column(name, "number" if types[name] == "float" else "set") for name in free if types[name] in ("float", "token_seq")}
    sets = {name: table.frame[name].str.replace(r"\s+", "|", regex=True) for name, column in kinds.items() if column.kind == "set"}
    catalog = catalog_from(Table(table.path, table.frame.assign(**sets)), meaning.items, problems, kinds, notes=notes)
    likes, seen = _interactions(logs, meaning.log, catalog, problems, min_rating)
    how = "none" if not len(likes) else "given" if "part" in likes.table else "global-time" if likes.timed else "random"
    return Source(found.name, catalog, likes, seen, how, how, problems=problems, notes=notes)


def _log_files(folder: Path) -> dict[str, Path]:
    """The log by part where the folder has parts; else the whole log under ""."""
    files = sorted(folder.glob("*.inter"), key=lambda path: (len(path.name), path.name))
    parts = {_PARTS[path.suffixes[-2][1:]]: path for path in files if len(path.suffixes) > 1 and path.suffixes[-2][1:] in _PARTS}
    return (
        {part: parts[part] for part in dict.fromkeys(_PARTS.values()) if part in parts}
        if {"train", "test"} <= set(parts)
        else {"": files[0]}
    )


def _typed(path: Path, problems: Problems) -> tuple[Table, dict[str, str]]:
    """A table under its columns' plain names, and the type of each; ``float_seq`` left out."""
    table = read_table(path, problems, delimiter="\t")
    types = {}
    for column in table.columns:
        name, _, kind = column.rpartition(":")
        if not name or kind not in _TYPES:
            raise InputError(
                f"{path}: column {column!r} has no type; RecBole's headers read like item_id:token, with a type of {', '.join(_TYPES)}"
            )
        types[column] = kind
    frame = table.frame[[column for column in table.columns if types[column] != "float_seq"]]
    frame = frame.rename(columns=lambda column: column.rpartition(":")[0])
    return Table(table.path, frame), {column.rpartition(":")[0]: kind for column, kind in types.items()}


def _items_of(logs: dict[str, Table]) -> tuple[Table, dict[str, str]]:
    """A table of the items that a log names."""
    for log in logs.values():
        if "item_id" not in log.columns:
            raise InputError(f"{log.path} has no column item_id:token; it has {', '.join(log.columns)}")
    ids = pd.concat([log.frame["item_id"] for log in logs.values()]).dropna().unique()
    frame = pd.DataFrame({"item_id": ids, "title": ids}, index=range(2, len(ids) + 2), dtype="str")
    return Table(next(iter(logs.values())).path, frame), {"item_id": "token", "title": "token"}


def _interactions(
    logs: dict[str, Table], fields: Mapping[str, str], catalog: Catalog, problems: Problems, min_rating: float | None
) -> tuple[Interactions, Interactions | None]:
    """Likes of all parts, each row under its part, and what is only seen; a pair in two parts belongs to the first."""
    likes, seen = [], []
    for part, log in logs.items():
        liked, other = interactions_from(log, fields, catalog.item_ids, problems, min_rating)
        likes.append(liked.table.assign(part=part) if part else liked.table)
        seen += [] if other is None else [other.table]
    table = pd.concat(likes, ignore_index=True).drop_duplicates(["user_id", "item_id"], ignore_index=True)
    return Interactions(table), Interactions(pd.concat(seen, ignore_index=True)) if seen else None
