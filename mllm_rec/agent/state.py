"""What a conversation has come to: chips that are the whole truth about its filters, likes, and lists shown."""

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np

from mllm_rec.data.catalog import Catalog
from mllm_rec.errors import InputError
from mllm_rec.retrieval.columns import fold
from mllm_rec.retrieval.filters import And, Compare, Expression, In, Not, Or, columns, conjunction, describe, from_json, mask, to_json

#: Shown items and chips beyond these are forgotten, the oldest first.
MOST_SHOWN, MOST_CHIPS = 2_000, 40


@dataclass(frozen=True)
class Chip:
    """One thing asked for, shown above the input and removable.

    Attributes:
        kind: "filter" is applied exactly; "wish" ranks.
        label: what the chip says.
        expression: the filter; for a wish the values it favors (the parts of an ``And`` count one by one), or None.
        words: words of a wish that no column knows, left to the search over texts.
        item: id of the item that a wish "like this one" points to.
    """

    kind: Literal["filter", "wish"]
    label: str
    expression: Expression | None = None
    words: str = ""
    item: str = ""

    @cached_property
    def id(self) -> str:
        """The same for the same chip, in every session."""
        return hashlib.sha1(json.dumps(self.to_json(), sort_keys=True).encode("utf-8", "surrogatepass")).hexdigest()[:10]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        said = {"kind": self.kind, "label": self.label, "words": self.words, "item": self.item}
        return said if self.expression is None else {**said, "expression": to_json(self.expression)}

    @classmethod
    def from_json(cls, said: Any) -> "Chip":
        """Read what ``to_json`` wrote; raises InputError for anything else."""
        match said:
            case {"kind": "filter" | "wish" as kind, "label": str(label), "words": str(words), "item": str(item)}:
                expression = from_json(said["expression"]) if "expression" in said else None
                if kind == "wish" or expression is not None:
                    return cls(kind, label, expression, words, item)
        raise InputError(f"{str(said)[:80]} is not a chip; it needs kind, label, words and item, and a filter its expression")


@dataclass(frozen=True)
class Intent:
    """Something to do rather than to filter.

    ``kind`` is one of like, dislike, similar, why, why_not, more, reset, help; ``item`` the id it is about ("" if none),
    ``position`` where that item stood in the list last shown (from 1; 0 if it was named otherwise).
    """

    kind: str
    item: str = ""
    position: int = 0


@dataclass(frozen=True)
class Understanding:
    """One message, read.

    Attributes:
        chips: new filters and wishes, in the order said.
        forget_columns, forget_labels: chips to take away, by column and by label.
        intents: deeds asked for.
        notes: sentences that the answer should say (a value that nothing has, a number that fits no column).
        instead: the new filters replace the old ones over the same columns, sets too.
    """

    chips: tuple[Chip, ...] = ()
    forget_columns: tuple[str, ...] = ()
    forget_labels: tuple[str, ...] = ()
    intents: tuple[Intent, ...] = ()
    notes: tuple[str, ...] = ()
    instead: bool = False


