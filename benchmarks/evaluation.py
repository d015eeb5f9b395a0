"""Evaluation: ``mllm_rec.evaluate`` against two plain ways of doing the same, in one run.

* *user by user*: each user's scores, mask, sorting and metrics in turn, as toolkits with one user at a time do;
* *batched scores*: scores, mask and top-K for 2,048 users at once, then hits and metrics in Python loops, as toolkits
  for graph systems do.

All rank every item for every user with held-out items, hide the training items, and give recall, precision, hit rate,
MRR, MAP and NDCG at 10 and 20; they are checked to agree. Ours gives novelty, coverage and popularity bias besides.
The scores are those of an untrained LightGCN, the same vectors for all.

    python benchmarks/evaluation.py
    MLLM_REC_DATA=data python benchmarks/evaluation.py                   # also TikTok, if data/tiktok-va is there
    MLLM_REC_DATA=data python benchmarks/evaluation.py --mmrec MMRec     # 9,171 users of TikTok against a checkout of MMRec
    python benchmarks/evaluation.py --peer cornac=python --peer implicit=PYTHON    # 8,600 made-up users against others, see peers.py

Against others: processor seconds of one thread, the faster of two runs, each in a process of its own; they rank by the same vectors, and
what they give is checked to be what ours gives.
"""

import argparse
import json
import math
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from mmrec import opened, require, write_tiktok
from workload import Workload, alone, made_up, workloads

from mllm_rec import SYSTEMS, create, evaluate
from mllm_rec.pipeline.results import Bench

KS = (10, 20)
#: Users, items and held-out pairs of the comparison with peers: about 8,600 users have one.
PEOPLE = (10_000, 5_000, 40_000)
DISCOUNT = [1 / math.log2(rank + 2) for rank in range(max(KS))]


def metrics_of(listed: list[int], wanted: set[int]) -> dict[str, float]:
    """All metrics of one list, in plain Python."""
    found = {}
    for k in KS:
        hits = [item in wanted for item in listed[:k]]
        total, precisions, first = 0, 0.0, 0.0
        for rank, hit in enumerate(hits, 1):
            if hit:
                total += 1
                precisions += total / rank
                first = first or 1 / rank
        found[f"recall@{k}"] = total / len(wanted)
        found[f"precision@{k}"] = total / k
        found[f"hr@{k}"] = float(total > 0)
        found[f"mrr@{k}"] = first
        found[f"map@{k}"] = precisions / min(k, len(wanted))
        ideal = sum(DISCOUNT[: min(k, len(wanted))])
        found[f"ndcg@{k}"] = sum(gain for gain, hit in zip(DISCOUNT, hits, strict=False) if hit) / ideal
    return found


def by_user(pairs: torch.Tensor) -> dict[int, list[int]]:
    """Items of each user."""
    found: dict[int, list[int]] = {}
    for user, item in pairs.T.tolist():
        found.setdefault(user, []).append(item)
    return found


def means(values: list[dict[str, float]]) -> dict[str, float]:
    """Mean over users of each metric."""
    return {name: float(np.mean([one[name] for one in values])) for name in values[0]}


def user_by_user(users: np.ndarray, items: np.ndarray, wanted: dict, seen: dict) -> dict[str, float]:
    """Everything for one user, then for the next."""
    values = []
    for user in wanted:
        scores = items @ users[user]
        scores[seen.get(user, [])] = -np.inf
        values.append(metrics_of(np.argsort(-scores)[: max(KS)].tolist(), set(wanted[user])))
    return means(values)


def batched_scores(users: torch.Tensor, items: torch.Tensor, wanted: dict, seen: dict) -> dict[str, float]:
    """Scores of many users at once; masks, hits and metrics in loops."""
    values, names = [], list(wanted)
    for start in range(0, len(names), 2048):
        batch = names[start : start + 2048]
        scores = users[batch] @ items.T
        rows = [row for row, user in enumerate(batch) for _ in seen.get(user, [])]
        scores[rows, [item for user in batch for item in seen.get(user, [])]] = -torch.inf
        for user, listed in zip(batch, scores.topk(max(KS)).indices.tolist(), strict=True):
            values.append(metrics_of(listed, set(wanted[user])))
    return means(values)


def timed(action, repeats: int):
    """The action's result and its shortest time in seconds."""
    took = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = action()
        took.append(time.perf_counter() - start)
    return result, min(took)


