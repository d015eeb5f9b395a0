"""What words mean in one shop: read from the catalog's own columns and its domain file."""

import re
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from mllm_rec.agent.english import QUANTITIES, STOP, UNITS, Token, amount, forms, plain, tokenize
from mllm_rec.data.catalog import Catalog
from mllm_rec.data.domain import Domain
from mllm_rec.retrieval.columns import column_index, looks_like_year

#: Longest phrase, in words, that is looked up.
LONGEST = 16
#: Distances of a meaning from its phrase: the value itself (other forms of its last word add up to 4), part of it, its
#: last word, a family name. From ``SEGMENT`` on, forms don't count.
SAME, SEGMENT, HEAD, NAME = 0, 10, 20, 30
#: Slips of the pen are searched among the words of columns with at most this many values.
_SPELLED_VALUES = 5_000
_NAME_SHARE = 0.7
ARTICLES = ("the", "a", "an")
_YEAR_AFTER = re.compile(r"\s*\(\d{4}\)\s*$")
_TRUTH = {"yes": True, "true": True, "y": True, "1": True, "no": False, "false": False, "n": False, "0": False}


@dataclass(frozen=True)
class Meaning:
    """One thing a phrase can mean: a value of a column (``items`` available items have it), a column, or a domain's wish."""

    kind: Literal["value", "column", "wish"]
    column: str
    value: str = ""
    items: int = 0


@dataclass(frozen=True)
class Match:
    """The nearest meanings of ``length`` tokens; ``distance`` as in ``SAME`` ... ``NAME``."""

    meanings: tuple[Meaning, ...]
    length: int
    distance: int

    def of(self, kind: str) -> tuple[Meaning, ...]:
        """The meanings of one kind."""
        return tuple(meaning for meaning in self.meanings if meaning.kind == kind)


