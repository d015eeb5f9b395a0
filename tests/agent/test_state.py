"""A conversation's chips: what replaces what, what is kept, and what is offered when nothing fits."""

import json

import numpy as np
import pytest
from catalogs import catalog, home, shop
from test_understand import labels, passing

from mllm_rec.agent.relax import relax, relaxations
from mllm_rec.agent.state import Chip, DialogueState, Intent, wish_share
from mllm_rec.agent.understand import understand
from mllm_rec.agent.vocabulary import Vocabulary
from mllm_rec.data.catalog import Column
from mllm_rec.errors import InputError
from mllm_rec.retrieval.filters import Compare, In, mask

SHOP = shop()
WORDS = Vocabulary(SHOP, home())


def talk(*messages, state=None, show=True, items=SHOP, words=WORDS):
    """The state after the messages, each answered with all that fits."""
    state = state or DialogueState()
    for message in messages:
        state = state.apply(understand(message, words, state), items)
        if show:
            state = state.show(list(passing(state, items))[:4])
    return state


@pytest.mark.parametrize(
    ("messages", "chips"),
    [
        (["a lamp", "a mug"], ["category: mug"]),
        (["a lamp, not brass", "a mug"], ["not brass", "category: mug"]),
        (["under 50", "under 40"], ["price under 40"]),
        (["over 10", "under 50"], ["price over 10 and under 50"]),
        (["between 10 and 50", "under 40"], ["price at least 10 and under 40"]),
        (["under 40", "over 50"], ["price over 50"]),
        (["red", "blue"], ["color: blue"]),
        (["hall", "dining room"], ["room: hall", "room: dining room"]),
        (["hall", "dining room instead"], ["room: dining room"]),
        (["red", "not red"], ["not red"]),
        (["not red", "red"], ["color: red"]),
        (["red or blue", "not red"], ["color: blue", "not red"]),
        (["warm", "not warm"], ["not warm"]),
        (["not warm", "warm"], ["(warm)"]),
        (["a lamp under 40", "a lamp under 40"], ["category: lamp", "price under 40"]),
        (["a red lamp under 40", "any color"], ["category: lamp", "price under 40"]),
        (["a red lamp under 40", "forget the price"], ["color: red", "category: lamp"]),
        (["a red lamp under 40", "price doesn't matter"], ["color: red", "category: lamp"]),
        (["a red lamp under 40", "no price limit"], ["color: red", "category: lamp"]),
        (["a red lamp under 40", "remove red"], ["category: lamp", "price under 40"]),
        (["a red lamp not leather", "remove not leather"], ["color: red", "category: lamp"]),
        (["red", "any color but blue"], ["not blue"]),
        (["a red lamp", "start over"], []),
        (["a red lamp", "Reset!"], []),
        (["a red lamp", "start over and show me mugs"], ["category: mug"]),
        (["firmness at least medium", "softer"], ["firmness under medium"]),
    ],
)
def test_later_words_change_chips(messages, chips):
    assert labels(talk(*messages, show=False)) == chips


def test_cheaper_is_below_the_median_of_the_list_last_shown():
    state = talk("a lamp")  # 35, 45, 20
    assert labels(talk("cheaper", state=state)) == ["category: lamp", "price under 35"]
    assert labels(talk("cheaper", "cheaper", state=state)) == ["category: lamp", "price under 20"]
    assert labels(talk("something more expensive", state=state)) == ["category: lamp", "price over 35"]
    assert labels(talk("cheaper than the first one", state=state)) == ["category: lamp", "price under 35"]
    assert labels(talk("cheaper than the Orla", state=state.show("ab"))) == ["category: lamp", "price under 45"]
    assert labels(talk("cheaper than the ninth one", state=state)) == ["category: lamp", "price under 35"]
    assert labels(talk("newer", state=state)) == ["category: lamp", "released after 2020-02-01"]
    assert labels(talk("older than 2020", state=state)) == ["category: lamp", "released before 2020"]
    assert labels(talk("softer", state=state)) == ["category: lamp", "firmness under medium"]
    assert labels(talk("less firmness", state=state)) == ["category: lamp", "firmness under medium"]
    assert labels(talk("cheaper", show=False)) == ["price under 20"]  # nothing shown yet: of all that is available


def test_cheaper_keeps_to_items_with_a_price():
    state = DialogueState().show(["g"])
    said = understand("cheaper", WORDS, state)
    assert said.chips == () and "price" in said.notes[0]


@pytest.mark.parametrize(
    ("message", "intents", "chips"),
    [
        ("like it", [Intent("like", "a", 1)], []),
        ("I love the second one", [Intent("like", "b", 2)], []),
        ("the second one", [Intent("like", "b", 2)], []),
        ("the second one in blue", [Intent("similar", "b", 2)], ["color: blue"]),
        ("number 2", [Intent("like", "b", 2)], []),
        ("more like the first", [Intent("similar", "a", 1)], []),
        ("something like the last one but cheaper", [Intent("similar", "d", 4)], ["price under 27.50"]),
        ("similar to the Orla", [Intent("similar", "b", 2)], []),
        ("something like my Nola lamp", [Intent("similar", "a", 1)], []),
        ("something like Owl bag", [Intent("similar", "i", 0)], []),
        ("I don't like the second one", [Intent("dislike", "b", 2)], []),
        ("not this one", [Intent("dislike", "a", 1)], []),
        ("not for me", [Intent("dislike", "a", 1)], []),
        ("why?", [Intent("why", "a", 1)], []),
        ("why the third?", [Intent("why", "c", 3)], []),
        ("why not the Day bag?", [Intent("why_not", "h", 0)], []),
        ("why not the Orla?", [Intent("why_not", "b", 2)], []),
        ("show me more", [Intent("more")], []),
        ("something else please", [Intent("more")], []),
        ("help", [Intent("help")], []),
        ("I like red lamps", [], ["color: red", "category: lamp"]),
        ("first aid kit", [], ["(first aid kit)"]),
    ],
)
def test_deeds(message, intents, chips):
    said = understand(message, WORDS, DialogueState().show("abcd"))
    assert list(said.intents) == intents
    assert [chip.label if chip.kind == "filter" else f"({chip.label})" for chip in said.chips] == chips


