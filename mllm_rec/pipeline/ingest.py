"""First stage: from a source to the workspace's catalog, log, problems and published features."""

import shutil
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mllm_rec import __version__
from mllm_rec.data.catalog import Catalog
from mllm_rec.data.download import Downloads
from mllm_rec.data.files import atomic
from mllm_rec.data.interactions import Interactions
from mllm_rec.data.log import keep_core
from mllm_rec.data.sources import load, own_files, place_of
from mllm_rec.data.sources.base import Source
from mllm_rec.data.split import settle
from mllm_rec.errors import InputError
from mllm_rec.pipeline.since import Forgotten, told
from mllm_rec.pipeline.workspace import Workspace


@dataclass(frozen=True)
class Inputs:
    """What a workspace is built from: a named source, or a shop's own files with what is said of them.

    Attributes:
        source: name of a source; then the files, ``map``, ``kinds`` and ``min_rating`` are not used.
        items, images, interactions, map, kinds, min_rating, k_core: see ``own_files``.
        split: how the log is split, see ``data.split.assign``; None: as suits the source.
        domain: domain file; None: the source's, if it has one.
        download: fetch pictures that the items name by an address on the web.
    """

    source: str | None = None
    items: Path | None = None
    images: Path | None = None
    interactions: Path | None = None
    map: Mapping[str, str] = field(default_factory=dict)
    kinds: Mapping[str, str] = field(default_factory=dict)
    min_rating: float | None = None
    k_core: int = 0
    split: str | None = None
    domain: Path | None = None
    download: bool = False

    def load(self, downloads: Downloads | None = None) -> Source:
        """Read them.

        Args:
            downloads: see ``own_files``.

        Raises:
            InputError: what is wrong with them, or options that a named source does not take.
        """
        if self.source is None:
            assert self.items is not None
            return own_files(self.items, self.images, self.interactions, self.map, self.kinds, self.min_rating, self.k_core, downloads)
        given = [name for name in ("images", "interactions", "map", "kinds", "min_rating", "download") if getattr(self, name)]
        if given:
            option = given[0].replace("_", "-").replace("kinds", "kind")
            raise InputError(f"--{option} goes with --items; '{self.source}' has its own files")
        return load(self.source)


def ingest(workspace: Workspace, inputs: Inputs) -> bool:
    """Run the stage "data" unless nothing it depends on changed; whether it ran."""
    place = None if inputs.source is None else place_of(inputs.source)
    key = {"version": __version__, **asdict(inputs), "place": place}
    return workspace.stage("data", key, lambda: _write(workspace, inputs), [workspace.catalog, workspace.interactions, workspace.problems])


def _write(workspace: Workspace, inputs: Inputs) -> None:
    downloads = downloads_of(workspace) if inputs.download else None
    if downloads is not None:
        downloads.failed = {}
    source = inputs.load(downloads)
    if downloads is not None:
        downloads.save()
    forgotten = Forgotten(workspace.root)
    log = forgotten.left_out(source.interactions)
    notes = list(source.notes)
    if inputs.source is not None and inputs.k_core > 1:
        log, note = keep_core(log, inputs.k_core)
        notes.append(note)
    part, how, note = settle(log, inputs.split if inputs.split and len(log) else source.split)
    name = source.split_name if how == source.split and source.split_name else how
    if source.draw_pictures is not None:
        source.draw_pictures(workspace.pictures)
    catalog = placed(source.catalog, workspace, drawn=source.draw_pictures is not None)
    catalog.save(workspace.catalog)
    seen = None if source.seen is None else forgotten.left_out(source.seen)
    save_log(with_parts(log, part, seen), workspace.interactions)
    source.problems.write(workspace.problems)
    _save_domain(inputs.domain or source.domain, workspace.domain)
    for feature, values in source.features.items():
        if feature not in workspace.imported:
            values.save(workspace.feature(feature))
    if since := workspace.manifest().get("since"):
        print(f"  read anew: what 'update' brought ({told(since)}) is here only as far as these files have it", file=sys.stderr)
    workspace.record(
        since={},
        inputs={
            "map": dict(inputs.map),
            "min_rating": inputs.min_rating,
            "images": str(Path(inputs.images).resolve()) if inputs.images else None,
        },
        source=source.name,
        split={"how": how, "name": name},
        preset={system: dict(settings) for system, settings in source.preset.items()},
        published=sorted(source.features),
        notes=[*notes, *([note] if note else [])],
        problems=source.problems.counts(),
    )
    for line in (*notes, note, *source.problems.summary()):
        if line:
            print(f"  {line}", file=sys.stderr)


def downloads_of(workspace: Workspace) -> Downloads:
    """The pictures of a workspace that come from the web."""
    return Downloads(workspace.pictures.resolve() / "downloaded")


def fetch_again(workspace: Workspace, catalog: Catalog) -> tuple[Catalog, np.ndarray]:
    """The catalog with those pictures from the web that failed before and are to be had now, and their rows, ``(n,)``."""
    downloads = downloads_of(workspace)
    place = catalog.positions
    missing = {item: url for item, url in downloads.failed.items() if item in place and catalog.picture(place[item]) is None}
    downloads.failed = {}
    fetched = {item: path for item, path in downloads.fetch(missing).items() if isinstance(path, Path)}
    downloads.save()
    if missing:
        print(f"  {len(fetched)} of {len(missing)} pictures that failed before are fetched now", file=sys.stderr)
    rows = np.array(sorted(place[item] for item in fetched), dtype=np.int64)
    if len(rows):
        table = catalog.table.copy()
        table.loc[rows, "image"] = [str(fetched[item]) for item in catalog.item_ids[rows]]
        catalog = placed(Catalog(table, catalog.columns, catalog.root), workspace, drawn=False)
    return catalog, rows


def placed(catalog: Catalog, workspace: Workspace, drawn: bool) -> Catalog:
    """The catalog with paths that are found from the workspace: relative below it, else absolute."""
    table, root = catalog.table.copy(), workspace.pictures if drawn else catalog.root
    inside = workspace.root.resolve()
    for name in ("image", "audio", "video"):
        if name in table:
            paths = [None if not isinstance(cell, str) else (root / cell).resolve() for cell in table[name]]
            found = [
                None if path is None else path.relative_to(inside).as_posix() if path.is_relative_to(inside) else str(path)
                for path in paths
            ]
            table[name] = pd.Series(found, dtype=object)
    return Catalog(table, catalog.columns, root=workspace.root)


def with_parts(log: Interactions, part: Any, seen: Interactions | None) -> pd.DataFrame:
    """The log's table with the part of each row; what was only seen is the part "seen"."""
    table = log.table.assign(part=pd.Series(part, index=log.table.index, dtype=object))
    if seen is not None and len(seen):
        table = pd.concat([table, seen.table.assign(part="seen")], ignore_index=True)
    return table


def save_log(table: pd.DataFrame, path: Path) -> None:
    """Write a log with its parts, atomically."""
    with atomic(path) as temporary:
        table.reset_index(drop=True).to_parquet(temporary)


def _save_domain(domain: Path | None, path: Path) -> None:
    if domain is None:
        path.unlink(missing_ok=True)
        return
    if not Path(domain).is_file():
        raise InputError(f"{domain} does not exist; --domain names a YAML file of what people call your fields and values")
    with atomic(path) as temporary:
        shutil.copyfile(domain, temporary)
