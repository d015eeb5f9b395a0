"""``mllm-rec compare``: systems side by side on one data set, each training kept in a file of its own."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mllm_rec.data.files import atomic, read_json, write_json
from mllm_rec.errors import InputError
from mllm_rec.evaluation import Table, compare, over_seeds
from mllm_rec.pipeline.contest_page import write_page
from mllm_rec.pipeline.processes import apart
from mllm_rec.pipeline.results import Bench, Trial, code_of, named, read_result, reconstructed, result, table_of
from mllm_rec.systems import SYSTEMS

#: Where results are kept if nothing else is said, and what an interrupted training goes on from.
RESULTS, CACHE = Path("benchmarks/results"), Path("build/trainings")
#: Metrics shown; the systems are ordered by the first.
SHOWN = ("recall@20", "ndcg@20")
BASELINE = "popularity"


@dataclass
class Found:
    """What came of the trainings: results by system in order of seeds, and why others failed."""

    results: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    failed: list[dict[str, Any]] = field(default_factory=list)


def compare_systems(
    data: str,
    systems: Sequence[str] | None = None,
    seeds: int = 1,
    tuned: bool = True,
    results: Path = RESULTS,
    out: Path | None = None,
    baseline: str | None = None,
    jobs: int = 1,
    only_done: bool = False,
) -> tuple[dict[str, Any], str]:
    """Train what is missing, and set all side by side.

    Args:
        data: a source, ``mmrec:FOLDER``, or a workspace.
        systems: which, alone or under strategies (``vbpr+mirror-gradient``); None or ``["all"]``: all that the data suffice for.
        seeds: trainings of each.
        tuned: with the settings that ``tune`` found, where it did; else with the defaults.
        results: folder of the files, one for each training; a training that has one is not repeated.
        out: folder for ``table.md``, ``table.json`` and ``index.html``.
        baseline: that the others are tested against; None: popularity, where it is among them.
        jobs: trainings at a time, each a process of its own with one thread.
        only_done: leave out what isn't there yet.

    Returns:
        A row of each system as JSON-like values, "failed" among them, and the table as text.

    Raises:
        InputError: no such data, system or baseline, a named system needs features and there are none, or nothing came of any.
    """
    named(baseline or BASELINE)
    bench = Bench.load(data)
    names, lacking = sufficient(bench, systems)
    if baseline is not None and baseline not in names:
        raise InputError(f"the baseline '{baseline}' is not among the systems {', '.join(names)}; name it with --systems, too")
    said = {name: tuned_settings(bench, name, results) if tuned else None for name in names}
    trials = [trial_of(name, said[name], seed) for name in said for seed in range(seeds)]
    found = gather(data, bench, trials, results, jobs, only_done)
    if not found.results:
        why = "; ".join(f"{one['system']}: {one['why']}" for one in found.failed)
        raise InputError(why or f"no result on '{data}' stands in {results} yet; run the same without --only-done")
    value = _value(bench, found, baseline, {name: one["data"] for name, one in said.items() if one})
    value["lacking"] = lacking
    text = _text(value)
    if out is not None:
        write_json(out / "table.json", value)
        with atomic(out / "table.md") as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")
        write_page(out / "index.html", value, found.results)
    return value, text


def sufficient(bench: Bench, systems: Sequence[str] | None) -> tuple[list[str], list[str]]:
    """The named systems, and none; or of all (None, ``["all"]``) those that the data suffice for, and those that need features.

    Raises:
        InputError: no such system, or a named one needs features and there are none.
    """
    every = systems is None or list(systems) == ["all"]
    if not every and not any(systems or ()):
        raise InputError("no system is named; name some, or 'all'")
    names = list(SYSTEMS) if every else list(dict.fromkeys(systems or ()))
    lacking = [name for name in names if named(name)[0].needs_features and not bench.data.features]
    if lacking and not every:
        raise InputError(f"'{lacking[0]}' needs at least one feature of the items, and {bench.name} brings none; leave it out")
    return [name for name in names if name not in lacking], lacking


def trial_of(system: str, found: Mapping[str, Any] | None, seed: int) -> Trial:
    """A system with the settings that ``tune`` found, or with its defaults."""
    settings = found["settings"] if found else {}
    own = {name: value for name, value in settings.items() if not name.startswith("fit.")}
    training = {name.removeprefix("fit."): value for name, value in settings.items() if name.startswith("fit.")}
    return Trial(system, own, training, seed)


def tuned_settings(bench: Bench, system: str, results: Path) -> dict[str, Any] | None:
    """What ``tune`` wrote of a system (without its strategies), on this data set or else on another; None where it wasn't tuned.

    Data of the same name that are not the same count as another data set, and "data" says so.
    """
    system = system.partition("+")[0]
    paths = [results / bench.name / system / "tuned.json", *sorted(results.glob(f"*/{system}/tuned.json"))]
    found = next((read_json(path) for path in paths if path.exists()), None)
    if found and found["data"] == bench.name and found.get("data_key", bench.key) != bench.key:
        return found | {"data": f"another {bench.name}"}
    return found


def gather(data: str, bench: Bench, trials: Sequence[Trial], results: Path, jobs: int, only_done: bool = False) -> Found:
    """What came of the trials; what isn't there is trained, and what fails keeps nothing else from it."""
    found, why = Found(), {}
    _, at, condition = bench.name.rpartition("@")
    under = f" {at}{condition}" if at else ""
    missing = {} if only_done else {trial.path(results, bench): trial for trial in trials if not trial.path(results, bench).exists()}
    work = {path: (data, trial, results) for path, trial in missing.items()}
    for done, (path, value) in enumerate(apart(_train, work, jobs), start=1):
        came = value
        if isinstance(value, InputError):
            why[path] = str(value)
            came = f"failed: {value}"
        print(f"  {missing[path].system}{under}, seed {missing[path].seed}: {came} ({done} of {len(missing)})", file=sys.stderr)
    for trial in trials:
        path = trial.path(results, bench)
        if path in why:
            found.failed.append({"system": trial.system, "seed": trial.seed, "why": why[path]})
        elif path.exists():
            found.results.setdefault(trial.system, []).append(read_result(path))
    return found


