"""Sentences that say more than their evidence are dropped; true ones are kept, whoever worded them."""

import itertools

import numpy as np
import pytest
from six_items import explainer, shop

from mllm_rec.data.features import Features
from mllm_rec.explain import Claim, Evidence, Met, Request, Vocabulary, verify
from mllm_rec.explain.claims import claims

TITLES = ("Nola lamp", "Alba lamp", "Stripe mug", "Tove reading lamp", "Stripe mug 2", "It")
EVIDENCE = [
    Evidence("e1", "attribute", "Nola lamp", "color", "red", "catalog", 0.5),
    Evidence("e2", "attribute", "Stripe mug", "pattern", "striped", "catalog", 0.4),
    Evidence("e3", "neighbor", "Nola lamp", "log", 14.0, "log", 0.4),
    Evidence("e4", "neighbor", "Stripe mug", "log", 9.0, "log", 0.3),
    Evidence("e5", "difference", "Tove reading lamp", "price", -5.5, "catalog", 0.3),
    Evidence("e6", "unknown", "Alba lamp", "material", None, "catalog", 0.1),
    Evidence("e7", "contribution", "Alba lamp", "image", 41.0, "model", 0.1),
    Evidence("e8", "similar", "Nola lamp", "image", None, "image", 0.3),
    Evidence("e9", "constraint", "Alba lamp", "price", "price under 40", "request", 0.1),
    Evidence("e10", "popular", "Alba lamp", "log", 1682.0, "log", 0.1),
    Evidence("e11", "value", "Alba lamp", "height", "30", "catalog", 0.1),
    Evidence("e12", "reference", "Tove reading lamp", "height", "25.5", "catalog", 0.1),
    Evidence("e13", "cold", "Alba lamp", "log", 0.0, "log", 0.1),
    Evidence("e14", "wish", "Alba lamp", "", "warm", "request", 0.1),
]
VALUES = ("red", "green", "blue", "striped", "dotted", "brass", "oak", "leather", "dark red", "new")
VOCABULARY = Vocabulary(
    frozenset(tuple(title.lower().split()) for title in TITLES), frozenset(tuple(value.lower().split()) for value in VALUES)
)
TRUE = [
    ("e1", "Red, like Nola lamp, which you liked."),
    ("e1", "Because you liked the Nola lamp, here is another red one."),
    ("e1", "It is red, too, like your Nola lamp."),
    ("e1", "You loved Nola lamp, and this shares its color: red."),
    ("e1 e2", "It is red like Nola lamp and striped like Stripe mug."),
    ("e2", "Striped, as in Stripe mug."),
    ("e3", "14 people who liked Nola lamp also liked this."),
    ("e3", "Fourteen others who loved the Nola lamp chose this, too."),
    ("e3 e4", "14 people who liked Nola lamp and 9 who liked Stripe mug liked this."),
    ("e5", "Costs 5.50 less than Tove reading lamp."),
    ("e5", "It is 5.5 cheaper than the Tove reading lamp."),
    ("e6", "Its material is unknown."),
    ("e6", "The material of this Alba lamp is unknown."),
    ("e7", "Its picture made 41 % of the case for it."),
    ("e8", "Its picture is close to that of Nola lamp, which you liked."),
    ("e8", "It looks like Nola lamp, which you enjoyed."),
    ("e9", "As you asked (price under 40)."),
    ("e9", "It meets your request: price under 40."),
    ("e10", "Liked by 1,682 people."),
    ("e11 e12", "Its height is 30; Tove reading lamp has 25.5."),
    ("e13", "No one has liked it yet."),
    ("e14", "It is warm, as you wished."),
]


def kept(ids: str, text: str) -> bool:
    return bool(verify([Claim(tuple(ids.split()), text)], EVIDENCE, VOCABULARY))


@pytest.mark.parametrize(("ids", "text"), TRUE)
def test_true_sentences_are_kept(ids, text):
    assert kept(ids, text)


