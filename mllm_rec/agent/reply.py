"""What an answer consists of, and how a ranked list becomes cards."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mllm_rec.agent.advisor import Advice, Advisor
from mllm_rec.agent.relax import Relaxation
from mllm_rec.agent.state import Chip, DialogueState, wish_share
from mllm_rec.agent.vocabulary import Vocabulary
from mllm_rec.agent.wording import Wording, short
from mllm_rec.data.catalog import Catalog
from mllm_rec.data.dataset import Dataset
from mllm_rec.data.domain import Domain
from mllm_rec.explain import Evidence, Explainer, Explanation, Met
from mllm_rec.explain import Request as ExplainRequest
from mllm_rec.explain.templates import clean, column_word, number_word
from mllm_rec.recommender import Recommender
from mllm_rec.retrieval.candidates import Candidates, Ranked
from mllm_rec.retrieval.columns import column_index
from mllm_rec.retrieval.filters import And, In, Not, Or, columns, mask, unknown_columns
from mllm_rec.retrieval.spaces import WORDS

#: Badges on a card; characters of two sentences on it, of a title and of an alternative text that are carried on.
MOST_BADGES, REASON, TITLE, ALT = 4, 64, 200, 120
#: Evidence that badges show already, and evidence that says how much a part counted but not why.
_BADGED, _BARE = ("constraint", "unknown"), ("contribution",)


@dataclass(frozen=True, eq=False)
class Shop:
    """Everything a conversation needs, loaded once and shared by all sessions; never written to.

    Attributes:
        catalog, domain, vocabulary: the items and what people call them.
        data: the whole log and the features.
        system: the recommender that serves.
        candidates: ranks what is allowed.
        explainer: says why.
        advisor: a model that helps to rank and to word; None: there is none.
        hidden: ``(2, n)`` int64, user and item positions of everything in the log, low ratings too.
        excluded: ``(num_items,)`` bool, never shown to anyone.
        title, note: the shop's name and what is said beside it.
    """

    catalog: Catalog
    domain: Domain
    vocabulary: Vocabulary
    data: Dataset
    system: Recommender
    candidates: Candidates
    explainer: Explainer
    hidden: np.ndarray
    excluded: np.ndarray
    title: str = ""
    note: str = ""
    advisor: Advisor | None = None

    def item_title(self, item_id: str, longest: int = 48) -> str:
        """An item's title on one line, fit to stand in a sentence."""
        return clean(self.catalog.table["title"].iat[self.catalog.position(item_id)] or item_id, longest)


@dataclass(frozen=True)
class Card:
    """One item of a list.

    Attributes:
        row: its position in the catalog.
        amount: its price, else its year, "" where unknown.
        picture, alt: the picture's path (None: it has none) and what it shows.
        badges: wishes and filters that it is known to meet.
        unknown: what isn't known of it although it was asked for.
        reason: one or two lines; ``why`` every sentence behind it.
        score: what it was ranked by, comparable within its list.
    """

    item_id: str
    row: int
    title: str
    amount: str
    picture: Path | None
    alt: str
    badges: tuple[str, ...]
    unknown: tuple[str, ...]
    reason: str
    why: tuple[str, ...]
    liked: bool
    score: float


@dataclass(frozen=True)
class Profile:
    """What this conversation knows: (item id, title) of what was liked and disliked, and what likes have in common."""

    liked: tuple[tuple[str, str], ...] = ()
    disliked: tuple[tuple[str, str], ...] = ()
    lines: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reply:
    """An answer.

    Attributes:
        text: a few sentences; never what the cards say.
        cards: the list, first to last.
        chips: everything that filters or ranks.
        relaxations: the smallest steps back, where nothing fits.
        profile: what is known of the user.
        signals: (name, share) of what made the order, largest first, shares in [0, 1].
        tries: things that can be said next.
    """

    text: str
    cards: tuple[Card, ...] = ()
    chips: tuple[Chip, ...] = ()
    relaxations: tuple[Relaxation, ...] = ()
    profile: Profile = Profile()
    signals: tuple[tuple[str, float], ...] = ()
    tries: tuple[str, ...] = ()

    @property
    def items(self) -> list[str]:
        """Ids of the cards."""
        return [card.item_id for card in self.cards]


