"""How cost grows with size: seconds per step and peak memory of BPR, LightGCN and FREEDOM on made-up power-law data, x 1, x 10 and x 100.

The smallest has 5,000 users, 2,000 items and 100,000 interactions, the largest 500,000 users, 200,000 items and 10 million. Each size of each system is a
process of its own with one thread: what is made once (graphs, neighbors), then one step to warm up and five that count, each with its loss, gradient and
Adam. The epoch is extrapolated from them. Neighbors of the item graph compare all items with all, a block at a time: that part, and it alone, is
quadratic in time; its memory is not.

    python benchmarks/scale.py
    python benchmarks/scale.py --scales 1,10 --systems bpr --plot build/scale.png
"""

import argparse
import itertools
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from workload import batches_of, step_of

from mllm_rec import SYSTEMS, Dataset, Interactions, create
from mllm_rec.data.features import Features
from mllm_rec.optimization.memory import peak_memory
from mllm_rec.pipeline.processes import apart

USERS, ITEMS, INTERACTIONS, WIDTH = 5_000, 2_000, 100_000, 64
STEPS = 5


def power_law(scale: int) -> Dataset:
    """Users and items whose counts fall with their rank to the power 0.8, and two features of random numbers."""
    random = np.random.default_rng(0)
    chosen = [
        random.choice(size, INTERACTIONS * scale, p=(weight := np.arange(1, size + 1) ** -0.8) / weight.sum())
        for size in (USERS * scale, ITEMS * scale)
    ]
    there = np.ones(ITEMS * scale, dtype=bool)
    features = {name: Features(random.normal(size=(ITEMS * scale, WIDTH)).astype(np.float32), there) for name in ("image", "text")}
    nothing = Interactions(pd.DataFrame(columns=["user_id", "item_id"]))
    data = Dataset(map(str, range(ITEMS * scale)), map(str, range(USERS * scale)), nothing, features)
    keys = np.unique(chosen[0].astype(np.int64) * data.num_items + chosen[1])
    data.edges = torch.from_numpy(np.stack([keys // data.num_items, keys % data.num_items]))
    return data


def measure(name: str, scale: int, batch_size: int) -> dict[str, float]:
    """Cost of one system at one size."""
    data = power_law(scale)
    start = time.perf_counter()
    system = create(SYSTEMS[name], data)
    batches = batches_of(system, data, batch_size)
    made = time.perf_counter() - start
    step, took = step_of(system), []
    for batch in itertools.islice(batches, 1 + STEPS):
        start = time.perf_counter()
        step(batch)
        took.append(time.perf_counter() - start)
    mean, count = float(np.mean(took[1:])), data.edges.shape[1]
    peak = peak_memory(torch.device("cpu"))
    return {"interactions": count, "made": made, "step": mean, "epoch": mean * -(-count // batch_size), "peak": peak}


def draw(found: dict[tuple[str, int], dict[str, float]], systems: list[str], path: Path) -> None:
    """Seconds per step and peak memory against interactions, both logarithmic, beside a line of slope one."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, 2, figsize=(8, 3.4), layout="constrained")
    for axes, part, unit, label in ((panels[0], "step", 1.0, "seconds per step"), (panels[1], "peak", 2.0**30, "peak memory, GiB")):
        for name in systems:
            points = sorted((one["interactions"], one[part] / unit) for (system, _), one in found.items() if system == name)
            axes.plot(*zip(*points, strict=True), "o-", label=name)
        ends = np.array(sorted({one["interactions"] for one in found.values()}))[[0, -1]]
        top = max(one[part] / unit for one in found.values())
        axes.plot(ends, top * ends / ends[1], ":", color="gray", label="linear")
        axes.set(xscale="log", yscale="log", xlabel="training interactions", ylabel=label)
        axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def main() -> None:
    """A line for each size of each system, what ten times the size costs, and the plot."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--scales", default="1,10,100")
    parser.add_argument("--systems", default="bpr,lightgcn,freedom")
    parser.add_argument("--batch-size", type=int, default=2048)
    parser.add_argument("--plot", type=Path)
    args = parser.parse_args()
    systems, scales = args.systems.split(","), [int(scale) for scale in args.scales.split(",")]
    found = {}
    print("| system | users | items | interactions | made once | a step | an epoch | peak memory |\n|---|---|---|---|---|---|---|---|")
    work = {(name, scale): (name, scale, args.batch_size) for name in systems for scale in scales}
    for (name, scale), one in apart(measure, work, 1):
        if isinstance(one, Exception):
            raise one
        found[name, scale] = one
        cost = f"{one['made']:.1f} s | {one['step']:.3f} s | {one['epoch'] / 60:.1f} min | {one['peak'] / 2**30:.2f} GiB"
        print(f"| {name} | {USERS * scale:,} | {ITEMS * scale:,} | {one['interactions']:,.0f} | {cost} |", flush=True)
    print(f"\nBatches of {args.batch_size}; one thread.")
    for name in systems:
        for small, large in itertools.pairwise(scales):
            one, other = found[name, small], found[name, large]
            grown = ", ".join(f"{label} x {other[key] / one[key]:.1f}" for key, label in (("step", "a step"), ("peak", "memory")))
            print(f"{name}, interactions x {other['interactions'] / one['interactions']:.1f}: {grown}")
    if args.plot:
        draw(found, systems, args.plot)


if __name__ == "__main__":
    main()
