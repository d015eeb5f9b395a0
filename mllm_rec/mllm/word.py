"""Reasons in the model's own words, from evidence that each sentence must cite; what is said beyond it is dropped later (``explain.verify``)."""

import json
from collections.abc import Sequence
from typing import Any

from mllm_rec.explain import Claim, Evidence
from mllm_rec.explain.templates import clean, column_word
from mllm_rec.mllm.prompts import Prompt, harmless
from mllm_rec.mllm.providers.base import Conversation, Provider

#: Facts of one item that the model is told, sentences it may say, characters of one, and tokens of an answer.
FACTS, SENTENCES, LONGEST, MOST_TOKENS = 8, 2, 140, 160
#: What an answer looks like; the same for every item, so that all of a list are asked at once.
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "sentences": {
            "type": "array",
            "maxItems": SENTENCES,
            "items": {
                "type": "object",
                "properties": {
                    "cites": {"type": "array", "minItems": 1, "maxItems": 2, "items": {"enum": [f"e{n}" for n in range(1, FACTS + 1)]}},
                    "text": {"type": "string", "maxLength": LONGEST},
                },
                "required": ["cites", "text"],
                "additionalProperties": False,
            },
        }
    },
    "required": ["sentences"],
    "additionalProperties": False,
}
_TIES = {
    "attribute": "shared with {subject}, which the person liked",
    "neighbor": "so many people who liked {subject} liked it too",
    "similar": "close to {subject}, which the person liked",
    "shared": "shared with {subject}, which the person pointed at",
    "close": "close to {subject}, which the person pointed at",
    "contribution": "percent of the case for it",
    "popular": "so many people liked it",
    "cold": "nobody has liked it yet",
    "constraint": "asked for, and met",
    "wish": "wished for, and met",
    "seen": "asked for, and seen in its picture",
    "unknown": "asked for, and not known of it",
    "difference": "more than {subject}; less where negative",
    "value": "of the item",
    "reference": "of {subject}, for comparison",
}


def question(prompt: Prompt, title: str, evidence: Sequence[Evidence]) -> Conversation:
    """What the model is asked about one item."""
    return prompt.say(title=title, evidence=" | ".join(map(fact, evidence[:FACTS])))


def fact(row: Evidence) -> str:
    """One piece of evidence in a line: "e1 attribute; color: red; shared with Nola lamp, which the person liked"."""
    value = row.value if isinstance(row.value, str) or row.value is None else f"{row.value:g}"
    said = column_word(row.field) + (f": {value}" if value is not None else "")
    return harmless("; ".join([f"{row.id} {row.kind}", said, _TIES[row.kind].format(subject=clean(row.subject))]), 240)


def worded(
    provider: Provider, prompt: Prompt, titles: Sequence[str], evidence: Sequence[Sequence[Evidence]], seconds: float | None = None
) -> list[list[Claim]]:
    """What the model says of each item, not verified; nothing where there is no evidence or no answer.

    Args:
        titles, evidence: of each item.
        seconds: after which the model gives up.

    Raises:
        ProviderError: the model does not answer at all.
    """
    told = [number for number, rows in enumerate(evidence) if rows]
    found: list[list[Claim]] = [[] for _ in evidence]
    provider.prepare("word")
    asked = [question(prompt, titles[number], evidence[number]) for number in told]
    for number, answer in zip(told, provider.generate(asked, SCHEMA, MOST_TOKENS, seconds=seconds) if asked else [], strict=True):
        found[number] = read(answer.text) if not answer.error else []
    return found


def read(text: str) -> list[Claim]:
    """The sentences of an answer; none where it doesn't have the form asked for."""
    try:
        said = json.loads(text)["sentences"]
        return [
            Claim(tuple(map(str, one["cites"])), clean(str(one["text"]), LONGEST))
            for one in said[:SENTENCES]
            if one["cites"] and str(one["text"]).strip()
        ]
    except (ValueError, TypeError, KeyError):
        return []


def answer(claims: Sequence[Claim]) -> str:
    """Sentences in the form that is asked for; the opposite of ``read``."""
    return json.dumps({"sentences": [{"cites": list(claim.evidence_ids), "text": claim.text} for claim in claims]}, ensure_ascii=False)