class Vocabulary:
    """Words of one catalog: values, columns, wishes and titles, each found by a dictionary lookup.

    Args:
        catalog: its categories, ordinals and sets give the values; only available items make a value known.
        domain: synonyms, further values, and soft wishes.
    """

    def __init__(self, catalog: Catalog, domain: Domain | None = None):
        self.catalog = catalog
        self.domain = domain or Domain()
        self.columns = {name: column for name, column in catalog.attributes.items() if column.kind != "boolean"}
        self.texts = tuple(name for name, column in catalog.columns.items() if column.kind == "text")
        self.people = {name for name in self.columns if self._holds_names(name)}
        self._phrases: dict[str, dict[Meaning, int]] = defaultdict(dict)
        self._longest: dict[str, int] = {}
        self._add_columns()
        for name in self.columns:
            self._add_values(name)
        self._add_domain()

    # What the numbers are

    @cached_property
    def price(self) -> str | None:
        """The price column, if there is one with a known value."""
        return "price" if "price" in self.columns and column_index(self.catalog, "price").known.any() else None

    @cached_property
    def units(self) -> dict[str, str]:
        """Number columns by the unit that their cells carry ("%", "kWh"), where it is no currency and no unit that English measures by."""
        own = {name: column.unit.strip(". ").casefold() for name, column in self.columns.items() if column.kind == "number" and column.unit}
        return {unit: name for name, unit in own.items() if unit and unit not in UNITS and name != self.price}

    @cached_property
    def cents(self) -> bool:
        """Whether every known price is in whole cents."""
        index = column_index(self.catalog, "price")
        return bool(np.allclose(np.round(index.values[index.known], 2), index.values[index.known], atol=1e-9))

    @cached_property
    def time(self) -> str | None:
        """The column that tells when: a date, else a number column of years."""
        dates = [name for name, column in self.columns.items() if column.kind == "date" and column_index(self.catalog, name).known.any()]
        years = [name for name in self.columns if looks_like_year(self.catalog, name)]
        return next(iter(dates + years), None)

    @cached_property
    def amounts(self) -> tuple[str, ...]:
        """Number columns that are neither the price nor the time."""
        return tuple(name for name, column in self.columns.items() if column.kind == "number" and name not in (self.price, self.time))

    def measured(self, unit: str) -> tuple[str, float] | None:
        """The number column for a unit ("kg"), and what to multiply by to come to the column's own unit.

        A column that names a unit of the same quantity comes first ("weight_g"), then one named for the quantity.
        """
        if unit in self.units:
            return self.units[unit], 1.0
        quantity, size = UNITS.get(unit, ("", 1.0))
        if quantity == "money":
            return (self.price, 1.0) if self.price else None
        names = {name: self._names[name] for name in self.amounts}
        for name, words in names.items():
            for word in words:
                if word == unit or (quantity and UNITS.get(word, ("",))[0] == quantity):
                    return name, size / UNITS[word][1] if quantity and word in UNITS else 1.0
        for called in QUANTITIES.get(quantity, ()):
            for name, words in names.items():
                if called in (*words, " ".join(words), "".join(words)):
                    # Lengths of time without a unit are minutes where most are beyond a day's hours; other numbers are taken as said.
                    minutes = quantity == "duration" and float(middle(self.catalog, name, np.arange(len(self.catalog))) or 0) > 24
                    return name, size if minutes else 1.0
        return None

    def called(self, name: str) -> str | None:
        """The number or ordinal column that goes by an English name: "price", "time", or a word of its own name."""
        if name in ("price", "time"):
            return self.price if name == "price" else self.time
        ordered = [column for column, what in self.columns.items() if what.kind == "number" or (what.kind == "ordinal" and what.order)]
        return next((column for column in ordered if name in (*self._names[column], "".join(self._names[column]))), None)

    def truth(self, column: str) -> dict[bool, str]:
        """The values that say yes and no, for a column that has no others."""
        values = {_TRUTH.get(plain(value)): value for value in self.values(column)}
        return {} if None in values or not values else {said: value for said, value in values.items() if said is not None}

    def values(self, column: str) -> dict[str, int]:
        """The named values of a column, each with the number of available items known to have it."""
        return self._counts.setdefault(column, column_index(self.catalog, column).counts(self.catalog.available))

    @cached_property
    def _numeric(self) -> dict[str, dict[str, float]]:
        return {}

    @cached_property
    def _counts(self) -> dict[str, dict[str, int]]:
        return {}

    # Looking up

    def match(self, tokens: list[Token], start: int, column: str | None = None) -> Match | None:
        """The longest phrase from ``tokens[start]`` on that means something (in ``column``, if given), its nearest meanings."""
        first = tokens[start].text
        reach = max((self._longest.get(word, 0) for word in (first, *forms(first))), default=0)
        for length in range(min(reach, len(tokens) - start), 0, -1):
            found = self._nearest([token.text for token in tokens[start : start + length]], column)
            if found:
                return self._best(found, length)
        if start + 1 < len(tokens) and tokens[start + 1].glued and (found := self._nearest([first + tokens[start + 1].text], column)):
            return self._best(found, 2)
        return None

    def _best(self, found: dict[Meaning, int], length: int) -> Match:
        best = min(found.values())
        return Match(tuple(meaning for meaning, distance in found.items() if distance == best), length, best)

    def _nearest(self, words: list[str], column: str | None) -> dict[Meaning, int]:
        *before, last = words
        found: dict[Meaning, int] = {}
        for form, distance in {last: SAME, **({} if last in STOP and not before else forms(last))}.items():
            for meaning, further in self._phrases.get(" ".join([*before, form]), {}).items():
                if (column is None or meaning.column == column) and not (distance and meaning.column in self.people):
                    found[meaning] = min(further + (distance if further < SEGMENT else 0), found.get(meaning, NAME))
        return found

    def named(self, phrase: str) -> tuple[Meaning, ...]:
        """The values that a phrase names as it is."""
        return tuple(meaning for meaning, distance in self._phrases.get(phrase, {}).items() if meaning.kind == "value" and distance == SAME)

    def called_also(self, meaning: Meaning) -> tuple[str, ...]:
        """The other words that the domain has for a value, itself first."""
        field = self.domain.fields.get(meaning.column)
        return (meaning.value, *(field.synonyms.get(meaning.value, ()) if field else ()))

    def numeric(self, column: str) -> dict[str, float]:
        """The values of a category, ordinal or set that are all written as numbers; none where one is not."""
        if column not in self._numeric:
            kind = self.columns[column].kind
            numbers = {name: amount(plain(name).strip()) for name in self.values(column)} if kind in ("category", "ordinal", "set") else {}
            whole = all(found and not found[1] for found in numbers.values())
            self._numeric[column] = {name: found[0] for name, found in numbers.items() if found} if whole else {}
        return self._numeric[column]

    def corrected(self, word: str) -> Meaning | None:
        """The one value a long word misses by a single slip (a letter too many, too few, wrong, or swapped); a title's word is no slip."""
        if len(word) < 5 or word in self._title_words:
            return None
        near = {meaning for spelling in _slips(word) for meaning in self._spellings.get(spelling, ())}
        return next(iter(near)) if len(near) == 1 else None

    @cached_property
    def _spellings(self) -> dict[str, set[Meaning]]:
        found: dict[str, set[Meaning]] = defaultdict(set)
        for phrase, meanings in self._phrases.items():
            for meaning, distance in meanings.items():
                spelled = len(phrase) >= 5 and " " not in phrase and distance == SAME and meaning.kind == "value" and meaning.items > 0
                if spelled and meaning.column not in self.people and len(self.values(meaning.column)) <= _SPELLED_VALUES:
                    for spelling in _slips(phrase):
                        found[spelling].add(meaning)
        return found

    @cached_property
    def noise(self) -> frozenset[str]:
        """Words that name this kind of shop as a whole, taken from the domain's name and title."""
        words = {token.text for token in tokenize(f"{self.domain.name.replace('_', ' ')} {self.domain.title}") if token.kind == "word"}
        return frozenset(words | {form for word in words for form in forms(word)} | {word + "s" for word in words} - set(self._phrases))

    # Titles

    def titled(self, tokens: list[Token], start: int) -> tuple[int, int] | None:
        """The row whose whole title stands at ``tokens[start]``, and the number of tokens it takes; None where no or no single one does.

        A year in parentheses after it ("Sabrina (1954)") belongs to it, and tells namesakes apart.
        """
        rows_of, longest = self._titles
        begin = start + (tokens[start].text in ARTICLES)
        reach = longest.get(tokens[begin].text, 0) if begin < len(tokens) else 0
        for length in range(min(reach, len(tokens) - begin), 0, -1):
            end = begin + length
            rows = rows_of.get(" ".join(token.text for token in tokens[begin:end]), [])
            year = "".join(token.text for token in tokens[end : end + 3])
            if rows and re.fullmatch(r"\(\d{4}\)", year):
                rows, end = [row for row in rows if self._year(row) in (year[1:-1], "")], end + 3
            if len(rows) == 1:
                return rows[0], end - start
        return None

    def _year(self, row: int) -> str:
        """The year of an item, from its time column or the end of its title; "" where neither says it."""
        index = column_index(self.catalog, self.time) if self.time else None
        if index is not None and index.known[row]:
            value = index.values[row]
            return str(value.astype("datetime64[Y]")) if index.kind == "date" else str(int(value))
        said = _YEAR_AFTER.search(str(self.catalog.table["title"].iat[row])[:200])
        return said.group().strip(" ()") if said else ""

    @cached_property
    def _titles(self) -> tuple[dict[str, list[int]], dict[str, int]]:
        """Rows by title (without article, year and signs), and the most words of a title by its first word."""
        rows_of: dict[str, list[int]] = defaultdict(list)
        longest: dict[str, int] = {}
        for row, title in enumerate(self.catalog.table["title"]):
            words = _title_words(title) if isinstance(title, str) else []
            if 0 < len(words) <= LONGEST:
                rows_of[" ".join(words)].append(row)
                longest[words[0]] = max(longest.get(words[0], 0), len(words))
        return dict(rows_of), longest

    @cached_property
    def _title_words(self) -> frozenset[str]:
        return frozenset(word for title in self._titles[0] for word in title.split())

    # Building

    def _holds_names(self, name: str) -> bool:
        """Whether a column's values read like people's names: most are several capitalized words."""
        if self.columns[name].kind not in ("category", "set") or name == "category":
            return False
        values = list(self.values(name))
        named = sum(
            len(words := value.split()) > 1 and all(word[0].isupper() or not word[0].isalpha() for word in words) for value in values
        )
        return len(values) >= 3 and named >= _NAME_SHARE * len(values)

    def _add(self, words: list[str], meaning: Meaning, distance: int = SAME, inflected: bool = True) -> None:
        if not words or len(words) > LONGEST:
            return
        *before, last = words
        variants = {last: SAME, **(forms(last) if inflected else {})}
        for form, further in variants.items():
            if further and not before and form in STOP:
                continue
            phrase = " ".join([*before, form])
            known = self._phrases[phrase]
            known[meaning] = min(distance + (further if distance < SEGMENT else 0), known.get(meaning, NAME))
            first = phrase.split(" ", 1)[0]
            self._longest[first] = max(self._longest.get(first, 0), len(words))

    def _add_value(self, said: str, meaning: Meaning) -> None:
        tokens = tokenize(said)
        name = meaning.column in self.people
        everything = [token.text for token in tokens]
        words = [token.text for token in tokens if token.kind in ("word", "symbol")]
        self._add(everything, meaning, inflected=not name)
        if words != everything:
            self._add(words, meaning, inflected=not name)
        if len(words) == 2 and tokens[-1].glued:
            self._add(["".join(words)], meaning, inflected=not name)
        segments = re.split(r"\s*[>/|&,;]\s*|\s+and\s+", said) if not name else []
        for segment in segments if len(segments) > 1 else ():
            self._add([token.text for token in tokenize(segment) if token.kind == "word"], meaning, SEGMENT)
        if len(words) > 1 and words[-1] not in STOP and not words[-1].isdigit() and len(words[-1]) > 2:
            self._add(words[-1:], meaning, NAME if name else HEAD, inflected=not name)

    def _add_values(self, column: str) -> None:
        if self.columns[column].kind in ("category", "ordinal", "set"):
            for value, items in self.values(column).items():
                self._add_value(value, Meaning("value", column, value, items))
            truth = self.truth(column)
            if True in truth:
                yes = Meaning("value", column, truth[True], self.values(column)[truth[True]])
                self._add([token.text for token in tokenize(column) if token.kind == "word"], yes)

    def _add_columns(self) -> None:
        for name, words in self._names.items():
            column = Meaning("column", name)
            self._add(words, column)
            if len(words) == 2:
                self._add(["".join(words)], column)
            if words and (agent := re.fullmatch(r"(.{3,})(?:er|or)s?", words[-1])):
                self._add([f"{agent[1]}ed", "by"], column, inflected=False)
            bare = [word for word in words if word not in UNITS]
            self._add(bare, column)
            for word in set(bare if len(words) > 1 else ()) - STOP:
                if sum(word in others for others in self._names.values()) == 1:
                    self._add([word], column, SEGMENT)
            if words and len(words[-1]) > 5 and words[-1].endswith("ing"):
                self._add([words[-1][:-3] + "e"], column, SEGMENT)

    @cached_property
    def _names(self) -> dict[str, list[str]]:
        """The words of each column's name: "runTime" and "run_time" are run, time."""
        split = {name: re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name) for name in self.columns}
        return {name: [token.text for token in tokenize(said) if token.kind == "word"] for name, said in split.items()}

    def _add_domain(self) -> None:
        for column, field in self.domain.fields.items():
            known = {plain(value): (value, items) for value, items in self.values(column).items()} if column in self.columns else {}
            for value in dict.fromkeys((*field.values, *field.synonyms)):
                own, items = known.get(plain(value), (value, 0))
                meaning = Meaning("value", column, own, items)
                for said in (value, *field.synonyms.get(value, ())):
                    self._add([token.text for token in tokenize(said) if token.kind == "word"], meaning)
        for word in self.domain.wishes:
            self._add([token.text for token in tokenize(word) if token.kind == "word"], Meaning("wish", "", word))


