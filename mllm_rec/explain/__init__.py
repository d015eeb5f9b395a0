"""Reasons for recommended items: evidence computed in code, worded by templates, verified."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from mllm_rec.data.catalog import Catalog
from mllm_rec.explain.claims import CARD, Claim, claims
from mllm_rec.explain.evidence import Evidence, Facts, Met, Request, met
from mllm_rec.explain.templates import Wording, wording
from mllm_rec.explain.verify import Vocabulary, verify

__all__ = ["Claim", "Evidence", "Explainer", "Explanation", "Met", "Request", "Vocabulary", "met", "verify"]


@dataclass(frozen=True)
class Explanation:
    """Why one item stands in a list.

    Attributes:
        item: its position.
        item_id: its id.
        text: at most two sentences, for the card; empty where nothing is known.
        claims: every sentence, in order of importance, for behind the "why".
        evidence: what they cite, the weightiest first.
    """

    item: int
    item_id: str
    text: str
    claims: tuple[Claim, ...]
    evidence: tuple[Evidence, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        said = [{"text": claim.text, "evidence": list(claim.evidence_ids)} for claim in self.claims]
        return {"item_id": self.item_id, "text": self.text, "claims": said, "evidence": [asdict(row) for row in self.evidence]}


class Explainer:
    """Explains recommended items; its tables are built once.

    Args:
        catalog: the items.
        data: ``Dataset`` of the whole log, items in catalog order.
        words: the wording; None: the package's.
    """

    def __init__(self, catalog: Catalog, data: Any, words: Wording | None = None):
        self.words = words or wording()
        self.catalog = catalog
        self.facts = Facts(catalog, data, self.words)

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """Every title and value of the catalog."""
        return Vocabulary.of(self.catalog, self.facts.attributes.values)

    def history(self, user: int) -> np.ndarray:
        """Item positions that a user of the log likes."""
        return self.facts.history(user)

    def explain(self, items: Sequence[int], request: Request = Request()) -> list[Explanation]:
        """One explanation for each item position, in order; every sentence in it is verified."""
        spread = dict(zip(self.facts.attributes.columns, self.facts.attributes.spread.tolist(), strict=True))
        return [
            self._explanation(int(item), evidence, spread)
            for item, evidence in zip(items, self.facts.evidence(items, request), strict=True)
        ]

    def reworded(self, explanation: Explanation, said: Sequence[Claim]) -> Explanation:
        """An explanation with other sentences in front, those of them that the evidence supports; what is unknown stays on the card."""
        kept = verify(said, explanation.evidence, self.vocabulary, self.words)
        if not kept:
            return explanation
        cited = {name for claim in kept for name in claim.evidence_ids}
        unknown = {row.id for row in explanation.evidence if row.kind == "unknown"}
        rest = [claim for claim in explanation.claims if not cited.intersection(claim.evidence_ids)]
        warned = [claim for claim in rest if unknown.intersection(claim.evidence_ids)]
        told = [*kept[:1], *warned, *kept[1:], *(claim for claim in rest if claim not in warned)]
        return replace(explanation, text=" ".join(claim.text for claim in told[:CARD]), claims=tuple(told))

    def _explanation(self, item: int, evidence: list[Evidence], spread: dict[str, int]) -> Explanation:
        said = verify(claims(evidence, self.catalog, self.words, spread), evidence, self.vocabulary, self.words)
        text = " ".join(claim.text for claim in said[:CARD])
        return Explanation(item, str(self.catalog.item_ids[item]), text, tuple(said), tuple(evidence))
