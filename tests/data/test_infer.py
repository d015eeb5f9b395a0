"""What kind a column is guessed to be, and how its cells become values of that kind."""

import numpy as np
import pandas as pd
import pytest
from by_hand import column

from mllm_rec.data import kinds
from mllm_rec.data.catalog import Column
from mllm_rec.errors import InputError

SENTENCES = [f"A {color} lamp. It is {size}, and old." for size in ("big", "small", "flat") for color in ("red", "blue", "green")]


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["12", "3.5", "-1"], "number"),
        (["12 cm", "3 cm", "n/a"], "number"),
        (["0", "1", "1"], "category"),
        (["yes", "no", "no"], "category"),
        (["red", "blue", "red"], "category"),
        (["S", "XL", "M"], "ordinal"),
        (["small", "large", "small"], "ordinal"),
        (["red|blue", "blue|green", "red"], "set"),
        (["['a', 'b']", "['b']", "['a']"], "set"),
        (["2024-01-02", "2023-05-06"], "date"),
        (["31.12.2023", "01.02.2024"], "date"),
        (["007", "012"], "category"),
        (["Q1", "Q2", "Q1"], "category"),
        (SENTENCES, "text"),
        ([f"thing {number}" for number in range(30)], "text"),
        ([None, None], "category"),
    ],
)
def test_kinds(cells, kind):
    assert kinds.infer(column(*cells), "held").kind == kind


def test_the_name_counts():
    assert kinds.infer(column("1709352306", "1709352307"), "timestamp").kind == "date"
    assert kinds.infer(column("1709352306", "1709352307"), "sold").kind == "number"
    assert kinds.infer(column("114709", "113497", "113228"), "imdb_id").kind != "number"


@pytest.mark.parametrize(
    ("name", "is_one"), [("imdb_id", True), ("artistID", True), ("URL", True), ("EAN", True), ("humid", False), ("size", False)]
)
def test_keys_into_something_else(name, is_one):
    assert kinds.names_an_id(name) is is_one


def values(cells, kind, order=()):
    read, bad = kinds.convert(column(*cells), Column("held", kind, order))
    return [None if not isinstance(value, tuple) and pd.isna(value) else value for value in read], np.flatnonzero(bad).tolist()


def test_values_and_what_is_none_of_the_kind():
    assert values(["12 cm", "ten", None], "number") == ([None, None, None], [0, 1])
    assert values(["12 cm", "3 cm", "NULL"], "number") == ([12.0, 3.0, None], [])
    assert values(["S", "XL", "XS"], "ordinal", ("S", "XL")) == (["S", "XL", None], [2])
    assert values(["1", "0", "nan"], "category") == (["yes", "no", None], [])
    assert values([" dark  red ", "none"], "category") == (["dark red", "none"], [])
    assert values(["a|b", None], "set") == ([("a", "b"), None], [])
    assert values(["2024-01-02", "never"], "date") == ([pd.Timestamp("2024-01-02"), None], [1])


def test_said_kinds():
    read = kinds.read_kinds({"color": "category", "size": "ordinal:small< medium <large"})
    assert read == {"color": Column("color", "category"), "size": Column("size", "ordinal", ("small", "medium", "large"))}
    for wrong in ("colour", "number:1<2", ""):
        with pytest.raises(InputError, match=r"--kind color=.*wanted a kind of number, ordinal, category, set, text, date"):
            kinds.read_kinds({"color": wrong})


def test_the_order_of_an_ordinal():
    ordinal = Column("size", "ordinal")
    assert kinds.settle_order(ordinal, column("10 cm", "9 cm", "10 cm")).order == ("9 cm", "10 cm")
    assert kinds.settle_order(ordinal, column("Large", "small", "large")).order == ("small", "Large", "large")
    assert kinds.settle_order(Column("size", "ordinal", ("b", "a")), column("a")).order == ("b", "a")
    with pytest.raises(InputError, match="the order of its values is not known; say it: --kind 'size=ordinal:broad<slim'"):
        kinds.settle_order(ordinal, column("slim", "broad"))
