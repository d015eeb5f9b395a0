"""Things that can be said: wishes for a first visitor and for the next turn, made of the catalog's own words."""

import numpy as np

from mllm_rec.agent.reply import Shop
from mllm_rec.agent.state import DialogueState
from mllm_rec.agent.vocabulary import middle
from mllm_rec.agent.wording import Wording
from mllm_rec.explain.templates import clean, number_word
from mllm_rec.retrieval.columns import column_index

#: Values of a column that make good examples: few enough to be kinds, short enough to be said.
MOST_VALUES, LONGEST_VALUE = 60, 24


def examples(shop: Shop, words: Wording) -> tuple[str, ...]:
    """At most three wishes for a first visitor: the domain's own, else made from the catalog's columns."""
    if shop.domain.examples:
        return tuple(clean(example, 80) for example in shop.domain.examples[:3])
    templates = words.said["examples"]
    kinds, rows = _common(shop, "category"), np.flatnonzero(shop.catalog.available)
    kinds = kinds or next((values for name in shop.vocabulary.columns if (values := _common(shop, name))), [])
    made = []
    if kinds and shop.vocabulary.price and len(rows):
        price = middle(shop.catalog, shop.vocabulary.price, rows)
        made.append(templates["under"].format(value=kinds[0], amount=number_word(float(price or 0))))
    elif kinds and shop.vocabulary.time and len(rows):
        made.append(templates["after"].format(value=kinds[0], amount=str(middle(shop.catalog, shop.vocabulary.time, rows))[:4]))
    elif kinds:
        made.append(templates["plain"].format(value=kinds[0]))
    if len(kinds) > 2:
        made.append(templates["not"].format(value=kinds[1], other=kinds[2]))
    if len(rows):
        counts = shop.explainer.facts.counts * shop.catalog.available
        best = int(counts.argmax())
        made.append(templates["like"].format(title=clean(shop.catalog.table["title"].iat[best], 60)))
    return tuple(made)


def tries(shop: Shop, state: DialogueState, words: Wording) -> tuple[str, ...]:
    """What can be said of the list last shown; a first visitor's examples where nothing was asked for yet."""
    if not state.chips or not state.last_list:
        return examples(shop, words)
    templates, rows = words.said["tries"], np.array([shop.catalog.positions[item] for item in state.last_list])
    made = []
    if shop.vocabulary.price:
        made.append(templates["cheaper"])
    elif shop.vocabulary.time:
        made.append(templates["newer"])
    if value := _frequent(shop, rows):
        made.append(templates["not"].format(value=value))
    if len(rows) > 1:
        made.append(templates["second"])
    return (*made, templates["why"])


def _common(shop: Shop, column: str) -> list[str]:
    """The values of a column, most frequent first, if they are kinds of things that can be said; else none."""
    if column not in shop.vocabulary.columns or shop.vocabulary.columns[column].kind not in ("category", "set"):
        return []
    values = {value: count for value, count in shop.vocabulary.values(column).items() if count and len(value) <= LONGEST_VALUE}
    if not 2 <= len(values) <= MOST_VALUES:
        return []
    return [clean(value) for value, _ in sorted(values.items(), key=lambda entry: -entry[1])]


def _frequent(shop: Shop, rows: np.ndarray) -> str:
    """A value that some of the rows, not all, share: a way to narrow the list; "" where there is none."""
    listed = np.zeros(len(shop.catalog), dtype=bool)
    listed[rows] = True
    for name, column in shop.vocabulary.columns.items():
        if name != "category" and column.kind in ("category", "set") and _common(shop, name):
            counts = column_index(shop.catalog, name).counts(listed)
            value, count = max(counts.items(), key=lambda entry: entry[1], default=("", 0))
            if 0 < count < len(rows):
                return clean(value)
    return ""