@dataclass(frozen=True)
class DialogueState:
    """The state of one conversation; every deed returns a new one.

    Attributes:
        chips: what is filtered and wished; nothing else is applied.
        liked, disliked, shown: item ids, in the order they came.
        last_list: the ids shown last, first to last.
    """

    chips: tuple[Chip, ...] = ()
    liked: tuple[str, ...] = ()
    disliked: tuple[str, ...] = ()
    shown: tuple[str, ...] = ()
    last_list: tuple[str, ...] = ()

    @property
    def reference(self) -> str:
        """The item that "more like this" points to, "" where there is none."""
        return next((chip.item for chip in self.chips if chip.item), "")

    def filters(self) -> Expression | None:
        """All hard chips at once; None where there are none."""
        return conjunction(chip.expression for chip in self.chips if chip.kind == "filter" and chip.expression is not None)

    def words(self) -> str:
        """The wishes that no column knows, for the search over texts."""
        return " ".join(chip.words for chip in self.chips if chip.words)

    def wish_scores(self, catalog: Catalog) -> np.ndarray:
        """``(num_items,)`` float64 in [0, 1]: mean over the wishes that columns know of the share each item is known to meet."""
        shares = [wish_share(chip, catalog) for chip in self.chips if chip.kind == "wish" and chip.expression is not None]
        return np.mean(shares, axis=0) if shares else np.zeros(len(catalog))

    def apply(self, understanding: Understanding, catalog: Catalog) -> "DialogueState":
        """The state after a message: chips settled, likes and references noted."""
        state = DialogueState() if any(intent.kind == "reset" for intent in understanding.intents) else self
        gone_columns, gone_labels = set(understanding.forget_columns), set(understanding.forget_labels)
        chips = [chip for chip in state.chips if chip.label not in gone_labels and not gone_columns.intersection(_columns(chip))]
        if understanding.instead:
            asked = {name for chip in understanding.chips if _positive(chip) for name in _columns(chip)}
            chips = [chip for chip in chips if not (_positive(chip) and asked.intersection(_columns(chip)))]
        for chip in understanding.chips:
            chips = _settle(chips, chip, catalog)
        state = replace(state, chips=tuple(chips[-MOST_CHIPS:]))
        for intent in understanding.intents:
            if intent.item in catalog.positions:
                state = state._follow(intent, catalog)
        return state

    def _follow(self, intent: Intent, catalog: Catalog) -> "DialogueState":
        match intent.kind:
            case "like":
                return self.like(intent.item)
            case "dislike":
                return self.dislike(intent.item)
            case "similar":
                return self.refer(intent.item, str(catalog.table["title"].iat[catalog.positions[intent.item]]))
        return self

    def like(self, item_id: str) -> "DialogueState":
        """With one more item liked."""
        others = tuple(item for item in self.disliked if item != item_id)
        return replace(self, liked=_once((*self.liked, item_id)), disliked=others)

    def dislike(self, item_id: str) -> "DialogueState":
        """With one more item disliked, and no longer pointed to."""
        chips = tuple(chip for chip in self.chips if chip.item != item_id)
        liked = tuple(item for item in self.liked if item != item_id)
        return replace(self, chips=chips, liked=liked, disliked=_once((*self.disliked, item_id)))

    def refer(self, item_id: str, title: str) -> "DialogueState":
        """Wanting more like this item, which takes the place of the one pointed to before."""
        chips = tuple(chip for chip in self.chips if not chip.item)
        return replace(self, chips=(*chips, Chip("wish", f"like {title}", item=item_id)))

    def show(self, item_ids: tuple[str, ...] | list[str]) -> "DialogueState":
        """With a list shown; an empty one leaves the list before it as the last."""
        return replace(self, last_list=tuple(item_ids) or self.last_list, shown=_once((*self.shown, *item_ids))[-MOST_SHOWN:])

    def remove(self, chip_id: str) -> "DialogueState":
        """Without a chip; unchanged where no chip has this id."""
        return replace(self, chips=tuple(chip for chip in self.chips if chip.id != chip_id))

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; ``from_json`` reads them back."""
        return {**asdict(replace(self, chips=())), "chips": [chip.to_json() for chip in self.chips]}

    @classmethod
    def from_json(cls, said: Any) -> "DialogueState":
        """Read what ``to_json`` wrote; raises InputError for anything else."""
        lists = ("liked", "disliked", "shown", "last_list")
        if (
            not isinstance(said, dict)
            or set(said) != {"chips", *lists}
            or not all(isinstance(value, list | tuple) for value in said.values())
        ):
            raise InputError(f"{str(said)[:80]} is not a dialogue state; it must have the lists chips, {', '.join(lists)}")
        if not all(isinstance(item, str) for name in lists for item in said[name]):
            raise InputError("the dialogue state lists an item id that is not a text")
        return cls(tuple(map(Chip.from_json, said["chips"])), *(tuple(said[name]) for name in lists))


def wish_share(chip: Chip, catalog: Catalog) -> np.ndarray:
    """``(num_items,)`` float64 in [0, 1]: the share of a wish's favored values that each item is known to have."""
    if chip.expression is None:
        return np.zeros(len(catalog))
    parts = chip.expression.parts if isinstance(chip.expression, And) else (chip.expression,)
    return np.mean([mask(part, catalog) for part in parts], axis=0)


def bounds(expression: Expression | None) -> tuple[str, tuple[Compare, ...]] | None:
    """The column and the comparisons of a bound or a range on one column; None for anything else."""
    parts = expression.parts if isinstance(expression, And) else (expression,)
    compares = tuple(part for part in parts if isinstance(part, Compare))
    if len(compares) != len(parts) or len({part.column for part in compares}) != 1:
        return None
    return compares[0].column, compares


