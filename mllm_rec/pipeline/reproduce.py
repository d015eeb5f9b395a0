"""``mllm-rec reproduce``: an experiment file, run again and held against what it expects."""

import difflib
import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mllm_rec.data.files import atomic
from mllm_rec.errors import InputError
from mllm_rec.evaluation.metrics import parse
from mllm_rec.pipeline.contest import RESULTS, SHOWN, gather
from mllm_rec.pipeline.results import Bench, Trial, named
from mllm_rec.pipeline.runs import parsed

#: What an experiment file may hold, and what it must.
_KEYS: Mapping[str, type] = {"data": str, "system": str, "seeds": int, "settings": dict, "fit": dict, "expected": dict}
_NEEDED = ("data", "system", "expected")
_CALLED = {str: "text", int: "whole number", dict: "table"}


@dataclass(frozen=True)
class Experiment:
    """An experiment file: a system on a data set, seeds 0 to ``seeds - 1``, what differs from the defaults, and intervals of metrics."""

    data: str
    system: str
    expected: Mapping[str, tuple[float, float]]
    seeds: int
    settings: Mapping[str, Any]
    fit: Mapping[str, Any]

    @classmethod
    def load(cls, path: Path) -> "Experiment":
        """Read a file.

        Raises:
            InputError: it is no TOML, or something in it is missing, unknown or of another type; the nearest name is given.
        """
        said = _toml(path)
        try:
            named(said["system"])
            system = said["system"].partition("+")[0]
            settings = parsed(system, {name: repr(value) for name, value in said.get("settings", {}).items()})
            training = parsed(system, {f"fit.{name}": repr(value) for name, value in said.get("fit", {}).items()})
            expected = {name: _interval(name, interval) for name, interval in said["expected"].items()}
        except InputError as error:
            raise InputError(f"{path}: {error}") from error
        fit = {name.removeprefix("fit."): value for name, value in training.items()}
        return cls(said["data"], said["system"], expected, said.get("seeds", 1), settings, fit)


def reproduce(path: Path, results: Path = RESULTS, jobs: int = 1) -> tuple[dict[str, Any], str]:
    """Run an experiment file and hold what comes against what it expects.

    Args:
        path: the TOML file.
        results: folder of the files, one for each training; a training that has one is not repeated.
        jobs: trainings at a time.

    Returns:
        What came of each metric, the mean over seeds, and what was expected; under "failed" the metrics that lie outside. The same as text.

    Raises:
        InputError: the file is no experiment, its data are not there, or a training failed.
    """
    said = Experiment.load(path)
    bench = Bench.load(said.data)
    trials = [Trial(said.system, said.settings, said.fit, seed) for seed in range(said.seeds)]
    found = gather(said.data, bench, trials, results, jobs)
    for one in found.failed:
        raise InputError(f"{path}: {one['system']}, seed {one['seed']}, failed: {one['why']}")
    rows, lines = {}, [f"{said.system} on {bench.name}, {said.seeds} {'seed' if said.seeds == 1 else 'seeds'}:"]
    for metric, (low, high) in said.expected.items():
        measured = found.results[said.system]
        if metric not in measured[0]["test"]:
            raise InputError(f"{path}: [expected] names '{metric}'; what is measured are {', '.join(measured[0]['test'])}")
        came = float(np.mean([one["test"][metric] for one in measured]))
        rows[metric] = {"came": came, "low": low, "high": high, "within": low <= came <= high}
        lines.append(f"  {metric} {came:.4f}, expected {low:g} to {high:g}: {'as expected' if rows[metric]['within'] else 'OUTSIDE'}")
    failed = [metric for metric, row in rows.items() if not row["within"]]
    return {"experiment": str(path), "system": said.system, "metrics": rows, "failed": failed}, "\n".join(lines)


def write_experiments(data: str, rows: Sequence[Mapping[str, Any]], folder: Path) -> None:
    """An experiment file for each row of ``compare_systems``, which expects the 95 % interval that these runs gave."""
    for row in rows:
        own = {name: value for name, value in row["settings"].items() if not name.startswith("fit.")}
        training = {name.removeprefix("fit."): value for name, value in row["settings"].items() if name.startswith("fit.")}
        expected = {name: [round(row["metrics"][name][end], 4) for end in ("low", "high")] for name in SHOWN}
        tables = {"settings": own, "fit": training, "expected": expected}
        path = folder / f"{row['system']}.toml"
        lines = [f"# mllm-rec reproduce {path.as_posix()}"]
        lines += [f"{name} = {json.dumps(value)}" for name, value in (("data", data), ("system", row["system"]), ("seeds", row["seeds"]))]
        for title, table in tables.items():
            if table:
                lines += [
                    "",
                    f"[{title}]",
                    *(f"{json.dumps(name) if '@' in name else name} = {_toml_value(table[name])}" for name in table),
                ]
        with atomic(path) as temporary:
            temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _toml_value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{json.dumps(name)} = {_toml_value(one)}" for name, one in value.items()) + " }"
    return json.dumps(value)


def _toml(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InputError(f"there is no file {path}; experiments are TOML files like those in experiments/")
    try:
        said = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is no TOML: {error}") from error
    for key, value in said.items():
        if key not in _KEYS:
            near = difflib.get_close_matches(key, _KEYS, n=1)
            raise InputError(f"{path}: there is no '{key}'; " + (f"did you mean '{near[0]}'?" if near else f"there are {', '.join(_KEYS)}"))
        if not isinstance(value, _KEYS[key]) or isinstance(value, bool):
            raise InputError(f"{path}: '{key}' is {value!r}; wanted a {_CALLED[_KEYS[key]]}")
    for key in _NEEDED:
        if not said.get(key):
            raise InputError(f"{path} lacks '{key}'")
    if said.get("seeds", 1) < 1:
        raise InputError(f"{path}: 'seeds' is {said['seeds']}; wanted how many, at least 1")
    return said


def _interval(metric: str, interval: Any) -> tuple[float, float]:
    parse(metric)
    numbers = isinstance(interval, list) and [float(end) for end in interval if isinstance(end, int | float)]
    if not numbers or len(interval) != 2 or len(numbers) != 2 or numbers[0] > numbers[1]:
        raise InputError(f"[expected] '{metric}' is {interval!r}; wanted [low, high]")
    return numbers[0], numbers[1]
