"""Fourth stage: the system that answers, refitted on the whole log, and the shop it answers for."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from mllm_rec.agent.reply import Shop
from mllm_rec.agent.vocabulary import Vocabulary
from mllm_rec.data.catalog import Catalog
from mllm_rec.data.dataset import Dataset
from mllm_rec.data.features import Features
from mllm_rec.data.files import read_json, write_json
from mllm_rec.encoders import Encoder, load_encoder
from mllm_rec.encoders.trainable import outputs
from mllm_rec.errors import InputError
from mllm_rec.explain import Explainer
from mllm_rec.mllm.features import STATES
from mllm_rec.pipeline.caption import domain_of, known_catalog
from mllm_rec.pipeline.runs import CHOICE, Runs, positions
from mllm_rec.pipeline.strategies import under_strategies
from mllm_rec.pipeline.workspace import Workspace
from mllm_rec.recommender import Recommender, create, with_settings
from mllm_rec.retrieval.candidates import Candidates
from mllm_rec.retrieval.index import Index
from mllm_rec.strategies.training import as_read, train_system
from mllm_rec.systems import system_class

#: Parts of the log that the serving system learns; and what came since the last training.
WHOLE, SINCE = ("train", "validation", "test"), "since"


def serve(workspace: Workspace, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Choose the system with the best validation and refit it on the whole log for the best epoch's number of epochs.

    Args:
        workspace: where it was trained.
        rows: of ``train_all``. Without validation the first system serves.

    Returns:
        What ``serving.json`` says.
    """
    chosen = max(rows, key=lambda row: -np.inf if row[CHOICE] is None else row[CHOICE])
    runs = Runs(workspace)
    settings, training = runs.settings(chosen["system"])
    strategies = runs.strategies(chosen["system"])
    epochs = max(1, round(float(np.median(chosen["epochs"]))))
    data = under_strategies(workspace, Dataset.load(workspace.root, *WHOLE), strategies)
    training = replace(training, epochs=epochs, patience=epochs)
    train_system(system_class(chosen["system"]), data, settings, 0, strategies, None, training, workspace.serving_folder)
    said = {
        "system": chosen["system"],
        "settings": asdict(settings),
        "strategies": strategies,
        "epochs": epochs,
        CHOICE: chosen[CHOICE],
        "users": data.num_users,
        "items": data.num_items,
    }
    write_json(workspace.serving, said)
    print(f"  {chosen['system']} serves, refitted on the whole log", file=sys.stderr)
    return said


def serving_system(workspace: Workspace) -> Recommender:
    """The system that answers, ready to score; it knows what was there when it was trained.

    Raises:
        InputError: the build did not get that far, or it was trained on another log.
    """
    checkpoint = workspace.serving_folder / "checkpoint.safetensors"
    if not workspace.serving.exists() or not checkpoint.exists():
        raise InputError(f"{workspace.root} has no system that serves; run the build again, it goes on where it stopped")
    said = read_json(workspace.serving)
    kind = system_class(said["system"])
    data = under_strategies(workspace, Dataset.load(workspace.root, *WHOLE), said["strategies"]).first(said["users"], said["items"])
    system = create(kind, as_read(data, said["strategies"]), with_settings(kind, said["settings"]))
    system.load_state(checkpoint)
    return system.eval()


def open_shop(workspace: Workspace, exclude: Path | None = None, server: str | None = None) -> Shop:
    """Everything that answers: catalog, vocabulary, system, candidates, explainer.

    Args:
        workspace: built.
        exclude: file of item ids that are never shown, one a line.
        server: of the index, see ``Index``.

    Raises:
        InputError: the build is not complete, or the file can't be read.
    """
    catalog = known_catalog(workspace)
    data = Dataset.load(workspace.root, *WHOLE, SINCE)
    system = serving_system(workspace)
    encoders = loaded_encoders(workspace)
    if "end-to-end" in read_json(workspace.serving)["strategies"]:
        data.features = {**data.features, **_taught(workspace, system, encoders, data.features)}
    domain = domain_of(workspace)
    name = workspace.manifest().get("source", "")
    return Shop(
        catalog=catalog,
        domain=domain,
        vocabulary=Vocabulary(catalog, domain),
        data=data,
        system=system,
        candidates=Candidates(catalog, data, system, encoders, Index(workspace.index, server)),
        explainer=Explainer(catalog, data),
        hidden=positions(workspace, data).numpy(),
        excluded=excluded(catalog, exclude),
        title=domain.title or name,
        note=domain.note or f"{len(catalog):,} items",
    )


def _taught(
    workspace: Workspace, system: Recommender, encoders: Mapping[str, Encoder], features: Mapping[str, Features]
) -> dict[str, Features]:
    """Features that were trained with the system, whose encoders take up the weights: queries then meet items where training put them."""
    found = {}
    for name, module in system.content.encoders.items():
        if name in encoders:
            encoders[name].module().load_state_dict(module.state_dict())  # type: ignore[union-attr]
        values = outputs(module, np.load(workspace.inputs(name), allow_pickle=False))
        found[name] = Features(values, features[name].present, features[name].spec)
    return found


def loaded_encoders(workspace: Workspace) -> dict[str, Encoder]:
    """By feature, what encodes queries into its space; one that can't be loaded is said, and done without."""
    found = {}
    for path in sorted((workspace.root / "encoders").glob("*.safetensors")):
        try:
            found[path.stem] = load_encoder(path, list(STATES.values()))
        except InputError as error:
            print(f"  nothing can be asked for by {path.stem}: {error}", file=sys.stderr)
    return found


def excluded(catalog: Catalog, exclude: Path | None) -> np.ndarray:
    """``(num_items,)`` bool: items that a file names; ids that the catalog lacks are counted on standard error.

    Raises:
        InputError: no such file, or no text.
    """
    mask = np.zeros(len(catalog), dtype=bool)
    if exclude is None:
        return mask
    try:
        lines = [line.strip() for line in Path(exclude).read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{exclude} can't be read: {error}; --exclude names a text file with one item id a line") from error
    known = [line for line in lines if line in catalog.positions]
    mask[[catalog.positions[line] for line in known]] = True
    if strange := [line for line in lines if line and line not in catalog.positions]:
        print(f"  {exclude}: {len(strange)} lines name no item of the catalog, the first is {strange[0][:80]!r}", file=sys.stderr)
    return mask
