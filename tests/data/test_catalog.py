"""The catalog in memory and on disk."""

import numpy as np
import pandas as pd
import pytest

from mllm_rec.data.catalog import Catalog, Column
from mllm_rec.errors import InputError


@pytest.fixture
def catalog(tmp_path):
    table = pd.DataFrame(
        {
            "item_id": ["b", "a", "ü/1"],
            "title": ["Lamp", "Mug", "<i>"],
            "image": pd.Series(["b.png", None, None], dtype=object),
            "price": [1.5, np.nan, 3.0],
            "available": [True, False, True],
            "colors": pd.Series([("red", "gold"), None, ("red",)], dtype=object),
            "size": pd.Series(["S", None, "L"], dtype=object),
            "since": pd.to_datetime(pd.Series(["2024-01-02", None, "1999-12-31"])).astype("datetime64[us]"),
        }
    )
    kinds = {"colors": "set", "size": Column("size", "ordinal", ("S", "L")), "since": "date"}
    return Catalog(table, kinds, root=tmp_path)


def test_what_it_knows(catalog, tmp_path):
    assert len(catalog) == 3 and list(catalog.item_ids) == ["b", "a", "ü/1"] and catalog.position("ü/1") == 2
    assert catalog.available.tolist() == [True, False, True]
    assert list(catalog.attributes) == ["price", "available", "colors", "size", "since"]
    assert catalog.picture(0) == tmp_path / "b.png" and catalog.picture(1) is None
    with pytest.raises(InputError, match=r"item 'ü1' is not in the catalog; did you mean ü/1\?"):
        catalog.position("ü1")


def test_saved_and_loaded(catalog, tmp_path):
    catalog.save(tmp_path / "shop" / "catalog.parquet")
    loaded = Catalog.load(tmp_path / "shop" / "catalog.parquet")
    pd.testing.assert_frame_equal(loaded.table, catalog.table, check_dtype=False)
    assert loaded.table["colors"].tolist() == [("red", "gold"), None, ("red",)]
    assert loaded.table["image"].tolist() == ["b.png", None, None]
    assert loaded.columns == catalog.columns and loaded.root == tmp_path / "shop"
    assert [path.name for path in (tmp_path / "shop").iterdir()] == ["catalog.parquet"]


def test_a_file_that_is_no_catalog(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        Catalog.load(tmp_path / "catalog.parquet")
    pd.DataFrame({"item_id": ["a"]}).to_parquet(tmp_path / "other.parquet")
    (tmp_path / "text.parquet").write_text("no table")
    for name in ("other", "text"):
        with pytest.raises(InputError, match=f"{name}.parquet is not a catalog that 'mllm-rec build' wrote"):
            Catalog.load(tmp_path / f"{name}.parquet")


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"item_id": [], "title": []}, "has no items"),
        ({"item_id": ["a"]}, "has no column 'title'; it has item_id"),
        ({"item_id": ["a", "a"], "title": ["b", "c"]}, "item_id 'a' stands in more than one row"),
        ({"item_id": ["a"], "title": ["b"], "color": ["red"]}, "column 'color' has kind None; it must be one of number"),
    ],
)
def test_tables_that_are_no_catalog(columns, words):
    with pytest.raises(InputError, match=words):
        Catalog(pd.DataFrame(columns), {})


def test_every_item_is_available_where_nothing_is_said():
    assert Catalog(pd.DataFrame({"item_id": ["a", "b"], "title": ["x", "y"]}), {}).available.all()
