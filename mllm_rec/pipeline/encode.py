"""Second stage: features of every item."""

import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from mllm_rec.data.catalog import Catalog
from mllm_rec.data.files import atomic
from mllm_rec.encoders import Encoder, usual_encoders
from mllm_rec.encoders.chosen import chosen_encoder
from mllm_rec.encoders.content import files
from mllm_rec.encoders.store import Store
from mllm_rec.errors import InputError
from mllm_rec.mllm.features import STATES
from mllm_rec.pipeline.matrices import check_imports
from mllm_rec.pipeline.workspace import Workspace

#: Modalities whose contents are files that a column of the catalog names.
FILES = ("image", "audio", "video")
#: What the stage makes, a file for each feature.
_MADE = ("features/*.safetensors", "encoders/*.safetensors", "inputs/*.npy")


def named_encoders(said: Mapping[str, str]) -> dict[str, Encoder]:
    """By modality, the encoder that is named.

    Args:
        said: of ``--encoder``.

    Raises:
        InputError: no such encoder.
    """
    return {modality: chosen_encoder(modality, name, {"mllm": _states}) for modality, name in said.items()}


def _states(modality: str, model: str, options: dict[str, str]) -> Encoder:
    """Hidden states of the model that ``mllm:MODEL`` names."""
    if modality not in STATES:
        raise InputError(f"{modality}=mllm:{model}: a multimodal model encodes {' or '.join(STATES)}")
    return STATES[modality](model, options.pop("pooling", "mean"))


def encode(workspace: Workspace, named: Mapping[str, Encoder] | None = None) -> list[str]:
    """Run the stage of every feature unless nothing it depends on changed; names of the features there are.

    A modality without a named encoder has the usual one, where the catalog has something for it. A source that brings features
    is used with exactly these, so that its figures compare with published ones; imported features stay as they are.

    Args:
        workspace: with its catalog.
        named: see ``named_encoders``.

    Raises:
        InputError: an encoder for a modality that no item has, or features that were imported for other items.
    """
    published = workspace.manifest().get("published", [])
    if published and named:
        raise InputError(f"this source brings its own features ({', '.join(published)}); leave --encoder out")
    catalog = Catalog.load(workspace.catalog)
    check_imports(workspace, catalog)
    made = {} if published else {name: one for name, one in _with_usual(named or {}, catalog).items() if name not in workspace.imported}
    for path in [path for pattern in _MADE for path in workspace.root.glob(pattern)]:
        if path.stem not in (*published, *workspace.imported, *made, "caption"):
            path.unlink()
    for name, encoder in made.items():
        inputs = {
            "catalog": workspace.catalog,
            "spec": encoder.spec(),
            "pictures": stamps(catalog, name) if name in FILES else None,
        }
        outputs = [workspace.feature(name), workspace.encoder(name), *([workspace.inputs(name)] if encoder.trainable else [])]
        if not _kept(workspace, name):
            outputs = []
        workspace.stage(f"features/{name}", inputs, partial(_encode, workspace, catalog, name, encoder), outputs)
    return sorted(path.stem for path in (workspace.root / "features").glob("*.safetensors"))


def _with_usual(named: Mapping[str, Encoder], catalog: Catalog) -> dict[str, Encoder]:
    """The named encoders, and the usual ones of other modalities that the catalog has something for."""
    for modality in named:
        if modality in FILES and modality not in catalog.columns:
            raise InputError(f"--encoder {modality}: no item has a file in a column '{modality}'; name it with --map")
    usual = {name: encoder() for name, encoder in usual_encoders().items() if name not in FILES or name in catalog.columns}
    return {**usual, **named}


def _kept(workspace: Workspace, name: str) -> bool:
    """Whether the feature was worth keeping when it was last made."""
    return workspace.manifest().get("features", {}).get(name, True)


def _encode(workspace: Workspace, catalog: Catalog, name: str, encoder: Encoder) -> None:
    start = perf_counter()
    with Store(workspace.root / "features" / "encoded.sqlite") as store:
        features = encoder.encode(catalog, store, progress=sys.stderr.isatty())
        inputs = encoder.inputs(catalog, store)[0] if encoder.trainable else None
    say_problems(catalog, name, encoder)
    workspace.inputs(name).unlink(missing_ok=True)
    if features.present.any():
        if inputs is not None:
            save_inputs(inputs, workspace.inputs(name))
        features.save(workspace.feature(name))
        encoder.save(workspace.encoder(name))
    else:
        workspace.feature(name).unlink(missing_ok=True)
    workspace.record(features={**workspace.manifest().get("features", {}), name: bool(features.present.any())})
    speed = f", {len(catalog) / seconds:,.0f} a second" if (seconds := perf_counter() - start) > 1 else ""
    print(f"  {name}: {int(features.present.sum())} of {len(catalog)} items, {features.width} numbers each{speed}", file=sys.stderr)


def say_problems(catalog: Catalog, name: str, encoder: Encoder) -> None:
    """Name the items that an encoder could not encode, and why, on standard error."""
    for row, why in encoder.problems:
        print(f"  {name}: item {catalog.item_ids[row]} has no {name} feature: {why}", file=sys.stderr)


def save_inputs(inputs: np.ndarray, path: Path) -> None:
    """Write what a trainable encoder's module reads, ``(num_items, ...)``, atomically."""
    with atomic(path) as temporary, open(temporary, "wb") as file:
        np.save(file, inputs)


def stamps(catalog: Catalog, column: str) -> list[Any]:
    """Name, size and time of change of every file that a column names."""
    return [[str(path), *_stamp(path)] for path in files(catalog, column) if isinstance(path, Path)]


def _stamp(path: Path) -> tuple[int, int]:
    return (path.stat().st_size, path.stat().st_mtime_ns) if path.exists() else (0, 0)
