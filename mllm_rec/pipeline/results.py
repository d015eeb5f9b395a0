"""One small file for each training of a comparison: what was trained on what, how, and what came of it."""

import ast
import base64
import hashlib
import inspect
import json
import os
import shutil
import sys
import zlib
from collections.abc import Mapping
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
from mllm_rec.data.sources import load
from mllm_rec.data.split import split
from mllm_rec.errors import InputError
from mllm_rec.evaluation import Table, by_popularity, evaluate, training_sample, validator
from mllm_rec.optimization.fit import FitSettings, fit
from mllm_rec.pipeline.runs import CHOICE, fit_settings
from mllm_rec.recommender import create, with_settings
from mllm_rec.systems import is_reconstructed, system_class

#: Metrics of which every user's value is kept.
KEPT = ("recall@20", "ndcg@20")
#: List lengths.
KS = (10, 20)


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

        Raises:
            InputError: no such source or workspace, or nothing is held out.
        """
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

    def with_features(self, features: Mapping[str, Features], name: str) -> "Bench":
        """The same log with other features."""
        data = Dataset.__new__(Dataset)
        data.__dict__.update({key: value for key, value in vars(self.data).items()}, features=dict(features))
        return Bench(name, self.split, data, self.validation, self.test)


@dataclass(frozen=True)
class Trial:
    """What is trained: a system with settings other than its defaults, how, and the seed of everything drawn."""

    system: str
    settings: Mapping[str, Any]
    fit: Mapping[str, Any]
    seed: int = 0

    def key(self, bench: Bench) -> str:
        """Hash of all that the result depends on, but for the seed."""
        made = with_settings(system_class(self.system), dict(self.settings))
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
    settings = with_settings(system_class(trial.system), dict(trial.settings))
    training = replace(fit_settings(dict(trial.fit)), seed=trial.seed)
    system = create(system_class(trial.system), bench.data, settings, trial.seed)
    validate, watch = validator(bench.validation, bench.data.edges, CHOICE), validator(*training_sample(bench.data.edges), CHOICE)
    run = fit(system, bench.data, validate, training, folder, watch)
    seen = torch.cat([bench.data.edges, bench.validation], 1)
    table = evaluate(system, bench.test, seen, KS)
    accuracy = [name for name in table.names if name.partition("@")[0] in ("recall", "ndcg", "coverage", "novelty")]
    return {
        "data": bench.name,
        "data_key": bench.key,
        "split": bench.split,
        "system": trial.system,
        "reconstructed": is_reconstructed(trial.system),
        "seed": trial.seed,
        "settings": _changed(settings, system_class(trial.system).Settings()),
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
    """Hash of the code in a system's file, comments and docstrings left out; what it calls of other files isn't in it."""
    tree = ast.parse(inspect.getsource(sys.modules[system_class(system).__module__]))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    return hashlib.blake2b(ast.unparse(tree).encode(), digest_size=4).hexdigest()


def table_of(value: Mapping[str, Any]) -> Table:
    """The table of a result, with every user's ``KEPT`` metrics."""
    values = {name: _unpacked(text) for name, text in value["per_user"].items()}
    users = np.arange(value["users"])
    return Table(users, values, np.zeros((1, len(users), 0), dtype=np.int32), 0, (), value["left_out"])


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
