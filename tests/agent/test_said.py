"""Things people said that were once understood as something else."""

import pytest
from catalogs import catalog, films, shop
from test_understand import FILM_WORDS, SHOP_WORDS, labels, read

from mllm_rec.agent.state import DialogueState
from mllm_rec.agent.understand import understand
from mllm_rec.agent.vocabulary import Vocabulary
from mllm_rec.data.catalog import Column
from mllm_rec.retrieval.filters import mask

LURES = Vocabulary(
    catalog(
        {"category": "category", "rattle": "category", "proof": Column("proof", "number", unit="%"), "price": "number"},
        ("spinner", "yes", 12.5, 10.0),
        ("jig", "no", 13.5, 30.0),
        ("spoon", None, 14.0, 20.0),
        ("jig", "yes", None, 5.0),
    )
)


@pytest.mark.parametrize(
    ("message", "chips", "ids"),
    [
        ("a lure that doesn't rattle", ["(lure)", "not rattle"], "bc"),
        ("I don't know, a jig", ["category: jig"], "bd"),
        ("at most 12.5 %", ["proof at most 12.5"], "a"),
        ("spoons, jigs or spinners", ["category: spoon or jig or spinner"], "abcd"),
        ("spoons, wobblers or jigs", ["(wobblers)", "category: spoon or jig"], "bcd"),
        ("a jig costing less than a spinner", ["category: jig"], "bd"),
        ("two jigs", ["category: jig"], "bd"),
    ],
)
def test_lures(message, chips, ids):
    found, passing = read(message, LURES)
    assert ([label for label in found if label != "(costing)"], passing) == (chips, ids)


@pytest.mark.parametrize(
    ("message", "chips", "ids"),
    [
        ("a lamp, red or blue", ["category: lamp", "color: red or blue"], "a"),
        ("a mug, red or blue or brown", ["category: mug", "color: red or blue or brown"], "eg"),
        ("red, blue or brown", ["color: red or blue or brown"], "adegh"),
    ],
)
def test_a_comma_is_no_or(message, chips, ids):
    assert read(message, SHOP_WORDS) == (chips, ids)


def test_capitalized_words_of_a_title_are_no_filter():
    words = Vocabulary(catalog({"genres": "set"}, (("War",),), (("Sci-Fi",),), title=["The English Patient", "Star Wars: A New Hope"]))
    assert read("Star Wars", words) == (["(Star Wars)"], "ab")
    assert read("a war film", words) == (["genres: War", "(film)"], "a")


def test_names_need_a_name_before_and():
    assert read("young and murray", FILM_WORDS)[0] == ["(young)", "(murray)"]
    assert read("with Tim Allen or carrey", FILM_WORDS)[0] == ["cast: Tim Allen or Jim Carrey"]


def test_the_cheapest_comes_first_among_what_is_asked_for():
    items = shop()
    state = DialogueState().apply(understand("the cheapest bag", SHOP_WORDS), items)
    bags = mask(state.filters(), items) & items.available
    scores = state.wish_scores(items) * bags
    assert items.table["price"][bags].idxmin() == scores.argmax()
    state = state.apply(understand("no, an expensive one", SHOP_WORDS), items)
    assert [label for label in labels(state) if "cheap" in label] == []


def test_older_after_newer_leaves_something():
    items = films()
    state = DialogueState(last_list=("a", "b", "c"))
    state = state.apply(understand("something newer", FILM_WORDS, state), items)
    assert labels(state) == ["year after 1995"]
    state = state.show(("c",))
    state = state.apply(understand("older", FILM_WORDS, state), items)
    assert mask(state.filters(), items).any() and "before 1999" in labels(state)[0]


@pytest.mark.parametrize(
    ("message", "liked", "disliked"),
    [
        ("not for me: the second", (), ("b",)),
        ("not for me", (), ("a",)),
        ("remove the first one", (), ("a",)),
        ("I liked Galaxy Quest and Alien", ("c", "d"), ()),
    ],
)
def test_deeds(message, liked, disliked):
    state = DialogueState(last_list=("a", "b", "c"))
    after = state.apply(understand(message, FILM_WORDS, state), films())
    assert (after.liked, after.disliked) == (liked, disliked)
