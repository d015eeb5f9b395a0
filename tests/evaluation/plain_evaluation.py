"""The whole evaluation once more, user by user in plain Python; shares no code with the package."""

import math

import pandas as pd
import torch

from mllm_rec.data.dataset import Dataset
from mllm_rec.data.interactions import Interactions
from mllm_rec.recommender import Recommender


class Fixed(Recommender):
    """Gives scores that stand in a table."""

    trained = False

    def __init__(self, data, scores):
        super().__init__(data)
        self.scores = torch.as_tensor(scores, dtype=torch.float32)

    def score(self, query):
        """The rows of the users."""
        return self.scores[query.users]


def pairs(*rows):
    return torch.tensor(rows, dtype=torch.int64).reshape(-1, 2).T


def system(scores, train=()):
    """A ``Fixed`` over users and items 0, 1, 2, ... with ``train`` as its (user, item) training part."""
    num_users, num_items = len(scores), len(scores[0])
    log = Interactions(pd.DataFrame([(f"u{user}", f"i{item}") for user, item in train], columns=["user_id", "item_id"]))
    data = Dataset([f"i{item}" for item in range(num_items)], [f"u{user}" for user in range(num_users)], log)
    return Fixed(data, scores)


def one_list(listed, wanted, k):
    """Accuracy of one user's list."""
    hits = [item in wanted for item in listed[:k]]
    dcg = sum(1 / math.log2(rank + 1) for rank, hit in enumerate(hits, 1) if hit)
    ideal = sum(1 / math.log2(rank + 1) for rank in range(1, min(k, len(wanted)) + 1))
    precisions = [sum(hits[:rank]) / rank for rank, hit in enumerate(hits, 1) if hit]
    first = [rank for rank, hit in enumerate(hits, 1) if hit]
    return {
        f"recall@{k}": sum(hits) / len(wanted),
        f"precision@{k}": sum(hits) / k,
        f"hr@{k}": float(any(hits)),
        f"mrr@{k}": 1 / first[0] if first else 0.0,
        f"map@{k}": sum(precisions) / min(k, len(wanted)),
        f"ndcg@{k}": dcg / ideal,
    }


def evaluated(scores, train, held_out, seen, ks):
    """Per user with held-out items a dict of metrics, the lists, and coverage."""
    num_items = len(scores[0])
    counts = [sum(item == other for _, item in train) for other in range(num_items)]
    known = len({user for user, _ in train})
    values, lists = {}, {}
    for user in sorted({user for user, _ in held_out}):
        wanted = {item for other, item in held_out if other == user}
        masked = {item for other, item in seen if other == user}
        left = [item for item in range(num_items) if item not in masked and scores[user][item] > -math.inf]
        listed = sorted(left, key=lambda item: (-scores[user][item], item))[: max(ks)]
        values[user], lists[user] = {}, listed
        for k in ks:
            shown = listed[:k]
            values[user] |= one_list(listed, wanted, k)
            fame = [math.log(1 + counts[item]) for item in shown]
            surprise = [math.log2((known + 1) / (counts[item] + 1)) for item in shown]
            chosen = [math.log(1 + counts[item]) for item in wanted]
            values[user][f"novelty@{k}"] = sum(surprise) / max(1, len(shown))
            values[user][f"popularity-bias@{k}"] = sum(fame) / max(1, len(shown)) - sum(chosen) / len(chosen)
    coverage = {f"coverage@{k}": len({item for listed in lists.values() for item in listed[:k]}) / num_items for k in ks}
    return values, lists, coverage
