"""``mllm-rec export``: a workspace as a folder that another toolkit reads."""

from pathlib import Path
from typing import Any

import pandas as pd

from mllm_rec.data.catalog import Catalog
from mllm_rec.data.features import Features
from mllm_rec.data.sources.mmrec import write_mmrec
from mllm_rec.data.split import PARTS
from mllm_rec.errors import InputError
from mllm_rec.pipeline.workspace import Workspace

#: Layouts that can be written; the same names read them as sources (``mmrec:FOLDER``).
LAYOUTS = {"mmrec": write_mmrec}


def export(workspace: Workspace, layout: str, out: Path) -> tuple[dict[str, Any], str]:
    """Write catalog, log, split and features; read back as ``LAYOUT:OUT`` they are the same.

    What was only seen, and what came after training, has no part in the split and stays behind.

    Args:
        workspace: built.
        layout: one of ``LAYOUTS``.
        out: folder; files of the same names are replaced.

    Raises:
        InputError: no interactions, or the folder is a workspace or has files of another data set.
    """
    if Workspace(out).catalog.exists():
        raise InputError(f"{out} is a workspace, which the files would get mixed up with; name another folder with --out")
    catalog = Catalog.load(workspace.catalog)
    table = pd.read_parquet(workspace.interactions)
    log = table[table["part"].isin(PARTS)]
    if not len(log):
        raise InputError(f"{workspace.root} has no interactions; there is nothing that another toolkit could train on")
    features = {path.stem: Features.load(path) for path in sorted((workspace.root / "features").glob("*.safetensors"))}
    own = {f"{out.name}.inter", *(f"{name}_feat.npy" for name in features)}
    strange = [path.name for pattern in ("*.inter", "*.npy") for path in sorted(out.glob(pattern)) if path.name not in own]
    if strange:
        raise InputError(f"{out} holds {strange[0]}, which would be read along; name an empty folder with --out")
    LAYOUTS[layout](out, catalog, log, features)
    counts = {part: int((log["part"] == part).sum()) for part in PARTS}
    left = len(table) - len(log)
    said = ", ".join(f"{count:,} {part}" for part, count in counts.items())
    lines = [f"{len(catalog):,} items, {log['user_id'].nunique():,} users, {said}; features: {', '.join(features) or 'none'}"]
    lines += [f"{left:,} rows that were only seen or came after training are left out"] if left else []
    lines.append(f"read it as {layout}:{out}")
    return {"out": str(out), "items": len(catalog), "parts": counts, "left_out": left, "features": list(features)}, "\n".join(lines)
