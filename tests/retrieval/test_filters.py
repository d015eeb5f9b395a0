"""Filters against a row-by-row evaluator that shares no code with them."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mllm_rec.data.catalog import Catalog, Column
from mllm_rec.errors import InputError
from mllm_rec.retrieval.filters import And, Compare, In, Not, Or, columns, describe, from_json, mask, to_json, unknown, unknown_columns

NAMES = ["red", "Dark  Green", "XL", "no", "4", "Ärmel"]
ORDER = ("low", "middle", "high")
OPERATORS = ["<", "<=", ">", ">=", "="]
KINDS = {"size": "number", "color": "category", "tags": "set", "grade": Column("grade", "ordinal", ORDER), "since": "date", "note": "text"}
WORDS = ["soft", "wool", "hand", "made"]

numbers = st.sampled_from([-1.5, 0.0, 2.0, 2.5, 40.0])
days = st.sampled_from(["1999-12-31", "2000-01-01", "2000-02-29", "2001-07-04", "2001-07-31"])
rows = st.lists(
    st.fixed_dictionaries(
        {
            "size": st.none() | numbers,
            "color": st.none() | st.sampled_from(NAMES),
            "tags": st.none() | st.lists(st.sampled_from(NAMES), max_size=3).map(tuple),
            "grade": st.none() | st.sampled_from([*ORDER, "odd"]),
            "since": st.none() | days,
            "note": st.none() | st.lists(st.sampled_from(WORDS), max_size=3).map(", ".join),
            "available": st.booleans(),
        }
    ),
    min_size=1,
    max_size=12,
)
spelled = st.sampled_from(NAMES).flatmap(lambda name: st.sampled_from([name, name.upper(), f" {name.lower()} "])) | st.just("absent")
atoms = st.one_of(
    st.builds(Compare, st.just("size"), st.sampled_from(OPERATORS), numbers),
    st.builds(Compare, st.just("grade"), st.sampled_from(OPERATORS), st.sampled_from(ORDER)),
    st.builds(Compare, st.just("since"), st.sampled_from(OPERATORS), st.sampled_from(["2000", "2001-07", "2001-07-04", 2001])),
    st.builds(Compare, st.just("note"), st.just("="), st.sampled_from([*WORDS, "hand made", "Wool."])),
    st.builds(Compare, st.just("available"), st.just("="), st.booleans()),
    st.builds(Compare, st.sampled_from(["color", "tags"]), st.just("="), spelled),
    st.builds(In, st.sampled_from(["color", "tags"]), st.lists(spelled, max_size=3).map(tuple)),
    st.builds(In, st.just("size"), st.lists(numbers, max_size=3).map(tuple)),
)
expressions = st.recursive(
    atoms,
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.builds(And, st.lists(inner, max_size=3).map(tuple)),
        st.builds(Or, st.lists(inner, max_size=3).map(tuple)),
    ),
    max_leaves=8,
)


def catalog_of(table):
    frame = pd.DataFrame(table)
    for name in ("color", "tags", "grade", "note"):
        frame[name] = pd.Series([row[name] for row in table], dtype=object)
    frame["size"] = frame["size"].astype(float)
    frame["since"] = pd.to_datetime(frame["since"])
    frame.insert(0, "title", "thing")
    frame.insert(0, "item_id", [f"i{row}" for row in range(len(frame))])
    return Catalog(frame, KINDS)


def plain(text):
    return " ".join(str(text).lower().split())


def related(operator, left, right):
    return {"<": left < right, "<=": left <= right, ">": left > right, ">=": left >= right, "=": left == right}[operator]


def atom(row, column, operator, value):
    """True, False, or None where the row doesn't say."""
    own = row[column]
    if own is None:
        return None
    if column == "size" or column == "available":
        return related(operator, own, value)
    if column == "since":
        return related(operator, own[: len(str(value))], str(value))  # ISO dates sort as text
    if column == "grade" and operator != "=":
        return related(operator, ORDER.index(own), ORDER.index(value)) if own in ORDER else None
    if column == "tags":
        return plain(value) in [plain(tag) for tag in own]
    if column == "note":
        return f" {plain(value).strip('.')} " in f" {own.replace(',', '')} "
    return plain(own) == plain(value)


def passes(row, expression):
    match expression:
        case Compare(column, operator, value):
            return atom(row, column, operator, value) is True
        case In(column, values):
            return any(atom(row, column, "=", value) is True for value in values)
        case Not(part):
            return not passes(row, part)
        case And(parts):
            return all(passes(row, part) for part in parts)
        case Or(parts):
            return any(passes(row, part) for part in parts)


def certainly(row, expression):
    """Kleene's three values."""
    match expression:
        case Compare(column, operator, value):
            return atom(row, column, operator, value)
        case In(column, values):
            return None if row[column] is None else any(atom(row, column, "=", value) for value in values)
        case Not(part):
            inner = certainly(row, part)
            return None if inner is None else not inner
    known = [certainly(row, part) for part in expression.parts]
    deciding = isinstance(expression, Or)
    return deciding if deciding in known else None if None in known else not deciding


