"""One small file for each training of a comparison: what was trained on what, how, and what came of it."""

import base64
import hashlib
import json
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mllm_rec import __version__
from mllm_rec.data.dataset import Dataset
from mllm_rec.data.features import Features
from mllm_rec.data.files import read_json, write_json
from mllm_rec.data.sources import load
from mllm_rec.data.split import split
from mllm_rec.errors import InputError
from mllm_rec.evaluation import Table, evaluate, validator
from mllm_rec.evaluation.protocol import by_popularity
from mllm_rec.optimization.fit import FitSettings, fit
from mllm_rec.pipeline.runs import CHOICE, fit_settings
from mllm_rec.recommender import create, with_settings
from mllm_rec.systems import is_reconstructed, system_class

#: Metrics of which every user's value is kept.
KEPT = ("recall@20", "ndcg@20")
#: List lengths.
KS = (10, 20)
#: Training interactions that are ranked to see how far training has run ahead of validation.
WATCHED = 500


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
            found = cls(Path(name).resolve().name, runs.manifest["split"]["name"], runs.data, runs.held["validation"], runs.held["test"])
        else:
            source = load(name)
            parts = split(source.interactions, source.split)
            users = pd.unique(source.interactions.table["user_id"])
            data = Dataset(source.catalog.item_ids, users, parts.train, source.features)
            found = cls(
                name.replace(":", "-").replace("/", "-"), source.split_name, data, data.index(parts.validation), data.index(parts.test)
            )
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

    def watched(self) -> tuple[Tensor, Tensor]:
        """Some training interactions, one of a user, and all others: as if the former had been held out."""
        order = torch.randperm(self.data.edges.shape[1], generator=torch.Generator().manual_seed(0))
        _, place = np.unique(self.data.edges[0, order].numpy(), return_index=True)
        chosen = order[torch.from_numpy(np.sort(place)[:WATCHED])]
        rest = torch.ones(self.data.edges.shape[1], dtype=torch.bool)
        rest[chosen] = False
        return self.data.edges[:, chosen], self.data.edges[:, rest]


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

    An interrupted training goes on from ``cache``. The epoch is chosen by ``ndcg@20`` on validation; test is measured once, in the end.
    """
    path = trial.path(results, bench)
    if path.exists():
        return read_json(path)
    settings = with_settings(system_class(trial.system), dict(trial.settings))
    training = replace(fit_settings(dict(trial.fit)), seed=trial.seed)
    system = create(system_class(trial.system), bench.data, settings, trial.seed)
    folder = cache / bench.name / trial.system / path.stem
    sample, others = bench.watched()
    run = fit(
        system, bench.data, validator(bench.validation, bench.data.edges, CHOICE), training, folder, validator(sample, others, CHOICE)
    )
    seen = torch.cat([bench.data.edges, bench.validation], 1)
    table = evaluate(system, bench.test, seen, KS)
    accuracy = [name for name in table.names if name.partition("@")[0] in ("recall", "ndcg", "coverage", "novelty")]
    value = {
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
        "threads": torch.get_num_threads(),
        "versions": {"mllm-rec": __version__, "torch": torch.__version__},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, value)
    return value


def table_of(value: Mapping[str, Any]) -> Table:
    """The table of a result, with every user's ``KEPT`` metrics."""
    values = {name: _unpacked(text) for name, text in value["per_user"].items()}
    users = np.arange(value["users"])
    return Table(users, values, np.zeros((1, len(users), 0), dtype=np.int32), 0, (), value["left_out"])


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
