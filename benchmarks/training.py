"""Training: what an epoch of our systems costs, in one run against MMRec, against plain PyTorch, or on a GPU.

    python benchmarks/training.py                                    # LightGCN against plain PyTorch
    MLLM_REC_DATA=data python benchmarks/training.py --mmrec MMRec   # all that both have, on TikTok, against a checkout of MMRec
    MLLM_REC_DATA=data python benchmarks/training.py --profile --systems vbpr,lightgcn    # where an epoch's time goes
    MLLM_REC_DATA=data python benchmarks/training.py --device cuda   # a step of each system: float32, bfloat16, compiled

*Against MMRec* each side runs each system by its own defaults (batches of 2,048 triples, vectors of 64 numbers), in a process of its own with one
thread: processor seconds of an epoch's training, the mean over ``--epochs``, and of what it is followed by (ours: validation; MMRec: validation and
test), and the most memory that the process held. Its code is read from the folder and nothing of it is kept; ``docs/performance.md`` says how to make it
run. *Plain PyTorch* is what most published code does: the normalized graph as a ``torch.sparse`` COO matrix, autograd through a product per layer, negatives drawn one by one in a Python loop,
Adam over the tables; the losses of the last epoch are checked to agree. *On a GPU* a step is loss, gradient and Adam on one batch of TikTok.
"""

import argparse
import random
import signal
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from mmrec import MMRec, opened, require, write_tiktok
from torch.nn.functional import logsigmoid
from workload import Workload, alone, batches_of, step_of, workloads

from mllm_rec import SYSTEMS, FitSettings, create, fit, validator
from mllm_rec.errors import InputError
from mllm_rec.optimization.memory import peak_memory
from mllm_rec.optimization.sampling import Negatives
from mllm_rec.pipeline.results import Bench

#: Processor seconds an epoch after which MMRec's is given up.
LIMIT = 150
EPOCHS, BATCH, LR, DECAY, LAYERS = 4, 2048, 1e-3, 1e-4, 3
#: What MMRec calls the systems that both have.
BOTH = {
    "bpr": "BPR",
    "vbpr": "VBPR",
    "lightgcn": "LightGCN",
    "freedom": "FREEDOM",
    "bm3": "BM3",
    "mgcn": "MGCN",
    "mmgcn": "MMGCN",
    "grcn": "GRCN",
    "dualgnn": "DualGNN",
    "mvgae": "MVGAE",
    "lattice": "LATTICE",
}


def ours(name: str, epochs: int) -> dict[str, float]:
    """Processor seconds of an epoch and of a validation, and peak memory."""
    bench = Bench.load("tiktok-va")
    fit(create(SYSTEMS["bpr"], bench.data), bench.data, settings=FitSettings(epochs=1))  # what is imported on first use
    system = create(SYSTEMS[name], bench.data)
    start = time.process_time()
    fit(system, bench.data, settings=FitSettings(epochs=epochs))
    training = (time.process_time() - start) / epochs
    validate = validator(bench.validation, bench.data.edges)
    start = time.process_time()
    with torch.no_grad():
        system.train().eval()
        validate(system)
    return {"training": training, "evaluation": time.process_time() - start, "peak": peak_memory(torch.device("cpu"))}


def theirs(checkout: Path, data: Path, name: str, epochs: int) -> dict[str, float]:
    """The same of MMRec; no figures where an epoch takes more than ``LIMIT``."""
    they = opened(checkout, data, name)
    signal.signal(signal.SIGPROF, _too_long)
    start = time.process_time()
    try:
        _epochs_of_mmrec(they, name, epochs)
    except TimeoutError:
        return {}
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    training = (time.process_time() - start) / epochs
    start = time.process_time()
    for part in they.held_out:
        they.trainer._valid_epoch(part)
    return {"training": training, "evaluation": time.process_time() - start, "peak": peak_memory(torch.device("cpu"))}


def _too_long(*_: object) -> None:
    raise TimeoutError


def _epochs_of_mmrec(they: MMRec, name: str, epochs: int) -> None:
    for epoch in range(epochs):
        signal.setitimer(signal.ITIMER_PROF, LIMIT)
        they.model.pre_epoch_processing()
        _, losses = they.trainer._train_epoch(they.train_data, epoch)
        if not isinstance(losses, list):
            raise InputError(f"MMRec's {name} broke its epoch off: its loss was no number")
        they.model.post_epoch_processing()


