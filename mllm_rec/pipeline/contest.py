"""``mllm-rec compare`` and ``mllm-rec reproduce``: systems side by side on one data set, each training kept in a file of its own."""

import difflib
import multiprocessing
import sys
import tomllib
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from mllm_rec.data.files import atomic, read_json, write_json
from mllm_rec.errors import InputError
from mllm_rec.evaluation import Table, compare, over_seeds
from mllm_rec.pipeline.results import Bench, Trial, result, table_of
from mllm_rec.pipeline.runs import parsed
from mllm_rec.systems import SYSTEMS, is_reconstructed, system_class

#: Where results are kept if nothing else is said, and what an interrupted training goes on from.
RESULTS, CACHE = Path("benchmarks/results"), Path("build/trainings")
#: Metrics shown.
SHOWN = ("recall@20", "ndcg@20")


def compare_systems(
    data: str,
    systems: Sequence[str] | None = None,
    seeds: int = 1,
    tuned: bool = True,
    results: Path = RESULTS,
    out: Path | None = None,
    baseline: str = "popularity",
    jobs: int = 1,
    only_done: bool = False,
) -> tuple[dict[str, Any], str]:
    """Train what is missing, and set all side by side.

    Args:
        data: a source, ``mmrec:FOLDER``, or a workspace.
        systems: which; None or ``["all"]``: all.
        seeds: trainings of each.
        tuned: with the settings that ``tune`` found, where it did; else with the defaults.
        results: folder of the files, one for each training; a training that has one is not repeated.
        out: folder for ``table.md``, ``table.json`` and ``index.html``.
        baseline: that the others are tested against.
        jobs: trainings at a time, each a process of its own with one thread.
        only_done: leave out what isn't there yet.

    Returns:
        A row of each system as JSON-like values, and the table as text.

    Raises:
        InputError: no such data, system or baseline, or nothing is there yet.
    """
    names = list(SYSTEMS) if systems is None or list(systems) == ["all"] else list(systems)
    for name in [*names, baseline]:
        system_class(name)
    bench = Bench.load(data)
    names = [name for name in names if bench.data.features or not system_class(name).needs_features]
    trials = [trial_of(bench, name, seed, tuned, results) for name in names for seed in range(seeds)]
    found = gather(data, bench, trials, results, jobs, only_done)
    if not found:
        raise InputError(f"no result on '{data}' stands in {results} yet; run the same without --only-done")
    value = _value(bench, found, baseline)
    text = _text(bench, value)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        write_json(out / "table.json", value)
        with atomic(out / "table.md") as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")
        from mllm_rec.pipeline.contest_page import write_page

        write_page(out / "index.html", value, found)
    return value, text


def trial_of(bench: Bench, system: str, seed: int, tuned: bool, results: Path) -> Trial:
    """A system with the settings that ``tune`` found, on this data or on what it was tuned on, or with its defaults."""
    found = tuned_settings(bench.name, system, results) if tuned else None
    own = {name: value for name, value in (found or {}).items() if not name.startswith("fit.")}
    training = {name.removeprefix("fit."): value for name, value in (found or {}).items() if name.startswith("fit.")}
    return Trial(system, own, training, seed)


def tuned_settings(data: str, system: str, results: Path) -> dict[str, Any] | None:
    """What ``tune`` found of a system, on this data set or else on the one it was tuned on; None where it wasn't tuned."""
    own = results / data / system / "tuned.json"
    others = sorted(results.glob(f"*/{system}/tuned.json"))
    path = own if own.exists() else next(iter(others), None)
    return read_json(path)["settings"] if path else None


def gather(
    data: str, bench: Bench, trials: Sequence[Trial], results: Path, jobs: int, only_done: bool = False
) -> dict[str, list[dict[str, Any]]]:
    """Results by system; what isn't there is trained, each in a process of its own, so that its peak memory is its own."""
    missing = [trial for trial in trials if not trial.path(results, bench).exists()]
    if missing and not only_done:
        context = multiprocessing.get_context("spawn")
        with (
            ProcessPoolExecutor(jobs, mp_context=context, max_tasks_per_child=1) as pool,
            tqdm(total=len(missing), desc="trainings", unit="training", disable=None, file=sys.stderr) as bar,
        ):
            waiting = {pool.submit(_train, data, trial, results): trial for trial in missing}
            for done in as_completed(waiting):
                done.result()
                trial = waiting[done]
                print(f"  {trial.system}, seed {trial.seed}: done", file=sys.stderr)
                bar.update()
    found: dict[str, list[dict[str, Any]]] = {}
    for trial in trials:
        path = trial.path(results, bench)
        if path.exists():
            found.setdefault(trial.system, []).append(read_json(path))
    return found


def _train(data: str, trial: Trial, results: Path) -> None:
    import torch

    torch.set_num_threads(1)
    result(Bench.load(data), trial, results, CACHE)


