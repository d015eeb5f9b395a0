"""Words for reasons: templates from a file, and text from users made fit to stand in a sentence."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import yaml

from mllm_rec import resources

#: Longest title or value in a sentence, in characters.
LONGEST = 48


@dataclass(frozen=True, eq=False)
class Wording:
    """A wording file, read: how claims are said, and which words a checked sentence may use."""

    sentences: Mapping[str, str]
    conjunction: str
    list_before: str
    channels: Mapping[str, str]
    feature: str
    plain: frozenset[str]
    pronouns: frozenset[str]
    yours: frozenset[str]
    kinds: Mapping[str, frozenset[str]]
    features: Mapping[str, frozenset[str]]
    less: frozenset[str]
    more: frozenset[str]
    numbers: Mapping[str, float]
    not_counted: frozenset[str]

    @cached_property
    def template_words(self) -> frozenset[str]:
        """Words that stand in the templates themselves."""
        return frozenset(re.findall(r"[a-z]+", " ".join(re.sub(r"\{\w+\}", " ", text) for text in self.sentences.values()).lower()))

    def say(self, sentence: str, **parts: str) -> str:
        """A template filled in; its first letter is a capital. Values are arguments, so braces in them are plain text."""
        text = self.sentences[sentence].format(**parts)
        return text[:1].upper() + text[1:]

    def listed(self, names: Sequence[str]) -> str:
        """``a, b and c``."""
        return self.conjunction.join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)

    def channel(self, name: str) -> str:
        """What a part of the score is called."""
        return self.channels.get(name) or self.feature.format(name=column_word(name))


@cache
def wording(name: str = "explain/v1.yaml") -> Wording:
    """The wording in a file under ``prompts/``."""
    said: dict[str, Any] = yaml.safe_load(resources.path(name).read_text(encoding="utf-8"))
    sets = {key: frozenset(said[key]) for key in ("pronouns", "yours", "less", "more", "not_counted")}
    return Wording(
        sentences=said["sentences"],
        conjunction=said["and"],
        list_before=said["list_before"],
        channels=said["channels"],
        feature=said["feature"],
        plain=frozenset(said["plain"].split()),
        kinds={kind: frozenset(words) for kind, words in said["kinds"].items()},
        features={feature: frozenset(words) for feature, words in said["features"].items()},
        numbers={word: float(number) for word, number in said["numbers"].items()},
        **sets,
    )


def clean(text: object, longest: int = LONGEST) -> str:
    """Text from a user on one line, without control or invisible characters, cut at ``longest`` with an ellipsis.

    A name that holds right-to-left letters is wrapped in isolates (U+2068, U+2069), so that it cannot turn the
    sentence around it. Markup is left as it is: escaping is the page's work.
    """
    head = str(text)[: 20 * longest]  # a million characters are cut before they are walked
    kept = "".join(" " if character.isspace() else character for character in head if not _invisible(character))
    line = " ".join(unicodedata.normalize("NFC", kept).split())
    if len(line) > longest:
        cut = line[: longest - 1]
        whole = line[longest - 1] == " " or " " not in cut[longest // 2 :]
        line = (cut if whole else cut.rsplit(" ", 1)[0]).rstrip(" ,.;:-") + "…"
    return f"\u2068{line}\u2069" if any(unicodedata.bidirectional(character) in ("R", "AL") for character in line) else line


def _invisible(character: str) -> bool:
    return unicodedata.category(character)[0] == "C" and not character.isspace()


def column_word(name: str, several: bool = False) -> str:
    """What people would call a column: ``frameColor`` is "frame color"; of a set (``several``), "directors" is "director"."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", str(name)).replace("_", " ").replace("-", " ").replace(".", " ")
    word = clean(words).lower()
    return _singular(word) if several else word


def _singular(word: str) -> str:
    if len(word) <= 3 or word.endswith(("ss", "us", "is", "series", "species")):
        return word
    if word.endswith("ies"):
        return word[:-3] + "y"
    if word.endswith(("sses", "xes", "ches", "shes")):
        return word[:-2]
    return word.removesuffix("s")


def number_word(value: float, money: bool = False) -> str:
    """A number as people write it: ``34.50`` for a price, else without needless digits; years stay ``1997``."""
    if money:
        return f"{value:.2f}"
    if value == int(value) and abs(value) < 1e15:
        return str(int(value))
    return f"{value:.2f}".rstrip("0").rstrip(".")
