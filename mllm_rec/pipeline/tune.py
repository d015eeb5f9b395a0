"""``mllm-rec tune``: settings chosen on validation, with the same budget for every system; test is not looked at."""

import hashlib
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import optuna
import torch
from filelock import FileLock
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.pruners import MedianPruner
from optuna.samplers import TPESampler
from optuna.trial import FrozenTrial, TrialState

from mllm_rec import __version__
from mllm_rec.data.files import read_json, write_json
from mllm_rec.errors import InputError
from mllm_rec.evaluation import validator
from mllm_rec.optimization.fit import FitSettings, fit
from mllm_rec.pipeline.contest import CACHE, RESULTS, sufficient
from mllm_rec.pipeline.processes import apart
from mllm_rec.pipeline.results import Bench
from mllm_rec.pipeline.runs import CHOICE, fit_settings
from mllm_rec.recommender import create, with_settings
from mllm_rec.systems import system_class

#: Trials before the sampler learns from them, and before a trial may be stopped for being worse than half of them.
STARTING = 5
#: The step size and the weight decay of the first trials after the defaults.
SMALL, DECAY = 1e-3, 1e-4
#: Validations that a trial is given at least; seconds from which on one that is no better than others is told of.
SPARED, TOLD = 5, 10.0


def tune(
    data: str,
    systems: Sequence[str] | None = None,
    minutes: float = 10.0,
    trials: int | None = None,
    results: Path = RESULTS,
    jobs: int = 1,
) -> tuple[dict[str, Any], str]:
    """Search the settings of systems, each as long as every other, beginning with its defaults and with these at a smaller step and under weight decay.

    A trial is a training with seed 0, at least to its first validation; its value is the best validation. One that is worse than half of
    those before at the same epoch is stopped, and so is the one that runs when time is up; its value is then the best so far. Time is that
    of the processor, so that other work on the machine takes nothing from a system. What was found stands in
    ``RESULTS/DATA/SYSTEM/tuned.json``, where ``compare`` looks for it. Interrupted, the same call goes on with the trial it was at; a system
    that had as much already is not tuned again.

    Args:
        data: a source, ``mmrec:FOLDER``, or a workspace.
        systems: which; None or ``["all"]``: all that the data suffice for.
        minutes: processor time of training and validation for each system.
        trials: at most so many of each; None: as many as the time suffices for.
        results: folder of the files.
        jobs: systems at a time, each a process of its own with one thread.

    Returns:
        What was found of each system, "failed" where one could not be tuned, and the same as text.

    Raises:
        InputError: no such data or system, a named system needs features and there are none, or a budget below nothing.
    """
    if not minutes > 0:
        raise InputError(f"{minutes} minutes are no budget; give more than 0")
    bench = Bench.load(data)
    names, lacking = sufficient(bench, systems)
    if under := next((name for name in names if "+" in name), None):
        raise InputError(f"'{under}' is trained with what was found for '{under.partition('+')[0]}'; tune that")
    found, failed = {}, []
    for name, value in apart(_tune, {name: (data, name, minutes, trials, results) for name in names}, jobs):
        if isinstance(value, InputError):
            failed.append({"system": name, "why": str(value)})
        else:
            found[name] = value
    rows = [found[name] for name in names if name in found]
    return {"data": bench.name, "lacking": lacking, "systems": rows, "failed": failed}, _text(rows, lacking, failed)


def searched(system: str) -> dict[str, BaseDistribution]:
    """What is searched of a system's settings and of its training: one rule for all systems, by a setting's name and default.

    Widths stay as they are, so that systems are compared at the same size, and so do counts other than layers and neighbors.
    """
    settings = system_class(system).Settings()
    space: dict[str, BaseDistribution] = {}
    for field in fields(settings):
        name, default = field.name, getattr(settings, field.name)
        if isinstance(default, bool) or not isinstance(default, int | float):
            continue
        if name.endswith(("decay", "weight")) or name in ("regularization", "shrink", "penalty"):
            if default > 0:
                space[name] = FloatDistribution(default / 100, default * 100, log=True)
        elif name in ("temperature", "noise"):
            space[name] = FloatDistribution(default / 5, default * 5, log=True)
        elif name == "drop":
            space[name] = FloatDistribution(0.0, 0.9)
        elif name.endswith("share") or name in ("diversity", "smoothing", "power"):
            space[name] = FloatDistribution(0.0, 1.0)
        elif name.endswith("layers"):
            space[name] = IntDistribution(1, max(4, int(default)))
        elif name == "neighbors":
            space[name] = IntDistribution(5, max(20, int(default)))
    if system_class(system).trained:
        lr = FitSettings().lr
        space["fit.lr"] = FloatDistribution(lr / 10, lr * 10, log=True)
        space["fit.weight_decay"] = CategoricalDistribution((0.0, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2))
    return space


