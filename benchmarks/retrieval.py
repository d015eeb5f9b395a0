"""Chroma's index against a look at every item: recall@20, time to build, time of a query, memory.

``python benchmarks/retrieval.py [--items 100000] [--width 384]``: vectors in 500 clusters, as encoders give them.
"""

import argparse
import os
import tempfile
from contextlib import closing
from pathlib import Path
from time import perf_counter

import numpy as np

from mllm_rec.retrieval.index import Index

QUERIES, K = 500, 20


def clustered(many: int, width: int, seed: int) -> np.ndarray:
    """``(many, width)`` unit vectors around 500 centers that every seed shares."""
    centers = np.random.default_rng(0).normal(size=(500, width)).astype(np.float32)
    drawn = np.random.default_rng(seed)
    rows = centers[drawn.integers(500, size=many)] + drawn.normal(size=(many, width)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def timed(queries, answer) -> tuple[list, str]:
    """Every query's answer, and the median and 95th percentile of their milliseconds."""
    found, spent = [], []
    for query in queries:
        start = perf_counter()
        found.append(answer(query))
        spent.append(1000 * (perf_counter() - start))
    return found, f"p50 {np.percentile(spent, 50):.1f} ms, p95 {np.percentile(spent, 95):.1f} ms"


def memory() -> float:
    """Memory of this process, MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--width", type=int, default=384)
    args = parser.parse_args()
    vectors, queries = clustered(args.items, args.width, 1), clustered(QUERIES, args.width, 2)
    ids = [f"item-{row}" for row in range(args.items)]

    def look(query: np.ndarray) -> list[str]:
        near = vectors @ query
        best = np.argpartition(-near, K)[:K]
        return [ids[row] for row in best[np.argsort(-near[best])]]

    with tempfile.TemporaryDirectory() as folder, closing(Index(Path(folder))) as index:
        before, start = memory(), perf_counter()
        index.keep({"text": ("benchmark", ids, vectors)}, "benchmark", progress=True)
        built = perf_counter() - start
        start = perf_counter()
        index.nearest("text", queries[0], K)
        opened = perf_counter() - start
        found, quick = timed(queries, lambda query: index.nearest("text", query, K)[0])
        size = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file()) / 2**20
    exact, slow = timed(queries, look)
    recall = np.mean([len(set(some) & set(every)) / K for some, every in zip(found, exact, strict=True)])
    print(f"{args.items:,} items of {args.width} numbers ({vectors.nbytes / 2**20:.0f} MiB), {QUERIES} queries")
    print(
        f"index: recall@{K} {recall:.3f}, built in {built:.0f} s ({args.items / built:,.0f} a second), first query {opened:.2f} s, {quick}"
    )
    print(f"       {memory() - before:.0f} MiB more memory, {size:.0f} MiB on disk")
    print(f"every item: {slow}")


if __name__ == "__main__":
    main()
