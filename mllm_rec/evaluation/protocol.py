"""Full ranking: every item is scored for every user who has something to be found, what was seen is masked.

For the test part, training *and* validation items are masked (pass both as ``seen``). Users without held-out items are
left out and counted. A warm user has training rows, a cold user none; a cold item has none. The **main table** holds all
users who have held-out items, as published tables do; under a global-time split, where users without any past appear,
it holds the warm ones. Warm users keep cold items among what is to be found: a system that cannot reach them pays.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from mllm_rec.data.dataset import gather_rows
from mllm_rec.data.sparse import row_starts
from mllm_rec.errors import InputError
from mllm_rec.evaluation import metrics
from mllm_rec.evaluation.table import Table
from mllm_rec.recommender import Query, Recommender

#: Scores held at a time; bounds memory, and fits the cache.
BLOCK = 2**21
#: Training pairs of ``training_sample``.
SAMPLED = 500


def evaluate(system: Recommender, held_out: Tensor, seen: Tensor, ks: Sequence[int] = (10, 20), batch_size: int | None = None) -> Table:
    """Metrics of a system by full ranking.

    Args:
        system: scores ``Query(users=...)``.
        held_out: ``(2, n)`` int64 (user, item) positions to be found.
        seen: ``(2, m)`` int64 pairs that are masked; may be empty.
        ks: list lengths.
        batch_size: users scored at a time; None: as many as give about 2 million scores.

    Raises:
        InputError: nothing is held out, a position is out of range, a held-out pair is also seen, a score is NaN.
    """
    pairs, masked = _pairs(system, held_out, seen, ks)
    users = torch.unique(pairs[0])
    return _measure(system, users, _rank(system, users, masked, max(ks), batch_size), pairs, ks)


def breakdown(
    system: Recommender, held_out: Tensor, seen: Tensor, ks: Sequence[int] = (10, 20), batch_size: int | None = None
) -> dict[str, Table]:
    """Tables for all, warm and cold users and for cold items, from one ranking; arguments and errors as in ``evaluate``.

    Returns:
        "all", and of "warm", "cold-user" and "cold-item" those that have anyone in them. In "cold-item" only held-out
        items without training rows are to be found, ranked among all items; it holds warm and cold users.
    """
    pairs, masked = _pairs(system, held_out, seen, ks)
    users = torch.unique(pairs[0])
    lists = _rank(system, users, masked, max(ks), batch_size)
    tables = {"all": _measure(system, users, lists, pairs, ks)}
    warm = (system.data.user_counts.cpu()[users] > 0).numpy()
    for name, mask in (("warm", warm), ("cold-user", ~warm)):
        if mask.any():
            tables[name] = tables["all"].only(mask)
    cold = pairs[:, system.data.item_counts.cpu()[pairs[1]] == 0]
    if cold.shape[1]:
        concerned = torch.unique(cold[0])
        tables["cold-item"] = _measure(system, concerned, lists[torch.searchsorted(users, concerned)], cold, ks)
    return tables


def by_popularity(system: Recommender, held_out: Tensor, table: Table) -> dict[str, float]:
    """Recall of the held-out pairs by how popular their items were in training.

    Items are ordered by how many training interactions they have, the most popular first. Where an item's begin in the first third of
    all these interactions it belongs to the "head", in the second to the "middle", in the last to the "tail"; "unseen" have none.

    Args:
        system: whose data set says how popular items are.
        held_out: ``(2, n)`` the pairs that were to be found.
        table: of ``evaluate`` on them.

    Returns:
        By group the share of its pairs that are in their user's list; groups without a pair are left out.
    """
    counts = system.data.item_counts.cpu()
    order = counts.argsort(descending=True, stable=True)
    before = torch.zeros(len(counts), dtype=torch.float64).index_copy_(0, order, counts[order].cumsum(0) - counts[order].double())
    group = torch.where(counts == 0, 3, (before * 3 / max(1, int(counts.sum()))).long().clamp(max=2))
    lists = torch.from_numpy(table.lists[0].astype(np.int64))
    owner = torch.searchsorted(torch.from_numpy(table.users), held_out[0].contiguous())
    found = (lists[owner] == held_out[1][:, None]).any(1)
    names, of_pair = ("head", "middle", "tail", "unseen"), group[held_out[1]]
    return {name: float(found[of_pair == place].double().mean()) for place, name in enumerate(names) if (of_pair == place).any()}


def main_table(tables: dict[str, Table], how: str) -> Table:
    """Which of ``breakdown``'s tables stands for the system under a split: warm users for global-time, else all.

    Raises:
        InputError: a global-time split without a single warm user.
    """
    if how != "global-time":
        return tables["all"]
    if "warm" not in tables:
        raise InputError("no user of the held-out part has training interactions; choose another split, for example user-time")
    return tables["warm"]


def validator(held_out: Tensor, seen: Tensor, metric: str = "ndcg@20") -> Callable[[Recommender], float]:
    """A function from a system to one number, higher is better, for ``fit(validate=...)``.

    Raises:
        InputError: no such metric.
    """
    _, k = metrics.parse(metric)
    return lambda system: evaluate(system, held_out, seen, ks=(k,)).mean(metric)


def training_sample(edges: Tensor) -> tuple[Tensor, Tensor]:
    """Some training pairs, one of a user, and all others: ranked as if the former had been held out, the same each time.

    Their value beside that of the validation shows how far training has run ahead of what it can tell of other pairs.

    Args:
        edges: ``(2, n)`` the training pairs.

    Returns:
        ``(2, at most SAMPLED)`` and ``(2, the others)``, for ``validator``.
    """
    order = torch.randperm(edges.shape[1], generator=torch.Generator().manual_seed(0))
    _, place = np.unique(edges[0, order].numpy(), return_index=True)
    chosen = order[torch.from_numpy(np.sort(place)[:SAMPLED])]
    rest = torch.ones(edges.shape[1], dtype=torch.bool)
    rest[chosen] = False
    return edges[:, chosen], edges[:, rest]


def _pairs(system: Recommender, held_out: Tensor, seen: Tensor, ks: Sequence[int]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Held-out pairs ``(2, n)``, sorted and once each; the mask as CSR: starts ``(num_users + 1,)`` and items."""
    if not ks or min(ks) < 1:
        raise InputError(f"list lengths are {tuple(ks)}; give one or more numbers of at least 1")
    num_users, num_items = system.data.shape
    keys = []
    for name, pairs in (("held-out", held_out), ("seen", seen)):
        if pairs.ndim != 2 or pairs.shape[0] != 2 or pairs.is_floating_point():
            raise InputError(f"{name} pairs are {pairs.dtype} of shape {tuple(pairs.shape)}; wanted int64 positions (2, n): users, items")
        pairs = pairs.cpu().long()
        for kind, positions, size in (("user", pairs[0], num_users), ("item", pairs[1], num_items)):
            if (wrong := positions[(positions < 0) | (positions >= size)]).numel():
                raise InputError(f"{name} pairs name {kind} {int(wrong[0])} but the data set has {size}; wanted positions 0 to {size - 1}")
        keys.append(torch.unique(pairs[0] * num_items + pairs[1]))
    wanted, masked = keys
    if not len(wanted):
        raise InputError("no interaction is held out, so there is nothing to evaluate; choose another split or give more interactions")
    if both := int(_contains(masked, wanted).sum()):
        raise InputError(f"{both} held-out pairs are also masked as seen and could never be found; the parts must not overlap")
    mask = row_starts(masked // num_items, num_users), masked % num_items
    return torch.stack([wanted // num_items, wanted % num_items]), mask


@torch.no_grad()
def _rank(system: Recommender, users: Tensor, masked: tuple[Tensor, Tensor], k: int, batch_size: int | None) -> Tensor:
    """``(num_users, min(k, num_items))`` int32 lists of the best items, those masked left out."""
    starts, items = masked
    num_items = system.data.num_items
    training = system.training
    system.train(False) if training else None
    try:
        blocks = []
        for block in users.split(batch_size or max(1, BLOCK // num_items)):
            scores = system.score(Query(users=block))
            if scores.shape != (len(block), num_items):
                raise InputError(
                    f"{type(system).__name__} scored {tuple(scores.shape)}; wanted {(len(block), num_items)}: users, all items"
                )
            rows, where = gather_rows(starts, block)
            hidden = (rows.to(scores.device), items[where].to(scores.device))
            # Not in place: a system may give a view of its own state.
            scores = scores.index_put(hidden, scores.new_tensor(-torch.inf))
            blocks.append(metrics.top_items(scores, k).to("cpu", torch.int32))
        return torch.cat(blocks)
    finally:
        system.train(True) if training else None


def _measure(system: Recommender, users: Tensor, lists: Tensor, pairs: Tensor, ks: Sequence[int]) -> Table:
    """The table of ``users`` (ascending), their ``lists``, and the sorted ``pairs`` that are to be found."""
    num_users, num_items = system.data.shape
    keys = pairs[0] * num_items + pairs[1]
    counts = system.data.item_counts.cpu()
    surprise = metrics.self_information(counts, int((system.data.user_counts > 0).sum()))
    fame = torch.log1p(counts.double())
    owner = torch.searchsorted(users, pairs[0])
    relevant = torch.bincount(owner, minlength=len(users))
    chosen_fame = torch.bincount(owner, weights=fame[pairs[1]], minlength=len(users)) / relevant

    parts: dict[str, list[Tensor]] = {f"{name}@{k}": [] for name in metrics.NAMES if name != "coverage" for k in ks}
    for rows in torch.arange(len(users)).split(max(1, BLOCK // lists.shape[1])):
        block = lists[rows].long()
        hits = _contains(keys, users[rows, None] * num_items + block) & (block >= 0)
        for k in ks:
            for name, metric in metrics.ACCURACY.items():
                parts[f"{name}@{k}"].append(metric(hits, relevant[rows], k))
            parts[f"novelty@{k}"].append(metrics.list_mean(surprise, block[:, :k]))
            parts[f"popularity-bias@{k}"].append(metrics.list_mean(fame, block[:, :k]) - chosen_fame[rows])
    values = {name: torch.cat(blocks).numpy() for name, blocks in parts.items()}
    return Table(users.numpy(), values, lists.numpy()[np.newaxis], num_items, tuple(ks), left_out=num_users - len(users))


def _contains(keys: Tensor, wanted: Tensor) -> Tensor:
    """Which of ``wanted`` are among the ascending ``keys``, in the shape of ``wanted``."""
    if not len(keys):
        return torch.zeros_like(wanted, dtype=torch.bool)
    return keys[torch.searchsorted(keys, wanted).clamp(max=len(keys) - 1)] == wanted
