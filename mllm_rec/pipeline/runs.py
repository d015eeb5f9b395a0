"""Third stage: systems trained on the training part, and the table that judges them."""

import ast
import difflib
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from mllm_rec.data.dataset import Dataset
from mllm_rec.data.interactions import Interactions
from mllm_rec.errors import InputError
from mllm_rec.evaluation import Table, breakdown, by_popularity, compare, main_table, over_seeds, training_sample, validator
from mllm_rec.optimization.fit import FitSettings, Run, fit
from mllm_rec.pipeline.since import demand_fresh
from mllm_rec.pipeline.strategies import under_strategies
from mllm_rec.pipeline.workspace import Workspace
from mllm_rec.recommender import Recommender, create, with_settings
from mllm_rec.strategies.training import train_system
from mllm_rec.systems import SYSTEMS, system_class
from mllm_rec.systems.topn.ease import EASE

#: The metric that chooses the epoch and the system that serves.
CHOICE = "ndcg@20"
#: Settings that no single value suits, and the values of which validation chooses one where nothing is said.
TRIED = {"ease": {"regularization": (20.0, 100.0, 300.0, 1000.0)}}
#: Epochs where there is nobody to validate on.
UNVALIDATED_EPOCHS = 30


@dataclass(frozen=True)
class Trained:
    """One finished training: the system holds its best state."""

    system: Recommender
    run: Run


class Runs:
    """Trains and evaluates the systems of one workspace.

    Args:
        workspace: with catalog, log and features.

    Raises:
        InputError: what stands there came after the training, see ``demand_fresh``.
    """

    def __init__(self, workspace: Workspace):
        demand_fresh(workspace)
        self.workspace, self.manifest = workspace, workspace.manifest()
        self.data = Dataset.load(workspace.root, "train")
        self.held = {part: self.data.index(Interactions.load(workspace.root, part)) for part in ("validation", "test")}

    @property
    def how(self) -> str:
        """How the log was split."""
        return self.manifest["split"]["how"]

    def settings(self, system: str) -> tuple[Any, FitSettings]:
        """A system's settings and how it is trained: defaults, what was tried, the source's preset, then what ``train --set`` changed."""
        changes = {
            name: value for place in ("tried", "preset", "settings") for name, value in self.manifest.get(place, {}).get(system, {}).items()
        }
        own = {name: value for name, value in changes.items() if not name.startswith("fit.")}
        training = {name.removeprefix("fit."): value for name, value in changes.items() if name.startswith("fit.")}
        return with_settings(system_class(system), own), fit_settings(training)

    def strategies(self, system: str) -> list[str]:
        """How a system is trained, as ``--strategy`` said."""
        return self.manifest.get("strategies", {}).get(system, [])

    def dataset(self, system: str) -> Dataset:
        """The data that a system is trained on."""
        return under_strategies(self.workspace, self.data, self.strategies(system))

    def choose(self, system: str) -> None:
        """Choose a setting of ``TRIED`` by validation, and note it in the manifest."""
        validate = self.validator()
        said = {**self.manifest.get("preset", {}).get(system, {}), **self.manifest.get("settings", {}).get(system, {})}
        for name, values in TRIED.get(system, {}).items():
            if validate is None or name in said:
                continue
            worth = {}
            for value in values:
                made = create(system_class(system), self.data, with_settings(system_class(system), {name: value}))
                worth[value] = fit(made, self.data, validate).best or 0.0
            best = max(worth, key=lambda value: worth[value])
            self.workspace.record(tried={**self.workspace.manifest().get("tried", {}), system: {name: best}})
            self.manifest = self.workspace.manifest()

    def train(self, system: str, seed: int) -> Trained:
        """Train one system, or read back what an earlier call trained; an interrupted training goes on."""
        settings, training = self.settings(system)
        training = replace(training, seed=seed)
        validate = self.validator()
        if validate is None:
            training = replace(training, epochs=min(training.epochs, UNVALIDATED_EPOCHS))
        watch = validator(*training_sample(self.data.edges), CHOICE) if validate else None
        kind, data, ways, folder = system_class(system), self.dataset(system), self.strategies(system), self.workspace.run(system, seed)
        return Trained(*train_system(kind, data, settings, seed, ways, validate, training, folder, watch))

    def check(self, system: str) -> None:
        """Make a system with its settings and train it for one epoch, which nothing is kept of.

        Raises:
            InputError: it can't be made or trained so.
        """
        settings, training = self.settings(system)
        data = self.dataset(system)
        try:
            train_system(system_class(system), data, settings, 0, self.strategies(system), None, replace(training, epochs=1))
        except (RuntimeError, ValueError, IndexError, ZeroDivisionError, TypeError) as error:
            raise InputError(f"'{system}' can't be trained with these settings: {error}; nothing was changed") from error

    def tables(self, trained: Recommender, part: str, mask: str, ks: Sequence[int]) -> dict[str, Table]:
        """``breakdown`` of one system on the held-out part."""
        seen = [self.data.edges] if mask == "train" or part == "validation" else [self.data.edges, self.held["validation"]]
        return breakdown(trained, self.held[part], torch.cat(seen, dim=1), ks)

    def validator(self) -> Callable[[Any], float] | None:
        """What chooses the epoch: a function from a system to its validation value; None where nothing is held out."""
        held = self.held["validation"]
        if self.how == "global-time":
            held = held[:, self.data.user_counts[held[0]] > 0]
        return validator(held, self.data.edges, CHOICE) if held.shape[1] else None