def against_mmrec(checkout: Path, names: list[str], epochs: int) -> None:
    """A line for each system, ratios of theirs to ours, and the geometric means of those that theirs got through."""
    require(checkout)
    print("| system | ours: training + evaluation | MMRec | an epoch | its training | memory, MiB |\n|---|---|---|---|---|---|", flush=True)
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        write_tiktok(Path(folder))
        for name in names:
            one, other = alone(ours, name, epochs), alone(theirs, checkout.resolve(), Path(folder), BOTH[name], epochs)
            ours_cell = f"{one['training']:.2f} + {one['evaluation']:.2f} s"
            if not other:
                least = LIMIT / one["training"]
                print(f"| {name} | {ours_cell} | no epoch in {LIMIT} s | | > {least:.0f} x | {one['peak'] / 2**20:.0f} |", flush=True)
                continue
            whole = (other["training"] + other["evaluation"]) / (one["training"] + one["evaluation"])
            part = other["training"] / one["training"]
            ratios.append((whole, part))
            their_cell = f"{other['training']:.2f} + {other['evaluation']:.2f} s"
            memory = " / ".join(f"{side['peak'] / 2**20:.0f}" for side in (one, other))
            print(f"| {name} | {ours_cell} | {their_cell} | {whole:.1f} x | {part:.1f} x | {memory} |", flush=True)
    means = np.exp(np.log(ratios).mean(0))
    print(f"| geometric mean | | | {means[0]:.1f} x | {means[1]:.1f} x | |")


def profiled(names: list[str]) -> None:
    """A line for each of the operations that take most of an epoch, by processor time of their own."""
    bench = Bench.load("tiktok-va")
    torch.set_num_threads(1)
    for name in names:
        system = create(SYSTEMS[name], bench.data)
        fit(system, bench.data, settings=FitSettings(epochs=1))
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
            fit(system, bench.data, settings=FitSettings(epochs=1))
        operations = [one for one in profile.key_averages() if one.self_cpu_time_total]
        whole = sum(one.self_cpu_time_total for one in operations)
        most = sorted(operations, key=lambda one: -one.self_cpu_time_total)[:6]
        print(f"| {name} | {', '.join(f'{one.key} {one.self_cpu_time_total / whole:.0%}' for one in most)} |", flush=True)


def milliseconds(step: Callable[[], None], repeats: int = 20) -> float:
    """Of a step, after three to warm up."""
    for _ in range(3):
        step()
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(repeats):
        step()
    torch.cuda.synchronize()
    return (time.perf_counter() - start) / repeats * 1e3


def on_a_gpu(names: list[str]) -> None:
    """A line for each system: its epoch through ``fit``, and a step in float32, in bfloat16, and compiled."""
    bench = Bench.load("tiktok-va")
    print(f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}\n")
    print("| system | an epoch | a step | bfloat16 | compiled | memory, MiB |\n|---|---|---|---|---|---|", flush=True)
    for name in names:
        torch.cuda.reset_peak_memory_stats()
        try:
            run = fit(create(SYSTEMS[name], bench.data), bench.data, settings=FitSettings(epochs=3))
        except Exception as error:
            print(f"| {name} | failed: {type(error).__name__}: {str(error)[:120]} | | | | |", flush=True)
            continue
        epoch = min(line["seconds"] for line in run.history if line["epoch"] > 0)
        memory = torch.cuda.max_memory_allocated() / 2**20
        cells = []
        for lower, compiled in ((False, False), (True, False), (False, True)):
            system = create(SYSTEMS[name], bench.data).to("cuda")
            batch = next(batches_of(system, bench.data, BATCH)).to(torch.device("cuda"))
            if compiled:
                system.loss = torch.compile(system.loss)
            try:
                cells.append(f"{milliseconds(partial(step_of(system, lower), batch)):.1f} ms")
            except Exception as error:
                cells.append(f"- ({type(error).__name__})")
        print(f"| {name} | {epoch:.2f} s | {' | '.join(cells)} | {memory:.0f} |", flush=True)


