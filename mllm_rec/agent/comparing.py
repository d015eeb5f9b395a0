"""Comparisons and leanings as chips: "under 40", "cheaper", "the oldest", "a cheap one"."""

import math
from dataclasses import replace

import numpy as np

from mllm_rec.agent.english import COMPARATIVES, DETERMINERS, LEANINGS, LESS, MEASURES, MORE, SUPERLATIVES
from mllm_rec.agent.pointing import Pointing
from mllm_rec.agent.state import Chip, Understanding
from mllm_rec.agent.vocabulary import middle
from mllm_rec.retrieval.columns import column_index
from mllm_rec.retrieval.filters import And, Compare, Expression, In, describe, disjunction, mask


class Comparing(Pointing):
    """Reads what compares with an amount, with the list last shown, or with the end of a column, and writes chips down."""

    chips: list[Chip]
    _leanings: list[tuple[Chip, str]]

    def bounded(self, place: int) -> int | None:
        """A comparison or a range, or several joined by "or"."""
        found = self.bound(place)
        if not found:
            return None
        if self.text(place - 1) in MEASURES and self.chips and self.chips[-1].words:
            self.chips.pop()
            self.notes.append(
                f"No column of this catalog holds a {self.text(place - 1)}, so “{self.said(place - 1, found[1])}” is left aside."
            )
            return found[1]
        parts, end = [found[0]], found[1]
        while self.text(end) == "or" and (more := self.bound(end + 1)):
            parts.append(more[0])
            end = more[1]
        self._add(disjunction(parts), place, end)
        return end

    def compare(self, place: int) -> int | None:
        """ "cheaper", "newer", "less height", "softer": against the middle of the list last shown, or against one item."""
        found = self.phrase(place, COMPARATIVES)
        if found:
            (operator, names), end = found
            column = next((name for name in map(self.vocabulary.called, names) if name), None)
        else:
            column, operator, end = self._degree(place)
        if column is None:
            return None
        rows, end = self._compared_with(end)
        value = middle(self.catalog, column, rows)
        if value is None:
            self.notes.append(f"The {column.replace('_', ' ')} of what was shown is unknown.")
            return end
        if column == self.vocabulary.price and self.vocabulary.cents:
            value = math.ceil(round(float(value) * 100, 6)) / 100  # the middle of two prices in cents; no price lies between
        self._add(Compare(column, operator, value), place, end)
        return end

    def _degree(self, place: int) -> tuple[str | None, str, int]:
        token = self.text(place)
        if token in MORE | LESS and (named := self.ordered_column(place + 1)):
            column = named[0] if self.vocabulary.columns[named[0]].kind != "category" else None
            return column, ">" if token in MORE else "<", named[1]
        if token in MORE | LESS and (found := self.meanings(place + 1, "value")):
            value, end = found[0][0], found[1]
            operator = ">" if token in MORE else "<"
        elif token.endswith("er") and len(token) > 4 and not self.match(place):
            roots = (token[:-2], token[:-1], token[:-3] if token[-3] == token[-4] else "", token[:-3] + "y" if token[-3] == "i" else "")
            candidates = [meaning for root in roots if root for meaning in self.vocabulary.named(root)]
            if not candidates:
                return None, "", place
            value, end, operator = candidates[0], place + 1, ">"
        else:
            return None, "", place
        order = self.vocabulary.columns[value.column].order if value.column in self.vocabulary.columns else ()
        if value.value not in order:
            return None, "", place
        low = order.index(value.value) < len(order) / 2
        return value.column, {">": "<", "<": ">"}[operator] if low else operator, end

    def _compared_with(self, end: int) -> tuple[np.ndarray, int]:
        """Rows that a comparative speaks of: one item after "than", the list last shown, or all that the filters leave."""
        if self.text(end) == "than":
            pointed = self.reference(end + 1, named=True)
            if pointed and pointed[0]:
                return np.array([self.catalog.positions[pointed[0]]]), pointed[2]
            end = pointed[2] if pointed else self.skip(end + 1, ("this", "that", "these", "those", "them", "it", "the", "last", "ones"))
        shown = [self.catalog.positions[item] for item in self.state.last_list if item in self.catalog.positions]
        if shown:
            return np.array(shown), end
        kept = self.state.filters()
        return np.flatnonzero(self.catalog.available & (mask(kept, self.catalog) if kept is not None else True)), end

    def than(self, place: int) -> int | None:
        """ "costing less than a mug": what is compared with has no single value, so it is left aside, and said."""
        if self.text(place) != "than":
            return None
        named = self.meanings(self.skip(place + 1, DETERMINERS), "value")
        if named is None:
            return None
        self.notes.append(f"What “{self.said(place + 1, named[1])}” comes to is not one number, so the comparison is left aside.")
        return named[1]

    def lean(self, place: int) -> int | None:
        """ "cheap", "recent": a wish for one end of a column."""
        found = self._leaning(place)
        if not found:
            return None
        self._wish(found[0], self.said(place, found[1]))
        self._leanings.append((self.chips[-1], self.text(found[1] - 1)))
        return found[1]

    def _settle_leanings(self) -> None:
        """Leanings measured among what the filters leave, in steps, so that the end itself comes first."""
        if not self._leanings:
            return
        filters = Understanding(chips=tuple(chip for chip in self.chips if chip.kind == "filter"))
        kept = self.state.apply(filters, self.catalog).filters()
        passes = self.catalog.available & (mask(kept, self.catalog) if kept is not None else True)
        for chip, word in self._leanings:
            compare = chip.expression
            assert isinstance(compare, Compare)
            index = column_index(self.catalog, compare.column)
            values = np.sort(index.values[index.known & passes])
            if not len(values):
                continue
            if compare.operator[0] == ">":
                values = values[::-1]
            places = range(min(8, len(values))) if word in SUPERLATIVES else [int(len(values) * share / 9) for share in (1, 2, 3)]
            ends = dict.fromkeys(values[min(place, len(values) - 1)] for place in places)
            said = [str(end.astype("datetime64[D]")) if index.kind == "date" else float(end) for end in ends]
            steps = tuple(Compare(compare.column, compare.operator, end) for end in said)
            settled = replace(chip, expression=And(steps) if len(steps) > 1 else steps[0])
            self.chips = [settled if old is chip else old for old in self.chips]

    def _leaning(self, place: int) -> tuple[Compare, int] | None:
        found = self.phrase(place, LEANINGS)
        column = self.vocabulary.called(found[0][1]) if found and self.match(place) is None else None
        if found is None or column is None or self.vocabulary.columns[column].kind == "ordinal":
            return None
        index = column_index(self.catalog, column)
        values = np.sort(index.values[index.known])
        if len(values) == 0:
            return None
        operator = found[0][0]
        third = values[(len(values) - 1) // 3 if operator == "<" else -1 - (len(values) - 1) // 3]
        value = str(third.astype("datetime64[D]")) if self.vocabulary.columns[column].kind == "date" else float(third)
        return Compare(column, f"{operator}=", value), found[1]

    # Writing down

    def _add(self, expression: Expression, start: int, end: int) -> None:
        if expression == And(()):  # an amount that measures nothing here, already noted
            return
        self._filter(expression)

    def _filter(self, expression: Expression, label: str = "") -> None:
        before = next((chip for chip in self.chips if chip.kind == "filter" and self._same_column(chip.expression, expression)), None)
        if before is not None:  # "chairs, tables or lamps": a thing has one category, so both are welcome
            self.chips.remove(before)
            expression, label = In(expression.column, tuple(dict.fromkeys((*before.expression.values, *expression.values)))), ""  # type: ignore[union-attr]
        self.chips.append(Chip("filter", label or describe(expression, self.catalog), expression))

    def _same_column(self, old: Expression | None, new: Expression) -> bool:
        """Whether both ask for values of one column that holds a single value."""
        single = isinstance(new, In) and new.column in self.vocabulary.columns and self.vocabulary.columns[new.column].kind != "set"
        return single and isinstance(old, In) and isinstance(new, In) and old.column == new.column

    def _wish(self, expression: Expression | None, label: str, words: str = "") -> None:
        self.chips.append(Chip("wish", label, expression, words or ("" if expression is not None else label)))
