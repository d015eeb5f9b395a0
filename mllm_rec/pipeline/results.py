"""One small file for each training of a comparison: what was trained on what, how, and what came of it."""

import ast
import base64
import copy
import hashlib
import inspect
import json
import os
import re
import shutil
import sys
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from filelock import FileLock
from torch import Tensor

from mllm_rec import __version__
from mllm_rec.data.dataset import Dataset
from mllm_rec.data.features import Features
from mllm_rec.data.files import read_json, write_json
from mllm_rec.data.interactions import Interactions
from mllm_rec.data.sources import load
from mllm_rec.data.split import split
from mllm_rec.errors import InputError
from mllm_rec.evaluation import Table, by_popularity, evaluate, training_sample, validator
from mllm_rec.optimization.fit import FitSettings
from mllm_rec.pipeline.runs import CHOICE, fit_settings
from mllm_rec.recommender import Recommender, with_settings
from mllm_rec.strategies import known_strategies
from mllm_rec.strategies.training import is_reconstructed_strategy, train_system
from mllm_rec.systems import is_reconstructed, system_class

#: Metrics of which every user's value is kept.
KEPT = ("recall@20", "ndcg@20")
#: List lengths.
KS = (10, 20)
#: What may be taken away from a data set, see ``Bench.harder``.
CONDITION = re.compile(r"missing-(?P<share>[1-9]\d?|100)|without-(?P<name>.+)|(?P<cold>cold-items)")
SHARES = (30, 60, 90)


def conditions(features: Iterable[str]) -> list[str]:
    """What is taken away of a data set with these features to see how systems bear it."""
    names = sorted(features)
    missing = [f"missing-{share}" for share in SHARES if names]
    return [*missing, *(f"without-{name}" for name in names), "cold-items"]


