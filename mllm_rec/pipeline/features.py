"""``mllm-rec features``: what each feature of a workspace is, what it takes for alike, and matrices to and from other toolkits."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mllm_rec.data.catalog import Catalog
from mllm_rec.data.features import Features
from mllm_rec.data.files import atomic
from mllm_rec.data.sources.mmrec import ITEMS
from mllm_rec.errors import InputError
from mllm_rec.mllm.sheet import strips
from mllm_rec.pipeline.matrices import take_in
from mllm_rec.pipeline.workspace import Workspace
from mllm_rec.retrieval.spaces import Space

#: Nearest items that are shown of each feature.
NEAREST = 6


def features(
    workspace: Workspace,
    near: str | None = None,
    sheet: Path | None = None,
    export: Path | None = None,
    imported: Path | None = None,
) -> tuple[dict[str, Any], str]:
    """Every feature: its shape, how many items have it, what made it.

    Args:
        workspace: built.
        near: id of an item whose nearest by each feature are named.
        sheet: a PNG to draw them in, a strip of pictures for each feature.
        export: a folder to write each feature to as ``NAME_feat.npy``, rows in catalog order, and ``i_id_mapping.csv`` beside
            them, as MMRec names them; a missing row is zero.
        imported: a folder like that, to take features in from before anything else; see ``take_in``.

    Raises:
        InputError: there are no features, no such item, or a matrix can't be taken in.
    """
    taken = take_in(workspace, imported) if imported is not None else []
    catalog = Catalog.load(workspace.catalog)
    found = {path.stem: Features.load(path) for path in sorted((workspace.root / "features").glob("*.safetensors"))}
    if not found:
        raise InputError(f"{workspace.root} has no features; 'mllm-rec build' makes them where items have texts, attributes or pictures")
    if sheet is not None and near is None:
        raise InputError("--sheet draws the nearest items of one; name it with --near ITEM")
    rows: list[dict[str, Any]] = [
        {
            "feature": name,
            "items": len(one.values),
            "width": one.width,
            "present": int(one.present.sum()),
            "spec": dict(one.spec),
        }
        for name, one in found.items()
    ]
    value: dict[str, Any] = {"features": rows}
    lines = [f"{row['feature']:12} {row['items']:,} x {row['width']}, {row['present']:,} present   {_made(row['spec'])}" for row in rows]
    if near is not None:
        nearest = {name: _nearest(one, catalog.position(near)) for name, one in found.items()}
        value["near"] = {
            name: [{"item_id": catalog.item_ids[row], "likeness": round(like, 4)} for row, like in told] for name, told in nearest.items()
        }
        lines += ["", f"near {_title(catalog, catalog.position(near))} ({near}):"]
        lines += [f"{name:12} {_told(catalog, told)}" for name, told in nearest.items()]
        if sheet is not None:
            with atomic(sheet) as temporary:
                strips(catalog, {name: [(catalog.position(near), None), *told] for name, told in nearest.items()}).save(temporary, "PNG")
            lines.append(f"strips of pictures: {sheet}")
    if export is not None:
        for name, one in found.items():
            with atomic(export / f"{name}_feat.npy") as temporary, open(temporary, "wb") as file:
                np.save(file, one.values)
        with atomic(export / ITEMS) as temporary:
            catalog.table[["item_id"]].assign(itemID=range(len(catalog))).to_csv(temporary, index=False)
        lines.append(f"{len(found)} matrices and {ITEMS} in {export}")
    if taken:
        value["imported"] = workspace.imported
        lines = ["taken in:", *taken, "", *lines]
    return value, "\n".join(lines)


def _made(spec: Mapping[str, Any]) -> str:
    """What made a feature, in a few words; hashes and versions left out."""
    if "of" in spec:
        return f"{spec['kind']} of {_made(spec['of'])}"
    named = {key: spec[key] for key in ("model", "file", "weights", "mllm", "source", "pooling") if isinstance(spec.get(key), str)}
    return " ".join([str(spec.get("encoder", "?")), *(f"{key}={json.dumps(said)}" for key, said in named.items() if said)])


def _nearest(feature: Features, row: int) -> list[tuple[int, float]]:
    """Rows of the nearest items and how alike they are, best first; none where the item lacks the feature."""
    if not feature.present[row]:
        return []
    like = Space(feature).near_items([row])
    like[row] = -np.inf
    like[~feature.present] = -np.inf
    best = np.argsort(-like, kind="stable")[:NEAREST]
    return [(int(one), float(like[one])) for one in best if np.isfinite(like[one])]


def _told(catalog: Catalog, told: Sequence[tuple[int, float]]) -> str:
    return ", ".join(f"{_title(catalog, row)} {like:.2f}" for row, like in told) or "the item lacks it"


def _title(catalog: Catalog, row: int) -> str:
    return str(catalog.table["title"].iat[row] or catalog.item_ids[row])