def _settle(chips: list[Chip], chip: Chip, catalog: Catalog) -> list[Chip]:
    """The chips with a new one, and without what it replaces or contradicts."""
    opposite = chip.label.removeprefix("not ") if chip.label.startswith("not ") else f"not {chip.label}"
    chips = [old for old in chips if old.label not in (opposite, chip.label)]
    if chip.kind == "wish":
        leaning = bounds(chip.expression)  # "expensive" takes the place of "cheap"
        return [
            *(old for old in chips if not (leaning and old.kind == "wish" and (bounds(old.expression) or ("",))[0] == leaning[0])),
            chip,
        ]
    if bound := bounds(chip.expression):
        return _bounded(chips, *bound, catalog)
    if isinstance(chip.expression, Not):
        left = [_without(old, chip.expression.part) for old in chips]
        return [*(old for old in left if old is not None), chip]
    single = {name for name in _columns(chip) if catalog.columns[name].kind not in ("set", "text")}
    return [*(old for old in chips if not (_positive(old) and single.intersection(_columns(old))) and not _denies(old, chip)), chip]


def _bounded(chips: list[Chip], column: str, new: tuple[Compare, ...], catalog: Catalog) -> list[Chip]:
    """Bounds on one column are one chip: a new one replaces the old on its side, and the other side where both can't hold."""
    old = next((chip for chip in chips if chip.kind == "filter" and (found := bounds(chip.expression)) and found[0] == column), None)
    kept = bounds(old.expression)[1] if old else ()  # type: ignore[index]
    sides = {part.operator[0] for part in new}
    kept = () if "=" in sides else tuple(part for part in kept if part.operator[0] not in {*sides, "="})
    both = (*kept, *new)
    if kept and (
        any(_apart(low, high, catalog) for low in both for high in both if low.operator[0] == ">" and high.operator[0] == "<")
        or not (mask(And(both), catalog) & catalog.available).any()
    ):
        kept = ()
    parts = tuple(sorted({*kept, *new}, key=lambda part: (part.operator[0] != ">", part.operator)))
    expression = parts[0] if len(parts) == 1 else And(parts)
    others = [
        chip
        for chip in chips
        if chip is not old and not (chip.kind == "filter" and isinstance(chip.expression, Not | Or) and _columns(chip) == (column,))
    ]
    return [*others, Chip("filter", describe(expression, catalog), expression)]


def _apart(low: Compare, high: Compare, catalog: Catalog) -> bool:
    """Whether no value can lie above ``low`` and below ``high``."""
    column = catalog.columns[low.column]
    if column.kind == "ordinal":
        order = [fold(value) for value in column.order]
        ends = [order.index(fold(str(part.value))) if fold(str(part.value)) in order else -1 for part in (low, high)]
        return ends[0] + (low.operator == ">") > ends[1] - (high.operator == "<")
    first, last = (low.value, high.value) if column.kind == "number" else (str(low.value), str(high.value))
    return first > last or (first == last and (low.operator == ">" or high.operator == "<"))  # type: ignore[operator]


def _without(old: Chip, denied: Expression) -> Chip | None:
    """A chip that asked for what is now denied, without it; None if nothing is left of it."""
    if not _positive(old) or not isinstance(denied, In | Or):
        return old
    gone = {(name, value) for part in _atoms(denied) for name, value in _pairs(part)}
    parts = old.expression.parts if isinstance(old.expression, Or) else (old.expression,)
    left = [part for part in parts if not (isinstance(part, In) and gone.issuperset(_pairs(part)))]
    if isinstance(old.expression, In):
        values = tuple(value for value in old.expression.values if (old.expression.column, value) not in gone)
        if values == old.expression.values:
            return old
        return Chip("filter", describe(In(old.expression.column, values)), In(old.expression.column, values)) if values else None
    return old if left else None


def _denies(old: Chip, new: Chip) -> bool:
    """Whether an old "not" speaks of exactly something that is now asked for."""
    if not isinstance(old.expression, Not) or new.expression is None:
        return False
    denied = {pair for part in _atoms(old.expression.part) for pair in _pairs(part)}
    asked = {pair for part in _atoms(new.expression) for pair in _pairs(part)}
    return isinstance(old.expression.part, In | Or) and bool(denied & asked)


def _atoms(expression: Expression) -> list[Expression]:
    match expression:
        case And(parts) | Or(parts):
            return [atom for part in parts for atom in _atoms(part)]
    return [expression]


def _pairs(part: Expression | None) -> set[tuple[str, Any]]:
    return {(part.column, value) for value in part.values} if isinstance(part, In) else set()


def _positive(chip: Chip) -> bool:
    return (
        chip.kind == "filter" and chip.expression is not None and not isinstance(chip.expression, Not) and bounds(chip.expression) is None
    )


def _columns(chip: Chip) -> tuple[str, ...]:
    return columns(chip.expression) if chip.expression is not None else ()


def _once(items: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(items))
