"""What is known about why an item stands in a list: every row computed from the catalog, the log or the scores."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import sparse

from mllm_rec.data.catalog import Catalog
from mllm_rec.explain.tables import AttributeTable, Looks
from mllm_rec.explain.templates import Wording, clean, column_word, number_word
from mllm_rec.retrieval.columns import column_index
from mllm_rec.retrieval.filters import And, Expression, columns, describe, mask, unknown

#: Attributes that are looked at for one item, and liked items that are named for one attribute.
ATTRIBUTES, NAMED = 4, 2
#: Fewest people behind a claim about people: one person's taste is nobody else's business.
FEWEST_PEOPLE = 2
#: A part of the score is worth a sentence from this share on.
MATERIAL_SHARE = 0.25
#: What a fact weighs when the part of the score that it explains counts for nothing, relative to counting for all.
FLOOR = 0.1
#: Weight of a part's share by itself; a fact that shows the part at work ("like Nola lamp") weighs that and its own strength.
BARE = 0.25


@dataclass(frozen=True)
class Evidence:
    """One computed fact.

    Attributes:
        id: unique among one item's evidence.
        kind: attribute (shared with a liked item), neighbor (people who liked both), similar (a liked item's picture
            or text is close), shared and close (the same of an item that was pointed at), contribution (percent of the score), constraint and wish (met), seen (one met by what only the picture shows), popular, cold, unknown,
            difference (signed, to a reference), value and reference (the two sides of a comparison).
        subject: title of the item that it ties to; for facts about the item alone, its own title.
        field: column, or part of the score.
        value: a catalog value, a label or a number; None where the fact is that nothing is known.
        source: catalog, log, request, model, picture, or the feature's name.
        weight: at least 0; the larger, the more it explains.
    """

    id: str
    kind: str
    subject: str
    field: str
    value: str | float | None
    source: str
    weight: float


@dataclass(frozen=True)
class Met:
    """A filter or a wish that an item meets.

    ``known`` is False where it passed because the value is missing; ``seen``: only the picture shows it.
    """

    label: str
    column: str = ""
    known: bool = True
    seen: bool = False


@dataclass(frozen=True)
class Request:
    """What a list was asked for with.

    Attributes:
        history: item positions that the user likes, from the log and from the conversation.
        disliked: item positions that the user doesn't like.
        pointed: position of the item that the list should be close to; None: no such item.
        user: position in the log, left out of the counts of people; None: not in the log.
        constraints, wishes: what each listed item meets, item by item.
        contributions: part of the score by name, one number for each listed item; best less their mean over the
            candidates, so that a part counts where it sets an item apart.
        against: reference positions for comparison: one item, or the list shown before.
        compared: number columns to compare.
    """

    history: Sequence[int] = ()
    disliked: Sequence[int] = ()
    pointed: int | None = None
    user: int | None = None
    constraints: Sequence[Sequence[Met]] = ()
    wishes: Sequence[Sequence[Met]] = ()
    contributions: Mapping[str, np.ndarray] = field(default_factory=dict)
    against: Sequence[int] = ()
    compared: Sequence[str] = ("price",)


Row = tuple[str, str, str, str | float | None, str, float]


class Facts:
    """Tables over a catalog and the whole log, built once, from which evidence is read.

    Args:
        catalog: the items.
        data: ``Dataset`` of the whole log, items in catalog order.
        words: names for what isn't an item.
    """

    def __init__(self, catalog: Catalog, data: Any, words: Wording):
        self.catalog, self.words = catalog, words
        self.titles = catalog.table["title"].to_numpy(dtype=object)
        self.attributes = AttributeTable(catalog)
        self.features = frozenset(data.features)
        self.looks = {name: Looks(feature) for name, feature in data.features.items() if f"similar_{name}" in words.sentences}
        users, chosen = data.edges.cpu().numpy()
        self.user_items = sparse.csr_array((np.ones(len(users), dtype=np.float32), (users, chosen)), shape=data.shape)
        self.user_items.data[:] = 1  # a pair that the log repeats is one like
        self.item_users = self.user_items.T.tocsr()
        self.counts = np.diff(self.item_users.indptr)

    def title(self, item: int) -> str:
        """An item's title, fit to stand in a sentence."""
        return clean(self.titles[item])

    def history(self, user: int) -> np.ndarray:
        """Item positions that a user of the log likes."""
        return self.user_items.indices[self.user_items.indptr[user] : self.user_items.indptr[user + 1]]

    def evidence(self, items: Sequence[int], request: Request) -> list[list[Evidence]]:
        """Evidence for each item, the weightiest first."""
        listed = np.asarray(items, dtype=np.int64)
        liked = np.unique(np.asarray(request.history, dtype=np.int64))
        shares = _shares(request.contributions, len(listed))
        rows: list[list[Row]] = [[] for _ in listed]
        if len(liked):
            self._shared(rows, listed, liked, np.asarray(request.disliked, dtype=np.int64), shares)
            self._neighbors(rows, listed, liked, request.user, shares)
            self._similar(rows, listed, liked, shares)
        if request.pointed is not None:
            pointed = np.array([request.pointed])
            self._shared(rows, listed, pointed, pointed[:0], shares, "shared", "like")
            self._similar(rows, listed, pointed, shares, "close", "like")
        for place, item in enumerate(listed.tolist()):
            rows[place] += self._contributions(item, {name: share[place] for name, share in shares.items()}, len(liked) > 0)
            rows[place] += self._counted(item, alone=not len(liked) or not rows[place])
            rows[place] += self._asked(item, place, request, shares)
            rows[place] += self._compared(item, request)
        return [_numbered(found) for found in rows]

    def _shared(
        self,
        rows: list[list[Row]],
        items: np.ndarray,
        liked: np.ndarray,
        disliked: np.ndarray,
        shares: dict,
        kind: str = "attribute",
        part: str = "attributes",
    ) -> None:
        """Attributes that the items share with what was liked more often than chance would have it; ``part`` of the score is theirs."""
        table = self.attributes
        weight = table.surprise(liked) * (table.counts(disliked) < table.counts(liked))
        own, theirs = table.prominence[items], table.prominence[liked]
        overlap = (own.multiply(weight).tocsr() @ theirs.T).toarray()
        by_value = theirs.tocsc()
        factor = _factor(shares, part, len(items))
        everywhere = (table.counts(items) == len(items)) & (len(items) > 1)  # tells none of the listed from another
        for place, item in enumerate(items.tolist()):
            entries = slice(own.indptr[place], own.indptr[place + 1])
            values, strength = own.indices[entries], weight[own.indices[entries]] * own.data[entries]
            for entry in np.argsort(-strength, kind="stable")[:ATTRIBUTES].tolist():
                value = int(values[entry])
                if everywhere[value]:
                    continue
                column = slice(by_value.indptr[value], by_value.indptr[value + 1])
                sharing, known_for = by_value.indices[column], by_value.data[column]
                order = np.argsort(-overlap[place, sharing] * known_for * (liked[sharing] != item), kind="stable")
                named = [one for one in order[:NAMED].tolist() if liked[sharing[one]] != item]
                for rank, one in enumerate(named if strength[entry] > 0 else []):
                    title, word = self.title(int(liked[sharing[one]])), clean(table.values[value])
                    ranked = (BARE + float(strength[entry] * known_for[one]) * 0.99**rank) * factor[place]
                    rows[place].append((kind, title, table.column(value), word, "catalog", ranked))

    def _neighbors(self, rows: list[list[Row]], items: np.ndarray, liked: np.ndarray, user: int | None, shares: dict) -> None:
        """Other people who liked both an item and a liked one, where they are more than chance would have it."""
        both = (self.item_users[items] @ self.item_users[liked].T).toarray()
        if user is not None:
            mine = np.zeros(len(self.titles), dtype=np.float32)
            mine[self.history(user)] = 1
            both -= np.outer(mine[items], mine[liked])
        both[items[:, None] == liked[None, :]] = 0
        expected = np.outer(self.counts[items], self.counts[liked]) / max(1, self.user_items.shape[0])
        excess = np.where(both >= FEWEST_PEOPLE, (both - expected) / np.sqrt(expected + 1), 0)
        factor = _factor(shares, "log", len(items))
        for place, other in enumerate(excess.argmax(axis=1).tolist()):
            if excess[place, other] > 0:
                weight = (BARE + excess[place, other] / (excess[place, other] + 8)) * factor[place]
                rows[place].append(("neighbor", self.title(int(liked[other])), "log", float(both[place, other]), "log", weight))

    def _similar(
        self, rows: list[list[Row]], items: np.ndarray, liked: np.ndarray, shares: dict, kind: str = "similar", part: str = ""
    ) -> None:
        """Pictures and texts closer to a liked item's than nearly all pairs are; ``part`` of the score: the feature's own if empty."""
        for name, looks in self.looks.items():
            alike = looks.alike(items, liked)
            best, factor = alike.argmax(axis=1), _factor(shares, part or name, len(items))
            for place, other in enumerate(best.tolist()):
                if alike[place, other] >= looks.close:
                    weight = (BARE + 0.5 * float(alike[place, other])) * factor[place]
                    rows[place].append((kind, self.title(int(liked[other])), name, None, name, weight))

    def _contributions(self, item: int, shares: dict[str, float], personal: bool) -> Iterator[Row]:
        """Parts with a name of their own where their share of the score is material; "people like you" only to those with a history."""
        for name, share in shares.items():
            said = personal if name == "log" else name in self.features or name in self.words.channels
            if said and share >= MATERIAL_SHARE and len(shares) > 1:
                yield "contribution", self.title(item), name, float(round(100 * share)), "model", BARE * (FLOOR + (1 - FLOOR) * share)

    def _counted(self, item: int, alone: bool) -> Iterator[Row]:
        """How many liked it: said where no one did, and where there is no better reason."""
        count = float(self.counts[item])
        if count == 0:
            yield "cold", self.title(item), "log", 0.0, "log", 0.12
        elif alone:
            yield "popular", self.title(item), "log", count, "log", 0.15 + 0.15 * count / max(1, self.counts.max())

    def _asked(self, item: int, place: int, request: Request, shares: dict[str, np.ndarray]) -> Iterator[Row]:
        wished = sum(float(shares[name][place]) for name in ("wishes", "words") if name in shares)
        for kind, met, weight in (("constraint", request.constraints, 0.08), ("wish", request.wishes, 0.1 + 0.4 * wished)):
            for rank, one in enumerate(met[place] if met else ()):
                if one.known and one.seen:
                    yield "seen", self.title(item), one.column, clean(one.label), "picture", 0.3 * 0.99**rank
                elif one.known:
                    yield kind, self.title(item), one.column, clean(one.label), "request", weight * 0.99**rank
                elif self._missing(item, one.column):
                    yield "unknown", self.title(item), one.column, None, "catalog", 0.05

    def _missing(self, item: int, column: str) -> bool:
        return column in self.catalog.attributes and not column_index(self.catalog, column).known[item]

    def _compared(self, item: int, request: Request) -> Iterator[Row]:
        """A number column of the item against one reference item's, or the median of several."""
        for name in request.compared if len(request.against) else ():
            if name not in self.catalog.columns or self.catalog.columns[name].kind != "number":
                continue
            column = self.catalog.table[name].to_numpy(dtype=float)
            mine, others = column[item], column[list(request.against)]
            if np.isnan(mine) or np.isnan(others).all() or (other := float(np.nanmedian(others))) == mine:
                continue
            reference = self.title(request.against[0]) if len(request.against) == 1 else self.words.list_before
            if name == "price":
                yield "difference", reference, name, round(float(mine) - other, 2), "catalog", 0.3
            else:
                yield "value", self.title(item), name, number_word(float(mine)), "catalog", 0.3
                yield "reference", reference, name, number_word(other), "catalog", 0.3