def coo_graph(edges: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
    """``D^-1/2 A D^-1/2`` as a COO matrix."""
    users, items = edges[0], edges[1] + shape[0]
    places = torch.stack([torch.cat([users, items]), torch.cat([items, users])])
    degree = torch.bincount(places[0], minlength=sum(shape)).float()
    values = degree[places[0]].rsqrt() * degree[places[1]].rsqrt()
    return torch.sparse_coo_tensor(places, values, (sum(shape), sum(shape)), check_invariants=False).coalesce()


def looped_negatives(users: torch.Tensor, history: list[set[int]], num_items: int) -> torch.Tensor:
    """Tries items until one is new to the user."""
    drawn = []
    for user in users.tolist():
        item = random.randrange(num_items)
        while item in history[user]:
            item = random.randrange(num_items)
        drawn.append(item)
    return torch.tensor(drawn)


def plain(work: Workload, in_a_loop: bool) -> tuple[float, float]:
    """Seconds of the fastest epoch, and the last epoch's mean ranking loss."""
    data, (num_users, num_items) = work.data, work.data.shape
    system = create(SYSTEMS["lightgcn"], data)  # for the same initial tables
    users, items = (torch.nn.Parameter(table.detach().clone()) for table in (system.users, system.items))
    graph, optimizer = coo_graph(data.edges, data.shape), torch.optim.Adam([users, items], lr=LR)
    history: list[set[int]] = [set() for _ in range(num_users)]
    for user, item in data.edges.T.tolist():
        history[user].add(item)
    negatives, generator = Negatives(data.edges, data.shape), torch.Generator().manual_seed(0)
    took, loss = [], 0.0
    for _ in range(EPOCHS):
        start, total, steps = time.perf_counter(), 0.0, 0
        for chosen in torch.randperm(data.edges.shape[1]).split(BATCH):
            user, positive = data.edges[:, chosen]
            negative = looped_negatives(user, history, num_items) if in_a_loop else negatives.draw(user, generator)
            hops = [torch.cat([users, items])]
            for _ in range(LAYERS):
                hops.append(torch.sparse.mm(graph, hops[-1]))
            final_users, final_items = torch.stack(hops).mean(0).split([num_users, num_items])
            lead = (final_users[user] * (final_items[positive] - final_items[negative])).sum(1)
            ranking = -logsigmoid(lead).mean()
            penalty = sum(rows.pow(2).sum() for rows in (users[user], items[positive], items[negative])) / 2 / len(user)
            optimizer.zero_grad()
            (ranking + DECAY * penalty).backward()
            optimizer.step()
            total, steps = total + ranking.item(), steps + 1
        took.append(time.perf_counter() - start)
        loss = total / steps
    return min(took), loss


def against_plain(work: Workload) -> None:
    """One line per way, with its time over ours."""
    settings = FitSettings(epochs=EPOCHS, batch_size=BATCH, lr=LR)
    run = fit(create(SYSTEMS["lightgcn"], work.data), work.data, settings=settings)
    ours, loss = min(line["seconds"] for line in run.history), run.history[-1]["loss"]["bpr"]
    print(f"{work.name}: {work.data.edges.shape[1]:,} interactions of {work.data.num_users:,} users with {work.data.num_items:,} items")
    print(f"  {'mllm_rec.fit':<34}{ours:7.2f} s per epoch            loss {loss:.4f}")
    for name, in_a_loop in (("plain PyTorch, negatives as ours", False), ("plain PyTorch", True)):
        took, theirs = plain(work, in_a_loop)
        assert abs(theirs - loss) < 0.005, f"{name} ends at a loss of {theirs}, ours at {loss}"
        print(f"  {name:<34}{took:7.2f} s per epoch   {took / ours:4.1f} x   loss {theirs:.4f}")


def main() -> None:
    """What was asked for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--mmrec", type=Path, metavar="FOLDER", help="a checkout of MMRec")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--profile", action="store_true", help="the operations that an epoch consists of")
    parser.add_argument("--systems", help="default: all that both have; on a GPU all that are trained")
    parser.add_argument("--epochs", type=int, default=3)
    args = parser.parse_args()
    if args.device == "cuda":
        on_a_gpu(args.systems.split(",") if args.systems else [name for name, kind in SYSTEMS.items() if kind.trained])
    elif args.profile:
        profiled(args.systems.split(",") if args.systems else list(BOTH))
    elif args.mmrec:
        against_mmrec(args.mmrec, args.systems.split(",") if args.systems else list(BOTH), args.epochs)
    else:
        print("No checkout of MMRec is named (--mmrec FOLDER): against plain PyTorch.\n")
        torch.manual_seed(0)
        random.seed(0)
        for one in workloads():
            against_plain(one)


if __name__ == "__main__":
    main()
