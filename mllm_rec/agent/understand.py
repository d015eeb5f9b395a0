"""Plain words as typed filters, wishes and deeds; by rules, in time linear in the message."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from mllm_rec.agent.amounts import flipped
from mllm_rec.agent.comparing import Comparing
from mllm_rec.agent.english import (
    AUXILIARIES,
    FILLERS,
    FORGET,
    FORGET_AFTER,
    NEGATIONS,
    NUMBER_WORDS,
    STOP,
    forms,
    tokenize,
)
from mllm_rec.agent.pointing import SUBJECTS
from mllm_rec.agent.state import Chip, DialogueState, Intent, Understanding
from mllm_rec.agent.vocabulary import ARTICLES, NAME, SEGMENT, Meaning, Vocabulary
from mllm_rec.retrieval.columns import column_index
from mllm_rec.retrieval.filters import And, Expression, In, Not, Or, columns, disjunction, mask

#: Characters of a message that are read; nobody types more, and the rest is said to be left out.
LONGEST_MESSAGE = 4_000
_MOST_CHIPS = 24
_LIMIT_WORDS = ("filter", "limit", "restriction", "constraint", "bound", "range", "requirement")


def understand(message: str, vocabulary: Vocabulary, state: DialogueState | None = None) -> Understanding:
    """What a message asks for.

    Hard: comparisons, negations, values of the category column, and values that at least one available item is known
    to have; every other word that means something is a wish.

    Args:
        state: the conversation so far: what "cheaper", "the second one" and "forget the price" speak of.
    """
    cut = message[:LONGEST_MESSAGE]
    reader = _Message(tokenize(cut), vocabulary, state or DialogueState())
    if len(message) > LONGEST_MESSAGE:
        reader.notes.append(f"Only the first {LONGEST_MESSAGE:,} characters were read.")
    return reader.read()


@dataclass(frozen=True)
class _Item:
    """One value named in a list: its meanings, as said."""

    meanings: tuple[Meaning, ...]
    distance: int
    start: int
    end: int


class _Message(Comparing):
    """The rules, each a method that reads what starts at a position and returns the position after it, or None."""

    def read(self) -> Understanding:
        self.chips: list[Chip] = []
        self.forget_columns: list[str] = []
        self.forget_labels: list[str] = []
        self.intents: list[Intent] = []
        self._run_end = -1
        self._leanings: list[tuple[Chip, str]] = []
        rules = (
            self.deed,
            self.point,
            self.forget,
            self.column,
            self.bounded,
            self.compare,
            self.than,
            self.negate,
            self.quoted_title,
            self.name,
            self.lean,
            self.word,
        )
        place = 0
        while place < len(self.tokens) and len(self.chips) < _MOST_CHIPS:
            strong = self.match(place)
            first = (self.name,) if strong and strong.length > 1 and strong.of("value") else ()
            place = next((after for rule in (*first, *rules) if (after := rule(place)) is not None), place + 1)
        self._settle_leanings()
        words = {token.text for token in self.tokens}
        return Understanding(
            tuple(dict.fromkeys(self.chips)),
            tuple(dict.fromkeys(self.forget_columns)),
            tuple(dict.fromkeys(self.forget_labels)),
            tuple(self.settled(self.intents, bool(self.chips))),
            tuple(dict.fromkeys(self.notes)),
            instead=bool(words & {"instead", "rather"}) and not words & {"of", "than"},
        )

    # Taking back

    def forget(self, place: int) -> int | None:
        """ "any color", "forget the price", "no price limit", "forget red"."""
        found = self.phrase(place, FORGET)
        if not found:
            denied = self.phrase(place, NEGATIONS)
            named = self.meanings(self.skip(denied[1], ("a", "the", "any")), "column") if denied else None
            if named is None or self.text(named[1]) not in _LIMIT_WORDS:
                return None
            found = denied
        target = self.skip(found[1], ("the", "a", "my", "about", "about", "that", "any", "filter", "on"))  # type: ignore[index]
        named = self.meanings(target, "column")
        if named:
            self.forget_columns += [meaning.column for meaning in named[0]]
            end = self.skip(named[1], _LIMIT_WORDS)
            return self.negate(end + 1, ("but",)) or end if self.text(end) in ("but", "except") else end
        if found[0] in ("any", "whatever"):  # type: ignore[index]
            return None
        for chip in self.state.chips:
            label = [token.text for token in tokenize(chip.label)]
            said = [token.text for token in self.tokens[target : target + len(label)]]
            short = [token.text for token in tokenize(chip.label.split(": ", 1)[-1])]
            if said == label or said[: len(short)] == short:
                self.forget_labels.append(chip.label)
                return target + (len(label) if said == label else len(short))
        return None

    def column(self, place: int) -> int | None:
        """A column's name, with what is said of it: "color red", "height under 30", "price doesn't matter"."""
        named = self.meanings(place, "column")
        if not named:
            return None
        meanings, end = named
        if after := self.phrase(end, FORGET_AFTER):
            self.forget_columns += [meaning.column for meaning in meanings]
            return after[1]
        target = self.skip(end, (":", "=", "is", "are", "in", "of", "be", "should", "must", "to", "that", "has"))
        sign = end if self.text(end) == "=" else target
        for name in (meaning.column for meaning in meanings):
            denied = self.phrase(target, NEGATIONS)
            if denied and not self.match(target, name):
                if after_denied := self._denied_values(denied[1], denied[0], name):
                    return after_denied
                continue
            if ((found := self.bound(sign, name)) or (found := self.bound(target, name))) and columns(found[0]) == (name,):
                self._add(found[0], place, found[1])
                return found[1]
            if self.meanings(target, "value", name) and (target > end or not self._rather_alone(target)):
                return self._values(target, name)
        return None if self.meanings(place, "value") or self.match(place).distance >= SEGMENT else end  # type: ignore[union-attr]

    def _rather_alone(self, place: int) -> bool:
        """Whether a function word right after a column's name goes on as a sentence does, rather than being its value."""
        return self.text(place) in STOP and not self.ends(place + 1) and self.match(place) is None and self.text(place) not in ("no", "yes")

    def quoted_title(self, place: int) -> int | None:
        """Capitalized words that stand so in a title ("Star Wars") are no values, whatever a single one of them means."""
        end = place
        while end < len(self.tokens) and self.tokens[end].kind == "word" and self.tokens[end].raw[:1].isupper() and not self.shouted:
            end += 1
        known = self.match(place)
        whole = self.vocabulary.titled(self.tokens, place)
        if whole and whole[1] > 1 and end - place > 1:
            self._wish(None, self.said(place, place + whole[1]))
            return place + whole[1]
        if end - place < 2 or (known and known.length >= end - place):
            return None
        for last in range(end, place + 1, -1):
            inside = [self.match(at) for at in range(place, last)]
            if any(found is not None and found.length > 1 for found in inside):
                continue
            if column_index(self.catalog, "title").contains((self.said(place, last),)).any():
                self._wish(None, self.said(place, last))
                return last
        return None

    # Negations

    def negate(self, place: int, also: Sequence[str] = ()) -> int | None:
        """ "not leather", "without Jim Carrey or Tom Hanks", "no more than", "leather-free"."""
        found = self.phrase(place, NEGATIONS) or self.phrase(place, AUXILIARIES)
        if also:
            found = found or ("but", place)
        if not found:
            return None
        said, start = found
        target = self.skip(start, FILLERS) if not self.meanings(start, "value") else start
        if said in AUXILIARIES and not (self.meanings(target, "value") or self.meanings(target, "wish")):
            return None
        if self.ends(target):
            return None
        if bound := self.bound(target):
            self._add(flipped(bound[0]) or Not(bound[0]), place, bound[1])
            return bound[1]
        if self.match(target) is None and (leaning := self._leaning(target)):
            self._filter(Not(leaning[0]), f"not {self.said(target, leaning[1])}")
            return leaning[1]
        named = self.meanings(target, "column")
        for meaning in named[0] if named else ():
            if self.meanings(named[1], "value", meaning.column):  # type: ignore[index]
                return self._denied_values(named[1], said, meaning.column)  # type: ignore[index]
        return self._denied_values(start, said) or self._denied_words(target)

    def _denied_values(self, start: int, said: str, column: str | None = None) -> int | None:
        start = start if self._items(start, column) else self.skip(start, FILLERS)
        groups, joins, end = self._list(start, column)
        if not groups:
            wish = self.meanings(start, "wish")
            if wish and column is None:
                self._deny_wish(wish[0][0].value)
            return wish[1] if wish and column is None else None
        strong = not said.startswith(("not", "non", "is not", "are not", "isnt", "arent"))
        closed = bool(joins) and joins[-1] in ("or", "nor", "and")
        for number, group in enumerate(groups):
            if number and not self._goes_on(joins[number - 1], groups[number - 1][-1], group[0], strong or closed):
                return groups[number - 1][-1].end
            *others, last = group
            category = others and not strong and said != "not a" and all(meaning.column == "category" for meaning in last.meanings)
            denied = [self._any(item.meanings, item) for item in (others if category else group)]
            by_words = self._only_in_texts(denied) or self._many(last)
            label = f"not {self.said(group[0].start, (others[-1] if category else last).end)}"
            self._filter(Not(denied[0] if len(denied) == 1 else And(tuple(denied))), label if by_words else "")
            if category:
                self._positive(last)
        return end

    def _many(self, item: _Item) -> bool:
        """Whether part of a value was said that too many values share to be listed on a chip."""
        return item.distance >= SEGMENT and len(item.meanings) > 3

    def _only_in_texts(self, expressions: list[Expression]) -> bool:
        return any(set(columns(expression)) <= set(self.vocabulary.texts) for expression in expressions)

    def _goes_on(self, join: str, before: _Item, after: _Item, closed: bool) -> bool:
        """Whether a negation reaches the next member of a list: "not red or leather", "no red and blue", not "not red and leather"."""
        same = {meaning.column for meaning in before.meanings} & {meaning.column for meaning in after.meanings}
        return join in ("or", "nor") or (bool(same) and (join == "and" or closed))

    def _deny_wish(self, word: str) -> None:
        favored = self._favored(word)
        if favored:
            self._filter(Not(disjunction(favored)), f"not {word}")
        else:
            self._filter(Not(self._in_texts([word])), f"not {word}")

    def _denied_words(self, target: int) -> int | None:
        """Words that no column knows are looked for in titles and texts; a slip of the pen is read as the value it misses."""
        end = target
        while not self.ends(end) and self._plain_word(end):
            end += 1
        if end == target:
            return None
        near = self.vocabulary.corrected(self.text(target)) if end == target + 1 else None
        if near is not None:
            self.notes.append(f"“{self.said(target, end)}” was read as “{near.value}”.")
            self._filter(Not(In(near.column, (near.value,))))
            return end
        said = self.said(target, end)
        expression = self._in_texts([said, *(" ".join([*said.split()[:-1], form]) for form in forms(self.text(end - 1)))])
        if not mask(expression, self.catalog).any():
            self.notes.append(f"No text here says “{said}”.")
        self._filter(Not(expression), f"not {said}")
        return end

    def _in_texts(self, phrases: list[str]) -> Expression:
        return Or(tuple(In(name, tuple(dict.fromkeys(phrases))) for name in self.vocabulary.texts))

    # Values

    def name(self, place: int) -> int | None:
        """Values of columns, single or in a list; a domain's wish where no item is known to have the value."""
        groups, joins, end = self._list(place, None)
        if groups:
            return self._asked(groups, joins, end, place)
        wish = self.meanings(place, "wish")
        if wish is None:
            return None
        word = wish[0][0].value
        favored = self._favored(word)
        self._wish(And(tuple(favored)) if favored else None, word)
        return wish[1]

    def _values(self, place: int, column: str) -> int:
        groups, joins, end = self._list(place, column)
        return self._asked(groups, joins, end, place)

    def _asked(self, groups: list[list[_Item]], joins: list[str], end: int, place: int) -> int:
        if self.text(end) == "free" and len(groups[-1]) == 1 and (self.tokens[end].glued or self.ends(end + 1)):
            item = groups.pop()[0]
            self._filter(Not(self._any(item.meanings, item)))
            joins, end = joins[:-1], end + 1
        if (first := self._first_alternative(groups, joins)) > 0:
            # "a lamp, red or blue": the lamp is no alternative
            self._asked(groups[:first], joins[: first - 1], groups[first - 1][-1].end, place)
            groups, joins = groups[first:], joins[first:]
        items = [item for group in groups for item in group]
        if joins and joins[-1] == "or" and all(self._hard(item) for item in items):
            self._alternatives(groups)
        elif joins and self._exclusive(items):
            self._add(disjunction([self._narrow(item) for item in items]), place, end)
        else:
            for item in items:
                self._positive(item)
        return end

    def _first_alternative(self, groups: list[list[_Item]], joins: list[str]) -> int:
        """The first group that the "or" at the end of a list reaches back to: over commas only as long as a column is shared."""
        if not joins or joins[-1] != "or":
            return 0
        first = len(groups) - 1

        def names(group: list[_Item]) -> set[str]:
            return {meaning.column for item in group for meaning in item.meanings}

        while first > 0 and (joins[first - 1] == "or" or names(groups[first - 1]) & names(groups[-1])):
            first -= 1
        return first

    def _alternatives(self, groups: list[list[_Item]]) -> None:
        """ "red or blue lamp", "red lamp or blue vase", "leather or red"."""
        named = [[columns(self._narrow(item)) for item in group] for group in groups]
        if all(len(group) == 1 for group in groups):
            self._filter(disjunction([self._narrow(group[0]) for group in groups]))
            return
        if all(len(group) > 1 and sorted(names) == sorted(named[0]) for group, names in zip(groups, named, strict=True)):
            self._filter(Or(tuple(And(tuple(self._narrow(item) for item in group)) for group in groups)))
            return
        shared = next((name for name in named[0] if all(names.count(name) == 1 for names in named)), None)
        if shared is not None:
            chosen = [group[names.index(shared)] for group, names in zip(groups, named, strict=True)]
        else:
            chosen = [groups[0][-1], *(item for group in groups[1:-1] for item in group), groups[-1][0]]
        self._filter(disjunction([self._narrow(item) for item in chosen]))
        for item in (item for group in groups for item in group if item not in chosen):
            self._positive(item)

    def _exclusive(self, items: list[_Item]) -> bool:
        """Whether no item can be all of these at once: different values of one column that holds a single value."""
        if len(items) < 2 or not all(self._hard(item) for item in items):
            return False
        names = {columns(self._narrow(item)) for item in items}
        return len(names) == 1 and all(self.vocabulary.columns[name].kind != "set" for name in next(iter(names)))

    def _list(self, place: int, column: str | None) -> tuple[list[list[_Item]], list[str], int]:
        """Values that follow one another: groups of neighbors ("red lamp"), and what joins the groups ("or", "and", "nor", ",")."""
        groups: list[list[_Item]] = []
        joins: list[str] = []
        end = place
        while first := self._items(end, column):
            group = [first]
            while more := self._items(group[-1].end, column):
                group.append(more)
            groups.append(group)
            end = group[-1].end
            following = end
            join = ""
            while self.text(following) in (",", "or", "and", "nor", "/", "either"):
                join = self.text(following) if self.text(following) != "/" else "or"
                following += 1
            after = self.skip(following, ("a", "an", "the", "some", "in", "with", "of", "from", "by", "for"))
            if not join or self._items(after, column) is None or (column is None and self._starts_bound(after)):
                break
            joins.append(join)
            end = after
        return groups, joins[: max(len(groups) - 1, 0)], groups[-1][-1].end if groups else place

    def _starts_bound(self, place: int) -> bool:
        return self.meanings(place, "column") is not None and self.meanings(place, "value") is None

    def _items(self, place: int, column: str | None) -> _Item | None:
        found = self.meanings(place, "value", column)
        if not found:
            return None
        meanings, end = found
        distance = self.match(place, column).distance  # type: ignore[union-attr]
        if column is None:
            if not any(meaning.items for meaning in meanings) and self.meanings(place, "wish"):
                return None
            # "red color": the column's name after the value says which column.
            named = self.meanings(end, "column")
            chosen = [meaning for meaning in meanings if named and meaning.column in {other.column for other in named[0]}]
            if named and chosen and not self.bound(end):
                meanings, end = tuple(chosen), named[1]
        return _Item(meanings, distance, place, end)

    def _hard(self, item: _Item) -> bool:
        known = [meaning for meaning in item.meanings if meaning.items]
        partial = SEGMENT <= item.distance < NAME and not any(meaning.column == "category" for meaning in known)
        return bool(known) and not partial

    def _narrow(self, item: _Item) -> Expression:
        """The values asked for: the category where one of them is a category, else every column that has one."""
        known = [meaning for meaning in item.meanings if meaning.items]
        categories = [meaning for meaning in known if meaning.column == "category"]
        return self._any(categories or known or item.meanings, item)

    def _any(self, meanings: Sequence[Meaning], item: _Item) -> Expression:
        held = [meaning for meaning in meanings if meaning.column in self.vocabulary.columns]
        named = [
            In(meaning.column, (meaning.value,))
            for meaning in held
            if self.vocabulary.columns[meaning.column].kind not in ("number", "date")
        ]
        if named:
            return disjunction(named)
        said = [said for meaning in meanings for said in self.vocabulary.called_also(meaning)]
        return self._in_texts([self.said(item.start, item.end), *said])

    def _positive(self, item: _Item) -> None:
        said = self.said(item.start, item.end)
        if self._hard(item):
            expression = self._narrow(item)
            names = " or ".join(columns(expression)).replace("_", " ")
            self._filter(expression, f"{names}: {said}" if self._many(item) else "")
            return
        known = [meaning for meaning in item.meanings if meaning.items]
        if not known:
            value = item.meanings[0].value
            self.notes.append(f"No available item is known to be “{value}”, so it only ranks.")
        self._wish(self._any(known, item) if known else None, said, said if not known else "")

    def _favored(self, word: str) -> list[Expression]:
        """What a domain's wish favors, as far as this catalog has the columns."""
        favored = self.vocabulary.domain.wishes[word]
        kinds = {name: self.vocabulary.columns[name].kind for name in favored if name in self.vocabulary.columns}
        return [In(name, tuple(favored[name])) for name, kind in kinds.items() if kind not in ("number", "date")]

    # Words

    def word(self, place: int) -> int:
        """Any other word: a wish; neighbors are one wish, and so is a whole title."""
        whole = self.vocabulary.titled(self.tokens, place)
        if whole and whole[1] > 1 + (self.text(place) in ARTICLES):
            self._wish(None, self.said(place, place + whole[1]))
            return place + whole[1]
        if not self._plain_word(place):
            return place + 1
        said = self.tokens[place].raw
        near = self.vocabulary.corrected(self.text(place))
        if near is not None:
            self.notes.append(f"“{said}” was read as “{near.value}”.")
            self._wish(In(near.column, (near.value,)), near.value)
            return place + 1
        if self._run_end == place and self.chips and self.chips[-1].words:
            said = f"{self.chips.pop().words} {said}"
        self._wish(None, said)
        self._run_end = place + 1
        return place + 1

    def _plain_word(self, place: int) -> bool:
        token = self.tokens[place]
        if token.kind != "word" or (token.text in STOP and not token.quoted) or token.text in self.vocabulary.noise:
            return False
        if token.text in NUMBER_WORDS and self._run_end != place:
            return False
        if token.text == "love" and self.text(place - 1) in SUBJECTS:
            return False
        if re.fullmatch(r"[\d.,]+", token.text) and not (place + 1 < len(self.tokens) and self._run_end == place):
            return False
        return self.match(place) is None