@settings(max_examples=250, deadline=None)
@given(rows, expressions)
def test_equal_to_row_by_row(table, expression):
    catalog = catalog_of(table)
    expected = [passes(row, expression) for row in table]
    assert mask(expression, catalog).tolist() == expected
    assert unknown(expression, catalog).tolist() == [
        passed and certainly(row, expression) is not True for row, passed in zip(table, expected, strict=True)
    ]
    assert from_json(json.loads(json.dumps(to_json(expression)))) == expression
    assert isinstance(describe(expression, catalog), str) and set(columns(expression)) <= set(KINDS) | {"available"}


@pytest.mark.parametrize("seed", range(5))
def test_one_in_a_thousand(seed):
    random = np.random.default_rng(seed)
    table = [
        {
            "size": None if random.random() < 0.2 else float(random.integers(1000)),
            "color": None if random.random() < 0.5 else str(random.integers(30)),
            "tags": None if random.random() < 0.3 else tuple(map(str, random.integers(1000, size=random.integers(4)))),
            "grade": ORDER[random.integers(3)],
            "since": None,
            "note": None,
            "available": True,
        }
        for _ in range(4000)
    ]
    catalog = catalog_of(table)
    for rare in (
        And((Compare("size", "<", 30.0), Compare("color", "=", "7"), Not(Compare("grade", "=", "low")))),
        And((Compare("tags", "=", "17"), Not(In("color", ("1", "2"))))),
        Compare("size", "=", float(random.integers(1000))),
    ):
        found = np.flatnonzero(mask(rare, catalog))
        assert len(found) <= 12
        assert found.tolist() == [row for row, values in enumerate(table) if passes(values, rare)]


def shelf():
    row = {"size": None, "color": None, "tags": None, "grade": None, "since": None, "note": None, "available": True}
    return catalog_of([row, {**row, "size": 20.0, "color": "red", "grade": "low"}])


def test_unknown_is_said_by_column():
    expression = And((Compare("available", "=", True), Not(In("color", ("green",))), Not(Compare("size", ">", 30))))
    assert unknown_columns(expression, shelf(), 0) == ("color", "size")
    assert unknown_columns(expression, shelf(), 1) == ()


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        (Compare("colour", "=", "red"), "no column 'colour'; did you mean 'color'"),
        (Compare("size", "<", "small"), "column 'size' is a number and 'small' is not one"),
        (Compare("size", "<", True), "column 'size' is a number"),
        (Compare("color", "<", "red"), "column 'color' is a category, which has no order for '<'"),
        (Compare("tags", ">=", "red"), "column 'tags' is a set"),
        (Compare("grade", "<", "hihg"), "did you mean 'high'"),
        (Compare("since", "<", "yesterday"), "column 'since' is a date and 'yesterday' is not one"),
        (Compare("since", "<", "2024-13"), "write it like 2024"),
        (Compare("size", "~", 3), "'~' is not a comparison"),
        (Compare("available", "=", "maybe"), "true or false"),
    ],
)
def test_wrong_comparison_is_explained(expression, said):
    with pytest.raises(InputError, match=r".*") as caught:
        mask(expression, shelf())
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "said",
    [
        None,
        3,
        [],
        {},
        {"column": "a"},
        {"not": 3},
        {"and": {}},
        {"column": "a", "in": [[]]},
        {"or": [], "and": []},
        {"column": 3, "operator": "=", "value": 1},
    ],
)
def test_foreign_json_is_refused(said):
    with pytest.raises(InputError, match="is not a filter"):
        from_json(said)


def test_deep_json_is_refused():
    deep = {"column": "a", "operator": "=", "value": 1}
    for _ in range(60):
        deep = {"not": deep}
    with pytest.raises(InputError, match="levels"):
        from_json(deep)


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        (Compare("price", "<", 40.0), "price under 40"),
        (Compare("price", ">=", 39.99), "price at least 39.99"),
        (Compare("released", ">", "2020-05"), "released after 2020-05"),
        (In("category", ("lamp",)), "category: lamp"),
        (In("shade_color", ("red", "blue")), "shade color: red or blue"),
        (Not(In("material", ("leather",))), "not leather"),
        (Not(Or((In("cast", ("Jo Doe",)), In("crew", ("Jo Doe",))))), "not Jo Doe"),
        (Or((In("cast", ("Jo Doe",)), In("crew", ("Jo Doe",)))), "cast or crew: Jo Doe"),
        (And((Compare("year", ">=", 1990), Compare("year", "<=", 1999))), "year 1990 to 1999"),
        (And((Compare("price", ">", 20), Compare("price", "<", 40))), "price over 20 and under 40"),
    ],
)
def test_described_for_people(expression, said):
    assert describe(expression) == said