def default_systems(num_items: int, features: Sequence[str], likes: int) -> list[str]:
    """What ``build`` trains where nothing else is said: with a log, one of each kind."""
    if not likes:
        return ["popularity"]
    linear = "ease" if num_items <= EASE.Settings().max_items else "itemknn"
    return ["popularity", linear, "lightgcn", *(["freedom"] if features else [])]


def train_all(workspace: Workspace, systems: Sequence[str], seeds: int) -> list[dict[str, Any]]:
    """Train each system with seeds 0 to ``seeds - 1``; one row each with its validation value, epoch and seconds."""
    runs, rows = Runs(workspace), []
    for system in systems:
        runs.choose(system)
        found = [runs.train(system, seed).run for seed in range(seeds)]
        best = None if found[0].best is None else sum(run.best or 0.0 for run in found) / seeds
        seconds = sum(run.seconds for run in found)
        rows.append({"system": system, CHOICE: best, "epochs": [run.best_epoch for run in found], "seconds": round(seconds, 2)})
        said = "" if best is None else f"validation {CHOICE} {best:.4f}, "
        print(f"  {system}: {said}{seconds:.1f} s", file=sys.stderr)
    return rows


def evaluate_workspace(
    workspace: Workspace, systems: Sequence[str] | None, seeds: int, part: str, mask: str, ks: Sequence[int]
) -> tuple[dict[str, Any], str]:
    """The metric table of a workspace, as JSON-like values and as text; what is missing of ``seeds`` is trained.

    Raises:
        InputError: nothing is held out, or a system was never trained.
    """
    runs = Runs(workspace)
    names = _asked(workspace, systems)
    if not runs.held[part].shape[1]:
        raise InputError(f"nothing is held out for {part} in {workspace.root}: the log is too short to be split; bring more interactions")
    tables: dict[str, dict[str, Table]] = {}
    seconds, popularity = {}, {}
    with workspace.writing():
        for name in names:
            trained = [runs.train(name, seed) for seed in range(seeds)]
            found = [runs.tables(one.system, part, mask, ks) for one in trained]
            tables[name] = {key: over_seeds([table[key] for table in found]) for key in found[0]}
            parts = [by_popularity(one.system, runs.held[part], table["all"]) for one, table in zip(trained, found, strict=True)]
            popularity[name] = {key: sum(one[key] for one in parts) / seeds for key in parts[0]}
            seconds[name] = round(sum(one.run.seconds for one in trained) / seeds, 3)
    mask = "train" if part == "validation" else mask
    split = runs.manifest["split"]["name"]
    main = {name: main_table(found, runs.how) for name, found in tables.items()}
    shown = tuple(f"{metric}@{k}" for metric in ("recall", "ndcg") for k in ks)
    baseline = "popularity" if "popularity" in main and len(main) > 1 else None
    comparison = compare(main, split, mask, shown, baseline)
    value: dict[str, Any] = {"part": part, "seeds": seeds, **comparison.to_dict()}
    for row in value["systems"]:
        row["seconds"], row["popularity"] = seconds[row["system"]], popularity[row["system"]]
        row["tables"] = {
            key: {"users": len(table), "metrics": table.to_dict()} for key, table in tables[row["system"]].items() if key != "all"
        }
    by_group = _by_popularity(popularity, max(ks))
    return value, "\n\n".join([comparison.text(), *_apart(tables, main, split, mask, shown), by_group])


