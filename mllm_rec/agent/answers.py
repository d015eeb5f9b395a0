"""The sentences of an answer: what was listed, what was taken as a wish, what isn't known. They never repeat the cards."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mllm_rec.agent.reply import Shop, by_words_only
from mllm_rec.agent.state import Chip, DialogueState, Understanding, wish_share
from mllm_rec.agent.suggest import examples
from mllm_rec.agent.wording import filters_said, noun, short
from mllm_rec.explain.templates import clean, column_word
from mllm_rec.retrieval.columns import column_index
from mllm_rec.retrieval.filters import columns, mask, unknown, unknown_columns

if TYPE_CHECKING:
    from mllm_rec.agent.session import Session

#: Notes of one message that are said; values that a taste is described by; the surprise from which one counts.
MOST_NOTES, LEANINGS, LEAN = 4, 3, 0.2


def lead(session: "Session", said: Understanding, before: DialogueState, message: str) -> list[str]:
    """What is said first: deeds that were noted, and help where the message held no wish."""
    words, shop = session.words, session.shop
    sentences = []
    for intent in said.intents:
        if intent.kind in ("like", "dislike") and intent.item in shop.catalog.positions:
            kind = "liked" if intent.kind == "like" else "disliked"
            sentences.append(words.say(kind, title=shop.item_title(intent.item)))
        elif intent.kind in ("reset", "help"):
            sentences.append(words.say(intent.kind))
    understood = said.chips or said.intents or said.notes or said.forget_columns or said.forget_labels or session.picture is not None
    if not understood and session.state == before:
        if message.strip():
            sentences.append(words.say("not_understood"))
        sentences += [words.say("greeting")] if not before.chips else []
    if any(intent.kind == "help" for intent in said.intents):
        quoted = [f"“{example}”" for example in examples(shop, words)]
        sentences += [words.say("for_example", examples=", ".join(quoted))] if quoted else []
    return sentences


def listed(
    session: "Session",
    lead: list[str],
    said: Understanding | None,
    rows: Sequence[int],
    allowed: np.ndarray,
    total: int,
    more: bool,
    only_liked: bool,
) -> str:
    """The text over a list.

    Args:
        rows: positions listed.
        allowed: ``(num_items,)`` bool, what could have been.
        total: how many fit in all.
    """
    words, state, shop = session.words, session.state, session.shop
    sentences = [*lead, *(said.notes[:MOST_NOTES] if said else ())]
    name, chip = noun(state, shop.domain, words, total)
    filters = filters_said(state, words, without=chip)
    if filters or chip or more:
        kind = "listed" + ("" if filters else "_plain") + ("_more" if more else "_first" if total > len(rows) else "")
        shown = words.number(len(rows))
        sentences.append(words.say(kind, count=words.number(total), noun=name, filters=filters, shown=shown))
    elif not any(one.kind == "wish" for one in state.chips):
        personal = state.liked or (session.user is not None and len(shop.explainer.history(session.user)))
        sentences.append(words.say("personal" if personal else "popular"))
    if only_liked:
        sentences.append(words.say("liked_only"))
    return " ".join([*sentences, *_wishes(session, said, allowed), *_unknown(shop, state, rows, session)])


def nothing(session: "Session", lead: list[str], said: Understanding | None, steps: bool) -> str:
    """The text where nothing may be shown."""
    words = session.words
    sentences = [*lead, *(said.notes[:MOST_NOTES] if said else ())]
    filters = filters_said(session.state, words)
    sentences.append(words.say("nothing", filters=filters) if filters else words.say("nothing_at_all"))
    return " ".join([*sentences, *([words.say("nothing_relax")] if steps else [])])


def _wishes(session: "Session", said: Understanding | None, allowed: np.ndarray) -> list[str]:
    """How each new wish was read, and what is pointed at; wishes from before are not explained again."""
    words, shop, sentences = session.words, session.shop, []
    new = said.chips if said is not None else ()
    for chip in session.state.chips:
        label = clean(chip.label, 60)
        if chip.item:
            sentences.append(words.say("like_item", title=shop.item_title(chip.item)))
        elif chip == session.picture_chip:
            sentences.append(words.say("like_picture"))
        elif chip in new and by_words_only(chip, shop):
            sentences.append(words.say("words_only", value=label.removeprefix("not ")))
        elif chip in new and chip.kind == "wish" and chip.expression is not None:
            read = [column_word(name) for name in columns(chip.expression)]
            met = wish_share(chip, shop.catalog)[allowed].any()
            sentences.append(
                words.say("wish_columns", wish=label, columns=words.listed(read)) if met else words.say("wish_nobody", wish=label)
            )
    unread = [
        f"“{clean(chip.label, 40)}”" for chip in new if chip.kind == "wish" and chip.expression is None and chip in session.state.chips
    ]
    if unread:
        sentences.append(words.say("wish_words", wishes=words.listed(unread[:MOST_NOTES])))
    return sentences[:MOST_NOTES]


def _unknown(shop: Shop, state: DialogueState, rows: Sequence[int], session: "Session") -> list[str]:
    """For how many listed items a filter passed because a value is missing, column by column."""
    filters = state.filters()
    if filters is None or not unknown(filters, shop.catalog)[list(rows)].any():
        return []
    counted = Counter(name for row in rows for name in unknown_columns(filters, shop.catalog, row))
    words = session.words
    return [words.say("unknown", count=words.number(count), column=column_word(name)) for name, count in counted.most_common(2)]


def why_not(session: "Session", row: int, may: np.ndarray, fits: np.ndarray) -> str:
    """Why an item is not in the list: what it fails, or how far down it stands."""
    shop, words, state = session.shop, session.words, session.state
    item_id = str(shop.catalog.item_ids[row])
    title = shop.item_title(item_id)
    if item_id in state.disliked:
        return words.say("not_disliked", title=title)
    if not may[row]:
        gone = not shop.catalog.available[row] or shop.excluded[row]
        return words.say("not_available" if gone else "not_seen", title=title)
    failed = [chip for chip in state.chips if chip.kind == "filter" and chip.expression and not mask(chip.expression, shop.catalog)[row]]
    if failed:
        return _failed(shop, failed, row, title, session)
    if item_id in state.liked:
        return words.say("not_liked", title=title)
    ranked = [int(item) for item in session.rank(fits, int(fits.sum())).items]
    if row not in ranked:
        return words.say("not_near", title=title)
    return words.say("not_ranked", title=title, place=ranked.index(row) + 1, count=int(fits.sum()))


def _failed(shop: Shop, failed: list[Chip], row: int, title: str, session: "Session") -> str:
    words = session.words
    read = [name for chip in failed for name in columns(chip.expression) if name in shop.catalog.attributes]  # type: ignore[arg-type]
    missing = [column_word(name) for name in dict.fromkeys(read) if not column_index(shop.catalog, name).known[row]]
    labels = words.listed([short(chip.label) for chip in failed])
    if missing:
        return words.say("not_unknown", title=title, column=words.listed(missing), filters=labels)
    return words.say("not_filtered", title=title, filters=labels)


def leaning(session: "Session", liked: Sequence[int]) -> tuple[str, ...]:
    """What the liked items have in common, more than chance would have it; empty where nothing stands out."""
    if len(liked) < 2:
        return ()
    table = session.shop.explainer.facts.attributes
    rows = np.unique(np.asarray(liked, dtype=np.int64))
    strength = table.surprise(rows) * (table.counts(rows) >= 2)
    chosen = [int(value) for value in np.argsort(-strength, kind="stable")[:LEANINGS] if strength[value] >= LEAN]
    values = [clean(table.values[value]) for value in chosen]
    return (session.words.say("lean", values=session.words.listed(values)),) if values else ()
