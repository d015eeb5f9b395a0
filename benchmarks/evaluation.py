"""Evaluation: ``mllm_rec.evaluate`` against two plain ways of doing the same, in one run.

* *user by user*: each user's scores, mask, sorting and metrics in turn, as toolkits with one user at a time do;
* *batched scores*: scores, mask and top-K for 2,048 users at once, then hits and metrics in Python loops, as toolkits
  for graph systems do.

All rank every item for every user with held-out items, hide the training items, and give recall, precision, hit rate,
MRR, MAP and NDCG at 10 and 20; they are checked to agree. Ours gives novelty, coverage and popularity bias besides.
The scores are those of an untrained LightGCN, the same vectors for all.

    python benchmarks/evaluation.py
    MLLM_REC_DATA=data python benchmarks/evaluation.py      # also TikTok, if data/tiktok-va is there
"""

import math
import time

import numpy as np
import torch
from workload import Workload, workloads

from mllm_rec import SYSTEMS, create, evaluate

KS = (10, 20)
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
        apart = max(abs(value - table.mean(metric)) for metric, value in found.items())
        assert apart < 1e-4, f"{name} differs by {apart}"
        print(f"  {name:<18}{took:8.2f} s   {took / ours:6.1f} x   (metrics agree within {apart:.0e})")


if __name__ == "__main__":
    for one in workloads():
        measure(one)