@dataclass(frozen=True, eq=False)
class Occasion:
    """For whom a list is made.

    Attributes:
        shop, state: what there is, and all that was said.
        history: positions that the person likes by the log.
        user: the person in the log; None: a stranger.
        advice: the model's share of this turn; None: there is no model.
    """

    shop: Shop
    state: DialogueState
    history: Sequence[int] = ()
    user: int | None = None
    advice: Advice | None = None


def explanations(occasion: Occasion, ranked: Ranked) -> list[Explanation]:
    """Why each ranked item stands where it does."""
    shop, state, rows = occasion.shop, occasion.state, ranked.items.tolist()
    return _explained(occasion, ranked, (), _constraints(shop, state, rows), _wishes(state, shop.catalog, rows))


def _explained(
    occasion: Occasion, ranked: Ranked, against: Sequence[int], constraints: list[list[Met]], wishes: list[dict[str, Met]]
) -> list[Explanation]:
    shop, state, advice = occasion.shop, occasion.state, occasion.advice
    positions = shop.catalog.positions
    liked, disliked = ([positions[item] for item in ids if item in positions] for ids in (state.liked, state.disliked))
    request = ExplainRequest(
        history=[*occasion.history, *liked],
        disliked=disliked,
        pointed=positions.get(state.reference),
        user=occasion.user,
        constraints=constraints,
        wishes=[list(met.values()) for met in wishes],
        contributions=ranked.parts,
        against=against,
    )
    rows = ranked.items.tolist()
    explained = shop.explainer.explain(rows, request)
    return advice.worded(explained, [str(shop.catalog.table["title"].iat[row] or "") for row in rows]) if advice else explained


def cards(occasion: Occasion, ranked: Ranked, words: Wording, against: Sequence[int] = ()) -> tuple[Card, ...]:
    """The cards of a ranked list; ``against``: positions that prices are compared with."""
    shop, state = occasion.shop, occasion.state
    catalog, rows = shop.catalog, ranked.items.tolist()
    constraints, wishes = _constraints(shop, state, rows), _wishes(state, catalog, rows)
    explained = _explained(occasion, ranked, against, constraints, wishes)
    made = []
    for row, score, asked, wished, reasons in zip(rows, ranked.scores.tolist(), constraints, wishes, explained, strict=True):
        badges = [one.label for one in asked if one.known and one.column != "category"] + list(wished)
        unknown = [words.say("unknown_badge", column=column_word(one.column)) for one in asked if not one.known]
        item_id, picture = str(catalog.item_ids[row]), catalog.picture(row)
        made.append(
            Card(
                item_id=item_id,
                row=int(row),
                title=shop.item_title(item_id, TITLE),
                amount=amount(shop, row),
                picture=picture,
                alt=alternative(shop, row),
                badges=tuple(dict.fromkeys(badges))[:MOST_BADGES],
                unknown=tuple(dict.fromkeys(unknown)),
                reason=_reason(reasons),
                why=tuple(claim.text for claim in reasons.claims),
                liked=item_id in state.liked,
                score=round(score, 6),
            )
        )
    return tuple(made)


def amount(shop: Shop, row: int) -> str:
    """An item's price, else its year; "" where neither is known."""
    vocabulary = shop.vocabulary
    for name in (vocabulary.price, vocabulary.time):
        if name is None:
            continue
        index = column_index(shop.catalog, name)
        if index.known[row]:
            if name == vocabulary.price:
                return number_word(float(index.values[row]), money=True)
            return str(index.values[row].astype("datetime64[Y]")) if index.kind == "date" else str(int(index.values[row]))
    return ""


def alternative(shop: Shop, row: int) -> str:
    """What an item's picture shows: the known values of the fields that the domain says are visible, then the title."""
    shown = [name for name, field in shop.domain.fields.items() if field.shown and name in shop.catalog.columns]
    shown.sort(key=lambda name: name == "category")  # "red striped lamp": the noun goes last
    values = [shop.catalog.table[name].iat[row] for name in shown]
    said = " ".join(clean(value) for value in values if isinstance(value, str))
    title = clean(shop.catalog.table["title"].iat[row] or "", ALT)
    return f"{said}: {title}" if said else title


def signals(parts: Mapping[str, np.ndarray], words: Wording) -> tuple[tuple[str, float], ...]:
    """Name and share of each part that made the order of a list, largest first; parts that gave nothing are left out."""
    given = {name: float(np.maximum(np.nan_to_num(np.asarray(values, dtype=float)), 0).sum()) for name, values in parts.items()}
    total = sum(given.values())
    ordered = sorted(given.items(), key=lambda part: -part[1])
    return tuple((words.signal(name), value / total) for name, value in ordered if total > 0 and value / total >= 0.01)


