"""Folders in the layout of MMRec, read and written: ``*.inter`` with userID, itemID and x_label, and matrices ``*_feat.npy``.

Zhou. MMRec: Simplifying Multimodal Recommendation. 2023. https://arxiv.org/abs/2302.03497
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from mllm_rec.data import mapping
from mllm_rec.data.catalog import Catalog
from mllm_rec.data.features import Features
from mllm_rec.data.files import atomic
from mllm_rec.data.interactions import Interactions
from mllm_rec.data.items import catalog_from
from mllm_rec.data.matrices import feature_name, read_matrix
from mllm_rec.data.problems import Problems, shown
from mllm_rec.data.sources.base import Source, data_cache
from mllm_rec.data.tables import Table, read_table
from mllm_rec.errors import InputError

#: Items without an interaction, for each with one, that are believed.
_SPARSEST = 100
_PARTS = {"0": "train", "1": "validation", "2": "test"}
#: Tables that say something of the items by ``itemID``; the first that lies there is read.
_DESCRIPTIONS = ("items.tsv", "items.csv", "item_keywords.tsv", "i_id_mapping.csv")
#: Which number an item or a user has; what other programs than this write there has other columns than ``item_id`` and ``user_id``.
ITEMS, USERS = "i_id_mapping.csv", "u_id_mapping.csv"
#: Columns of a log that are kept where they are.
_NUMBERS = ("rating", "timestamp")


def mmrec(folder: Path | str, name: str = "", noun: str = "Item") -> Source:
    """An MMRec folder; a relative one is looked for here, then in the data cache.

    Items are 0..n-1 as in the file, or called by the ids that ``write_mmrec`` left beside it. ``x_label`` 0, 1, 2 is the given split into
    train, validation and test; without it the split is random. Features are named by their file: ``image_feat.npy`` is "image".

    Args:
        folder: the folder, or one ``.inter`` file in it.
        name: of the source; default: the folder's.
        noun: what an item without a title is called, before its number.

    Raises:
        InputError: no ``.inter`` file, ids that are no numbers, a part that is none, a matrix that doesn't fit.
    """
    inter = _inter_file(Path(folder))
    problems, notes = Problems(), []
    others = sorted(path.name for path in inter.parent.glob("*.inter") if path != inter)
    if others:
        notes.append(f"read {inter.name}; beside it lie {', '.join(others)}")
    table = read_table(inter, problems, delimiter="\t")
    lacking = {"userID", "itemID"} - set(table.columns)
    if lacking:
        raise InputError(f"{inter} lacks the column '{sorted(lacking)[0]}'; it has {', '.join(table.columns[:20])}, with tabs between them")
    positions = positions_of(table, "itemID")
    log = pd.DataFrame({"user_id": positions_of(table, "userID").astype(str), "item_id": positions.astype(str)}).astype("str")
    for name in [name for name in _NUMBERS if name in table.columns]:
        log[name] = _numbers(table, name)
    given = "x_label" in table.columns
    if given:
        log["part"] = _parts(table)
    if positions.max() > _SPARSEST * (len(np.unique(positions)) + _SPARSEST):
        raise InputError(
            f"{inter}: itemID goes up to {positions.max()}, but only {len(np.unique(positions))} items have a row; wanted 0..n-1"
        )
    described = _described(inter.parent, int(positions.max()) + 1, noun, problems)
    for kind in ("item", "user"):
        log[f"{kind}_id"] = _called(inter.parent, kind, log[f"{kind}_id"], problems)
    roles = mapping.understand(described, None, {"item_id": "item_id", "title": "title"}).items
    catalog = catalog_from(described, roles, problems, notes=notes)
    features = _features(inter.parent, len(catalog), notes)
    return Source(
        name or inter.parent.name,
        catalog,
        Interactions(log),
        split="given" if given else "random",
        split_name="given" if given else "random",
        features=features,
        problems=problems,
        notes=notes,
    )


def _inter_file(folder: Path) -> Path:
    """The log: the file itself, or the folder's only one, or the one with the shortest name."""
    places = [folder] if folder.is_absolute() else [folder, data_cache() / folder]
    for place in places:
        if place.is_file() and place.suffix == ".inter":
            return place
        if found := sorted(place.glob("*.inter"), key=lambda path: (len(path.name), path.name)):
            return found[0]
    raise InputError(f"no file *.inter in {' or '.join(map(str, places))}; an MMRec folder holds one with userID, itemID and x_label")


def positions_of(table: Table, name: str) -> np.ndarray:
    """A column of whole numbers from 0, int64.

    Raises:
        InputError: a cell holds something else, or there is none.
    """
    values = table.frame[name]
    wrong = ~values.str.fullmatch(r"\d{1,9}").fillna(False).to_numpy(dtype=bool)
    if wrong.any() or not len(values):
        where = f"row {values.index[wrong][0]} holds {shown(values[wrong].iloc[0])}" if len(values) else "it has no row"
        raise InputError(f"{table.path}: column '{name}' must hold whole numbers from 0: {where}")
    return values.to_numpy(dtype=object).astype(np.int64)


def _parts(table: Table) -> np.ndarray:
    labels = table.frame["x_label"]
    wrong = ~labels.isin(_PARTS)
    if wrong.any():
        raise InputError(
            f"{table.path}: row {labels.index[wrong][0]} has x_label {shown(labels[wrong].iloc[0])}; wanted 0 (train), 1 (validation) or 2 (test)"
        )
    return labels.map(_PARTS).to_numpy(dtype=object)