def tune_system(bench: Bench, system: str, minutes: float, trials: int | None, results: Path, cache: Path) -> dict[str, Any]:
    """Tune one system in this process; arguments as of ``tune``, and the folder from which an interrupted search goes on."""
    path = results / bench.name / system / "tuned.json"
    (cache / bench.name / system).mkdir(parents=True, exist_ok=True)
    with FileLock(cache / bench.name / system / "tune.lock"):
        return _found(bench, system, minutes, trials, path, cache)


def _found(bench: Bench, system: str, minutes: float, trials: int | None, path: Path, cache: Path) -> dict[str, Any]:
    if path.exists():
        before = read_json(path)
        enough = before["budget"]["minutes"] >= minutes and (before["budget"]["trials"] or 10**9) >= (trials or 10**9)
        if before["data_key"] == bench.key and before["searched"] == _named(searched(system)) and enough:
            return before
    study = _study(bench, system, cache)
    while _spent(study) < 60 * minutes and len(_done(study)) < (trials or 10**9):
        if _done(study) and not searched(system):
            break
        _try(study, bench, system, 60 * minutes)
    value = _summary(study, bench, system, minutes, trials)
    write_json(path, value)
    return value


def _tune(data: str, system: str, minutes: float, trials: int | None, results: Path) -> dict[str, Any]:
    return tune_system(Bench.load(data), system, minutes, trials, results, CACHE)


class _TimeIsUp(Exception):
    """A trial has used what was left of the budget."""


class _Judge:
    """The validation of a trial, which also stops it."""

    def __init__(self, validate: Callable[[Any], float], trial: optuna.Trial, end: float):
        self.validate, self.trial, self.end = validate, trial, end
        self.best, self.seen = -1.0, 0

    def __call__(self, system: Any) -> float:
        value = self.validate(system)
        self.seen += 1
        self.best = max(self.best, value)
        self.trial.report(value, self.seen)
        if time.process_time() > self.end:
            raise _TimeIsUp
        if self.trial.should_prune():
            raise optuna.TrialPruned
        return value


def _study(bench: Bench, system: str, cache: Path) -> optuna.Study:
    """The search as far as it got; the trial that was interrupted waits to be run again."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    key = hashlib.blake2b(f"{bench.key} {_named(searched(system))}".encode(), digest_size=4).hexdigest()
    path = cache / bench.name / system / f"tune-{key}.sqlite"
    pruner = MedianPruner(n_startup_trials=STARTING, n_warmup_steps=SPARED)
    study = optuna.create_study(storage=f"sqlite:///{path}", study_name=system, direction="maximize", pruner=pruner, load_if_exists=True)
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
        first = trial.user_attrs.get("first")
        study.enqueue_trial(trial.params if first is None else _first(system)[first], user_attrs=trial.user_attrs)
    return study


def _try(study: optuna.Study, bench: Bench, system: str, budget: float) -> None:
    """One trial, within what is left of the budget."""
    spent, space, place = _spent(study), searched(system), len(_done(study))
    if place < len(_first(system)) and not study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
        study.enqueue_trial(_first(system)[place], user_attrs={"first": place})
    study.sampler = TPESampler(n_startup_trials=STARTING, seed=place)  # as it would have been without an interruption
    trial = study.ask(space)
    said = _rounded(trial.params)
    own = {name: value for name, value in said.items() if not name.startswith("fit.")}
    training = replace(fit_settings({name.removeprefix("fit."): value for name, value in said.items() if name.startswith("fit.")}), seed=0)
    start = time.process_time()
    judge = _Judge(validator(bench.validation, bench.data.edges, CHOICE), trial, start + budget - spent)
    state, how = TrialState.COMPLETE, "complete"
    try:
        fit(create(system_class(system), bench.data, with_settings(system_class(system), own), 0), bench.data, judge, training)
    except _TimeIsUp:
        how = "cut"
    except optuna.TrialPruned:
        state = TrialState.PRUNED
        how = "pruned"
    except InputError as error:
        state = TrialState.FAIL
        how = f"failed: {error}"
    trial.set_user_attr("seconds", time.process_time() - start)
    trial.set_user_attr("how", how)
    study.tell(trial, judge.best if state == TrialState.COMPLETE else None, state)
    best, done = _best(study), _done(study)
    if len(done) == 1 or best is done[-1] or done[-1].user_attrs["seconds"] > TOLD:
        value = f"{judge.best:.4f} ({how})" if judge.seen else how
        most = f"best {best.value:.4f}, " if best else ""
        print(f"  {system}, trial {len(done)}: {value}, {most}{_spent(study):.0f} of {budget:.0f} s", file=sys.stderr)


def _done(study: optuna.Study) -> list[FrozenTrial]:
    """The trials that came to an end, those that failed of themselves among them."""
    return [trial for trial in study.get_trials(deepcopy=False) if "how" in trial.user_attrs and trial.state.is_finished()]


def _spent(study: optuna.Study) -> float:
    return sum(trial.user_attrs["seconds"] for trial in _done(study))


def _best(study: optuna.Study) -> FrozenTrial | None:
    complete = [trial for trial in _done(study) if trial.state == TrialState.COMPLETE]
    return max(complete, key=lambda trial: (trial.value, -trial.number), default=None)


def _defaults(system: str) -> dict[str, Any]:
    settings, training = system_class(system).Settings(), FitSettings()
    return {
        name: getattr(training, name.removeprefix("fit.")) if name.startswith("fit.") else getattr(settings, name)
        for name in searched(system)
    }


def _first(system: str) -> list[dict[str, Any]]:
    """What is tried before anything is drawn: the defaults, and, of what is trained, these with ``SMALL`` steps, with ``DECAY``, with both."""
    steps: list[dict[str, Any]] = [{}]
    if system_class(system).trained:
        steps += [{"fit.lr": SMALL}, {"fit.weight_decay": DECAY}, {"fit.lr": SMALL, "fit.weight_decay": DECAY}]
    return [_defaults(system) | step for step in steps]


def _rounded(said: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers with three digits that count, so that they can be written down."""
    return {name: float(f"{value:.3g}") if isinstance(value, float) else value for name, value in said.items()}


