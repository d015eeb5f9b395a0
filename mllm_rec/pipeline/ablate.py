"""``mllm-rec ablate``: what each kind of knowledge about the items is worth, the same systems with and without it."""

import copy
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from tqdm import tqdm

from mllm_rec.data.features import Features
from mllm_rec.errors import InputError
from mllm_rec.evaluation import Table, compare, main_table, over_seeds
from mllm_rec.evaluation.significance import Difference, paired_bootstrap
from mllm_rec.pipeline.runs import Runs
from mllm_rec.pipeline.workspace import Workspace
from mllm_rec.strategies.training import train_system
from mllm_rec.systems import SYSTEMS, system_class

#: What a system is told of the items: names of features.
TOLD: Mapping[str, tuple[str, ...]] = {
    "ids": (),
    "text": ("attributes", "text"),
    "picture": ("image",),
    "text + picture": ("attributes", "text", "image"),
    "captions": ("caption",),
    "all": ("attributes", "text", "image", "caption"),
}
#: Metric of the differences, and the pairs whose difference answers a question.
METRIC, KS = "ndcg@20", (10, 20)
ASKED = (("captions", "ids"), ("captions", "picture"), ("all", "text + picture"))


def ablate(workspace: Workspace, systems: Sequence[str] | None = None, seeds: int = 5) -> tuple[dict[str, Any], str]:
    """Train every system with every part of ``TOLD``, judge on the test part; interrupted, the same call goes on where it stopped.

    A feature that the workspace doesn't have is left out, and so is a part that then says no more than one before it.

    Args:
        workspace: built.
        systems: multimodal ones; None: all of them.
        seeds: trainings of each.

    Returns:
        By system the tables of warm users and of cold items, differences to ids alone, and the paired differences of ``ASKED``.

    Raises:
        InputError: a system that reads no features, or nothing is held out.
    """
    names = list(systems or (name for name in SYSTEMS if system_class(name).multimodal))
    if plain := [name for name in names if not system_class(name).multimodal]:
        raise InputError(f"'{plain[0]}' reads no features, so there is nothing to leave out; take one that is multimodal")
    runs = Runs(workspace)
    if not runs.held["test"].shape[1]:
        raise InputError(f"nothing is held out for test in {workspace.root}: the log is too short to be split")
    whole = dict(runs.data.features)
    told = _told(whole)
    found: dict[str, dict[str, dict[str, Table]]] = {}
    with workspace.writing():
        bar = tqdm(total=len(names) * len(told) * seeds, desc="ablation", unit="training", disable=None, file=sys.stderr)
        for name in names:
            for part, features in told.items():
                tables = []
                for seed in range(seeds):
                    tables.append(_trained(runs, name, part, _only(whole, features), seed))
                    bar.update()
                found.setdefault(name, {})[part] = {key: over_seeds([table[key] for table in tables]) for key in tables[0]}
        bar.close()
    return _value(runs, found, seeds), _text(runs, found, seeds)


def _told(features: Mapping[str, Features]) -> dict[str, tuple[str, ...]]:
    """``TOLD`` as far as the features are there, each set once."""
    there: dict[str, tuple[str, ...]] = {}
    for part, names in TOLD.items():
        usable = tuple(name for name in names if name in features)
        if usable not in there.values():
            there[part] = usable
    return there


def _only(features: Mapping[str, Features], names: Sequence[str]) -> dict[str, Features]:
    """Some of the features; of none, one that no item has."""
    if names:
        return {name: features[name] for name in names}
    return {"none": Features.nothing(len(next(iter(features.values())).values))}


def _trained(runs: Runs, name: str, part: str, features: Mapping[str, Features], seed: int) -> dict[str, Table]:
    data = copy.copy(runs.dataset(name))
    data.features = dict(features)
    settings, training = runs.settings(name)
    if getattr(settings, "modality_weights", None):
        settings = replace(settings, modality_weights=None)  # weights by name don't fit a choice of them
    out = runs.workspace.root / "ablation" / part.replace(" ", "") / name / str(seed)
    training = replace(training, seed=seed)
    system, _ = train_system(system_class(name), data, settings, seed, runs.strategies(name), runs.validator(), training, out)
    return runs.tables(system, "test", "train+validation", KS)


def _differences(runs: Runs, tables: Mapping[str, Mapping[str, Table]]) -> list[tuple[str, str, str, Difference]]:
    """Metric by metric, the pairs of ``ASKED`` that are there: (kind of table, more, less, how much better)."""
    rows = []
    for key in ("main", "cold-item"):
        for more, less in ASKED:
            if more in tables and less in tables:
                a, b = (main_table(dict(tables[one]), runs.how) if key == "main" else tables[one].get(key) for one in (more, less))
                if a is not None and b is not None:
                    rows.append((key, more, less, paired_bootstrap(a, b, METRIC)))
    return rows


def _value(runs: Runs, found: Mapping[str, Mapping[str, dict[str, Table]]], seeds: int) -> dict[str, Any]:
    systems = []
    for name, tables in found.items():
        parts = {
            part: {key: {"users": len(table), "metrics": table.to_dict()} for key, table in told.items()} for part, told in tables.items()
        }
        pairs = [
            {"table": key, "more": more, "less": less, METRIC: {"mean": one.mean, "low": one.low, "high": one.high, "p": one.p}}
            for key, more, less, one in _differences(runs, tables)
        ]
        systems.append({"system": name, "parts": parts, "differences": pairs})
    return {"seeds": seeds, "split": runs.manifest["split"]["name"], "captions": _source(runs), "systems": systems}


def _source(runs: Runs) -> dict[str, Any] | None:
    """The model and the prompt that captioned; None where there are no captions."""
    made = runs.manifest.get("captions")
    return {"mllm": runs.manifest["mllm"], "prompt": made["prompt"], "schema": made["schema"], "model": made["model"]} if made else None


def _text(runs: Runs, found: Mapping[str, Mapping[str, dict[str, Table]]], seeds: int) -> str:
    made = _source(runs)
    said = [f"captions by {made['mllm']}, prompt {made['prompt']}"] if made else []
    split = runs.manifest["split"]["name"]
    for name, tables in found.items():
        main = {part: main_table(told, runs.how) for part, told in tables.items()}
        said.append(f"{name}, {seeds} seeds:\n{compare(main, split, baseline='ids').text()}")
        cold = {part: told["cold-item"] for part, told in tables.items() if "cold-item" in told}
        if cold:
            said.append(f"{name}, cold items only, ranked among all:\n{compare(cold, split, baseline='ids').text()}")
        lines = [
            f"  {key:9} {more} - {less}: {METRIC} {one.mean:+.4f} [{one.low:+.4f}, {one.high:+.4f}]"
            for key, more, less, one in _differences(runs, tables)
        ]
        said.append("\n".join([f"{name}, paired over users, 95 % intervals:", *lines]))
    return "\n\n".join(said)