@dataclass(frozen=True)
class Bench:
    """A data set to measure on: the training part, and the pairs ``(2, n)`` held out for validation and test."""

    name: str
    split: str
    data: Dataset
    validation: Tensor
    test: Tensor

    @classmethod
    def load(cls, name: str) -> "Bench":
        """A named source, split as it says (a source without a split of its own: 80/10/10 by chance, seed 0), or the folder of a workspace.

        What follows an ``@`` is what is taken away from it, see ``harder``: ``tiktok-va@missing-60``.

        Raises:
            InputError: no such source or workspace, or nothing is held out.
        """
        whole, at, condition = name.rpartition("@")
        if not at or Path(name.partition(":")[2] or name).exists():
            return cls._load(name)
        if not CONDITION.fullmatch(condition):
            raise InputError(f"'@{condition}' takes nothing away from '{whole}'; say @missing-60 (1 to 100), @without-NAME or @cold-items")
        return cls._load(whole).harder(condition)

    @classmethod
    def _load(cls, name: str) -> "Bench":
        from mllm_rec.pipeline.runs import Runs
        from mllm_rec.pipeline.workspace import Workspace

        if (Path(name) / "manifest.json").exists():
            runs = Runs(Workspace.open(Path(name)))
            how, data, held = runs.how, runs.data, runs.held
            found = cls(Path(name).resolve().name, runs.manifest["split"]["name"], data, held["validation"], held["test"])
        else:
            source = load(name)
            how, parts = source.split, split(source.interactions, source.split)
            users = pd.unique(source.interactions.table["user_id"])
            data = Dataset(source.catalog.item_ids, users, parts.train, source.features)
            held = {part: data.index(getattr(parts, part)) for part in ("validation", "test")}
            found = cls(Path(name.partition(":")[2] or name).name, source.split_name, data, held["validation"], held["test"])
        if how == "global-time":  # as in main_table
            found = replace(found, validation=_warm(data, found.validation), test=_warm(data, found.test))
        for part, pairs in (("validation", found.validation), ("test", found.test)):
            if not pairs.shape[1]:
                raise InputError(f"'{name}' holds nothing out for {part}, so systems cannot be compared on it; take another split")
        return found

    @cached_property
    def key(self) -> str:
        """Hash of all interactions and features."""
        digest = hashlib.blake2b(digest_size=8)
        for pairs in (self.data.edges, self.validation, self.test):
            digest.update(pairs.numpy().tobytes())
        for feature in sorted(self.data.features):
            digest.update(feature.encode())
            digest.update(self.data.features[feature].values.tobytes())
            digest.update(self.data.features[feature].present.tobytes())
        return digest.hexdigest()

    def harder(self, condition: str) -> "Bench":
        """The same with something taken away, for training and test alike; what is drawn is drawn with seed 0.

        * ``missing-60``: 60 % of the items that have a modality lose it, drawn for each modality apart; those of ``missing-30`` are among them.
        * ``without-image``: nobody has this modality.
        * ``cold-items``: a tenth of the items lose their training and validation rows, and they alone are to be found.

        Raises:
            InputError: no such condition or modality.
        """
        found = CONDITION.fullmatch(condition)
        features = dict(self.data.features)
        if found is None or (found["name"] and found["name"] not in features):
            raise InputError(f"'{condition}' is no condition of {self.name}; there are {', '.join(conditions(features))}")
        if found["cold"]:
            return self._with_cold_items(f"{self.name}@{condition}")
        if found["name"]:
            features.pop(found["name"])
        else:
            features = {name: _thinned(one, int(found["share"]) / 100, place) for place, (name, one) in enumerate(sorted(features.items()))}
        data = copy.copy(self.data)
        data.features = features or {"none": Features.nothing(data.num_items)}
        return replace(self, name=f"{self.name}@{condition}", data=data)

    def _with_cold_items(self, name: str) -> "Bench":
        chosen = np.flatnonzero(self.data.item_counts.numpy())
        cold = torch.zeros(self.data.num_items, dtype=torch.bool)
        cold[np.random.default_rng(0).permutation(chosen)[: max(1, len(chosen) // 10)]] = True
        data = Dataset(self.data.items, self.data.users, Interactions(pd.DataFrame(columns=["user_id", "item_id"])), self.data.features)
        data.edges = self.data.edges[:, ~cold[self.data.edges[1]]]
        everything = torch.cat([self.data.edges, self.validation, self.test], 1)
        to_find = _warm(data, everything[:, cold[everything[1]]])
        return Bench(name, self.split, data, self.validation[:, ~cold[self.validation[1]]], to_find)


def named(name: str) -> tuple[type[Recommender], list[str]]:
    """The system and the strategies of a name like ``vbpr+mirror-gradient``.

    Raises:
        InputError: no such system or strategy, or one that needs a workspace's encoders.
    """
    system, *said = name.split("+")
    strategies = known_strategies(said)
    if "end-to-end" in strategies:
        raise InputError(f"'{name}': encoders are trained in a workspace; use 'mllm-rec train W --systems {system} --strategy end-to-end'")
    return system_class(system), strategies


def reconstructed(name: str) -> bool:
    """Whether the system of a name, or one of its strategies, was built from an abstract."""
    return is_reconstructed(name.partition("+")[0]) or any(is_reconstructed_strategy(one) for one in named(name)[1])


@dataclass(frozen=True)
class Trial:
    """What is trained: a system, alone or under strategies (see ``named``), settings other than its defaults, how, and the seed of everything drawn."""

    system: str
    settings: Mapping[str, Any]
    fit: Mapping[str, Any]
    seed: int = 0

    def key(self, bench: Bench) -> str:
        """Hash of all that the result depends on, but for the seed."""
        made = with_settings(named(self.system)[0], dict(self.settings))
        said = [bench.key, self.system, asdict(made), asdict(replace(fit_settings(dict(self.fit)), seed=0))]
        return hashlib.blake2b(json.dumps(said, sort_keys=True).encode(), digest_size=4).hexdigest()

    def path(self, results: Path, bench: Bench) -> Path:
        """Where its result stands."""
        return results / bench.name / self.system / f"{self.key(bench)}-{self.seed}.json"


def result(bench: Bench, trial: Trial, results: Path, cache: Path) -> dict[str, Any]:
    """What came of a trial: read where it stands already, else trained and written.

    An interrupted training goes on from ``cache``, which is emptied in the end. The epoch is chosen by ``ndcg@20`` on validation; test is
    measured once, in the end. Peak memory is the process's: for a figure of its own each training needs a process of its own.
    """
    path = trial.path(results, bench)
    folder = cache / bench.name / trial.system / path.stem
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        if not path.exists():
            write_json(path, _measured(bench, trial, folder))
        shutil.rmtree(folder, ignore_errors=True)
    return read_result(path)


def _measured(bench: Bench, trial: Trial, folder: Path) -> dict[str, Any]:
    kind, strategies = named(trial.system)
    settings, training = with_settings(kind, dict(trial.settings)), replace(fit_settings(dict(trial.fit)), seed=trial.seed)
    validate, watch = validator(bench.validation, bench.data.edges, CHOICE), validator(*training_sample(bench.data.edges), CHOICE)
    system, run = train_system(kind, bench.data, settings, trial.seed, strategies, validate, training, folder, watch)
    seen = torch.cat([bench.data.edges, bench.validation], 1)
    table = evaluate(system, bench.test, seen, KS)
    accuracy = [name for name in table.names if name.partition("@")[0] in ("recall", "ndcg", "coverage", "novelty")]
    return {
        "data": bench.name,
        "data_key": bench.key,
        "split": bench.split,
        "system": trial.system,
        "reconstructed": reconstructed(trial.system),
        "seed": trial.seed,
        "settings": _changed(settings, kind.Settings()),
        "fit": {name: value for name, value in _changed(training, FitSettings()).items() if name != "seed"},
        "validation": {CHOICE: run.best},
        "epoch": run.best_epoch,
        "epochs": run.epochs,
        "test": {name: round(table.mean(name), 6) for name in accuracy},
        "popularity": {name: round(part, 6) for name, part in by_popularity(system, bench.test, table).items()},
        "users": len(table),
        "left_out": table.left_out,
        "per_user": {name: _packed(table.per_user(name)) for name in KEPT},
        "curve": [_point(line) for line in run.history if line["epoch"] > 0],
        "parameters": run.parameters,
        "seconds": round(run.seconds, 2),
        "peak_memory": run.peak_memory,
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() and system.trained else "cpu",
        "threads": torch.get_num_threads(),
        "cpus": os.cpu_count(),
        "code": code_of(trial.system),
        "versions": {"mllm-rec": __version__, "torch": torch.__version__},
    }


def read_result(path: Path) -> dict[str, Any]:
    """What ``result`` wrote.

    Raises:
        InputError: the file holds something else.
    """
    try:
        value = read_json(path)
        table_of(value)
    except (ValueError, KeyError, TypeError, zlib.error) as error:
        raise InputError(f"{path} is not what 'mllm-rec compare' wrote ({error!r}); remove it, and the training is repeated") from error
    return value


def code_of(system: str) -> str:
    """Hash of the code in a system's file, comments and docstrings left out; what it calls of other files isn't in it, and no strategy."""
    tree = ast.parse(inspect.getsource(sys.modules[named(system)[0].__module__]))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    return hashlib.blake2b(ast.unparse(tree).encode(), digest_size=4).hexdigest()


def table_of(value: Mapping[str, Any]) -> Table:
    """The table of a result, with every user's ``KEPT`` metrics."""
    values = {name: _unpacked(text) for name, text in value["per_user"].items()}
    users = np.arange(value["users"])
    return Table(users, values, np.zeros((1, len(users), 0), dtype=np.int32), 0, (), value["left_out"])


def _thinned(feature: Features, share: float, place: int) -> Features:
    """A feature that a share of those items lack that had it; a larger share takes the same items and others."""
    had = np.flatnonzero(feature.present)
    present = feature.present.copy()
    present[np.random.default_rng([0, place]).permutation(had)[: round(share * len(had))]] = False
    return Features(feature.values, present, feature.spec)


def _warm(data: Dataset, pairs: Tensor) -> Tensor:
    """Those of the pairs whose user has training interactions."""
    return pairs[:, data.user_counts[pairs[0]] > 0]


def _point(line: Mapping[str, Any]) -> list[float | None]:
    """Epoch, loss, validation and training value."""
    loss = sum(line["loss"].values())
    return [line["epoch"], *(None if one is None else round(one, 5) for one in (loss, line["validation"], line.get("watched")))]


def _changed(value: Any, default: Any) -> dict[str, Any]:
    return {one.name: getattr(value, one.name) for one in fields(value) if getattr(value, one.name) != getattr(default, one.name)}


def _packed(values: np.ndarray) -> str:
    return base64.b64encode(zlib.compress(values.astype(np.float16).tobytes(), 9)).decode()


def _unpacked(text: str) -> np.ndarray:
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), dtype=np.float16).astype(np.float64)
