"""What it is worth to train encoders with the system: VBPR on the demo shop, told of pictures and words in four ways.

    python benchmarks/end_to_end.py --out build/end-to-end

trains each way with several seeds, under a split by time and under one that holds items back, and prints NDCG@20 and Recall@20
with intervals and differences. The networks are small, and begin with random weights; nothing is pretrained. Interrupted, the
same command goes on where it stopped.
"""

import argparse
import copy
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np

from mllm_rec.cli import main as command
from mllm_rec.data.dataset import Dataset
from mllm_rec.evaluation import Table, compare, over_seeds
from mllm_rec.optimization.fit import FitSettings, fit
from mllm_rec.pipeline import Workspace
from mllm_rec.pipeline.runs import Runs
from mllm_rec.pipeline.strategies import under_strategies
from mllm_rec.recommender import create
from mllm_rec.systems.topn.vbpr import VBPR

SPLITS = ("global-time", "cold-items")
#: Encoders of a workspace: those that are usual, and the small networks.
ENCODERS = {"usual": {}, "networks": {"image": "cnn", "text": "textcnn"}}
#: By row of the table: the workspace, the features that are told, and how they are trained.
ROWS: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    "ids only": ("usual", (), ()),
    "statistics + tfidf, frozen": ("usual", ("image", "text"), ()),
    "cnn + textcnn, frozen": ("networks", ("image", "text"), ()),
    "cnn + textcnn, end to end": ("networks", ("image", "text"), ("end-to-end",)),
}
BASELINE = "cnn + textcnn, frozen"


def built(out: Path, split: str, kind: str) -> Workspace:
    """The demo shop under a split, with one kind of encoders; its pictures are drawn once."""
    folder = out / split / kind
    first = out / SPLITS[0] / "usual"
    if not folder.exists() and (first / "serving.json").exists():
        shutil.copytree(first, folder)
    encoders = [part for modality, name in ENCODERS[kind].items() for part in ("--encoder", f"{modality}={name}")]
    said = ["build", "demo", "--mllm", "none", "--split", split, "--systems", "popularity", "--out", str(folder), *encoders]
    if command(said):
        raise SystemExit(1)
    return Workspace.open(folder)


def told(runs: Runs, features: tuple[str, ...], strategies: tuple[str, ...]) -> Dataset:
    """The training data with these features; of none, one that no item has."""
    data = copy.copy(under_strategies(runs.workspace, runs.data, strategies))
    some = runs.data.features["text"]
    nothing = replace(some, values=np.zeros((len(some.values), 1), np.float32), present=np.zeros_like(some.present))
    data.features = {name: runs.data.features[name] for name in features} or {"none": nothing}
    return data


def main() -> None:
    """Build, train, judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("build/end-to-end"), metavar="DIR", help="where everything goes")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="trainings of each row (default 3)")
    parser.add_argument("--epochs", type=int, default=100, metavar="N", help="epochs at most (default 100)")
    parser.add_argument("--splits", nargs="+", choices=SPLITS, default=SPLITS, help="how the log is split (default: both ways)")
    args = parser.parse_args()
    for split in args.splits:
        found: dict[str, dict[str, Table]] = {}
        seconds = {}
        for row, (kind, features, strategies) in ROWS.items():
            runs = Runs(built(args.out, split, kind))
            tables, seconds[row] = [], 0.0
            for seed in range(args.seeds):
                data = told(runs, features, strategies)
                system = create(VBPR, data, seed=seed)
                settings = FitSettings(epochs=args.epochs, seed=seed)
                run = fit(system, data, runs.validator(), settings, args.out / split / "runs" / row.replace(" ", "") / str(seed))
                tables.append(runs.tables(system, "test", "train+validation", (20,)))
                seconds[row] += run.seconds / args.seeds
            found[row] = {key: over_seeds([table[key] for table in tables]) for key in tables[0]}
        for key in [key for key in ("warm", "cold-item") if key in found[BASELINE]]:
            print(
                f"\n{key}, {args.seeds} seeds:\n{compare({row: tables[key] for row, tables in found.items()}, split, baseline=BASELINE).text()}"
            )
        print("\nseconds of a training: " + ", ".join(f"{row} {took:.0f}" for row, took in seconds.items()), flush=True)


if __name__ == "__main__":
    main()