SWAPS = {
    "red": ["green", "blue", "striped", "dark red", "crimson", "not red", "red and brass", "red and cozy", "REDDISH"],
    "striped": ["dotted", "red", "striped and dotted", "plain"],
    "Nola lamp": ["Tove reading lamp", "Stripe mug", "Alba lamp", "Nola", "Nora lamp", "Nola lamp 2", "Babe", "It", "Nola lamp and Babe"],
    "Stripe mug": ["Stripe mug 2", "Nola lamp", "Striped mug"],
    "Tove reading lamp": ["Alba lamp", "Tove", "reading lamp", "the brass lamp"],
    "14": ["15", "140", "1.4", "0", "9", "about a hundred", "14,000", "fourteen hundred"],
    "Fourteen": ["Fifteen", "Forty", "All", "Most"],
    "9": ["14", "ninety", "19"],
    "5.50": ["5.51", "55.0", "550", "6", "five"],
    "5.5": ["4.5", "5.05", "half"],
    "41": ["42", "14", "100", "4.1"],
    "1,682": ["1,683", "1.682", "168", "682"],
    "30": ["25.5", "31", "thirty-one"],
    "25.5": ["30", "25", "26"],
    "40": ["50", "4", "400"],
    "less": ["more", "lower or equal", "percent less"],
    "cheaper": ["dearer", "better", "not cheaper", "cheaper and lighter"],
    "under": ["over", "above"],
    "unknown": ["brass", "known", "leather", "unknown but surely oak"],
    "material": ["color", "price", "maker"],
    "picture": ["description", "price", "seller"],
    "looks": ["smells", "costs"],
    "warm": ["cold", "red", "warm and striped"],
    "people": ["experts", "women", "people in Paris", "people like Steven Spielberg"],
    "you liked": ["you hated", "your mother liked", "critics liked"],
    "No one": ["One person", "Everyone", "Nobody but Ann"],
    "one.": ["one by Ada Berg.", "bestseller.", "one for $5."],
    ".": [" and it is brass.", " by Ikea.", ", the best of all.", " 😀.", " (5 stars)."],
}
MUTANTS = [
    (ids, text.replace(old, new, 1))
    for (ids, text), (old, new) in itertools.product(TRUE, [(old, new) for old, news in SWAPS.items() for new in news])
    if old in text
]


def test_mutated_sentences_are_dropped():
    survivors = [mutant for mutant in MUTANTS if kept(*mutant)]
    assert len(MUTANTS) >= 200
    assert survivors == []


@pytest.mark.parametrize(
    ("ids", "text"),
    [
        ("e1 e2", "It is striped like Nola lamp and red like Stripe mug."),  # values swapped between items
        ("e3 e4", "9 people who liked Nola lamp and 14 who liked Stripe mug liked this."),  # counts swapped
        ("e11 e12", "Its height is 25.5; Tove reading lamp has 30."),  # sides swapped
        ("e1 e2", "Its pattern is red and its color is striped, like Nola lamp and Stripe mug."),  # columns swapped
        ("e1 e2", "Red and striped, like Nola lamp and Stripe mug."),  # each value said of both
        ("e1 e3", "14 people who liked Nola lamp liked this because it is red."),  # two kinds, and a made-up cause
        ("e1", "You liked it because it is red."),  # the user has not seen it
        ("e2", "Red, like Nola lamp, which you liked."),  # right, but cites other evidence
        ("e99", "Its material is unknown."),
        ("", "Its material is unknown."),
        ("e1", ""),
        ("e6", "Its material is brass."),
        ("e2", "Striped, like Stripe mug 2, which you liked."),  # a longer name begins with the cited one
        ("e1", "It is dark red, like Nola lamp."),
        ("e2", "If you like striped things... no."),
        ("e1", "Spielberg made this red one, like Nola lamp."),
        ("e1", "It is a new red one, like Nola lamp."),
        ("e8", "Its picture is close to that of It, which you liked."),
    ],
)
def test_subtler_falsehoods_are_dropped(ids, text):
    assert not kept(ids, text)


def test_what_templates_say_passes():
    """Every sentence that an explanation makes of ordinary names is verified, none is lost."""
    unlike = Features(np.eye(6), np.ones(6, dtype=bool))
    catalog = shop(height=("number", [10, 25.5, 30, 5, 7, 8]), size=("ordinal", ["S", "S", "L", "L", "M", "M"]))
    shelf = explainer(catalog, features={"image": unlike, "published": unlike})
    spread = dict(zip(shelf.facts.attributes.columns, shelf.facts.attributes.spread.tolist(), strict=True))
    spoken = set()
    for history, against in itertools.product([(), (0,), (0, 2), (1, 4)], [(), (3,), (0, 2)]):
        items = [0, 1, 2, 3, 4, 5]
        mets = [[Met("not leather", "material", known=item < 2), Met("category: lamp", "color")] for item in items]
        request = Request(
            history=history,
            constraints=mets,
            wishes=[[Met("warm")]] * 6,
            against=against,
            compared=("price", "height"),
            contributions={"log": [1] * 6, "image": [2] * 6, "published": [1.5] * 6},
        )
        for evidence in shelf.facts.evidence(items, request):
            said = claims(evidence, shelf.catalog, shelf.words, spread)
            assert verify(said, evidence, shelf.vocabulary) == said
            spoken |= {row.kind for row in evidence}
    assert spoken == {
        "attribute",
        "neighbor",
        "contribution",
        "cold",
        "popular",
        "constraint",
        "wish",
        "unknown",
        "difference",
        "value",
        "reference",
    }