def _slips(word: str) -> set[str]:
    return {word} | {word[:place] + word[place + 1 :] for place in range(len(word))}


def _title_words(title: str) -> list[str]:
    title = _YEAR_AFTER.sub("", title[:200])
    words = [token.text for token in tokenize(title) if token.kind in ("word", "symbol")]
    if len(words) > 1 and words[-1] in ARTICLES and "," in title:
        words = words[:-1]  # "Godfather, The"
    return words[1:] if len(words) > 1 and words[0] in ARTICLES else words


def middle(catalog: Catalog, column: str, rows: np.ndarray) -> float | str | None:
    """The median of a number, date or ordinal column over ``rows`` (int64 positions), by what is known; None if nothing is."""
    index = column_index(catalog, column)
    kind = catalog.columns[column].kind
    if kind == "ordinal":
        ranks = np.sort(index.ranks[rows][index.ranks[rows] >= 0])
        return catalog.columns[column].order[int(ranks[(len(ranks) - 1) // 2])] if len(ranks) else None
    known = index.values[rows][index.known[rows]]
    if len(known) == 0:
        return None
    if kind == "date":
        return str(np.sort(known)[(len(known) - 1) // 2].astype("datetime64[D]"))
    if looks_like_year(catalog, column):  # no year is a half
        return float(np.sort(known)[(len(known) - 1) // 2])
    return float(np.median(known))
