"""Titles and values come from users: any text may stand in them, and none may break a sentence."""

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from six_items import explainer, shop

from mllm_rec.explain import Met, Request
from mllm_rec.explain.templates import LONGEST, clean, column_word, number_word

NASTY = [
    "C++ (.*) [a-z]+ \\d $1 ^",
    "{0} {title} {{x}} %s %(y)d",
    "<b onmouseover=alert(1)>Bold</b>",
    "line\nbreak\x00\x1b[31m red\u200b",
    "מנורה אדומה",
    "\u202egnp.exe",
    "x" * 1_000_000,
    "Very " * 200 + "long",
    "2001: A Space Odyssey",
    "...",
    "100% wool & more!",
    "😀 lamp",
    "It",
]


@pytest.mark.parametrize("name", NASTY)
def test_any_name_can_be_explained(name):
    catalog = shop(titles=(name, "Alba lamp", "c", "d", "e", "f"), color=("category", [name, name, "green", "blue", "blue", None]))
    found = explainer(catalog).explain([1, 0], Request(history=[0, 4], constraints=[[Met(f"not {name}", "color")]] * 2))
    for explanation in found:
        for text in [explanation.text, *(claim.text for claim in explanation.claims)]:
            assert "\n" not in text and len(text) < 400
            assert not any(unicodedata.category(character) in ("Cc", "Cs", "Co") for character in text)
            assert not {"\u202e", "\u200b"} & set(text)
    assert found[0].claims


@pytest.mark.parametrize("name", [name for name in NASTY if name not in ("...", "It")])
def test_a_shared_value_with_any_name_is_said(name):
    catalog = shop(color=("category", [name, name, "green", "blue", "blue", None]))
    found = explainer(catalog).explain([1], Request(history=[0]))[0]
    assert any(clean(name).strip("\u2068\u2069")[1:] in claim.text for claim in found.claims)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=40), min_size=6, max_size=6), st.lists(st.text(max_size=20), min_size=6, max_size=6))
def test_random_names_never_raise_and_are_never_invented(titles, values):
    catalog = shop(titles=tuple(titles), color=("category", values))
    for explanation in explainer(catalog).explain([1, 2], Request(history=[0, 4], against=[3])):
        ids = {row.id for row in explanation.evidence}
        for claim in explanation.claims:
            assert set(claim.evidence_ids) <= ids and claim.evidence_ids
        assert all(row.subject in {clean(title) for title in titles} for row in explanation.evidence)


def test_clean():
    assert clean(" a \n\t b ") == "a b"
    assert clean("Star Wars: Episode V - The Empire Strikes Back, the Special Edition") == "Star Wars: Episode V - The Empire Strikes Back…"
    assert len(clean("y" * 500)) == LONGEST
    assert clean("אור") == "\u2068אור\u2069"


def test_column_words():
    assert column_word("directors", several=True) == "director"
    assert column_word("frameColor") == "frame color"
    assert column_word("heel_height") == "heel height"
    assert [column_word(name, several=True) for name in ("series", "cast", "categories", "glass", "boxes")] == [
        "series",
        "cast",
        "category",
        "glass",
        "box",
    ]
    assert column_word("canvas") == "canvas"


def test_numbers():
    assert [number_word(value) for value in (1997.0, 25.5, 0.125, 1682)] == ["1997", "25.5", "0.12", "1682"]
    assert number_word(5.5, money=True) == "5.50"
