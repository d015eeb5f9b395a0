"""Cells as numbers, yes or no, dates and sets."""

import numpy as np
import pandas as pd
import pytest
from by_hand import column
from hypothesis import given
from hypothesis import strategies as st

from mllm_rec.data import kinds


@pytest.mark.parametrize(
    ("cell", "amount"),
    [
        ("12", 12),
        ("-3.5", -3.5),
        (".5", 0.5),
        ("3e2", 300),
        ("1,299.00", 1299),
        ("1.234,50", 1234.5),
        ("1.234.567", 1_234_567),
        ("1,234", 1234),
        ("12,5", 12.5),
        ("1'000", 1000),
        ("1 234,56", 1234.56),
        ("−5", -5),
        ("1_000", np.nan),
        ("0x10", np.nan),
        ("1..2", np.nan),
        ("inf", np.nan),
        ("nan", np.nan),
        ("1e400", np.nan),
        ("9" * 50, np.nan),
        ("12 €", np.nan),
        ("ten", np.nan),
        (None, np.nan),
    ],
)
def test_numbers(cell, amount):
    assert kinds.numbers(column(cell)) == pytest.approx([amount], nan_ok=True)


@pytest.mark.parametrize(
    ("cell", "amount"),
    [
        ("1.234,50 €", 1234.5),
        ("€12,50", 12.5),
        ("$ -5", -5),
        ("-$5", -5),
        ("USD 5", 5),
        ("Rs. 500", 500),
        ("£.50", 0.5),
        ("12.-", 12),
        ("12,--", 12),
        ("12 cm", 12),
        ("free", np.nan),
        ("10-20", np.nan),
        ("5 for the price of 4", np.nan),
    ],
)
def test_numbers_with_what_stands_around_them(cell, amount):
    assert kinds.numbers(column(cell), affix=True) == pytest.approx([amount], nan_ok=True)


def test_a_column_with_decimal_commas_parts_thousands_with_points():
    assert kinds.numbers(column("1.299", "49,90", "5", None)) == pytest.approx([1299, 49.9, 5, np.nan], nan_ok=True)
    assert kinds.numbers(column("1.299", "49.90")) == pytest.approx([1.299, 49.9])


@given(st.lists(st.floats(-1e14, 1e14).map(lambda value: round(value, 2)), min_size=1))
def test_numbers_read_what_python_and_shops_write(amounts):
    assert kinds.numbers(column(*map(repr, amounts))) == pytest.approx(amounts)
    english = column(*(f"{amount:,.2f}" for amount in amounts))
    assert kinds.numbers(english) == pytest.approx(amounts)
    continental = column(*(f"{amount:,.2f} €".translate(str.maketrans(",.", ".,")) for amount in amounts))
    assert kinds.numbers(continental, affix=True) == pytest.approx(amounts)


def test_common_unit():
    assert kinds.common_unit(column("12 cm", "3.5cm", None)) == "cm"
    assert kinds.common_unit(column("12 cm", "3 kg")) is None
    assert not kinds.common_unit(column("12", "3"))
    assert kinds.common_unit(column("Q1", "Q2")) is None


def test_truths():
    cells = column("3", "0", "-1", "yes", "No", "In Stock", "sold out", "perhaps", None)
    assert kinds.truths(cells) == pytest.approx([1, 0, 0, 1, 0, 1, 0, np.nan, np.nan], nan_ok=True)


MOMENT = pd.Timestamp("2024-03-02 04:05:06")


@pytest.mark.parametrize(
    "cell",
    [
        "2024-03-02T04:05:06Z",
        "2024-03-02 04:05:06",
        "2024-03-02T06:05:06+02:00",
        "2024/03/02 04:05:06",
        "02.03.2024 04:05:06",
        "02/03/2024 04:05:06",
        "1709352306",
        "1709352306000",
        "1709352306000000",
        "1709352306000000000",
        "1.709352306e9",
    ],
)
def test_moments(cell):
    assert kinds.dates(column(cell, None), "timestamp").tolist() == [MOMENT, pd.NaT]


@pytest.mark.parametrize(
    ("cells", "days"),
    [
        (["2024-03-02", "soon"], ["2024-03-02", None]),
        (["20240302", "20231231"], ["2024-03-02", "2023-12-31"]),
        (["03/14/2024", "03/02/2024"], ["2024-03-14", "2024-03-02"]),
        (["2 Mar 2024", "31 Dec 2023"], ["2024-03-02", "2023-12-31"]),
        (["March 2, 2024"], ["2024-03-02"]),
        (["2024", "1995"], ["2024-01-01", "1995-01-01"]),
        (["5", "7"], [None, None]),
        (["one day", "another"], [None, None]),
        (["99/99/2024"], [None]),
    ],
)
def test_days(cells, days):
    assert kinds.dates(column(*cells), "released").tolist() == [pd.NaT if day is None else pd.Timestamp(day) for day in days]


def test_sets():
    assert kinds.split_set(column("a|b", "c", "b| a |b", None, "|", "a, b|c")) == [
        ("a", "b"),
        ("c",),
        ("b", "a"),
        None,
        None,
        ("a, b", "c"),
    ]
    assert kinds.split_set(column('["a", "b"]', "['c']", "[]", "[1, 2]")) == [("a", "b"), ("c",), None, ("1", "2")]


def test_lists_are_data_and_not_code():
    assert kinds.literal_list("[__import__('os')]") is None
    assert kinds.literal_list("[" * 5000 + "]" * 5000) is None
    assert kinds.literal_list("{1: 2}") is None and kinds.literal_list("[[1]]") is None


def test_arrays_as_numpy_prints_them_are_lists():
    for parts in (["bedroom", "kitchen"], ["it's", 'a "b"'], ["one"], ["a, b", "c"], ["word " * 9] * 9):
        assert kinds.literal_list(str(np.array(parts, dtype=object))) == parts
    assert kinds.literal_list(r"['\x' 'b']") is None
    assert list(kinds.split_set(pd.Series(["['a' 'b']", "['b']"]))) == [("a", "b"), ("b",)]
