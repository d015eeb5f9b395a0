"""``mllm-rec doctor``: what is on this machine and in a workspace, and what would be used and why."""

import os
import platform
import shutil
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from mllm_rec import __version__
from mllm_rec.data.features import Features
from mllm_rec.data.files import read_json
from mllm_rec.encoders import load_encoder
from mllm_rec.encoders.hub import chosen_device
from mllm_rec.errors import InputError
from mllm_rec.mllm.adapters import CONFIGURATION, read_card
from mllm_rec.mllm.features import STATES
from mllm_rec.mllm.providers import EMBEDDED, MODEL, jobs
from mllm_rec.pipeline.since import retraining_pays, told
from mllm_rec.pipeline.workspace import Workspace
from mllm_rec.retrieval.index import Index

#: Packages that a report of a fault should name.
PACKAGES = (
    "torch",
    "torch-geometric",
    "transformers",
    "accelerate",
    "peft",
    "bitsandbytes",
    "llama-index",
    "chromadb",
    "gradio",
    "numpy",
    "pandas",
)


def doctor(workspace: Workspace | None = None) -> tuple[dict[str, Any], str]:
    """The machine and, where one is given, the state of a workspace; nothing is loaded, fetched or changed."""
    from mllm_rec.data.sources import SOURCES, data_cache

    place, cache = workspace.root if workspace else Path.cwd(), data_cache()
    report: dict[str, Any] = {
        "mllm-rec": __version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "packages": {name: _version(name) for name in PACKAGES},
        **_devices(),
        "free disk": f"{shutil.disk_usage(place).free / 1e9:.1f} GB at {place}",
        "model": _model(workspace),
        "embedded model": f"{EMBEDDED}: can be asked to {', '.join(sorted(jobs('embedded')))}",
        "models in the cache": _cached(),
        "adapters": _adapters([Path(), *([workspace.root] if workspace else [])]),
        "data cache": str(cache),
        "data sets": {name: "there" if source.present(cache) else "not there" for name, source in SOURCES.items()},
    }
    if workspace is not None:
        report["workspace"] = _state(workspace)
    return report, "\n".join(_lines(report))


def _devices() -> dict[str, Any]:
    """Cores, GPUs, and the device and precision that are used where nothing is said."""
    import torch

    found = [f"cuda:{place} {torch.cuda.get_device_name(place)}" for place in range(torch.cuda.device_count())]
    found += ["mps (not used: some operations are missing there)"] if torch.backends.mps.is_available() else []
    device = chosen_device(None)
    why = "torch sees no CUDA device" if device == "cpu" else "the first CUDA device"
    precision = "float32, as models are on a CPU" if device == "cpu" else "as saved, as models are on a GPU"
    return {
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "devices": found,
        "device": f"{device}: {why}; --device says otherwise",
        "precision": f"{precision}; --dtype and --bits say otherwise",
    }


def _model(workspace: Workspace | None) -> str:
    """Which multimodal model would be asked, and why."""
    said = os.environ.get(MODEL)
    if said:
        return f"{said}: {MODEL} names it; --mllm says otherwise"
    made = workspace.manifest().get("mllm", "none") if workspace else "none"
    if made != "none":
        return f"{made}: it captioned this workspace; --mllm or {MODEL} says otherwise"
    return f"none: neither --mllm nor {MODEL} names one; a build takes the embedded model where the domain is its own"


def _cached() -> dict[str, str]:
    """Models that were fetched from the hub before, with their size."""
    from huggingface_hub import constants, scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        found = scan_cache_dir(constants.HF_HUB_CACHE).repos
    except CacheNotFound:
        return {}
    return {one.repo_id: f"{one.size_on_disk / 1e6:,.0f} MB" for one in sorted(found, key=lambda one: one.repo_id)}


def _adapters(places: Iterable[Path]) -> dict[str, str]:
    """Adapters that can be named, with their job."""
    found = {}
    for path in [path.parent for place in places for path in sorted(place.glob(f"adapters/*/{CONFIGURATION}"))]:
        try:
            found[str(path)] = str(read_card(path).get("task", "of an unknown job"))
        except InputError as error:
            found[str(path)] = str(error)
    return found


def _state(workspace: Workspace) -> dict[str, Any]:
    """What a workspace holds, whether it is whole, and whether training again pays."""
    manifest = workspace.manifest()
    since, pays = told(manifest.get("since") or {}), retraining_pays(workspace)
    serving = read_json(workspace.serving)["system"] if workspace.serving.exists() else "nothing yet: run the build again"
    return {
        "source": manifest.get("source", ""),
        "serves": serving,
        "features": {path.stem: _feature(workspace, path) for path in sorted((workspace.root / "features").glob("*.safetensors"))},
        "index": _index(workspace),
        "since training": since or "nothing new",
        "training again": f"pays: {pays}; mllm-rec update {workspace.root} --retrain" if pays else "doesn't pay yet",
    }


def _feature(workspace: Workspace, path: Path) -> str:
    """A feature's shape, and why nothing can be asked for in it."""
    try:
        features = Features.load(path)
        said = f"{features.width} numbers, {int(features.present.sum())} of {len(features.values)} items"
        if workspace.encoder(path.stem).exists():
            load_encoder(workspace.encoder(path.stem), list(STATES.values()))
    except InputError as error:
        return str(error)
    return said


def _index(workspace: Workspace) -> str:
    written = Index(workspace.index).written()
    spaces = ", ".join(f"{name} {said['items']}" for name, said in written["spaces"].items())
    return f"{spaces or 'none: run the build again'} ({'embedded' if written['server'] is None else written['server']})"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _lines(report: dict[str, Any], indent: str = "") -> list[str]:
    lines = []
    for name, value in report.items():
        if isinstance(value, dict) and value:
            lines += [f"{indent}{name}", *_lines(value, indent + "  ")]
        else:
            said = ", ".join(map(str, value)) if isinstance(value, list) else "" if value == {} else value
            lines.append(f"{indent}{name:<{22 - len(indent)}} {said or 'none'}")
    return lines
