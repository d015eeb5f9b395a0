"""Amounts and times in a message: "under 40", "between 20 and 50 cm", "from the nineties", "at least medium"."""

import datetime
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

from mllm_rec.agent.english import (
    COMPARATIVES,
    COMPARATORS,
    DECADES,
    DETERMINERS,
    FILLERS,
    FLIPPED,
    JOINING,
    MEASURED,
    MONTHS,
    NAMING,
    NUMBER_WORDS,
    OPENERS,
    STOP,
    TRAILERS,
    UNITS,
    Token,
    amount,
)
from mllm_rec.agent.state import DialogueState
from mllm_rec.agent.vocabulary import NAME, Match, Meaning, Vocabulary
from mllm_rec.retrieval.columns import column_index
from mllm_rec.retrieval.filters import And, Compare, Expression, In, mask

T = TypeVar("T")
_COMPARE = {"<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal, "=": np.equal}
_CURRENCY = ("$", "€", "£", "¥")
_YEARS = range(1800, 2101)


@dataclass(frozen=True)
class Amount:
    """A number, a period or an ordinal's value, as said.

    ``low`` and ``high`` differ for a decade; ``column`` is set where a unit or a name beside it says what is measured,
    ``lost`` where a unit measures nothing here; ``kind`` is number, time or ordinal; ``end`` is the next token.
    """

    low: float | str
    high: float | str
    kind: str
    end: int
    column: str = ""
    lost: str = ""

    @property
    def year(self) -> bool:
        """Whether it can be a point in time."""
        return self.kind == "time" or (self.kind == "number" and not self.column and not self.lost and self.low in _YEARS)


class Amounts:
    """The tokens of one message, and what of them reads as an amount.

    Every method takes a position and returns what starts there and the position after it, or None.
    """

    def __init__(self, tokens: list[Token], vocabulary: Vocabulary, state: DialogueState):
        self.tokens, self.vocabulary, self.state = tokens, vocabulary, state
        self.catalog = vocabulary.catalog
        self.notes: list[str] = []
        self._matches: dict[tuple[int, str | None], Match | None] = {}
        words = [token for token in tokens if token.kind == "word"]
        self.shouted = all(token.raw.isupper() for token in words if token.raw.isalpha())

    # Words

    def text(self, place: int) -> str:
        """The token's text, "" past the end."""
        return self.tokens[place].text if 0 <= place < len(self.tokens) else ""

    def said(self, start: int, end: int) -> str:
        """What was written, in one line."""
        return re.sub(r"\( (.*?) \)", r"(\1)", " ".join(token.raw for token in self.tokens[start:end]))

    def ends(self, place: int) -> bool:
        """Whether a clause ends before ``place``."""
        return place >= len(self.tokens) or self.tokens[place].kind in ("break", "dash")

    def starts(self, place: int) -> bool:
        """Whether a clause starts at ``place``."""
        return place == 0 or self.tokens[place - 1].kind in ("break", "dash")

    def skip(self, place: int, words: Collection[str]) -> int:
        """The first position from ``place`` on that is none of ``words``."""
        while place < len(self.tokens) and self.tokens[place].text in words and not self.tokens[place].quoted:
            place += 1
        return place

    def phrase(self, place: int, table: Mapping[str, T] | Collection[str]) -> tuple[Any, int] | None:
        """The longest phrase of a table that starts here (its entry, or itself), and its end."""
        if place >= len(self.tokens) or self.tokens[place].quoted:
            return None
        for length in range(min(5, len(self.tokens) - place), 0, -1):
            said = " ".join(token.text for token in self.tokens[place : place + length])
            if said in table:
                return (table[said] if isinstance(table, Mapping) else said), place + length
        return None

    def match(self, place: int, column: str | None = None) -> Match | None:
        """What the vocabulary knows here; a function word or a name only where it can be meant."""
        if place >= len(self.tokens) or self.tokens[place].kind not in ("word", "symbol"):
            return None
        key = place, column
        if key not in self._matches:
            found = self.vocabulary.match(self.tokens, place, column)
            if found and found.length == 1:
                found = self._meant(found, place, column)
            self._matches[key] = found
        return self._matches[key]

    def _meant(self, found: Match, place: int, column: str | None) -> Match | None:
        token = self.tokens[place]
        proper = token.raw[:1].isupper() and not self.starts(place) and not self.shouted
        if token.text in STOP and column is None and not token.quoted:
            alone = self.ends(place + 1)
            named = proper and len(token.raw) > 1 and token.raw.isupper()
            if not (
                named or (alone and (token.text in OPENERS or self.starts(place))) or (self.text(place - 1) in DETERMINERS and not alone)
            ):
                return None
            if not named and not alone and not self._noun_position(place):
                return None
        named_before = self.text(place - 1) in NAMING or (self.text(place - 1) in JOINING and self._person(place - 2))
        if not proper and column is None and not named_before and not (self.starts(place) and self.ends(place + 1)):
            meanings = tuple(
                meaning for meaning in found.meanings if found.distance != NAME and meaning.column not in self.vocabulary.people
            )
            return replace(found, meanings=meanings) if meanings else None
        return found

    def _person(self, place: int) -> bool:
        """Whether the word here is, or ends, a person's name."""
        found = self.match(place) if place >= 0 else None
        return found is not None and any(meaning.column in self.vocabulary.people for meaning in found.meanings)

    def _noun_position(self, place: int) -> bool:
        """After an article only a noun or an adjective can stand, so a preposition or a verb there is a name."""
        return self.text(place) in OPENERS or self.text(place) in (
            "is",
            "are",
            "was",
            "be",
            "it",
            "me",
            "we",
            "you",
            "they",
            "has",
            "do",
            "can",
            "will",
            "my",
        )

    def meanings(self, place: int, kind: str, column: str | None = None) -> tuple[tuple[Meaning, ...], int] | None:
        """The meanings of one kind here, and the end of the phrase."""
        found = self.match(place, column)
        return (meanings, place + found.length) if found and (meanings := found.of(kind)) else None

    def ordered_column(self, place: int) -> tuple[str, int] | None:
        """A number, date or ordinal column named here."""
        found = self.meanings(place, "column")
        for meaning in found[0] if found else ():
            column = self.vocabulary.columns[meaning.column]
            if column.kind in ("number", "date") or (column.kind == "ordinal" and column.order) or self.vocabulary.numeric(meaning.column):
                return meaning.column, found[1]  # type: ignore[index]
        return None

    # Amounts

    def amount(self, place: int, column: str = "") -> Amount | None:
        """The amount that starts here, with the unit or column name that goes with it."""
        place = self.skip(place, ("the", "a", "an", "about", "year", "years", "only", "of", "price"))
        money = self.text(place) in _CURRENCY or self.text(place) in ("usd", "eur", "gbp", "chf")
        start = place + money
        if not money and (found := self._time(start)):
            return found
        number = self._number(start)
        if number is None:
            return None if money else self._ordinal(start, column)
        value, unit, end = number
        if not unit and (self.text(end) in UNITS or self.text(end) in _CURRENCY or self.text(end) in self.vocabulary.units):
            unit, end = self.text(end), end + 1
        if not unit and value == 1 and self.text(end) in ("day", "week"):
            return None
        found = Amount(value, value, "number", end, column)
        if money or unit:
            found = self._measured(found, "$" if money else unit)
        return found if found.column and found.column == column else self._named(found)

    def _measured(self, found: Amount, unit: str) -> Amount:
        if found.column and unit not in UNITS and unit not in self.vocabulary.units:
            return found
        adjective = MEASURED.get(self.text(found.end), "")
        measure = self.vocabulary.measured(unit)
        named = self.vocabulary.called(adjective) if adjective else None
        factor = measure[1] if measure else 1.0
        if adjective:
            found = replace(found, end=found.end + 1)
        column = found.column or named or (measure[0] if measure else "")
        if not column:
            return replace(found, lost=unit)
        value = float(f"{float(found.low) * (factor if measure and measure[0] == column else 1.0):.12g}")
        return replace(found, low=value, high=value, column=column)

    def _named(self, found: Amount) -> Amount:
        """With the column whose name follows ("30 height", "30 in height"), unless what follows belongs to the next words."""
        place = self.skip(found.end, ("in", "of", "for")) if self.text(found.end) in ("in", "of") else found.end
        after = self.ordered_column(place)
        if after and self.vocabulary.columns[after[0]].kind == "number" and (not found.column or found.column == after[0]):
            return replace(found, column=after[0], end=after[1], lost="")
        return found

    def _number(self, place: int) -> tuple[float, str, int] | None:
        if found := amount(self.text(place)):
            unit = found[1]
            return (*found, place + 1) if not unit or unit in UNITS or self.vocabulary.measured(unit) else None
        total, end = 0.0, place
        while (value := NUMBER_WORDS.get(self.text(end))) is not None:
            total, end = total + value, end + 1
        if end == place and self.text(place) in ("hundred", "thousand"):
            total = 1.0
        while self.text(end) in ("hundred", "thousand"):
            total, end = total * (100 if self.text(end) == "hundred" else 1000), end + 1
        return (total, "", end) if end > place else None

    def _ordinal(self, place: int, column: str) -> Amount | None:
        found = self.meanings(place, "value", column or None)
        for meaning in found[0] if found else ():
            known = self.vocabulary.columns.get(meaning.column)
            if known and known.kind == "ordinal" and known.order:
                return Amount(meaning.value, meaning.value, "ordinal", found[1], meaning.column)  # type: ignore[index]
        return None

    # Times

    def _time(self, place: int) -> Amount | None:
        token = self.text(place)
        if self.vocabulary.time is None:
            return None
        if len(token) == 10 and token[4] == "-":
            return Amount(token, token, "time", place + 1)
        if token in MONTHS and (year := amount(self.text(place + 1))) and year[0] in _YEARS:
            said = f"{year[0]:.0f}-{MONTHS[token]:02d}"
            return Amount(said, said, "time", place + 2)
        if token in ("this", "last") and self.text(place + 1) == "year":
            year_said = float(datetime.date.today().year - (token == "last"))
            return Amount(year_said, year_said, "time", place + 2)
        if token in ("last", "past") and self.text(place + 2) == "years" and (number := self._number(place + 1)):
            now = float(datetime.date.today().year)
            return Amount(now - number[0], now, "time", place + 3)
        return self._decade(place)

    def _decade(self, place: int) -> Amount | None:
        part = self.text(place) if self.text(place) in ("early", "mid", "late") else ""
        place += bool(part)
        token, number = self.text(place), amount(self.text(place))
        if token in DECADES:
            start = self._century(DECADES[token] * 10)
        elif number and number[1] == "s" and number[0] % 10 == 0 and (number[0] in range(10, 100) or number[0] in _YEARS):
            start = int(number[0]) if number[0] >= 100 else self._century(int(number[0]))
        else:
            return None
        first, last = {"early": (0, 3), "mid": (4, 6), "late": (7, 9), "": (0, 9)}[part]
        return Amount(float(start + first), float(start + last), "time", place + 1)

    def _century(self, tens: int) -> int:
        """The decade of the last or of this century, whichever the catalog has; the last one where it has both."""
        years = [1900 + tens, 2000 + tens]
        has = [
            year
            for year in years
            if (found := self.comparison(self.vocabulary.time or "", ">=", float(year), float(year + 9)))
            and mask(found, self.catalog).any()
        ]
        return has[0] if has else years[0] if tens >= 30 else years[1]

    # Bounds

    def bound(self, place: int, column: str = "") -> tuple[Expression, int] | None:
        """A comparison or a range that starts here, on ``column`` or on the one it speaks of."""
        for reading in (self._between, self._compared, self._than, self._from, self._trailed):
            if found := reading(place, column):
                return found
        return None

    def _between(self, place: int, column: str) -> tuple[Expression, int] | None:
        opened = self.text(place) in ("between", "from")
        low = self.amount(place + opened, column)
        if low is None or not (self.text(low.end) in ("to", "-", "until", "till") or (opened and self.text(low.end) == "and")):
            return None
        high = self.amount(low.end + 1, column)
        if high is None or low.kind == "ordinal" or high.kind == "ordinal":
            return None
        if isinstance(low.low, float) and isinstance(high.high, float) and low.low > high.high:
            low, high = replace(low, low=high.low), replace(high, high=low.high)
        if low.lost and not high.lost and not high.column:
            high = replace(high, lost=low.lost)
        timely = (low.year and high.year) and (
            low.kind == high.kind == "time" or not self._costs(float(high.high) if isinstance(high.high, float) else 0)
        )
        return self._expressed(
            ">=", replace(low, column=low.column or high.column, lost=high.lost, high=high.high, end=high.end), column, timely, both=True
        )

    def _costs(self, value: float) -> bool:
        """Whether something costs that much."""
        return self.vocabulary.price is not None and bool((column_index(self.catalog, self.vocabulary.price).values >= value).any())

    def _compared(self, place: int, column: str) -> tuple[Expression, int] | None:
        found = self.phrase(place, COMPARATORS)
        if not found:
            return None
        (operator, timely), end = found
        if operator == "=" and not column:
            return None
        said = self.amount(self.skip(end, FILLERS - {"one"}) if self.text(end) in FILLERS else end, column)
        if said is None or (timely and not said.year and not said.column):
            return None
        return self._expressed(operator, said, column, timely)

    def _than(self, place: int, column: str) -> tuple[Expression, int] | None:
        """ "cheaper than 30", "less height than 30"."""
        found = self.phrase(place, COMPARATIVES)
        if not found or self.text(found[1]) != "than":
            return None
        (operator, names), end = found
        said = self.amount(end + 1, column)
        if said is None:
            return None
        measured = next((name for name in map(self.vocabulary.called, names) if name), "")
        if names == ("time",) and not said.year:
            return None
        return (
            self._expressed(operator, replace(said, column=said.column or measured), column, names == ("time",))
            if measured or said.column
            else None
        )

    def _from(self, place: int, column: str) -> tuple[Expression, int] | None:
        """ "from 1995", "in the nineties", "the early 90s", "1995", "from 20", "$40", "around 40", "2 kg"."""
        opening = (
            self.text(place)
            if self.text(place) in ("from", "in", "of", "during", "around", "about", "approximately", "roughly", "circa", "~")
            else ""
        )
        said = self.amount(place + bool(opening), column)
        if said is None:
            return None
        trailer = self.phrase(said.end, TRAILERS)
        if trailer and trailer[0]:
            return self._expressed(trailer[0], replace(said, end=trailer[1]), column, said.year)
        timely = said.kind == "time" or (said.year and not column and opening not in ("about", "~", "approximately", "roughly"))
        if timely and self.vocabulary.time:
            return self._expressed("=", said, column, True)
        if opening in ("around", "about", "approximately", "roughly", "circa", "~") and said.kind == "number":
            if said.column or self._closed(said.end):
                low, high = (float(f"{float(said.low) * share:.6g}") for share in (0.8, 1.2))
                return self._expressed(">=", replace(said, low=low, high=high), column, False, both=True)
            return None
        if opening == "from" and said.kind == "number":
            return self._expressed(">=", said, column, False)
        if said.kind == "ordinal" or (opening and opening != "in"):
            return None
        if said.column == self.vocabulary.price and said.column and column == "":
            return self._expressed("<=", said, column, False)
        return self._exactly(said, column)

    def _exactly(self, said: Amount, column: str) -> tuple[Expression, int] | None:
        """A bare amount: of a column that was named it is meant as said, else only if something here measures just that."""
        if column and not self.match_is_name(said, column):
            return self._expressed("=", said, column, False)
        if not column and said.column:
            expression = self.comparison(said.column, "=", said.low, said.high)
            return (expression, said.end) if expression and mask(expression, self.catalog).any() else None
        return None

    def match_is_name(self, said: Amount, column: str) -> bool:
        """Whether the amount is also a named value of ``column`` ("size 40")."""
        return self.vocabulary.columns[column].kind in ("category", "set", "ordinal") and said.kind == "number"

    def _closed(self, place: int) -> bool:
        return self.ends(place) or self.text(place) in STOP or self.match(place) is not None

    def _trailed(self, place: int, column: str) -> tuple[Expression, int] | None:
        """ "40 or less", "medium and up"."""
        said = self.amount(place, column)
        trailer = self.phrase(said.end, TRAILERS) if said else None
        return self._expressed(trailer[0], replace(said, end=trailer[1]), column, said.year) if said and trailer else None

    def _expressed(self, operator: str, said: Amount, column: str, timely: bool, both: bool = False) -> tuple[Expression, int] | None:
        target = column or said.column or self._meant_column(said, timely)
        if not target:
            what = f"in {said.lost}" if said.lost else "as time" if timely else "by such a number"
            self.notes.append(
                f"Nothing in this catalog is measured {what}, so “{said.low if isinstance(said.low, str) else f'{said.low:.12g}'}” is left aside."
            )
            return And(()), said.end
        if both or (operator == "=" and said.low != said.high):
            expression = self.comparison(target, ">=", said.low, said.high)
        else:
            expression = self.comparison(target, operator, said.high if operator in (">", "<=") else said.low)
        return (expression, said.end) if expression else None

    def _meant_column(self, said: Amount, timely: bool) -> str:
        if said.lost:
            return ""
        if timely or said.kind == "time":
            return self.vocabulary.time or ""
        if self.vocabulary.price:
            return self.vocabulary.price
        if said.year and self.vocabulary.time:
            return self.vocabulary.time
        return self.vocabulary.amounts[0] if len(self.vocabulary.amounts) == 1 else ""

    def comparison(self, column: str, operator: str, value: float | str, last: float | str | None = None) -> Expression | None:
        """The comparison in terms of the column's kind, None where it has none; ``last`` makes it the range from ``value``."""
        if last is not None and last != value:
            parts = self.comparison(column, ">=", value), self.comparison(column, "<=", last)
            return And((parts[0], parts[1])) if parts[0] and parts[1] else None
        kind = self.vocabulary.columns[column].kind
        if kind == "date":
            return Compare(column, "=" if last is not None else operator, str(int(value)) if isinstance(value, float) else value)
        if kind == "number":
            number = float(value[:4]) if isinstance(value, str) and value[:4].isdigit() else value
            return Compare(column, "=" if last is not None else operator, number) if isinstance(number, float) else None
        order = self.vocabulary.columns[column].order
        text = f"{value:.12g}" if isinstance(value, float) else value
        if kind == "ordinal" and text in order:
            return Compare(column, operator, text)
        if isinstance(value, float) and (numeric := self.vocabulary.numeric(column)):
            return In(column, tuple(name for name, number in numeric.items() if _COMPARE[operator](number, value)))
        return None


def flipped(expression: Expression) -> Expression | None:
    """The bound that says the opposite, for values that are known; None for anything but a single bound."""
    if isinstance(expression, Compare) and expression.operator in FLIPPED:
        return replace(expression, operator=FLIPPED[expression.operator])
    return None
