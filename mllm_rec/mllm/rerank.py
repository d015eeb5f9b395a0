"""The model's opinion of a retriever's candidates, and how much of it to trust.

Every candidate is scored alone after the same words (see ``packed``), what the model says of it to anyone is taken off
(its prior), and the rest is added to the retriever's score with a weight that validation chose: exactly 0 unless the
interval of what it gains excludes 0.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mllm_rec.data.catalog import Catalog
from mllm_rec.mllm.prompts import Prompt, harmless
from mllm_rec.mllm.providers.base import Conversation, Provider

#: Weights that are tried, in standard deviations of the retriever's scores.
WEIGHTS = (0.1, 0.2, 0.35, 0.5, 1.0, 2.0)
#: Liked items that a profile names, the latest first; values it counts; characters of one item's text.
_PROFILE, _LEANING, _LONGEST = 12, 16, 160
_DRAWS = 2_000
#: A retriever's best, as many as the model sees.
CANDIDATES = 20


def item_text(catalog: Catalog, row: int) -> str:
    """An item in a line: its title and its named values."""
    values = [f"{name} {', '.join(said[:4])}" for name, said in catalog.named(row).items()]
    said = [str(catalog.table["title"].iat[row] or ""), *values]
    return harmless("; ".join(said), _LONGEST)


def counted(catalog: Catalog, liked: Sequence[int]) -> Counter[tuple[str, str]]:
    """How often liked items have each named value: (column, value) to count."""
    return Counter((name, value) for row in liked for name, values in catalog.named(row).items() for value in values)


def leaning(prompt: Prompt, counts: Counter[tuple[str, str]]) -> str:
    """The values that are liked most often, and how often: "color red 3; category lamp 2"."""
    return "; ".join(f"{_value(name, value)} {count}" for (name, value), count in counts.most_common(_LEANING)) or prompt.phrase("nothing")


def _value(name: str, value: str) -> str:
    return harmless(f"{name} {value}", 40)


def match_question(prompt: Prompt, catalog: Catalog, liked: Sequence[int]) -> Conversation:
    """What is asked of every candidate: of nobody in particular where nothing is liked."""
    latest = list(liked)[-_PROFILE:][::-1]
    profile = "; ".join(item_text(catalog, row) for row in latest) or prompt.phrase("nothing")
    said = {"profile": profile, "leaning": leaning(prompt, counted(catalog, liked))}
    return prompt.say(**{name: said[name] for name in prompt.inputs})


def match_item(prompt: Prompt, catalog: Catalog, row: int, counts: Counter[tuple[str, str]]) -> str:
    """A candidate with how often each of its values was liked, after which comes yes or no: "Item: Nola lamp; color red 3"."""
    own = [(name, value) for name, values in catalog.named(row).items() for value in values[:4]]
    said = [harmless(catalog.table["title"].iat[row] or "", 60), *(f"{_value(*pair)} {counts[pair]}" for pair in own)]
    return prompt.phrase("item", item="; ".join(said))


class Reranker:
    """Scores candidates for a profile; priors are kept.

    Args:
        provider: a model that scores.
        prompt: of the job "match".
        catalog: the items.
    """

    def __init__(self, provider: Provider, prompt: Prompt, catalog: Catalog):
        self.provider, self.prompt, self.catalog = provider, prompt, catalog
        self._prior: dict[int, float] = {}

    def key(self, liked: Sequence[int], rows: Sequence[int]) -> str:
        """Tells what ``odds`` depend on apart: the model, the prompt, and every word that is said of items and likes."""
        counts = counted(self.catalog, liked)
        items = [match_item(self.prompt, self.catalog, row, counts) for row in rows]
        said = [self.provider.key, self.prompt.key, match_question(self.prompt, self.catalog, liked), items]
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()

    def odds(self, liked: Sequence[int], rows: Sequence[int]) -> np.ndarray:
        """``(len(rows),)`` log odds that each item suits who liked ``liked``, beyond what it is said to suit anyone."""
        self.provider.prepare("match")
        new = [row for row in dict.fromkeys(rows) if row not in self._prior]
        if new:
            self._prior.update(zip(new, self._score((), new).tolist(), strict=True))
        return self._score(liked, rows) - np.array([self._prior[row] for row in rows])

    def _score(self, liked: Sequence[int], rows: Sequence[int]) -> np.ndarray:
        counts = counted(self.catalog, liked)
        items = [match_item(self.prompt, self.catalog, row, counts) for row in rows]
        return self.provider.score(match_question(self.prompt, self.catalog, liked), items)


def fused(retriever: np.ndarray, odds: np.ndarray, weight: float) -> np.ndarray:
    """``(candidates,)``: the retriever's scores in standard deviations, plus ``weight`` times the model's; 0 changes no order."""
    return standard(retriever) + weight * standard(odds) if weight else np.asarray(retriever, dtype=float)


def standard(scores: np.ndarray) -> np.ndarray:
    """Mean 0 and standard deviation 1; zeros where all are the same."""
    deviation = float(np.std(scores))
    return (np.asarray(scores, dtype=float) - np.mean(scores)) / (deviation if deviation > 1e-12 else 1.0)


@dataclass(frozen=True)
class Case:
    """One user's candidates: the retriever's scores, the model's odds, and which are relevant; ``relevant`` in all."""

    scores: np.ndarray
    odds: np.ndarray
    hits: np.ndarray
    relevant: int


def tuned(cases: Sequence[Case], k: int = 10) -> dict[str, Any]:
    """The weight, and NDCG@k of retriever, model only, fused and oracle over the cases.

    The best weight is kept only if the 95 % bootstrap interval of its mean gain over the retriever lies above 0.
    """
    alone = np.array([_ndcg(case.scores, case, k) for case in cases])
    tried = {weight: np.array([_ndcg(fused(case.scores, case.odds, weight), case, k) for case in cases]) for weight in WEIGHTS}
    best = max(tried, key=lambda weight: float(tried[weight].mean())) if cases else 0.0
    gain = tried[best] - alone if cases else np.zeros(1)
    draws = np.random.default_rng(0).integers(len(gain), size=(_DRAWS, len(gain)))
    low, high = np.quantile(gain[draws].mean(axis=1), [0.025, 0.975])
    weight = best if low > 0 else 0.0
    rows: Mapping[str, np.ndarray] = {
        "retriever": alone,
        "model only": np.array([_ndcg(case.odds, case, k) for case in cases]),
        "fused": tried[best] if weight else alone,
        "oracle": np.array([_ndcg(case.hits.astype(float), case, k) for case in cases]),
    }
    table = {name: round(float(values.mean()), 4) if len(values) else 0.0 for name, values in rows.items()}
    return {
        "weight": weight,
        "best weight": best,
        "gain": [round(float(low), 4), round(float(high), 4)],
        "users": len(cases),
        f"ndcg@{k}": table,
    }


def _ndcg(scores: np.ndarray, case: Case, k: int) -> float:
    order = np.argsort(-scores, kind="stable")[:k]
    discounts = 1 / np.log2(np.arange(2, k + 2))
    ideal = discounts[: min(k, case.relevant)].sum()
    return float((case.hits[order] * discounts[: len(order)]).sum() / ideal) if ideal else 0.0
