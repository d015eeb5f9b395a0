"""Second stage: features of every item."""

import sys
from functools import partial
from pathlib import Path
from typing import Any

from mllm_rec.data.catalog import Catalog
from mllm_rec.encoders import Encoder, encoders
from mllm_rec.encoders.store import Store
from mllm_rec.pipeline.workspace import Workspace


def encode(workspace: Workspace) -> list[str]:
    """Run the stage of every feature unless nothing it depends on changed; names of the features there are.

    A source that brings features is used with exactly these, so that its figures compare with published ones.
    """
    manifest = workspace.manifest()
    published = manifest.get("published", [])
    catalog = None if published else Catalog.load(workspace.catalog)
    made = (
        {}
        if catalog is None
        else {name: encoder() for name, encoder in encoders().items() if name != "image" or "image" in catalog.columns}
    )
    for path in [*(workspace.root / "features").glob("*.safetensors"), *(workspace.root / "encoders").glob("*.safetensors")]:
        if path.stem not in (*published, *made, "caption"):
            path.unlink()
    for name, encoder in made.items():
        assert catalog is not None
        inputs = {
            "catalog": workspace.catalog,
            "spec": encoder.spec(),
            "pictures": picture_stamps(catalog) if encoder.queries == "picture" else None,
        }
        outputs = [workspace.feature(name), workspace.encoder(name)] if _kept(workspace, name) else []
        workspace.stage(f"features/{name}", inputs, partial(_encode, workspace, catalog, name, encoder), outputs)
    return sorted(path.stem for path in (workspace.root / "features").glob("*.safetensors"))


def _kept(workspace: Workspace, name: str) -> bool:
    """Whether the feature was worth keeping when it was last made."""
    return workspace.manifest().get("features", {}).get(name, True)


def _encode(workspace: Workspace, catalog: Catalog, name: str, encoder: Encoder) -> None:
    with Store(workspace.root / "features" / "encoded.sqlite") as store:
        features = encoder.encode(catalog, store, progress=sys.stderr.isatty())
    for row, why in encoder.problems:
        print(f"  {name}: item {catalog.item_ids[row]} has no {name} feature: {why}", file=sys.stderr)
    if features.present.any():
        features.save(workspace.feature(name))
        encoder.save(workspace.encoder(name))
    else:
        workspace.feature(name).unlink(missing_ok=True)
    workspace.record(features={**workspace.manifest().get("features", {}), name: bool(features.present.any())})
    print(f"  {name}: {int(features.present.sum())} of {len(catalog)} items, {features.width} numbers each", file=sys.stderr)


def picture_stamps(catalog: Catalog) -> list[Any]:
    """Name, size and time of change of every picture."""
    paths = [path for row in range(len(catalog)) if (path := catalog.picture(row)) is not None]
    return [[str(path), *_stamp(path)] for path in paths]


def _stamp(path: Path) -> tuple[int, int]:
    return (path.stat().st_size, path.stat().st_mtime_ns) if path.exists() else (0, 0)
