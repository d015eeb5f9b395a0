"""What each modality adds on MovieLens-100K: VBPR and FREEDOM told of attributes, plots, posters, or all of it.

    MLLM_REC_DATA=data python benchmarks/modalities.py --squeezenet data/squeezenet-v1-weights/squeezenet_v1.0_weights.npz

trains each system with several seeds, on the split ``ua`` (warm movies) and with a tenth of the movies held back (cold ones), and
prints Recall@20 and NDCG@20 as Markdown, with intervals and differences to ids alone, paired over users. Validation chooses the
epoch; the test part only judges. Interrupted, the same command goes on where it stopped.
"""

import argparse
import copy
from dataclasses import replace
from pathlib import Path
from time import perf_counter

import numpy as np

from mllm_rec.cli import main as command
from mllm_rec.data.catalog import Catalog
from mllm_rec.data.features import Features
from mllm_rec.encoders.chosen import chosen_encoder
from mllm_rec.encoders.store import Store
from mllm_rec.evaluation import Table, compare, over_seeds
from mllm_rec.optimization.fit import FitSettings, fit
from mllm_rec.pipeline import Workspace
from mllm_rec.pipeline.runs import Runs
from mllm_rec.recommender import create
from mllm_rec.systems import system_class

SYSTEMS = ("vbpr", "freedom")
#: By split the table that is shown: movies with likes in training, and movies without one.
SPLITS = {"given": "warm", "cold-items": "cold-item"}
#: By row of the tables the features that are told.
TOLD: dict[str, tuple[str, ...]] = {
    "ids": (),
    "attributes": ("attributes",),
    "plots, TF-IDF": ("tfidf",),
    "plots, MiniLM": ("minilm",),
    "posters, statistics": ("statistics",),
    "posters, SqueezeNet": ("squeezenet",),
    "all": ("attributes", "minilm", "squeezenet"),
}


def features_of(workspace: Workspace, squeezenet: Path, out: Path) -> dict[str, Features]:
    """Every feature that a row tells; plots come with their titles, and without the attributes that the usual text holds too."""
    catalog = Catalog.load(workspace.catalog)
    words = Catalog(catalog.table[["item_id", "title", "text"]], {"text": "text"}, catalog.root)
    encoders = {
        "attributes": (catalog, chosen_encoder("attributes", "attributes")),
        "tfidf": (words, chosen_encoder("text", "tfidf")),
        "minilm": (words, chosen_encoder("text", "minilm")),
        "statistics": (catalog, chosen_encoder("image", "statistics")),
        "squeezenet": (catalog, chosen_encoder("image", str(squeezenet))),
    }
    with Store(out / "encoded.sqlite") as store:
        return {name: encoder.encode(items, store) for name, (items, encoder) in encoders.items()}


def main() -> None:
    """Build, encode, train, judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--squeezenet", type=Path, required=True, metavar="NPZ", help="SqueezeNet's weights")
    parser.add_argument("--out", type=Path, default=Path("build/modalities"), metavar="DIR", help="where everything goes")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="trainings of each row (default 3)")
    parser.add_argument("--epochs", type=int, default=100, metavar="N", help="epochs at most (default 100)")
    args = parser.parse_args()
    start = perf_counter()
    for split, key in SPLITS.items():
        folder = args.out / split
        if command(["build", "movielens-100k", "--mllm", "none", "--split", split, "--systems", "popularity", "--out", str(folder)]):
            raise SystemExit(1)
        runs = Runs(Workspace.open(folder))
        features = features_of(runs.workspace, args.squeezenet, args.out)
        nothing = Features(np.zeros((runs.data.num_items, 1), np.float32), np.zeros(runs.data.num_items, bool))
        found: dict[str, dict[str, list[Table]]] = {name: {row: [] for row in TOLD} for name in SYSTEMS}
        for seed, row, name in ((seed, row, name) for name in SYSTEMS for row in TOLD for seed in range(args.seeds)):
            data = copy.copy(runs.data)
            data.features = {one: features[one] for one in TOLD[row]} or {"none": nothing}
            system = create(system_class(name), data, seed=seed)
            settings = replace(FitSettings(), epochs=args.epochs, patience=10, seed=seed)
            fit(system, data, runs.validator(), settings, args.out / "runs" / split / name / row.replace(" ", "") / str(seed))
            found[name][row].append(runs.tables(system, "test", "train+validation", (20,))[key])
        for name, tables in found.items():
            judged = compare({row: over_seeds(each) for row, each in tables.items()}, runs.manifest["split"]["name"], baseline="ids")
            print(f"\n{name}, {key}, {args.seeds} seeds\n\n{judged.markdown()}", flush=True)
    print(f"\n{(perf_counter() - start) / 60:.0f} minutes")


if __name__ == "__main__":
    main()
