"""Drop every sentence that says more than the evidence it cites.

The world of a sentence is closed. Each of its words must be plain ("because", "another"), or belong to the kind of
evidence that it cites ("people"), or be part of a name, value, label or column of that evidence, matched whole; each of
its numbers must be one of that evidence's. A name, a number, an attribute or an adjective from anywhere else has no
place in it. A sentence speaks of one kind of evidence, and ties each value to the item that the evidence ties it to.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from mllm_rec.data.catalog import Catalog
from mllm_rec.explain.claims import Claim
from mllm_rec.explain.evidence import Evidence
from mllm_rec.explain.templates import Wording, column_word, wording

_TOKEN = re.compile(r"\d+(?:[.,]\d+)*(?![^\W_])|[^\W_]+(?:['’][^\W_]+)*|[^\w\s]")
_ISOLATES = re.compile("[\u2066-\u2069]")
#: Kinds that tie the item to something in the user's history.
_HISTORY = ("attribute", "neighbor", "similar")
#: Two sides of one comparison count as one kind.
_SAME_KIND = {"value": "compared", "reference": "compared"}
_LONGEST_NAME = 8

Phrase = tuple[str, ...]


class Token(NamedTuple):
    """A word, number or symbol: folded, whether it starts with a capital, whether it starts a sentence."""

    word: str
    capital: bool
    first: bool


class Mention(NamedTuple):
    """Where a sentence speaks of evidence: tokens ``start`` to ``end``, as what, and which rows it may mean."""

    start: int
    end: int
    role: str
    rows: frozenset[int]


@dataclass(frozen=True)
class Vocabulary:
    """Every title and every attribute value of a catalog, folded into words."""

    titles: frozenset[Phrase] = field(default_factory=frozenset)
    values: frozenset[Phrase] = field(default_factory=frozenset)

    @classmethod
    def of(cls, catalog: Catalog, values: Iterable[object]) -> "Vocabulary":
        """The vocabulary of a catalog whose attributes have these values."""
        return cls(_phrases(catalog.table["title"]), _phrases(values))


def verify(
    sentences: Sequence[Claim], evidence: Sequence[Evidence], vocabulary: Vocabulary = Vocabulary(), words: Wording | None = None
) -> list[Claim]:
    """The sentences that their evidence supports, in order.

    Args:
        sentences: from templates or from a model; each cites the evidence it rests on.
        evidence: of one item.
        vocabulary: what else the catalog knows, so that "Alien" is not taken for supported in "Alien 3".
        words: which words are plain, and which belong to a kind of evidence.
    """
    words = words or wording()
    by_id = {row.id: row for row in evidence}
    kept = []
    for claim in sentences:
        rows = [by_id[name] for name in claim.evidence_ids if name in by_id]
        if rows and len(rows) == len(claim.evidence_ids) and _Check(rows, claim.text, vocabulary, words).passes():
            kept.append(claim)
    return kept


def tokens(text: str) -> list[Token]:
    """Words, numbers and symbols of a text, punctuation left out; a sentence's first word is marked."""
    found, first = [], True
    for match in _TOKEN.finditer(_ISOLATES.sub("", unicodedata.normalize("NFC", text))):
        raw = match.group().replace("’", "'")
        if raw != "%" and len(raw) == 1 and unicodedata.category(raw)[0] == "P":
            first = first or raw in ".!?"
            continue
        word = raw.casefold().removesuffix("'s")
        found.append(Token(word, raw[0].isupper(), first))
        first = False
    return found


def _phrase(text: object) -> Phrase:
    return tuple(token.word for token in tokens(str(text)[:200]))


def _phrases(names: Iterable[object]) -> frozenset[Phrase]:
    return frozenset(phrase for name in names if name is not None and (phrase := _phrase(name)))


