"""Every stage in order, each skipped where nothing it depends on changed."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from mllm_rec.data.catalog import Catalog
from mllm_rec.data.files import read_json
from mllm_rec.data.problems import Problems
from mllm_rec.errors import InputError
from mllm_rec.mllm.adapters import find_adapter
from mllm_rec.mllm.providers import Loading
from mllm_rec.pipeline.caption import caption
from mllm_rec.pipeline.encode import encode, named_encoders
from mllm_rec.pipeline.ingest import Inputs, fetch_again, ingest
from mllm_rec.pipeline.matrices import drop_imports
from mllm_rec.pipeline.runs import CHOICE, Runs, default_systems, parsed, train_all
from mllm_rec.pipeline.search import index
from mllm_rec.pipeline.serve import serve
from mllm_rec.pipeline.since import retraining_pays, told
from mllm_rec.pipeline.strategies import check_encoders, wanted
from mllm_rec.pipeline.update import absorb, take_in
from mllm_rec.pipeline.workspace import Workspace
from mllm_rec.strategies import known_strategies
from mllm_rec.systems import SYSTEMS, system_class

#: Sources that are there to compare, and what is trained on them where nothing else is said: the classics, in minutes.
BENCHMARKS = ("movielens-100k", "movielens-100k-u1")
COMPARED = ("popularity", "itemknn", "ease", "bpr", "lightgcn", "vbpr", "freedom")


def build(
    inputs: Inputs,
    out: Path | str,
    systems: Sequence[str] | None = None,
    seeds: int = 1,
    mllm: str | None = None,
    adapters: Sequence[Path] = (),
    retry_failed: bool = False,
    loading: Loading = Loading(),
    encoders: Mapping[str, str] | None = None,
    chroma: str | None = None,
    strategies: Sequence[str] | None = None,
) -> tuple[dict[str, Any], str]:
    """From files to a system that answers; interrupted, the same call goes on where it stopped.

    Args:
        inputs: what goes in.
        out: the workspace's folder.
        systems: names of the systems to train; None: as suits the source.
        seeds: trainings of each system.
        mllm: the model that captions, see ``load_provider``; None: what ``MLLM_REC_MLLM`` names, else the embedded model
            where the domain is its own.
        adapters: folders or names of LoRA adapters for it.
        retry_failed: caption those pictures again that failed before.
        loading: device and precision of the model that captions.
        encoders: by modality, see ``named_encoders``; the usual ones for those that are not named.
        chroma: HOST:PORT of a server that holds the vectors for search, or "embedded"; None: where they were written last.
        strategies: how the systems that they suit are trained, see ``STRATEGIES``; kept for later builds, None: as kept.

    Returns:
        What was made, as JSON-like values and as text.

    Raises:
        InputError: what is wrong with the input, or another process writes there.
    """
    for name in systems or ():
        system_class(name)
    named = named_encoders(encoders or {})  # what is misspelt is said before anything takes time
    workspace = Workspace(out)
    if strategies is not None:
        strategies = known_strategies(strategies)
        check_encoders(strategies, named.values())
        wanted(workspace, systems or SYSTEMS, strategies)
    with workspace.writing():
        drop_imports(workspace, named)
        _say("reading")
        if not ingest(workspace, inputs) and inputs.download:
            catalog, fetched = fetch_again(workspace, Catalog.load(workspace.catalog))
            if len(fetched):
                catalog.save(workspace.catalog)
        absorb(workspace)
        _say("captioning")
        caption(workspace, mllm, [find_adapter(one, [workspace.root]) for one in adapters], retry_failed, loading)
        _say("encoding")
        features = encode(workspace, named)
        workspace.record(encoders=dict(encoders or {}))
        log = pd.read_parquet(workspace.interactions, columns=["user_id", "part"])
        likes = int((log["part"] != "seen").sum())
        num_items = len(Catalog.load(workspace.catalog))
        usual = list(COMPARED) if inputs.source in BENCHMARKS else default_systems(num_items, features, likes)
        chosen = systems or [*usual, *(name for name in SYSTEMS if likes and workspace.seeds(name))]
        if strategies is not None:
            workspace.record(strategies=wanted(workspace, chosen, strategies))
        _say("training")
        rows = trained(workspace, chosen, seeds)
        _say("indexing")
        index(workspace, chroma)
    manifest, serving = workspace.manifest(), read_json(workspace.serving)
    value = {
        "workspace": str(workspace.root),
        "items": num_items,
        "users": int(log["user_id"].nunique()),
        "interactions": likes,
        "split": manifest["split"]["name"],
        "mllm": manifest["mllm"],
        "captions": manifest.get("captions") if manifest["mllm"] != "none" else None,
        "features": features,
        "problems": manifest["problems"],
        "notes": manifest["notes"],
        "systems": rows,
        "serving": serving["system"],
    }
    return value, _text(value)


def update(
    workspace: Workspace,
    items: Path | None = None,
    interactions: Path | None = None,
    images: Path | None = None,
    said: Mapping[str, str] | None = None,
    retrain: bool = False,
    chroma: str | None = None,
    download: bool = False,
    encoders: Mapping[str, str] | None = None,
) -> tuple[dict[str, Any], str]:
    """Take in new and changed items and new interactions: they answer at once, by their content.

    Args:
        workspace: built.
        items, interactions, images, said, download: see ``take_in``.
        retrain: train every system again, with everything.
        chroma: see ``build``.
        encoders: with ``retrain``, other encoders than those of the build, by modality; see ``named_encoders``.

    Raises:
        InputError: a file that can't be read or understood, or nothing to do.
    """
    if encoders and not retrain:
        raise InputError("--encoder goes with --retrain: systems have to be trained again to read other features")
    changed = named_encoders(encoders or {})
    brought = items is not None or interactions is not None or download
    if not brought and not retrain:
        raise InputError("nothing to do: name --items FILE, --interactions FILE, --download or --retrain")
    with workspace.writing():
        problems = take_in(workspace, items, interactions, images, said, download) if brought else Problems()
        since = dict(workspace.manifest().get("since") or {})
        value: dict[str, Any] = {"workspace": str(workspace.root), "since": since, "problems": problems.counts()}
        if retrain:
            absorb(workspace)
            manifest = workspace.manifest()
            adapters = [Path(folder) for folder in (manifest.get("captions") or {}).get("adapters", ())]
            caption(workspace, manifest.get("mllm"), adapters)
            kept = {name: said for name, said in manifest.get("encoders", {}).items() if name not in changed}
            encode(workspace, {**named_encoders(kept), **changed})
            workspace.record(encoders={**kept, **(encoders or {})})
            names = [name for name in SYSTEMS if workspace.seeds(name)]
            value["systems"] = trained(workspace, names, max((workspace.seeds(name) for name in names), default=1))
        index(workspace, chroma)
    for line in problems.summary():
        print(f"  {line}", file=sys.stderr)
    pays = retraining_pays(workspace)
    lines = [
        f"{workspace.root}: {told(since) or 'nothing new'} since its systems were trained{', which they are now again' if retrain else ''}"
    ]
    lines += [f"training again pays: {pays}; 'mllm-rec update {workspace.root} --retrain'"] if pays else []
    return {**value, "retraining pays": pays}, "\n".join(lines)


def train(
    workspace: Workspace, systems: Sequence[str], seeds: int, settings: Mapping[str, str], strategies: Sequence[str] | None = None
) -> tuple[dict[str, Any], str]:
    """Train more systems of a workspace, or one with other settings; the best of all then serves.

    Args:
        workspace: built.
        systems: their names.
        seeds: trainings of each.
        settings: changes by name, ``fit.NAME`` for those of the training; kept for later builds of this workspace.
        strategies: how they are trained, see ``STRATEGIES``; kept too, None: as kept.
    """
    changes = {system: parsed(system, settings) for system in systems}
    with workspace.writing():
        if settings or strategies is not None:
            kept = {name: workspace.manifest().get(name, {}) for name in ("settings", "strategies")}
            ways = kept["strategies"] if strategies is None else wanted(workspace, systems, known_strategies(strategies))
            said = {system: {**kept["settings"].get(system, {}), **changed} for system, changed in changes.items()}
            workspace.record(settings={**kept["settings"], **said}, strategies=ways)
            try:
                for system in systems:
                    Runs(workspace).check(system)
            except BaseException:
                workspace.record(**kept)
                raise
        others = [name for name in SYSTEMS if workspace.seeds(name) and name not in systems]
        rows = trained(workspace, [*others, *systems], seeds)
        index(workspace)
    shown = [row for row in rows if row["system"] in systems]
    serving = read_json(workspace.serving)["system"]
    return {"systems": shown, "serving": serving}, "\n".join([*map(_row, shown), f"serving: {serving}"])


def trained(workspace: Workspace, systems: Sequence[str], seeds: int) -> list[dict[str, Any]]:
    """The stage "training": each system once, in the order of ``SYSTEMS``, then the best serves; rows of ``train_all``."""
    systems = [name for name in SYSTEMS if name in systems]
    manifest = workspace.manifest()
    done = {name: stage["key"] for name, stage in manifest["stages"].items() if name == "data" or name.startswith("features/")}
    captions = [workspace.captions, workspace.feature("caption")]
    key = {
        "stages": done,
        "captions": captions,
        "log": workspace.interactions,
        "systems": systems,
        "seeds": seeds,
        "preset": manifest.get("preset"),
        "settings": manifest.get("settings", {}),
        "strategies": manifest.get("strategies", {}),
    }

    def run() -> None:
        rows = train_all(workspace, systems, seeds)
        serve(workspace, rows)
        workspace.record(trained=rows)

    outputs = [workspace.serving, workspace.serving_folder / "checkpoint.safetensors"]
    workspace.stage("training", key, run, [*outputs, *(workspace.run(name, 0) / "checkpoint.safetensors" for name in systems)])
    return workspace.manifest()["trained"]


def _say(stage: str) -> None:
    print(f"{stage} ...", file=sys.stderr, flush=True)


def _row(row: Mapping[str, Any]) -> str:
    value = "-" if row[CHOICE] is None else f"{row[CHOICE]:.4f}"
    return f"  {row['system']:12} validation {CHOICE} {value:8} {row['seconds']:8.1f} s"


def _text(value: Mapping[str, Any]) -> str:
    lines = [
        f"{value['workspace']}: {value['items']:,} items, {value['users']:,} users, {value['interactions']:,} interactions, split {value['split']}",
        f"features: {', '.join(value['features']) or 'none'}",
        *map(_row, value["systems"]),
        f"serving: {value['serving']}",
    ]
    if value["problems"]:
        said = ", ".join(f"{count} {kind}" for kind, count in value["problems"].items())
        lines.append(f"mended or refused: {said}; see {value['workspace']}/problems.jsonl")
    lines.append(f"next: mllm-rec evaluate {value['workspace']}, or mllm-rec chat {value['workspace']}")
    return "\n".join(lines)