def _apart(tables: Mapping[str, Mapping[str, Table]], main: Mapping[str, Table], split: str, mask: str, shown: Sequence[str]) -> list[str]:
    """Cold users' and cold items' tables, and the warm users' where the main table is another."""
    said = []
    for key, title in (("warm", "warm users only"), ("cold-user", "cold users only"), ("cold-item", "cold items only, ranked among all")):
        found = {name: table[key] for name, table in tables.items() if key in table}
        if found and any(len(table) != len(main[name]) or key == "cold-item" for name, table in found.items()):
            said.append(f"{title}:\n{compare(found, split, mask, shown).text()}")
    return said


def _by_popularity(popularity: Mapping[str, Mapping[str, float]], k: int) -> str:
    groups = list(next(iter(popularity.values())))
    rows = [["system", *groups], *([name, *(f"{found[group]:.4f}" for group in groups)] for name, found in popularity.items())]
    width = max(len(row[0]) for row in rows)
    lines = ["  ".join([row[0].ljust(width), *(cell.ljust(6) for cell in row[1:])]).rstrip() for row in rows]
    title = f"share of held-out pairs found in the first {k}, by popularity of the item in training (a third of the interactions each):"
    return "\n".join([title, *lines])


def _asked(workspace: Workspace, systems: Sequence[str] | None) -> list[str]:
    """Systems to evaluate: those that were trained, if nothing else is said."""
    there = {name: found for name in SYSTEMS if (found := workspace.seeds(name))}
    for name in systems or ():
        system_class(name)
        if name not in there:
            raise InputError(f"'{name}' is not trained in {workspace.root}; run: mllm-rec train {workspace.root} --systems {name}")
    names = [name for name in there if systems is None or name in systems]
    if not names:
        raise InputError(f"no system is trained in {workspace.root}; run the build again")
    return names


def parsed(system: str, said: Mapping[str, str]) -> dict[str, Any]:
    """Settings said on a command line, of a system or (``fit.NAME``) of its training, as values of their types.

    Raises:
        InputError: no such setting, or a value of another type.
    """
    known = {field.name: getattr(system_class(system).Settings(), field.name) for field in fields(system_class(system).Settings)}
    known |= {f"fit.{name}": value for name, value in asdict(FitSettings()).items() if name != "seed"}
    values: dict[str, Any] = {}
    for name, text in said.items():
        try:
            value = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            value = text
        wanted = type(known.get(name))
        if wanted is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if name in known and known[name] is not None and type(value) is not wanted:
            raise InputError(f"{name}={text}: wanted {'a number' if wanted in (int, float) else wanted.__name__}, like {known[name]}")
        values[name] = value
    with_settings(system_class(system), {name: value for name, value in values.items() if not name.startswith("fit.")})
    fit_settings({name.removeprefix("fit."): value for name, value in values.items() if name.startswith("fit.")})
    return values


def fit_settings(changes: Mapping[str, Any]) -> FitSettings:
    """How to train, with some values changed.

    Raises:
        InputError: there is no such setting.
    """
    known = [field.name for field in fields(FitSettings)]
    for name in changes:
        if name not in known or name == "seed":
            near = difflib.get_close_matches(name, known, n=1)
            there = f"it has {', '.join(f'fit.{one}' for one in known if one != 'seed')}"
            raise InputError(
                f"training has no setting 'fit.{name}'; " + (f"did you mean 'fit.{near[0]}'?" if near and near != ["seed"] else there)
            )
    return replace(FitSettings(), **changes)


def positions(workspace: Workspace, data: Dataset) -> Tensor:
    """``(2, n)`` int64: everything in a user's whole log, low ratings too."""
    return data.index(Interactions.load(workspace.root, "train", "validation", "test", "since", "seen"))
