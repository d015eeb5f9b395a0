"""Reasons in the model's own words, from evidence that each sentence must cite; what is said beyond it is dropped later (``explain.verify``)."""

import json
from collections.abc import Sequence

from mllm_rec.explain import Claim, Evidence
from mllm_rec.explain.templates import clean, column_word
from mllm_rec.mllm.prompts import Prompt, harmless
from mllm_rec.mllm.providers.base import Conversation, Provider, ProviderError

#: Facts of one item that the model is told, characters of one sentence that it says, and tokens of an answer.
FACTS, LONGEST, MOST_TOKENS = 8, 140, 160


def question(prompt: Prompt, title: str, evidence: Sequence[Evidence]) -> Conversation:
    """What the model is asked about one item."""
    return prompt.say(title=title, evidence=" | ".join(fact(prompt, row) for row in evidence[:FACTS]))


def fact(prompt: Prompt, row: Evidence) -> str:
    """One piece of evidence in a line: "e1 attribute; color: red; shared with Nola lamp, which the person liked"."""
    value = row.value if isinstance(row.value, str) or row.value is None else f"{row.value:g}"
    said = column_word(row.field) + (f": {value}" if value is not None else "")
    return harmless("; ".join([f"{row.id} {row.kind}", said, prompt.phrase(row.kind, subject=clean(row.subject))]), 240)


def worded(
    provider: Provider, prompt: Prompt, titles: Sequence[str], evidence: Sequence[Sequence[Evidence]], seconds: float | None = None
) -> list[list[Claim]]:
    """What the model says of each item, not verified; nothing where there is no evidence or no answer that can be read.

    Args:
        titles, evidence: of each item.
        seconds: after which the model gives up.

    Raises:
        ProviderError: the model does not answer at all, or nothing that can be read.
    """
    told = [number for number, rows in enumerate(evidence) if rows]
    found: list[list[Claim]] = [[] for _ in evidence]
    provider.prepare("word")
    asked = [question(prompt, titles[number], evidence[number]) for number in told]
    answers = provider.generate(asked, prompt.schema, MOST_TOKENS, seconds=seconds) if asked else []
    said = [read(answer.text) if not answer.error else None for answer in answers]
    if said and all(one is None for one in said):
        raise ProviderError(next((answer.error for answer in answers if answer.error), "its answers have not the form asked for"))
    for number, one in zip(told, said, strict=True):
        found[number] = one or []
    return found


def read(text: str) -> list[Claim] | None:
    """The sentences of an answer; None where it doesn't have the form asked for."""
    try:
        said = json.loads(text)["sentences"]
        return [
            Claim(tuple(map(str, one["cites"])), clean(str(one["text"]), LONGEST))
            for one in said
            if one["cites"] and str(one["text"]).strip()
        ]
    except (ValueError, TypeError, KeyError):
        return None


def answer(claims: Sequence[Claim]) -> str:
    """Sentences in the form that is asked for; the opposite of ``read``."""
    return json.dumps({"sentences": [{"cites": list(claim.evidence_ids), "text": claim.text} for claim in claims]}, ensure_ascii=False)