def by_words_only(chip: Chip, shop: Shop) -> bool:
    """Whether a chip rules something out that only titles and texts can tell of: what they don't say may still be so."""
    return isinstance(chip.expression, Not) and set(columns(chip.expression)) <= set(shop.vocabulary.texts)


def _constraints(shop: Shop, state: DialogueState, rows: Sequence[int]) -> list[list[Met]]:
    """The filters that each row is known to meet, by their chips' labels, and the columns without a value that let it pass."""
    catalog, found = shop.catalog, [[] for _ in rows]  # type: tuple[Catalog, list[list[Met]]]
    for chip in state.chips:
        if chip.kind != "filter" or chip.expression is None or by_words_only(chip, shop):
            continue
        passes, read = mask(chip.expression, catalog), columns(chip.expression)
        for met, row in zip(found, rows, strict=True):
            missing = unknown_columns(chip.expression, catalog, int(row))
            if missing:
                met += [Met(short(chip.label), name, known=False) for name in missing]
            elif passes[row]:
                met.append(Met(short(chip.label), read[0] if read else "", seen=_seen(catalog, read, int(row))))
    return found


def _seen(catalog: Catalog, names: Sequence[str], row: int) -> bool:
    """Whether what meets a filter was seen in the picture, and said by no file."""
    return any(name in catalog.seen and bool(catalog.seen[name][row]) for name in names)


def _wishes(state: DialogueState, catalog: Catalog, rows: Sequence[int]) -> list[dict[str, Met]]:
    """By its badge, each wish that a row meets at least in part, with the values that meet it: "warm: orange and metal"."""
    found: list[dict[str, Met]] = [{} for _ in rows]
    for chip in state.chips:
        if chip.kind != "wish" or chip.item:
            continue
        label = short(chip.label)
        if chip.expression is None:
            said = _said(chip.words, catalog)
            for met, row in zip(found, rows, strict=True):
                if said[row]:
                    met[label] = Met(label)
            continue
        share, read = wish_share(chip, catalog), columns(chip.expression)
        parts = chip.expression.parts if isinstance(chip.expression, And | Or) else (chip.expression,)
        values = [(value, mask(In(part.column, (value,)), catalog)) for part in parts if isinstance(part, In) for value in part.values]
        for met, row in zip(found, rows, strict=True):
            having = list(dict.fromkeys(str(value) for value, holds in values if holds[row] and str(value) != label))
            if share[row] > 0:
                met[label] = Met(
                    f"{label}: {', '.join(having)}" if having else label, read[0] if read else "", seen=_seen(catalog, read, int(row))
                )
    return found


def _said(words: str, catalog: Catalog) -> np.ndarray:
    """``(num_items,)`` bool: each of the words stands in the title or in a text."""
    indexes = [column_index(catalog, name) for name, column in catalog.columns.items() if column.kind == "text"]
    said = [np.logical_or.reduce([index.contains((word,)) for index in indexes]) for word in dict.fromkeys(words.split()[:WORDS])]
    return np.logical_and.reduce(said) if said else np.zeros(len(catalog), dtype=bool)


def _decided(evidence: Evidence) -> bool:
    """Whether a picture or an item pointed at made most of the case: then that is the reason, whatever else is true."""
    return evidence.field in ("picture", "like") and isinstance(evidence.value, int | float) and evidence.value >= 50


def _reason(explanation: Explanation) -> str:
    """The weightiest sentence that says more than the badges do, and the next where both fit two lines."""
    kinds = {evidence.id: evidence.kind for evidence in explanation.evidence}
    told = [(kinds[claim.evidence_ids[0]], claim.text) for claim in explanation.claims]
    telling = [text for kind, text in told if kind not in (*_BADGED, *_BARE)]
    made = {evidence.id for evidence in explanation.evidence if evidence.kind == "contribution" and _decided(evidence)}
    telling = [claim.text for claim in explanation.claims if made.intersection(claim.evidence_ids)] + telling
    telling = telling or [text for kind, text in told if kind in _BARE] or [text for _, text in told]
    both = " ".join(telling[:2])
    return both if len(both) <= REASON else telling[0]