def _train(data: str, trial: Trial, results: Path) -> str:
    value = result(Bench.load(data), trial, results, CACHE)
    return f"{SHOWN[0]} {value['test'][SHOWN[0]]:.4f}, {value['seconds']:.0f} s"


def _value(bench: Bench, found: Found, baseline: str | None, tuned: Mapping[str, str]) -> dict[str, Any]:
    tables: dict[str, Table] = {name: over_seeds([table_of(one) for one in results]) for name, results in found.results.items()}
    usual = BASELINE if BASELINE in tables and len(tables) > 1 else None
    comparison = compare(tables, bench.split, names=SHOWN, baseline=baseline or usual).to_dict()
    rows = {row["system"]: row for row in comparison["systems"]}
    for name, results in found.results.items():
        row = rows[name]
        row["seeds"] = len(results)
        row["reconstructed"] = reconstructed(name)
        row["tuned"] = tuned.get(name)
        row["settings"] = {**results[0]["settings"], **{f"fit.{key}": value for key, value in results[0]["fit"].items()}}
        for metric in SHOWN:
            row["metrics"][metric]["spread"] = float(np.std([one["test"][metric] for one in results], ddof=1)) if len(results) > 1 else None
        for key in ("parameters", "seconds", "peak_memory", "epochs"):
            row[key] = float(np.mean([one[key] for one in results]))
        row["validation"] = _mean([next(iter(one["validation"].values())) for one in results])
        row["training"] = _mean([_kept(one)[3] for one in results if one["curve"]])
        row["popularity"] = {key: _mean([one["popularity"][key] for one in results]) for key in results[0]["popularity"]}
        row["device"] = ", ".join(sorted({one.get("device", "cpu") for one in results}))
        row["changed"] = any(one.get("code", code_of(name)) != code_of(name) for one in results)
    ranked = sorted(rows.values(), key=lambda row: -row["metrics"][SHOWN[0]]["mean"])
    data = bench.data
    size = {"users_of_data": data.num_users, "items": data.num_items, "interactions": data.edges.shape[1]}
    elsewhere: dict[str, list[str]] = {}
    for row in ranked:
        if row["device"] != "cpu":
            elsewhere.setdefault(row["device"], []).append(row["system"])
    return {**comparison, "data": bench.name, **size, "elsewhere": elsewhere, "systems": ranked, "failed": found.failed}


