"""Matrices of other toolkits as features of a workspace: taken in with ``mllm-rec features --import``, and kept by later builds."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from mllm_rec.data.catalog import Catalog
from mllm_rec.data.features import Features
from mllm_rec.data.matrices import feature_name, read_matrix
from mllm_rec.data.problems import Problems, shown
from mllm_rec.data.sources.mmrec import ITEMS, positions_of
from mllm_rec.data.tables import Table, read_table
from mllm_rec.encoders.published import Published
from mllm_rec.errors import InputError
from mllm_rec.pipeline.workspace import Workspace, fingerprint

#: Columns that name an item, ours and MMRec's.
_IDS = ("item_id", "asin")


def take_in(workspace: Workspace, folder: Path) -> list[str]:
    """Read every ``NAME_feat.npy`` of a folder as the feature NAME, and say of each what was done.

    It takes the place of a feature of that name, and of what put queries into its space; the next build or training trains
    again. A matrix that holds what the feature holds already changes nothing. A row of zeros is a missing item.

    Args:
        workspace: built.
        folder: with the matrices; ``i_id_mapping.csv`` beside them says which item a row is (item_id or asin, itemID), and an
            item that it leaves out is missing. Without it rows follow the catalog.

    Raises:
        InputError: no matrices, or one that can't be used; then none is taken in.
    """
    paths = sorted(Path(folder).glob("*_feat.npy"))
    if not paths:
        raise InputError(
            f"{folder} holds no NAME_feat.npy; --import wants a folder with a NumPy matrix for each feature, as --export writes it"
        )
    with workspace.writing():
        catalog = Catalog.load(workspace.catalog)
        rows, items = _rows(Path(folder) / ITEMS, catalog), fingerprint(catalog.item_ids.tolist())
        read = {feature_name(path): _read(path, catalog, rows) for path in paths}
        new = {name: one for name, one in read.items() if not _there(workspace, name, one, items)}
        if new:
            _replace(workspace, new, items)
    said = [f"{int(one.present.sum())} of {len(catalog)} items, {one.width} numbers each" for one in read.values()]
    lines = [f"{name:12} {what if name in new else 'is there already, nothing to take in'}" for name, what in zip(read, said, strict=True)]
    return [*lines, *([f"next: mllm-rec train {workspace.root} --systems A,B, or the build again"] if new else [])]


def drop_imports(workspace: Workspace, named: Iterable[str]) -> None:
    """Forget imported features in whose place an encoder is named or whose file was deleted; what was there before is made again."""
    manifest = workspace.manifest()
    published = set(manifest.get("published", []))
    replaced = set() if published else set(named)  # a source with its own features takes no encoders
    gone = {name for name in workspace.imported if name in replaced or not workspace.feature(name).exists()}
    if not gone:
        return
    makers = {"data": published, "captions": {"caption"}}
    again = {f"features/{name}" for name in gone} | {stage for stage, names in makers.items() if names & gone}
    workspace.record(
        imported={name: one for name, one in workspace.imported.items() if name not in gone},
        stages={name: stage for name, stage in manifest["stages"].items() if name not in again},
    )


def check_imports(workspace: Workspace, catalog: Catalog) -> None:
    """Refuse imported features whose rows are not the catalog's items.

    Raises:
        InputError: the items changed since.
    """
    items = fingerprint(catalog.item_ids.tolist()) if workspace.imported else ""
    for name, one in workspace.imported.items():
        if one["items"] != items:
            raise InputError(
                f"the items changed since '{name}' was imported from {one['file']}: import it again ('mllm-rec features {workspace.root} "
                f"--import DIR'), or delete {workspace.feature(name)} to do without"
            )


def _rows(path: Path, catalog: Catalog) -> np.ndarray | None:
    """Position in the catalog of each row of the matrices; None where nothing but the catalog's order says it."""
    if not path.exists():
        return None
    table = read_table(path, Problems())
    column = next((name for name in _IDS if name in table.columns), None)
    if column is None or "itemID" not in table.columns:
        raise InputError(
            f"{path} has the columns {', '.join(table.columns[:20])}; wanted {' or '.join(_IDS)}, and itemID, the row in the matrices"
        )
    numbers, ids = positions_of(table, "itemID"), table.frame[column]
    strange = ~ids.isin(list(catalog.positions)).to_numpy()
    if strange.any():
        raise InputError(
            f"{path}: row {_first(table, strange)} names {shown(ids[strange].iloc[0])}, which is no item of the catalog; leave out such items "
            f"here and in the matrices, or this file where rows follow the catalog"
        )
    for name in (column, "itemID"):
        doubled = table.frame[name].duplicated().to_numpy()
        if doubled.any():
            again = shown(table.frame[name][doubled].iloc[0])
            raise InputError(f"{path}: row {_first(table, doubled)} has {name} {again}, as a row before it; each may stand once")
    beyond = numbers >= len(numbers)
    if beyond.any():
        raise InputError(
            f"{path}: row {_first(table, beyond)} has itemID {numbers[beyond][0]}, but there are {len(numbers)} rows; wanted 0 to {len(numbers) - 1}"
        )
    rows = np.empty(len(numbers), dtype=np.int64)
    rows[numbers] = [catalog.positions[one] for one in ids]
    return rows


def _first(table: Table, mask: np.ndarray) -> Any:
    return table.frame.index[mask][0]


def _read(path: Path, catalog: Catalog, rows: np.ndarray | None) -> Features:
    if rows is None:
        rows = np.arange(len(catalog))
        mend = f"rows must follow the catalog, or {ITEMS} beside it say which item each is (columns item_id and itemID)"
    else:
        mend = f"so many are listed in {ITEMS} beside it, and each needs its row"
    read = read_matrix(path, len(rows), mend=mend)
    values, present = np.zeros((len(catalog), read.width), np.float32), np.zeros(len(catalog), dtype=bool)
    values[rows], present[rows] = read.values, read.present
    return Features(values, present, Published(path, source="import").spec())


def _there(workspace: Workspace, name: str, one: Features, items: str) -> bool:
    """Whether the feature of this name holds the same values of the same items."""
    known = workspace.imported.get(name, {"items": items})["items"] == items
    return known and workspace.feature(name).exists() and np.array_equal(Features.load(workspace.feature(name)).values, one.values)


def _replace(workspace: Workspace, new: dict[str, Features], items: str) -> None:
    """Killed on the way, what it came to is made again by the next build, as if nothing had been imported."""
    replaced = {f"features/{name}" for name in new}
    kept = {name: stage for name, stage in workspace.manifest()["stages"].items() if name not in replaced}
    workspace.record(stages=kept)
    workspace.serving.unlink(missing_ok=True)  # the system that serves learned the features that were there
    for name, one in new.items():
        workspace.encoder(name).unlink(missing_ok=True)
        one.save(workspace.feature(name))
    workspace.record(
        stages={**kept, **{f"features/{name}": {"key": fingerprint(workspace.feature(name)), "seconds": 0.0} for name in new}},
        imported={
            **workspace.imported,
            **{name: {"file": one.spec["file"], "sha256": one.spec["sha256"], "items": items} for name, one in new.items()},
        },
    )
