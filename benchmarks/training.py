"""Training: an epoch of our LightGCN through ``fit`` against a plain PyTorch implementation, in one run.

The plain one is what most published code does: the normalized graph as a ``torch.sparse`` COO matrix, a product per
layer with autograd through it, vectors of a batch taken by index, negatives drawn one by one in a Python loop until one
is not in the user's history, Adam over the tables. Same data, widths (64), layers (3), batches (2,048), penalty and step
size; the losses of the last epoch are checked to agree. The second plain line draws its negatives as ours does, so that
the graph product alone is compared.

    python benchmarks/training.py
    MLLM_REC_DATA=data python benchmarks/training.py      # also TikTok, if data/tiktok-va is there
"""

import random
import time

import torch
from torch.nn.functional import logsigmoid
from workload import Workload, workloads

from mllm_rec import SYSTEMS, FitSettings, create, fit
from mllm_rec.optimization.sampling import Negatives

EPOCHS, BATCH, LR, DECAY, LAYERS = 4, 2048, 1e-3, 1e-4, 3


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


def measure(work: Workload) -> None:
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


if __name__ == "__main__":
    torch.manual_seed(0)
    random.seed(0)
    for one in workloads():
        measure(one)