class _Check:
    """One sentence against the rows that it cites."""

    def __init__(self, rows: Sequence[Evidence], text: str, vocabulary: Vocabulary, words: Wording):
        self.rows, self.words, self.vocabulary = rows, words, vocabulary
        self.tokens = tokens(text)
        self.clean = not any(unicodedata.category(character) == "Cc" for character in text.replace("\n", " "))
        self.kinds = {_SAME_KIND.get(row.kind, row.kind) for row in rows}
        self.allowed = words.plain.union(*(words.kinds.get(kind, frozenset()) for kind in self._word_kinds()))
        self.allowed = self.allowed.union(
            *(words.features.get(row.field, frozenset()) for row in rows if row.source in ("model", row.field))
        )
        self.names = self._names()
        self.mentions: list[Mention] = []

    def passes(self) -> bool:
        return self.clean and len(self.kinds) == 1 and bool(self.tokens) and self._covered() and self._tied() and self._yours()

    def _word_kinds(self) -> set[str]:
        signs = {"less" if float(row.value or 0) < 0 else "more" for row in self.rows if row.kind == "difference"}
        return (self.kinds - {"difference"}) | signs

    def _names(self) -> dict[Phrase, dict[str, set[int]]]:
        """Phrases of the evidence, each with its roles and the rows that have it."""
        names: dict[Phrase, dict[str, set[int]]] = {}

        def add(phrase: Phrase, role: str, row: int) -> None:
            if phrase:
                names.setdefault(phrase, {}).setdefault(role, set()).add(row)

        for number, row in enumerate(self.rows):
            add(_phrase(row.subject), "title", number)
            for name in {column_word(row.field), column_word(row.field, several=True)}:
                add(_phrase(name), "field", number)
            if row.kind == "contribution":
                add(_phrase(self.words.channel(row.field)), "field", number)
            if isinstance(row.value, str):
                for phrase in self._forms(_phrase(row.value)):
                    add(phrase, "value", number)
        return names

    def _forms(self, phrase: Phrase) -> Iterable[Phrase]:
        """A value and its English plurals, but for those that are values of their own."""
        yield phrase
        if phrase and phrase[-1].isalpha() and len(phrase[-1]) > 2:
            last = phrase[-1]
            for plural in (last + "s", last + "es", last[:-1] + "ies" if last.endswith("y") else last + "s"):
                form = (*phrase[:-1], plural)
                if form not in self.vocabulary.values and form not in self.vocabulary.titles:
                    yield form

    def _covered(self) -> bool:
        """Every token is evidence, or plain; fills ``mentions``."""
        longest = max((len(name) for name in self.names), default=0)
        place = 0
        while place < len(self.tokens):
            end = next((place + n for n in range(longest, 0, -1) if self._named(place, place + n)), place)
            if end > place:
                roles = self.names[self._words(place, end)]
                self.mentions += [Mention(place, end, role, frozenset(rows)) for role, rows in roles.items()]
                place = end
            elif self._number(place) or self._plain(place):
                place += 1
            else:
                return False
        return not self._part_of_another_name()

    def _words(self, start: int, end: int) -> Phrase:
        return tuple(token.word for token in self.tokens[start:end])

    def _named(self, start: int, end: int) -> bool:
        """Whether tokens are a name of the evidence; "it" in lower case is not the title "It"."""
        found = self.names.get(self._words(start, end)) if end <= len(self.tokens) else None
        if not found:
            return False
        everyday = all(token.word in self.words.plain and not (token.capital and not token.first) for token in self.tokens[start:end])
        return not everyday or set(found) != {"title"}

    def _number(self, place: int) -> bool:
        word = self.tokens[place].word
        value = _value(word, self.words)
        if value is None or self._pronoun(place):
            return False
        rows = {
            number for number, row in enumerate(self.rows) if isinstance(row.value, float | int) and abs(abs(row.value) - value) < 0.005
        }
        if rows:
            self.mentions.append(Mention(place, place + 1, "value", frozenset(rows)))
        return bool(rows)

    def _plain(self, place: int) -> bool:
        token = self.tokens[place]
        if token.word not in self.allowed and token.word not in self._direction():
            return False
        if token.word in self.words.numbers and not self._pronoun(place):
            return False
        if token.capital and not token.first and token.word != "i":
            return False
        if (token.word,) in self.vocabulary.values and token.word not in self.words.template_words:
            return False
        if token.word in self.words.pronouns:
            own = frozenset(number for number, row in enumerate(self.rows) if row.kind != "reference")
            self.mentions.append(Mention(place, place + 1, "pronoun", own))
        return True

    def _pronoun(self, place: int) -> bool:
        """Whether a number word counts nothing: "this one", and "a red one" where the evidence has no count."""
        before = self.tokens[place - 1].word if place else ""
        counted = any(isinstance(row.value, float | int) for row in self.rows)
        return self.tokens[place].word == "one" and (before in self.words.not_counted or not counted)

    def _direction(self) -> frozenset[str]:
        signs = self._word_kinds()
        return (self.words.less if "less" in signs else frozenset()) | (self.words.more if "more" in signs else frozenset())

    def _part_of_another_name(self) -> bool:
        """Whether a mention is only a part of a longer name that the catalog knows: "Alien" in "Alien 3"."""
        size = len(self.tokens)
        for mention in self.mentions:
            if mention.role not in ("title", "value"):
                continue
            for start in range(max(0, mention.end - _LONGEST_NAME), mention.start + 1):
                for end in range(mention.end, min(size, start + _LONGEST_NAME) + 1):
                    phrase = self._words(start, end)
                    if phrase in self.names or end - start == mention.end - mention.start:
                        continue
                    if phrase in self.vocabulary.titles or phrase in self.vocabulary.values:
                        return True
        return False

    def _tied(self) -> bool:
        """Values stand by the item they belong to, titles by what is said of them, columns by their value.

        "Red like Nola lamp" is read onward from the value, "Nola lamp is red" onward from the title: one of the
        readings must tie every value and every title of the sentence to what its evidence ties it to.
        """
        values = [mention for mention in self.mentions if mention.role == "value"]
        titles = [mention for mention in self.mentions if mention.role == "title"]
        fields = [mention for mention in self.mentions if mention.role == "field"]
        items = [mention for mention in self.mentions if mention.role in ("title", "pronoun")]
        read = any(_bound(values, items, ahead) and _bound(titles, values, not ahead) for ahead in (True, False))
        return read and any(_bound(fields, values or items, ahead) for ahead in (True, False))

    def _yours(self) -> bool:
        """ "You liked" is said of what stands in the history, never of the item itself."""
        spoken = [token.word for token in self.tokens]
        for place, word in enumerate(spoken[:-1]):
            after = place + 1 + (spoken[place + 1] in ("have", "also"))
            if word == "you" and after < len(spoken) and spoken[after] in self.words.yours:
                following = spoken[after + 1] if after + 1 < len(spoken) else ""
                if not self.kinds & {*_HISTORY, "contribution"} or following in self.words.pronouns:
                    return False
        return True


def _bound(mentions: list[Mention], others: list[Mention], ahead: bool) -> bool:
    """Whether each mention shares a row with the nearest other, ahead of it or behind it; True where there is no other."""
    if not others:
        return True
    for mention in mentions:
        later = [other for other in others if other.start >= mention.end]
        earlier = [other for other in others if other.end <= mention.start]
        nearest = later[:1] if ahead else earlier[-1:]
        if not nearest or not mention.rows & nearest[0].rows:
            return False
    return True


def _value(word: str, words: Wording) -> float | None:
    """The number that a word stands for."""
    if word in words.numbers:
        return words.numbers[word]
    if not word[0].isdigit():
        return None
    grouped = re.fullmatch(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?", word)
    plain = word.replace(",", "") if grouped else word.replace(",", ".")
    return float(plain) if re.fullmatch(r"\d+(?:\.\d+)?", plain) else None