def met(expression: Expression, catalog: Catalog, items: Sequence[int]) -> list[list[Met]]:
    """What each item meets of a filter, part by part; a column without a value that let it pass is a ``Met`` not known."""
    found: list[list[Met]] = [[] for _ in items]
    for part in expression.parts if isinstance(expression, And) else (expression,):
        label, passes, open_rows = describe(part, catalog), mask(part, catalog), unknown(part, catalog)
        for place, item in enumerate(items):
            if open_rows[item]:
                missing = [name for name in columns(part) if not column_index(catalog, name).known[item]]
                found[place] += [Met(label, name, known=False) for name in missing]
            elif passes[item]:
                found[place].append(Met(label, columns(part)[0] if columns(part) else ""))
    return found


def evidence_word(catalog: Catalog, column: str) -> str:
    """What a column is called in a sentence."""
    known = catalog.columns.get(column)
    return column_word(column, several=known is not None and known.kind == "set")


def _shares(contributions: Mapping[str, np.ndarray], count: int) -> dict[str, np.ndarray]:
    """Share of each part in the sum of the positive parts, item by item."""
    parts = {name: np.maximum(np.nan_to_num(np.asarray(values, dtype=float)), 0) for name, values in contributions.items()}
    total = sum(parts.values(), np.zeros(count))
    return {name: np.divide(part, total, out=np.zeros(count), where=total > 0) for name, part in parts.items()}


def _factor(shares: dict[str, np.ndarray], name: str, count: int) -> np.ndarray:
    """How much a fact about one part of the score counts, given what that part contributed; 1 where nothing was measured."""
    return FLOOR + (1 - FLOOR) * shares.get(name, np.zeros(count)) if shares else np.ones(count)


def _numbered(rows: list[Row]) -> list[Evidence]:
    ordered = sorted(rows, key=lambda row: -row[-1])
    return [Evidence(f"e{number}", *row[:-1], round(float(row[-1]), 4)) for number, row in enumerate(ordered, 1)]