def test_an_item_that_was_not_shown_is_said():
    assert understand("the seventh one", WORDS, DialogueState().show("ab")).notes == ("The list shown has 2 items.",)
    assert understand("more like the first", WORDS).notes == ("Nothing has been shown yet that this could mean.",)


def test_likes_and_references_are_kept():
    state = talk("I like the first one", "not the second one", "more like the first", state=DialogueState().show("abcd"))
    assert state.liked == ("a",) and state.disliked == ("b",) and state.reference == "a"
    assert labels(state) == ["(like Nola lamp)"] and state.words() == ""
    assert state.dislike("a").reference == "" and state.dislike("a").liked == ()
    assert state.refer("c", "Alba lamp").reference == "c"
    assert state.remove(state.chips[0].id).reference == ""
    assert state.shown == tuple("abcd") and state.show([]).last_list == state.last_list


def test_removing_a_chip_removes_its_filter():
    state = talk("a red lamp under 40", show=False)
    for chip in state.chips:
        left = state.remove(chip.id)
        assert chip not in left.chips and len(left.chips) == 2 and left.filters() != state.filters()
    assert state.remove("no such chip") == state


def test_wishes_score_the_share_that_is_known_to_be_met():
    state = talk("a warm lamp, cozy", show=False)
    assert state.wish_scores(SHOP).tolist() == [1, 0, 0, 0, 0, 0, 0.5, 0.5, 0.5]
    assert state.words() == "cozy"
    assert wish_share(state.chips[0], SHOP).tolist() == state.wish_scores(SHOP).tolist()
    assert DialogueState().wish_scores(SHOP).tolist() == [0] * 9


def test_json_round_trip():
    state = talk("a warm lamp under 40, not leather, zesty", "more like the first", "I like the second one")
    assert DialogueState.from_json(json.loads(json.dumps(state.to_json()))) == state


@pytest.mark.parametrize(
    "change",
    [
        {"chips": None},
        {"liked": [3]},
        {"chips": [{"kind": "filter"}]},
        {"more": []},
        {"chips": [{"kind": "filter", "label": "", "words": "", "item": ""}]},
    ],
)
def test_foreign_json_is_refused(change):
    with pytest.raises(InputError):
        DialogueState.from_json({**DialogueState().to_json(), **change})


def test_smallest_steps_back_are_offered():
    state = talk("a mug under 8, not red", show=False)
    steps = relaxations(state, SHOP, SHOP.available)
    assert [(step.label, step.count) for step in steps] == [("price at most 9", 1), ("any price", 2)]
    widened = relax(state, steps[0])
    assert labels(widened) == ["category: mug", "not red", "price at most 9"] and passing(widened, SHOP) == "e"
    state = talk("a blue lamp under 30", show=False)
    assert [(step.label, step.count) for step in relaxations(state, SHOP, SHOP.available)] == [("any color", 1), ("any category", 2)]
    state = talk("a leather mug over 500", show=False)
    assert [step.label for step in relaxations(state, SHOP, SHOP.available)] == ["any material, any price", "any price, any category"]
    assert relaxations(talk("a lamp"), SHOP, SHOP.available) == [] == relaxations(DialogueState(), SHOP, SHOP.available)
    assert relaxations(state, SHOP, np.zeros(9, dtype=bool)) == []


def test_a_range_gives_way_on_its_nearer_side():
    state = DialogueState((Chip("filter", "", Compare("released", ">=", "2022-04-01")), Chip("filter", "", In("category", ("mug",)))))
    assert relaxations(state, SHOP, SHOP.available)[0].label == "released since 2022-03-01"
    state = talk("between 21 and 34", show=False)
    assert (
        relaxations(state, SHOP, SHOP.available)[0].label == "price 20 to 34"
        or relaxations(state, SHOP, SHOP.available)[0].label == "price 21 to 35"
    )


def test_every_offered_step_gives_what_it_promises():
    random = np.random.default_rng(3)
    grade = Column("grade", "ordinal", ("low", "mid", "top"))
    pick = lambda values: values[random.integers(len(values))]  # noqa: E731
    rows = [(pick(["x", "y", None]), float(random.integers(20)), pick(["low", "mid", "top"]), (pick(["p", "q"]),)) for _ in range(25)]
    items = catalog({"category": "category", "price": "number", "grade": grade, "tags": "set"}, *rows)
    words = Vocabulary(items)
    tried = 0
    for _ in range(60):
        message = f"{pick(['x', 'y', 'not x'])} {pick(['under 3', 'over 17', 'between 4 and 5', ''])} {pick(['grade: low', 'grade at least mid', ''])} {pick(['p', 'not q', ''])}"
        state = talk(message, show=False, items=items, words=words)
        for step in relaxations(state, items, items.available):
            kept = relax(state, step).filters()
            assert step.count > 0 and step.count == (mask(kept, items).sum() if kept is not None else len(items))
            tried += 1
    assert tried > 10
