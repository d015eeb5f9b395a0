"""What the chat says: templates from a file, filled with facts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import yaml

from mllm_rec import resources
from mllm_rec.agent.state import Chip, DialogueState
from mllm_rec.data.domain import Domain
from mllm_rec.explain.templates import clean
from mllm_rec.retrieval.filters import In

#: Longest label of a chip in a sentence, in characters; most labels named in one.
LONGEST, MOST_LABELS = 60, 6


@dataclass(frozen=True, eq=False)
class Wording:
    """The chat's wording file, read."""

    said: Mapping[str, Any]

    def say(self, sentence: str, **parts: object) -> str:
        """A template filled in, its first letter a capital; values are arguments, so braces in them are plain text."""
        text = str(self.said[sentence]).format(**parts)
        return text[:1].upper() + text[1:]

    def number(self, count: int) -> str:
        """``count`` as people write it: a word up to twelve, then digits."""
        words = self.said["numbers"]
        return words[count] if count < len(words) else f"{count:,}"

    def listed(self, names: Sequence[str], last: str = "and") -> str:
        """``a, b and c``."""
        return self.said[last].join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)

    def signal(self, part: str) -> str:
        """What a part of the score is called."""
        return self.said["signals"].get(part, clean(part.replace("_", " ")).capitalize())


@cache
def wording(name: str = "chat/v1.yaml") -> Wording:
    """The wording in a file under ``prompts/``."""
    return Wording(yaml.safe_load(resources.path(name).read_text(encoding="utf-8")))


def short(label: str) -> str:
    """A chip's label without its column where the value speaks for itself: "lamp" for "category: lamp", "under 40" for a price."""
    before, colon, value = label.partition(": ")
    if colon and value in ("yes", "no"):
        label = before if value == "yes" else f"no {before}"
    elif colon and value and '"' not in before:
        label = value
    return clean(label.removeprefix("price "), LONGEST)


def noun(state: DialogueState, domain: Domain, words: Wording, count: int) -> tuple[str, Chip | None]:
    """What the listed things are called, and the chip that says so.

    The category's own name where one is asked for and the domain says its plural; else "items", and no chip.
    """
    for chip in state.chips:
        if (
            chip.kind == "filter"
            and isinstance(chip.expression, In)
            and chip.expression.column == "category"
            and len(chip.expression.values) == 1
        ):
            value = str(chip.expression.values[0])
            field = domain.fields.get("category")
            said = field.synonyms.get(value, ()) if field else ()
            plural = next((word for word in said if word in (f"{value}s", f"{value}es", f"{value[:-1]}ies")), "")
            if plural:
                return clean(value if count == 1 else plural), chip
    return words.said["item" if count == 1 else "items"], None


def filters_said(state: DialogueState, words: Wording, without: Chip | None = None) -> str:
    """The solid chips but one in a few words; empty where there are none."""
    labels = [short(chip.label) for chip in state.chips if chip.kind == "filter" and chip is not without]
    more = ["…"] if len(labels) > MOST_LABELS else []
    return ", ".join([*labels[:MOST_LABELS], *more])