def _kept(one: Mapping[str, Any]) -> list[float | None]:
    """The point of the curve at the epoch that was kept."""
    return next(point for point in one["curve"] if point[0] == one["epoch"])


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _text(value: Mapping[str, Any]) -> str:
    against = [f"to {value['baseline']}"] if value["baseline"] else []
    heads = ["system", *SHOWN, *against, "seeds", "settings", "head / middle / tail", "train / valid.", "parameters", "seconds", "MiB"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    lines += [f"| {' | '.join(_cells(row, bool(against)))} |" for row in value["systems"]]
    users = value["systems"][0]["users"]
    notes = [
        f"{value['data']}: {value['users_of_data']} users, {value['items']} items, {value['interactions']} training interactions; split "
        f"{value['split']}, {value['mask']} masked, {users} users ranked over all items; epoch and settings are chosen on validation.",
        "[low, high]: 95 % bootstrap over users; ±: standard deviation over seeds; head / middle / tail: recall@20 of items by popularity in "
        "training, a third of the interactions each; train / valid.: ndcg@20 of the kept epoch on a sample of the training interactions and "
        "on validation; seconds: of a training with its validations, on one thread of a CPU if no device is named; (r): reconstructed from "
        "an abstract.",
    ]
    if against:
        notes.append(f"to {value['baseline']}: difference in recall@20; *: p < 0.05 (paired bootstrap, Holm's correction).")
    if value["lacking"]:
        notes.append(f"Left out, for the data bring no features: {', '.join(value['lacking'])}.")
    notes += [f"{one['system']}, seed {one['seed']}, failed: {one['why']}" for one in value["failed"]]
    notes += [f"Trained on {device}: {', '.join(names)}." for device, names in value["elsewhere"].items()]
    if changed := [row["system"] for row in value["systems"] if row["changed"]]:
        notes.append(f"Measured with other code than there is now (remove their files to train anew): {', '.join(changed)}.")
    return "\n".join([*lines, "", *notes])


def _cells(row: Mapping[str, Any], compared: bool) -> list[str]:
    """A row of the table."""
    cells = [row["system"] + (" (r)" if row["reconstructed"] else "")]
    for metric in SHOWN:
        one = row["metrics"][metric]
        spread = "" if one["spread"] is None else f" ±{one['spread']:.4f}"
        cells.append(f"{one['mean']:.4f}{spread} [{one['low']:.4f}, {one['high']:.4f}]")
    if compared:
        found = row.get("difference", {}).get(SHOWN[0])
        cells.append(f"{found['mean']:+.4f}{'*' if found['p'] < 0.05 else ''}" if found else "-")
    parts = row["popularity"]
    gap = [row["training"], row["validation"]]
    return [
        *cells,
        str(row["seeds"]),
        f"tuned ({row['tuned']})" if row["tuned"] else "default",
        " / ".join(f"{parts[name]:.3f}" if name in parts else "-" for name in ("head", "middle", "tail")),
        " / ".join("-" if one is None else f"{one:.3f}" for one in gap),
        f"{row['parameters'] / 1e6:.2f} M",
        f"{row['seconds']:.0f}",
        f"{row['peak_memory'] / 2**20:.0f}",
    ]