def _described(folder: Path, least: int, noun: str, problems: Problems) -> Table:
    """The items, 0..n-1, with what a table in the folder says of them, and a title."""
    path = next((folder / name for name in _DESCRIPTIONS if (folder / name).is_file()), None)
    said = read_table(path, problems) if path else Table(str(folder), pd.DataFrame({"itemID": pd.Series(dtype="str")}))
    if "itemID" not in said.columns:
        raise InputError(f"{said.path} lacks the column 'itemID'; it has {', '.join(said.columns[:20])}")
    numbers = positions_of(said, "itemID") if path else np.zeros(0, dtype=np.int64)
    frame = said.frame.assign(itemID=numbers).drop_duplicates("itemID").set_index("itemID")
    frame = frame.reindex(np.arange(max(least, int(numbers.max(initial=-1)) + 1)))
    named = next((name for name in ("title", "name", "asin") if name in frame), None)
    numbered = pd.Series([f"{noun} {number}" for number in frame.index], index=frame.index, dtype="str")
    title = frame[named].fillna(numbered) if named else numbered
    frame = frame.drop(columns=[name for name in (named, "item_id", "title") if name in frame])
    frame = pd.DataFrame({"item_id": frame.index.astype(str), "title": title.to_numpy(dtype=object)}, dtype="str").join(
        frame.reset_index(drop=True)
    )
    frame["item_id"] = _called(folder, "item", frame["item_id"], problems)
    frame.index = pd.Index(np.arange(len(frame)) + 2)
    return Table(said.path, frame)


def _features(folder: Path, num_items: int, notes: list[str]) -> dict[str, Features]:
    """The folder's matrices; one that isn't called ``*_feat.npy`` counts only if it fits."""
    features = {}
    for path in sorted(folder.glob("*.npy")):
        try:
            features[feature_name(path)] = read_matrix(path, num_items)
        except InputError as error:
            if path.stem.endswith("_feat"):
                raise
            notes.append(f"{path.name} is not used: {error}")
    return features


def write_mmrec(folder: Path, catalog: Catalog, log: pd.DataFrame, features: Mapping[str, Features]) -> None:
    """Write a folder that MMRec reads, and ``mmrec`` gives back: the same ids, parts, features and descriptions.

    ``FOLDER.inter`` holds userID, itemID, what there is of rating and timestamp, and x_label; ``i_id_mapping.csv`` and
    ``u_id_mapping.csv`` say whose the numbers are, ``items.tsv`` describes the items. A missing row of a feature is zeros there, so a row
    that is there and holds zeros comes back as missing.

    Args:
        folder: where; it is named after it, and files of those names are replaced.
        catalog: the items, numbered in its order.
        log: ``user_id``, ``item_id``, ``part`` ("train", "validation" or "test"), in the order of the log; users are numbered as they come.
        features: by name, rows in catalog order.
    """
    users, items = pd.Index(pd.unique(log["user_id"])), pd.Index(catalog.item_ids)
    numbers = {"userID": users.get_indexer(pd.Index(log["user_id"])), "itemID": items.get_indexer(pd.Index(log["item_id"]))}
    table = pd.DataFrame(numbers)
    for name in [name for name in _NUMBERS if name in log and log[name].notna().all()]:
        table[name] = log[name].to_numpy()
    labels = {part: label for label, part in _PARTS.items()}
    _write_table(table.assign(x_label=log["part"].map(labels).to_numpy()), folder / f"{folder.name}.inter")
    _write_table(pd.DataFrame({"user_id": users, "userID": range(len(users))}), folder / USERS, ",")
    _write_table(pd.DataFrame({"item_id": catalog.item_ids, "itemID": range(len(catalog))}), folder / ITEMS, ",")
    said = {name: catalog.table[name] for name, column in catalog.columns.items() if column.kind not in ("id", "path")}
    cells = {name: ["|".join(cell) if isinstance(cell, tuple) else cell for cell in values] for name, values in said.items()}
    _write_table(pd.DataFrame({"itemID": range(len(catalog)), **cells}), folder / "items.tsv")
    for name, feature in features.items():
        with atomic(folder / f"{name}_feat.npy") as temporary, open(temporary, "wb") as file:
            np.save(file, feature.values)


def _write_table(table: pd.DataFrame, path: Path, delimiter: str = "\t") -> None:
    with atomic(path) as temporary:
        table.to_csv(temporary, sep=delimiter, index=False)


def _called(folder: Path, kind: str, numbers: pd.Series, problems: Problems) -> pd.Series:
    """The ids of numbered items or users, where ``write_mmrec`` left them; else the numbers."""
    path = folder / (ITEMS if kind == "item" else USERS)
    table = read_table(path, problems) if path.is_file() else None
    if table is None or not {f"{kind}_id", f"{kind}ID"} <= set(table.columns):
        return numbers
    ids = pd.Series(table.frame[f"{kind}_id"].to_numpy(dtype=object), index=positions_of(table, f"{kind}ID").astype(str))
    wrong = ids.isna() | ids.duplicated() | ids.index.duplicated()
    if wrong.any() or not numbers.isin(ids.index).all():
        where = f"row {table.frame.index[wrong][0]}" if wrong.any() else f"no row has {kind}ID {numbers[~numbers.isin(ids.index)].iloc[0]}"
        raise InputError(
            f"{path}: wanted one {kind}_id for each {kind}ID of the log, each once, but see {where}; mend it or remove the file"
        )
    return numbers.map(ids)


def _numbers(table: Table, name: str) -> np.ndarray:
    values = pd.to_numeric(table.frame[name], errors="coerce").to_numpy(dtype=np.float64)
    wrong = ~np.isfinite(values)
    if wrong.any():
        cell = shown(table.frame[name][wrong].iloc[0])
        raise InputError(f"{table.path}: column '{name}' must hold numbers: row {table.frame.index[wrong][0]} holds {cell}")
    return values
