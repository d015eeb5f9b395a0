"""The attributes encoder, by hand."""

import numpy as np
import pandas as pd
import pytest
from shelves import permuted, shelf

from mllm_rec.data.catalog import Column
from mllm_rec.encoders import load_encoder
from mllm_rec.encoders.attributes import Attributes
from mllm_rec.errors import InputError


def encoded(catalog, **settings):
    """Features with every value kept, and the names of their columns."""
    encoder = Attributes(**{"min_count": 1, **settings})
    return encoder.encode(catalog), encoder.names


def test_values_by_hand():
    """Each column's words have length 1 together, and so has the row: two columns give 1/sqrt(2) each."""
    catalog = shelf(["a", "b", "c"], color=("category", ["red", "blue", None]), genres=("set", [("x", "y"), ("x",), None]))
    features, names = encoded(catalog)
    assert names == ["color=blue", "color=red", "genres=x", "genres=y"]
    half = np.sqrt(0.5)
    np.testing.assert_allclose(features.values, [[0, half, 0.5, 0.5], [half, 0, half, 0], [0, 0, 0, 0]], rtol=1e-6)
    assert features.present.tolist() == [True, True, False] and features.spec == Attributes(min_count=1).spec()


def test_numbers_are_standardized_and_what_is_unknown_says_so():
    """-1 and 1 around the mean of what is known; an unknown is at the mean."""
    features, names = encoded(shelf(["a", "b", "c"], size=("number", [10.0, 30.0, np.nan])))
    assert names == ["size", "size unknown"]
    np.testing.assert_allclose(features.values, [[-1, 0], [1, 0], [0, 0]], atol=1e-6)
    assert features.present.tolist() == [True, True, False]


def test_a_price_is_compared_by_its_logarithm():
    price = np.array([10.0, 100.0, 1000.0])
    catalog = shelf(["a", "b", "c"], price=price, color=("category", ["red"] * 3))
    features, names = encoded(catalog)
    logs = np.log1p(price)
    ratio = features.values[:, names.index("price")] / features.values[:, names.index("color=red")]
    np.testing.assert_allclose(ratio, (logs - logs.mean()) / logs.std(), rtol=1e-5)


def test_one_odd_number_is_cut_at_four_deviations():
    features, _ = encoded(shelf([str(k) for k in range(101)], size=("number", [0.0] * 100 + [1e9]), color=("category", ["red"] * 101)))
    np.testing.assert_allclose(features.values[100], np.array([4, 1]) / np.sqrt(17), rtol=1e-5)


def test_ordinals_are_ranks_and_dates_are_days():
    catalog = shelf(["a", "b", "c"], made=("date", pd.to_datetime(["2020-01-01", "2020-01-03", "2020-01-05"])))
    catalog.table["grade"] = pd.Series(["low", "high", "mid"], dtype=object)
    catalog.columns["grade"] = Column("grade", "ordinal", ("low", "mid", "high"))
    features, names = encoded(catalog)
    assert names == ["made", "grade"]
    unit = np.sqrt(1.5)
    rows = np.array([[-unit, -unit], [0, unit], [unit, 0]])
    np.testing.assert_allclose(features.values, rows / np.linalg.norm(rows, axis=1, keepdims=True), atol=1e-6)


def test_rare_values_and_those_beyond_the_most_are_left_out():
    catalog = shelf(
        list("abcd"), color=("category", ["red", "red", "blue", "green"]), room=("set", [("hall",), ("hall",), ("hall",), None])
    )
    assert encoded(catalog, min_count=2)[1] == ["color=red", "room=hall"]
    assert encoded(catalog, most_values=1)[1] == ["room=hall"]
    features, _ = encoded(catalog, min_count=2)
    assert features.present.all()  # of green is only known that it is not red, but that is known


def test_permuting_items_permutes_rows():
    rng = np.random.default_rng(0)
    color = rng.choice(["red", "blue", "green"], 20).tolist()
    rooms = [tuple(rng.choice(["hall", "kitchen", "bath"], 2, replace=False)) for _ in range(20)]
    catalog = shelf([str(k) for k in range(20)], price=rng.uniform(5, 90, 20), color=("category", color), rooms=("set", rooms))
    order = rng.permutation(20)
    np.testing.assert_allclose(encoded(permuted(catalog, order))[0].values, encoded(catalog)[0].values[order], atol=1e-6)


def test_columns_without_a_value_add_nothing():
    empty = {"color": ("category", [None, None]), "rooms": ("set", [None, ()]), "size": ("number", [np.nan] * 2)}
    features, _ = encoded(shelf(["a", "b"], **empty))
    assert not features.present.any() and not features.values.any()
    features, names = encoded(shelf(["a", "b"], kind=("category", ["x", "y"]), **empty))
    assert features.present.all() and np.linalg.norm(features.values, axis=1) == pytest.approx([1, 1])
    assert {"kind=x", "kind=y"} <= set(names)


def test_a_catalog_without_attributes_and_one_of_one_item():
    bare, names = encoded(shelf(["a", "b"]))
    assert bare.width == 1 and not bare.present.any() and names == []
    one, names = encoded(shelf(["a"], color=("category", ["rød"]), price=np.array([3.0])))
    np.testing.assert_allclose(one.values[0, names.index("color=rød")], 1)
    assert Attributes(min_count=2).encode(shelf(["a"], color=("category", ["rød"]))).values.any()


def test_a_number_that_is_always_the_same_says_nothing():
    features, _ = encoded(shelf(["a", "b"], size=("number", [5.0, 5.0])))
    assert features.present.all() and not features.values.any()


def test_stock_is_no_attribute_of_an_item():
    catalog = shelf(["a", "b"], color=("category", ["red", "blue"]))
    before = encoded(catalog)[0].values
    catalog.table["available"] = [True, False]
    np.testing.assert_array_equal(encoded(catalog)[0].values, before)


def test_state_keeps_names_and_queries_are_refused(tmp_path):
    encoder = Attributes()
    encoder.encode(shelf(["a", "b"], color=("category", ["red", "red"])))
    encoder.save(tmp_path / "attributes.safetensors")
    assert load_encoder(tmp_path / "attributes.safetensors").names == ["color=red"]
    with pytest.raises(InputError, match="'attributes' understands no queries"):
        encoder.encode_query("red")
