"""From evidence to sentences that cite it, the weightiest first."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from mllm_rec.data.catalog import Catalog
from mllm_rec.explain.evidence import Evidence, evidence_word
from mllm_rec.explain.templates import Wording, number_word

#: Sentences on a card.
CARD = 2
#: A column with at most so many values is one of kinds that people know by their name ("striped"); of others, of ranks
#: and of proper names the column is named too ("director: ...").
FEW_VALUES = 60
#: Liked titles that one sentence names have at most so many characters together, unless it is one title.
TITLES_LENGTH = 40


@dataclass(frozen=True)
class Claim:
    """One sentence and the ids of the evidence that it rests on."""

    evidence_ids: tuple[str, ...]
    text: str


def claims(evidence: Sequence[Evidence], catalog: Catalog, words: Wording, spread: dict[str, int]) -> list[Claim]:
    """Every sentence that an item's evidence supports; the first ``CARD`` of them go on its card.

    The weightiest comes first. Then what is unknown, where a filter passed on it: a card must not hide that. Then the
    rest, by weight, those of a kind not yet spoken of before the others.

    Args:
        evidence: of one item, the weightiest first.
        catalog, words: for wording.
        spread: number of different values of each column.
    """
    found: list[tuple[float, str, Claim]] = []
    for kind, speak in SPEAKERS.items():
        rows = [row for row in evidence if row.kind == kind]
        if rows:
            found += [(cited[0].weight, kind, _claim(cited, text)) for cited, text in speak(rows, evidence, catalog, words, spread)]
    found.sort(key=lambda entry: -entry[0])
    return [claim for _, _, claim in _arranged(found)]


def _arranged(found: list[tuple[float, str, Claim]]) -> list[tuple[float, str, Claim]]:
    unknown = [entry for entry in found if entry[1] == "unknown"]
    others = [entry for entry in found if entry[1] != "unknown"]
    fresh = [entry for entry in others if entry[1] != others[0][1]][:1]
    rest = [entry for entry in others[1:] if entry not in fresh]
    return others[:1] + unknown + fresh + rest


def _claim(cited: Sequence[Evidence], text: str) -> Claim:
    return Claim(tuple(row.id for row in cited), text)


Spoken = Iterator[tuple[list[Evidence], str]]
Speaker = Callable[[list[Evidence], Sequence[Evidence], Catalog, Wording, dict[str, int]], Spoken]


def _attributes(kind: str) -> Speaker:
    def speak(rows, evidence, catalog, words, spread) -> Spoken:
        yield from _values(kind, rows, catalog, words, spread)

    return speak


def _values(kind, rows, catalog, words, spread) -> Spoken:
    """Values that tie to the same items share a sentence: two at most, of one column where it is named."""
    by_value: dict[tuple[str, str], list[Evidence]] = {}
    for row in rows:
        cited = by_value.setdefault((row.field, str(row.value)), [])
        if sum(len(other.subject) for other in cited) + len(row.subject) <= TITLES_LENGTH or not cited:
            cited.append(row)
    groups: dict[tuple[str, tuple[str, ...]], list[list[Evidence]]] = {}
    for (field, value), cited in by_value.items():
        known_by_name = spread[field] <= FEW_VALUES and catalog.columns[field].kind != "ordinal" and _is_a_kind(value)
        groups.setdefault(("" if known_by_name else field, tuple(dict.fromkeys(row.subject for row in cited))), []).append(cited)
    for (field, titles), members in groups.items():
        for start in range(0, len(members), 2):
            pair = members[start : start + 2]
            parts = {"values": _phrase(pair, words), "titles": words.listed(titles)}
            cited = [row for member in pair for row in member]
            if field:
                yield cited, words.say(f"{kind}_named", field=evidence_word(catalog, field), **parts)
            else:
                yield cited, words.say(kind, **parts)


def _phrase(pair: list[list[Evidence]], words: Wording) -> str:
    """Two values in words: "plain and leather", but "plain bag" where one of them is the noun."""
    ordered = sorted(pair, key=lambda cited: cited[0].field == "category")
    values = [str(cited[0].value) for cited in ordered]
    return " ".join(values) if ordered[-1][0].field == "category" else words.listed(values)


def _is_a_kind(value: str) -> bool:
    """Whether a value reads alone, as "striped" does; "XL" and "Ada Berg" don't."""
    return len(value) > 2 and sum(word[:1].isupper() for word in value.split()) < 2


def _neighbors(rows, evidence, catalog, words, spread) -> Spoken:
    for row in rows:
        yield [row], words.say("neighbor", count=number_word(row.value), titles=row.subject)


def _similar(rows, evidence, catalog, words, spread) -> Spoken:
    for row in rows:
        yield [row], words.say(f"{row.kind}_{row.field}", titles=row.subject)


def _contributions(rows, evidence, catalog, words, spread) -> Spoken:
    for row in rows:
        yield [row], words.say("contribution", channel=words.channel(row.field), count=number_word(row.value))


def _popular(rows, evidence, catalog, words, spread) -> Spoken:
    for row in rows:
        yield [row], words.say("popular_one" if row.value == 1 else "popular", count=number_word(row.value))


def _cold(rows, evidence, catalog, words, spread) -> Spoken:
    yield rows, words.say("cold")


def _met(kind: str) -> Speaker:
    def speak(rows, evidence, catalog, words, spread) -> Spoken:
        yield rows, words.say(kind, values=words.listed(list(dict.fromkeys(row.value for row in rows))))

    return speak


def _unknown(rows, evidence, catalog, words, spread) -> Spoken:
    fields = list(dict.fromkeys(evidence_word(catalog, row.field) for row in rows))
    yield rows, words.say("unknown" if len(fields) == 1 else "unknown_several", field=words.listed(fields))


def _differences(rows, evidence, catalog, words, spread) -> Spoken:
    for row in rows:
        yield [row], words.say("less" if row.value < 0 else "more", count=number_word(abs(row.value), money=True), titles=row.subject)


def _compared(rows, evidence, catalog, words, spread) -> Spoken:
    for row in rows:
        other = next(other for other in evidence if other.kind == "reference" and other.field == row.field)
        parts = {"values": row.value, "titles": other.subject, "other": other.value}
        yield [row, other], words.say("compared", field=evidence_word(catalog, row.field), **parts)


#: How each kind of evidence is put into sentences.
SPEAKERS: dict[str, Speaker] = {
    "attribute": _attributes("attribute"),
    "neighbor": _neighbors,
    "similar": _similar,
    "shared": _attributes("shared"),
    "close": _similar,
    "contribution": _contributions,
    "popular": _popular,
    "cold": _cold,
    "constraint": _met("constraint"),
    "wish": _met("wish"),
    "seen": _met("seen"),
    "unknown": _unknown,
    "difference": _differences,
    "value": _compared,
}