def measure(work: Workload) -> None:
    """One line per way, with its time over ours."""
    system = create(SYSTEMS["lightgcn"], work.data).eval()
    users, items = system.vectors()
    wanted, seen = by_user(work.held_out), by_user(work.data.edges)
    table, ours = timed(lambda: evaluate(system, work.held_out, work.data.edges, KS), 3)
    print(f"{work.name}: {len(table):,} users of {work.data.num_users:,} ranked over {work.data.num_items:,} items")
    print(f"  {'mllm_rec.evaluate':<18}{ours:8.2f} s")
    for name, plain, repeats in (
        ("batched scores", lambda: batched_scores(users, items, wanted, seen), 2),
        ("user by user", lambda: user_by_user(users.numpy(), items.numpy(), wanted, seen), 1),
    ):
        found, took = timed(plain, repeats)
        difference = max(abs(value - table.mean(metric)) for metric, value in found.items())
        assert difference < 1e-4, f"{name} differs by {difference}"
        print(f"  {name:<18}{took:8.2f} s   {took / ours:6.1f} x   (metrics agree within {difference:.0e})")


def fastest(action) -> tuple[list[float], float]:
    """What an action gives and the processor seconds of the faster of two runs."""
    took = []
    for _ in range(2):
        start = time.process_time()
        found = action()
        took.append(time.process_time() - start)
    return found, min(took)


def ranked_by_us() -> tuple[list[float], float]:
    """Recall@20 of TikTok's users with validation items and of those with test items, and processor seconds."""
    bench = Bench.load("tiktok-va")
    system = create(SYSTEMS["bpr"], bench.data).eval()
    return fastest(
        lambda: [evaluate(system, part, bench.data.edges, (5, 10, 20)).mean("recall@20") for part in (bench.validation, bench.test)]
    )


def ranked_by_mmrec(checkout: Path, data: Path) -> tuple[list[float], float]:
    """The same of MMRec, by the same vectors."""
    bench = Bench.load("tiktok-va")
    vectors = create(SYSTEMS["bpr"], bench.data).eval().vectors()
    they = opened(checkout, data, "BPR")
    with torch.no_grad():
        for table, values in zip((they.model.user_embedding, they.model.item_embedding), vectors, strict=True):
            getattr(table, "weight", table).copy_(values)
    return fastest(lambda: [they.trainer.evaluate(part)["recall@20"] for part in they.held_out])


def against_mmrec(checkout: Path) -> None:
    """Both sides, and the ratio."""
    require(checkout)
    with tempfile.TemporaryDirectory() as folder:
        write_tiktok(Path(folder))
        (our, ours), (their, theirs) = alone(ranked_by_us), alone(ranked_by_mmrec, checkout.resolve(), Path(folder))
    assert np.allclose(our, their, atol=6e-5), f"MMRec finds {their}, ours {our}"  # it rounds to four digits
    print(f"TikTok, users with validation items and users with test items: ours {ours:.2f} s, MMRec {theirs:.2f} s, {theirs / ours:.1f} x")


def ranked_here(folder: Path) -> tuple[dict[str, float], float]:
    """Metrics of the made-up users, and processor seconds; writes what peers need."""
    work = made_up(*PEOPLE)
    system = create(SYSTEMS["lightgcn"], work.data).eval()
    users, items = system.vectors()
    np.savez(folder / "work.npz", users=users.numpy(), items=items.numpy(), train=work.data.edges.numpy(), test=work.held_out.numpy())
    table, took = fastest(lambda: evaluate(system, work.held_out, work.data.edges, (20,)))
    print(f"{len(table):,} made-up users ranked over {work.data.num_items:,} items: ours {took:.2f} s")
    return {name: table.mean(f"{name}@20") for name in ("recall", "ndcg", "hr")}, took


def against_peers(peers: dict[str, str]) -> None:
    """A line for each peer."""
    with tempfile.TemporaryDirectory() as folder:
        ours, took = alone(ranked_here, Path(folder))
        for name, python in peers.items():
            command = [python, str(Path(__file__).parent / "peers.py"), name, str(Path(folder) / "work.npz")]
            found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1])
            for metric, value in found["metrics"].items():
                assert abs(value - ours[metric]) < 1e-5, f"{name} finds {metric} {value}, ours {ours[metric]}"
            print(f"  {name:<10}{found['seconds']:8.2f} s   {found['seconds'] / took:6.1f} x", flush=True)


def main() -> None:
    """What was asked for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--mmrec", type=Path, metavar="FOLDER", help="a checkout of MMRec")
    parser.add_argument(
        "--peer", action="append", default=[], metavar="NAME=PYTHON", help="a peer of peers.py and an interpreter that has it"
    )
    args = parser.parse_args()
    if args.mmrec:
        against_mmrec(args.mmrec)
    if args.peer:
        against_peers(dict(one.split("=", 1) for one in args.peer))
    if not (args.mmrec or args.peer):
        for one in workloads():
            measure(one)


if __name__ == "__main__":
    main()
