"""A catalog that lives: new and changed items answer within seconds, by their content; ``--retrain`` when it pays."""

import sys
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mllm_rec.data import mapping, pictures
from mllm_rec.data.catalog import Catalog
from mllm_rec.data.download import Downloads
from mllm_rec.data.features import Features
from mllm_rec.data.files import atomic, write_json
from mllm_rec.data.interactions import Interactions
from mllm_rec.data.items import catalog_from
from mllm_rec.data.log import interactions_from
from mllm_rec.data.problems import Problems
from mllm_rec.data.split import assign
from mllm_rec.data.tables import Table, read_table
from mllm_rec.encoders import load_encoder
from mllm_rec.encoders.store import Store
from mllm_rec.errors import InputError
from mllm_rec.mllm.features import STATES
from mllm_rec.pipeline.caption import recaption
from mllm_rec.pipeline.encode import save_inputs, say_problems
from mllm_rec.pipeline.ingest import downloads_of, fetch_again, placed, save_log, with_parts
from mllm_rec.pipeline.serve import SINCE
from mllm_rec.pipeline.since import Forgotten, add, told
from mllm_rec.pipeline.workspace import Workspace, fingerprint


def take_in(
    workspace: Workspace,
    items: Path | None = None,
    interactions: Path | None = None,
    images: Path | None = None,
    said: Mapping[str, str] | None = None,
    download: bool = False,
) -> Problems:
    """New and changed items and new interactions become part of a workspace; nothing is trained, and nothing learned anew.

    New items are encoded and captioned by what was learned before. All of it is there or, killed meanwhile, none.

    Args:
        workspace: built, and held for writing.
        items: table of items; a known id is a changed item, whose columns here take the place of the old.
        interactions: table of who liked what since.
        images: folder that the paths in ``items`` start from; None: beside the file, that of the build, or the workspace.
        said: column by field, beside what the build was told.
        download: fetch pictures that the items name by an address on the web, and again those that failed before.

    Returns:
        What was mended or refused in the files.

    Raises:
        InputError: a file that can't be read or understood.
    """
    problems = Problems()
    manifest, before = workspace.manifest(), Catalog.load(workspace.catalog)
    kept = manifest["inputs"]
    table = None if items is None else read_table(items, problems)
    log = None if interactions is None else read_table(interactions, problems)
    meaning = _meaning(table, log, before, {**kept["map"], **(said or {})})
    catalog, rows = fetch_again(workspace, before) if download else (before, np.zeros(0, dtype=np.int64))
    if table is not None:
        brought, told_of = _items(workspace, table, meaning.items, before, images, problems, downloads_of(workspace) if download else None)
        catalog = catalog.updated(brought, told_of)
        rows = np.union1d(rows, [catalog.positions[item] for item in brought.item_ids]).astype(np.int64)
    whole = pd.read_parquet(workspace.interactions)
    more = whole.iloc[:0] if log is None else _log(workspace, log, meaning.log, catalog, kept["min_rating"], whole, problems)
    features, inputs = _features(workspace, catalog, rows) if len(rows) else ({}, {})
    recaptioned = _captions(workspace, catalog, rows) if len(rows) else None
    liked = more[more["part"] == SINCE]
    since = add(
        manifest,
        items=len(catalog) - len(before),
        changed=_changed(before, catalog),
        users=len(set(liked["user_id"]) - set(whole["user_id"])),
        interactions=len(liked),
    )
    with workspace.together() as place:
        catalog.save(place(workspace.catalog))
        if len(more):
            save_log(pd.concat([whole, more], ignore_index=True), place(workspace.interactions))
        for name, made in features.items():
            made.save(place(workspace.feature(name)))
        for name, read in inputs.items():
            save_inputs(read, place(workspace.inputs(name)))
        if recaptioned is not None:
            with atomic(place(workspace.captions)) as temporary:
                recaptioned[0].to_parquet(temporary, index=False)
            if recaptioned[1] is not None:
                recaptioned[1].save(place(workspace.feature("caption")))
        problems.write(place(workspace.problems), after=workspace.problems)
        counts = Counter(manifest["problems"]) + Counter(problems.counts())
        items_now = fingerprint(catalog.item_ids.tolist())
        imported = {name: {**one, "items": items_now} for name, one in workspace.imported.items()}
        write_json(
            place(workspace.manifest_path), {**manifest, "since": since, "imported": imported, "problems": dict(counts.most_common())}
        )
    return problems


def absorb(workspace: Workspace) -> None:
    """What came since the last training becomes a part of the log like any other, split as the log was.

    Rows of a split that was given go to train. Places of forgotten users are closed.
    """
    manifest = workspace.manifest()
    if not told(manifest.get("since") or {}):
        return
    table = pd.read_parquet(workspace.interactions)
    table = table[table["part"] != "forgotten"].reset_index(drop=True)
    how, liked = manifest["split"]["how"], table["part"] != "seen"
    if how == "given":
        table["part"] = table["part"].where(table["part"] != SINCE, "train")
    elif (table["part"] == SINCE).any():
        table.loc[liked, "part"] = assign(Interactions(table[liked].drop(columns="part").reset_index(drop=True)), how)
    with workspace.together() as place:
        save_log(table, place(workspace.interactions))
        write_json(place(workspace.manifest_path), {**manifest, "since": {}})