def _value(bench: Bench, found: Mapping[str, list[dict[str, Any]]], baseline: str) -> dict[str, Any]:
    tables: dict[str, Table] = {name: over_seeds([table_of(one) for one in results]) for name, results in found.items()}
    asked = baseline if baseline in tables and len(tables) > 1 else None
    comparison = compare(tables, bench.split, names=SHOWN, baseline=asked).to_dict()
    rows = {row["system"]: row for row in comparison["systems"]}
    for name, results in found.items():
        row = rows[name]
        row["seeds"] = len(results)
        row["reconstructed"] = is_reconstructed(name)
        row["settings"] = {**results[0]["settings"], **{f"fit.{key}": value for key, value in results[0]["fit"].items()}}
        for metric in SHOWN:
            row["metrics"][metric]["spread"] = float(np.std([one["test"][metric] for one in results], ddof=1)) if len(results) > 1 else None
        for key in ("parameters", "seconds", "peak_memory", "epochs"):
            row[key] = float(np.mean([one[key] for one in results]))
        row["validation"] = _mean([next(iter(one["validation"].values())) for one in results])
        row["popularity"] = {key: _mean([one["popularity"][key] for one in results]) for key in results[0]["popularity"]}
    ranked = sorted(rows.values(), key=lambda row: -row["metrics"][SHOWN[0]]["mean"])
    return {**comparison, "data": bench.name, "users_of_data": bench.data.num_users, "systems": ranked}


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _text(bench: Bench, value: Mapping[str, Any]) -> str:
    heads = [*SHOWN, "seeds", "head / middle / tail", "parameters", "seconds", "MiB"]
    lines = [f"| system | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    for row in value["systems"]:
        cells = []
        for metric in SHOWN:
            one, against = row["metrics"][metric], row.get("difference", {}).get(metric)
            spread = "" if one["spread"] is None else f" ±{one['spread']:.4f}"
            star = "*" if against and against["p"] < 0.05 else ""
            cells.append(f"{one['mean']:.4f}{star}{spread} [{one['low']:.4f}, {one['high']:.4f}]")
        parts = " / ".join(f"{row['popularity'][name]:.3f}" if name in row["popularity"] else "-" for name in ("head", "middle", "tail"))
        name = row["system"] + (" (r)" if row["reconstructed"] else "")
        cost = f"{row['parameters'] / 1e6:.2f} M | {row['seconds']:.0f} | {row['peak_memory'] / 2**20:.0f}"
        lines.append(f"| {name} | {' | '.join(cells)} | {row['seeds']} | {parts} | {cost} |")
    first = value["systems"][0]
    notes = [
        f"{bench.name}: {bench.data.num_users} users, {bench.data.num_items} items, {bench.data.edges.shape[1]} training interactions; "
        f"split {value['split']}, {value['mask']} masked, {first['users']} users ranked over all items; the epoch and the settings are chosen on "
        "validation.",
        "[low, high]: 95 % bootstrap over users; ±: standard deviation over seeds; head / middle / tail: recall@20 of items by popularity in "
        "training, a third of the interactions each; (r): reconstructed from an abstract.",
    ]
    if value["baseline"]:
        notes.append(f"*: differs from {value['baseline']}, p < 0.05 (paired bootstrap, Holm's correction).")
    return "\n".join([*lines, "", *notes])


def reproduce(path: Path, results: Path = RESULTS, jobs: int = 1) -> tuple[dict[str, Any], str, bool]:
    """Run an experiment file and hold what comes against what it expects.

    Args:
        path: TOML with ``data``, ``system``, ``seeds``, ``[settings]``, ``[fit]`` and ``[expected]`` (a metric and its interval).
        results: folder of the files, one for each training; a training that has one is not repeated.
        jobs: trainings at a time.

    Returns:
        What came and what was expected, the same as text, and whether all lies within.

    Raises:
        InputError: the file is no such TOML, or names what isn't there.
    """
    said = _experiment(path)
    bench = Bench.load(said["data"])
    trials = [Trial(said["system"], said["settings"], said["fit"], seed) for seed in range(said["seeds"])]
    found = gather(said["data"], bench, trials, results, jobs)[said["system"]]
    rows, lines, kept = {}, [], True
    for metric, (low, high) in said["expected"].items():
        if metric not in found[0]["test"]:
            raise InputError(f"{path}: [expected] names '{metric}'; there are {', '.join(found[0]['test'])}")
        came = float(np.mean([one["test"][metric] for one in found]))
        within = low <= came <= high
        kept &= within
        rows[metric] = {"came": came, "low": low, "high": high, "within": within}
        lines.append(f"{metric}: {came:.4f}, expected {low:.4f} to {high:.4f}: {'as expected' if within else 'OUTSIDE'}")
    return {"experiment": str(path), "system": said["system"], "metrics": rows, "within": kept}, "\n".join(lines), kept


#: What an experiment file may hold.
_KEYS = {"data": str, "system": str, "seeds": int, "settings": dict, "fit": dict, "expected": dict}


def _experiment(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InputError(f"there is no file {path}; experiments are TOML files like experiments/lightgcn.toml")
    try:
        said = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is no TOML: {error}") from error
    for key, value in said.items():
        if key not in _KEYS:
            near = difflib.get_close_matches(key, _KEYS, n=1)
            raise InputError(
                f"{path}: there is no '{key}'" + (f"; did you mean '{near[0]}'?" if near else f"; there are {', '.join(_KEYS)}")
            )
        if not isinstance(value, _KEYS[key]):
            raise InputError(f"{path}: '{key}' is {value!r}; wanted a {_KEYS[key].__name__}")
    for key in ("data", "system", "expected"):
        if key not in said:
            raise InputError(f"{path} lacks '{key}'")
    for metric, interval in said["expected"].items():
        if not (isinstance(interval, list) and len(interval) == 2 and all(isinstance(end, int | float) for end in interval)):
            raise InputError(f"{path}: [expected] '{metric}' is {interval!r}; wanted [low, high]")
    said = {"seeds": 1, "settings": {}, "fit": {}, **said}
    system_class(said["system"])
    said["settings"] = parsed(said["system"], {name: repr(value) for name, value in said["settings"].items()})
    training = parsed(said["system"], {f"fit.{name}": repr(value) for name, value in said["fit"].items()})
    said["fit"] = {name.removeprefix("fit."): value for name, value in training.items()}
    return said
