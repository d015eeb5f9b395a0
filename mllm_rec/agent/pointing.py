"""Deeds and the items they are about: "like it", "more like the first", "why not the Orla?", "start over"."""

from dataclasses import replace

import numpy as np

from mllm_rec.agent.amounts import Amounts
from mllm_rec.agent.english import DISLIKE, HELP, LIKE, MORE_RESULTS, POINTERS, POSITIONS, RESET, SIMILAR, STOP, amount, tokenize
from mllm_rec.agent.state import Intent
from mllm_rec.retrieval.columns import column_index
from mllm_rec.retrieval.filters import columns, mask

#: Said where an item is pointed to and none was shown yet.
NOTHING_SHOWN = "Nothing has been shown yet that this could mean."
_POLITE = ("please", "thanks", "thank", "you", "now", "ok", "okay", "can", "me", "some", "any")
#: Words before a verb of liking.
SUBJECTS = ("i", "id", "would", "you", "to", "really", "do", "also", "still", "and", "we", "but", "yes", "rather", "actually")


class Pointing(Amounts):
    """Reads deeds; the items are found by position in the list last shown, by "it", or by title."""

    intents: list[Intent]

    def deed(self, place: int) -> int | None:
        """ "start over", "more", "help", "why the second one?"."""
        if not self.starts(place):
            return None
        if (found := self.phrase(place, RESET)) and (self.ends(found[1]) or self.text(found[1]) in ("and", "please", "with")):
            self.intents.append(Intent("reset"))
            return found[1]
        for kind, table in (("more", MORE_RESULTS), ("help", HELP)):
            if (found := self.phrase(place, table)) and self.skip(found[1], _POLITE) >= len(self.tokens) - self._closing():
                self.intents.append(Intent(kind))
                return len(self.tokens)
        if place == 0 and self.text(0) in ("why", "explain"):
            return self._why()
        return None

    def _closing(self) -> int:
        """How many signs stand at the end of the message."""
        last = len(self.tokens)
        while last and self.tokens[last - 1].kind == "break":
            last -= 1
        return len(self.tokens) - last

    def _why(self) -> int:
        kind = "why_not" if any(token.text in ("not", "isnt", "no", "without") for token in self.tokens[1:3]) else "why"
        for place in range(1, len(self.tokens)):
            if found := self.reference(place, anywhere=True):
                self.intents.append(Intent(kind, found[0], found[1]))
                break
        else:
            self.intents.append(Intent(kind, *self._in_question()))
        return len(self.tokens)

    def _in_question(self) -> tuple[str, int]:
        """The item whose title holds the words of a question, of several the one that most filters, the category first, let pass; "it" without words."""
        words = [token.text for token in self.tokens[1:] if token.kind == "word" and token.text not in STOP]
        if not words:
            return self._it()
        titles = column_index(self.catalog, "title")
        rows = np.flatnonzero(np.logical_and.reduce([titles.contains((word,)) for word in words]) & self.catalog.available)
        if not len(rows):
            return "", 0
        filters = [chip.expression for chip in self.state.chips if chip.kind == "filter" and chip.expression is not None]
        passes = [mask(each, self.catalog)[rows] * (1.5 if "category" in columns(each) else 1.0) for each in filters]
        best = rows[np.sum(passes, axis=0).argmax()] if passes else rows[0]
        return str(self.catalog.item_ids[best]), self._position(str(self.catalog.item_ids[best]))

    def point(self, place: int) -> int | None:
        """A like, a dislike, or "something like this", each with the item it is about; or just an item."""
        if found := self.phrase(place, DISLIKE):
            if found[0] == "not for me" and self.ends(found[1]):
                named = self.reference(found[1] + 1) if self.text(found[1]) in (":", ",", "-") else None
                return self._note("dislike", named or (*self._it(), found[1]))
            if pointed := self.reference(found[1]):
                return self._note("dislike", pointed)
        plain = self.text(place) == "like" and (place == 0 or self.text(place - 1) in SUBJECTS)
        if (found := self.phrase(place, SIMILAR)) and not plain and (pointed := self.reference(found[1], named=True)):
            return self._note("similar", pointed)
        if (found := self.phrase(place, LIKE)) and (found[0] != "like" or plain) and (pointed := self.reference(found[1], named=True)):
            return self._note("like", pointed)
        bare = self.text(place) in ("the", "number", "#", "no") or self.text(place) in POSITIONS
        if bare and self.state.last_list and (pointed := self.reference(place)):
            return self._note("", pointed)
        return None

    def settled(self, intents: list[Intent], filtered: bool) -> list[Intent]:
        """The intents; an item only pointed at is a like if nothing else is asked for, and else what the rest should resemble."""
        return [replace(intent, kind="similar" if filtered else "like") if intent.kind == "" else intent for intent in intents]

    def _note(self, kind: str, pointed: tuple[str, int, int]) -> int:
        item, position, end = pointed
        if item:
            self.intents.append(Intent(kind, item, position))
            # "I liked Fargo and Pulp Fiction"
            if kind in ("like", "dislike") and self.text(end) in ("and", ",", "or") and (more := self.reference(end + 1, named=True)):
                return self._note(kind, more) if more[0] else end
        else:
            count = len(self.state.last_list)
            self.notes.append(f"The list shown has {count} {'item' if count == 1 else 'items'}." if count else NOTHING_SHOWN)
        return end

    def _it(self) -> tuple[str, int]:
        """What "it" means: the item this message named last, else the one pointed to before, else the first one shown."""
        if self.intents and self.intents[-1].item:
            return self.intents[-1].item, self.intents[-1].position
        if self.state.reference:
            return self.state.reference, 0
        return (self.state.last_list[0], 1) if self.state.last_list else ("", 0)

    def reference(self, place: int, named: bool = False, anywhere: bool = False) -> tuple[str, int, int] | None:
        """An item pointed to: its id ("" if there is none such), its position in the list shown (0: none), and the end.

        ``named``: a title will do. ``anywhere``: what follows doesn't matter, and a title will do.
        """
        start = self.skip(place, ("the", "my", "your", "number", "no", "#", "a"))
        token = self.text(start)
        if token in POSITIONS and (end := self._after_position(start + 1, anywhere)):
            return self._at(POSITIONS[token], end)
        digits = amount(token) if self.text(start - 1) in ("number", "#", "no") and start > place else None
        if digits and not digits[1] and digits[0].is_integer() and self._closes(start + 1, anywhere):
            return self._at(int(digits[0]), start + 1)
        if (found := self.phrase(start, POINTERS)) and (self._closes(found[1], anywhere=False) or len(found[0].split()) > 1):
            item, position = self._it()
            return item, position, found[1]
        return self._titled(start) if named or anywhere else None

    def _at(self, position: int, end: int) -> tuple[str, int, int]:
        shown = self.state.last_list
        place = position if position > 0 else len(shown)
        return (shown[place - 1], place, end) if 0 < place <= len(shown) else ("", 0, end)

    def _after_position(self, place: int, anywhere: bool) -> int:
        """The end of "first one", "first", "first lamp"; 0 where "first" says something else ("first aid kit")."""
        if self.text(place) in ("one", "item", "ones", "result", "option"):
            return place + 1
        if self._closes(place, anywhere):
            return place
        found = self.meanings(place, "value")
        named = found and all(meaning.column == "category" for meaning in found[0])
        return found[1] if found and named else 0

    def _closes(self, place: int, anywhere: bool) -> bool:
        return (
            anywhere
            or self.ends(place)
            or self.text(place)
            in ("in", "but", "with", "please", "instead", "and", "or", "only", "though", "too", "because", "without", "under")
        )

    def _titled(self, place: int) -> tuple[str, int, int] | None:
        if place >= len(self.tokens):
            return None
        known = self.match(place)
        whole = self.vocabulary.titled(self.tokens, place)
        if whole and (known is None or whole[1] > known.length):
            item = str(self.catalog.item_ids[whole[0]])
            return item, self._position(item), place + whole[1]
        if known is not None or self.tokens[place].text in STOP or self.tokens[place].kind != "word":
            return None
        remembered = dict.fromkeys((*self.state.last_list, *reversed(self.state.liked), *reversed(self.state.shown[-200:])))
        for item in remembered:
            if item not in self.catalog.positions:
                continue
            words = {token.text for token in tokenize(str(self.catalog.table["title"].iat[self.catalog.positions[item]])[:200])}
            if self.text(place) in words:
                end = place
                while self.text(end) in words:
                    end += 1
                return item, self._position(item), end
        return None

    def _position(self, item: str) -> int:
        return self.state.last_list.index(item) + 1 if item in self.state.last_list else 0