def _meaning(table: Table | None, log: Table | None, catalog: Catalog, said: Mapping[str, str]) -> mapping.Meaning:
    """What the columns mean: as the build was told, else by the catalog's own names, else guessed."""
    files = ((table, mapping.ITEM_NAMES), (log, mapping.LOG_NAMES))
    own = {name: name for name in catalog.columns if table and name in mapping.ITEM_NAMES and name in table.columns}
    here = {
        name: column
        for name, column in said.items()
        if any(file and name in names and set(column.split("|")) & set(file.columns) for file, names in files)
    }
    if table is None:
        table = Table("the catalog", catalog.table[["item_id"]].astype("str"))
    return mapping.understand(table, log, {**own, **here})


def _items(
    workspace: Workspace,
    table: Table,
    roles: Mapping[str, str],
    catalog: Catalog,
    images: Path | None,
    problems: Problems,
    downloads: Downloads | None,
) -> tuple[Catalog, set[str]]:
    """The items of the table as the catalog would have them, and the columns it says something in; what the catalog lacks is left out."""
    roles = {name: column for name, column in roles.items() if name in catalog.columns}
    strange = [name for name in table.columns if name not in roles.values() and name not in catalog.columns]
    for name in strange:
        why = f"the catalog has no column '{name}'; it is left out here, and 'mllm-rec build' would take it in"
        problems.add(table.path, "new column", why, "mended", column=name)
    kinds = {name: column for name, column in catalog.attributes.items() if name in table.columns and name not in roles.values()}
    kinds |= {roles[name]: catalog.columns[name] for name in ("text", "category") if name in roles}
    table = Table(table.path, table.frame[[name for name in table.columns if name not in strange]])
    cells = table.frame[roles["image"]].dropna() if "image" in roles else ()
    usual = workspace.manifest()["inputs"]["images"]
    places = [images] if images else [Path(table.path).resolve().parent, *([usual] if usual else []), workspace.root]
    folder = next((one for one in places if any(pictures.fault(Path(one), cell, picture=False) is None for cell in cells)), places[0])
    items = catalog_from(table, roles, problems, kinds, Path(folder), downloads=downloads)
    if downloads is not None:
        downloads.save()
    return placed(items, workspace, drawn=False), set(items.columns) - ({"title", "available"} - set(roles))


def _log(
    workspace: Workspace,
    table: Table,
    fields: Mapping[str, str],
    catalog: Catalog,
    min_rating: float | None,
    whole: pd.DataFrame,
    problems: Problems,
) -> pd.DataFrame:
    """New rows of the log with their part; those of forgotten users, and pairs that the log has, are left out."""
    likes, seen = interactions_from(table, fields, catalog.item_ids, problems, min_rating)
    forgotten = Forgotten(workspace.root)
    more = with_parts(forgotten.left_out(likes), SINCE, forgotten.left_out(seen) if seen is not None else None)
    there = pd.MultiIndex.from_frame(whole[["user_id", "item_id"]])
    more = more[~pd.MultiIndex.from_frame(more[["user_id", "item_id"]]).isin(there)]
    more = more[[name for name in more.columns if name in whole.columns]].copy()
    if "timestamp" in whole:
        more["timestamp"] = more["timestamp"].fillna(time.time()) if "timestamp" in more else time.time()
    return more


def _features(workspace: Workspace, catalog: Catalog, rows: np.ndarray) -> tuple[dict[str, Features], dict[str, np.ndarray]]:
    """Every feature but the captions', and what modules read, with the rows of new and changed items; what can't be made is missing."""
    made, read, some = {}, {}, catalog.rows(rows)
    with Store(workspace.root / "features" / "encoded.sqlite") as store:
        for path in sorted((workspace.root / "features").glob("*.safetensors")):
            name = path.stem
            if name == "caption" and name not in workspace.imported:
                continue
            made[name] = Features.load(path).padded(len(catalog))
            trainable, new = workspace.inputs(name).exists(), None
            try:
                encoder = load_encoder(workspace.encoder(name), list(STATES.values()))
                made[name] = made[name].replaced(rows, encoder.encode_new(some, store))
                say_problems(some, name, encoder)
                new = encoder.inputs(some, store)[0] if trainable else None
            except InputError as error:
                print(f"  new items have no {name} feature: {error}", file=sys.stderr)
            if trainable:
                read[name] = _grown(np.load(workspace.inputs(name), allow_pickle=False), rows, len(catalog), new)
    return made, read


def _grown(inputs: np.ndarray, rows: np.ndarray, num_items: int, by: np.ndarray | None) -> np.ndarray:
    """``(num_items, ...)`` what a module reads, with other rows at ``rows``; word ids of a longer text make it wider."""
    by = np.zeros((len(rows), *inputs.shape[1:]), inputs.dtype) if by is None else by
    shape = (num_items, *np.maximum(inputs.shape[1:], by.shape[1:]))
    grown = np.zeros(shape, inputs.dtype)
    grown[tuple(map(slice, inputs.shape))] = inputs
    grown[rows] = 0
    there: Any = (rows, *map(slice, by.shape[1:]))
    grown[there] = by
    return grown


def _captions(workspace: Workspace, catalog: Catalog, rows: np.ndarray) -> tuple[pd.DataFrame, Features | None] | None:
    """See ``recaption``; without the model that captioned the others, new items stay without."""
    try:
        return recaption(workspace, catalog, rows)
    except InputError as error:
        print(f"  new items have no captions: {error}", file=sys.stderr)
        return None


def _changed(before: Catalog, after: Catalog) -> int:
    """Items of the first catalog of which the second says something else."""
    other = np.zeros(len(before), dtype=bool)
    for name in before.table:
        old, new = (catalog.table[name].iloc[: len(before)] for catalog in (before, after))
        alike = old.map(repr) == new.map(repr) if old.dtype == object else (old == new) | (old.isna() & new.isna())
        other |= ~alike.to_numpy(dtype=bool)
    return int(other.sum())