def _named(space: Mapping[str, BaseDistribution]) -> dict[str, list[float]]:
    """By setting the least and the most that is tried, or all that is."""
    ends = {name: one.choices if isinstance(one, CategoricalDistribution) else (one.low, one.high) for name, one in space.items()}  # type: ignore[attr-defined]
    return {name: [float(f"{end:.3g}") for end in found] for name, found in ends.items()}


def _summary(study: optuna.Study, bench: Bench, system: str, minutes: float, trials: int | None) -> dict[str, Any]:
    done, best, usual = _done(study), _best(study), _defaults(system)
    hows = [trial.user_attrs["how"].partition(":")[0] for trial in done]
    given = next((trial for trial in done if trial.user_attrs.get("first") == 0), None)
    climb: list[list[float]] = []
    spent = 0.0
    for trial in done:
        spent += trial.user_attrs["seconds"]
        if trial.state == TrialState.COMPLETE and trial.value is not None and (not climb or trial.value > climb[-1][1]):
            climb.append([round(spent, 1), round(trial.value, 6)])
    chosen = _rounded(best.params) if best else {}
    return {
        "data": bench.name,
        "data_key": bench.key,
        "split": bench.split,
        "system": system,
        "settings": {name: value for name, value in chosen.items() if value != usual[name]},
        "metric": CHOICE,
        "validation": best.value if best else None,
        "default": given.value if given else None,
        "budget": {"minutes": minutes, "trials": trials},
        "seconds": round(spent, 1),
        "trials": {how: hows.count(how) for how in ("complete", "pruned", "cut", "failed")},
        "climb": climb,
        "searched": _named(searched(system)),
        "threads": torch.get_num_threads(),
        "versions": {"mllm-rec": __version__, "torch": torch.__version__},
    }


def _text(rows: Sequence[Mapping[str, Any]], lacking: Sequence[str], failed: Sequence[Mapping[str, Any]]) -> str:
    lines = ["| system | default | tuned | trials | pruned | seconds | settings |", "|---" * 7 + "|"]
    for row in rows:
        value, usual = ("-" if one is None else f"{one:.4f}" for one in (row["validation"], row["default"]))
        settings = ", ".join(f"{name}={one}" for name, one in row["settings"].items()) or "the defaults"
        count = sum(row["trials"].values())
        lines.append(f"| {row['system']} | {usual} | {value} | {count} | {row['trials']['pruned']} | {row['seconds']:.0f} | {settings} |")
    if rows:
        budget = rows[0]["budget"]
        most = f", at most {budget['trials']} trials" if budget["trials"] else ""
        lines.append(f"\n{rows[0]['metric']} on validation; {budget['minutes']:g} minutes of processor time for each system{most}.")
    if lacking:
        lines.append(f"Left out, for the data bring no features: {', '.join(lacking)}.")
    return "\n".join([*lines, *(f"{one['system']} failed: {one['why']}" for one in failed)])
