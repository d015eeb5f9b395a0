"""A catalog from a table: roles, and what is mended or refused on the way."""

import pandas as pd
import pytest
from by_hand import picture, said, table

from mllm_rec.data.items import catalog_from
from mllm_rec.data.problems import Problems
from mllm_rec.errors import InputError


def read(roles="", images=None, kinds_said=None, notes=None, **columns):
    """Catalog and problems of ``items.csv``; ``sku`` is the id."""
    items, problems = table(**columns), Problems()
    mapped = {"item_id": "sku", **dict(pair.split("=") for pair in roles.split())}
    return catalog_from(items, mapped, problems, kinds_said, images, notes), problems


def held(catalog, name):
    return [None if not isinstance(value, tuple) and pd.isna(value) else value for value in catalog.table[name]]


def test_roles_and_attributes():
    catalog, problems = read(
        "title=name price=cost category=sort available=stock text=about",
        sku="a b c",
        name=("Red  lamp", "Mug", "Vase"),
        cost=("1.299,50 €", "12,5", None),
        sort=("lamps", "mugs", "mugs"),
        stock=("3", "0", "yes"),
        about=("It glows.", None, "Tall."),
        colors=("red|gold", "blue", "red|blue"),
        size=("M", "S", "M"),
        made=("2020", "1999", "2001"),
        since=("2024-01-02", "2024-02-03", None),
    )
    assert held(catalog, "title") == ["Red lamp", "Mug", "Vase"]
    assert held(catalog, "price") == [1299.5, 12.5, None]
    assert held(catalog, "available") == [True, False, True]
    assert held(catalog, "colors") == [("red", "gold"), ("blue",), ("red", "blue")]
    assert {name: column.kind for name, column in catalog.columns.items()} == {
        "item_id": "id",
        "title": "text",
        "text": "text",
        "category": "category",
        "price": "number",
        "available": "boolean",
        "colors": "set",
        "size": "ordinal",
        "made": "number",
        "since": "date",
    }
    assert catalog.columns["size"].order == ("S", "M")
    assert not len(problems)


def test_ids():
    long = "x" * 501
    catalog, problems = read("title=name", sku=("a", None, "a", "n/a", "b/../c", 'd"e', "f\ng", "é😀", long), name=("one", *["more"] * 8))
    assert list(catalog.item_ids) == ["a", "b/../c", 'd"e', "f g", "é😀"] and held(catalog, "title")[0] == "one"
    assert said(problems) == [
        (3, "sku", "missing item id", "refused"),
        (5, "sku", "missing item id", "refused"),
        (10, "sku", "overlong item id", "refused"),
        (8, "sku", "line break in item id", "mended"),
        (4, "sku", "repeated item id", "refused"),
    ]


def test_titles():
    catalog, problems = read("title=name", sku="a b c", name=("x" * 1_000_000, None, "<b>Mug</b>"))
    title = held(catalog, "title")[0]
    assert len(title) == 500 and title.endswith("x…") and held(catalog, "title")[1:] == ["b", "Mug"]
    assert said(problems) == [
        (4, "name", "HTML", "mended"),
        (2, "name", "overlong cell", "mended"),
        (3, "name", "missing title", "mended"),
    ]
    assert held(read("title=name", sku="a b", name=(None, None))[0], "title") == ["a", "b"]
    catalog, problems = read(sku="a b")
    assert held(catalog, "title") == ["a", "b"] and said(problems) == [(None, None, "no title", "mended")]


def test_prices():
    catalog, problems = read("price=cost", sku="a b c d", cost=("-5", "ask", "$1,299.00", "n/a"))
    assert held(catalog, "price") == [None, None, 1299.0, None]
    assert said(problems)[1:] == [
        (3, "cost", "unparsable price", "mended"),
        (2, "cost", "negative price", "mended"),
    ]


def test_availability():
    catalog, problems = read("available=stock", sku="a b c d e", stock=("0", "-2", "Sold out", "perhaps", None))
    assert held(catalog, "available") == [False, False, False, True, True]
    assert said(problems)[1:] == [(row, "stock", "unclear availability", "mended") for row in (5, 6)]
    assert held(read(sku="a")[0], "available") == [True]


def test_a_role_without_one_usable_value_is_an_error():
    with pytest.raises(InputError, match=r"column 'cost' is read as price, but none of its values is a number.*\(row 2: 'ask'\)"):
        read("price=cost", sku="a b", cost="ask us")
    with pytest.raises(InputError, match="column 'stock' is read as available"):
        read("available=stock", sku="a b", stock="soon later")


def test_kinds_can_be_said():
    catalog, problems = read(
        sku="a b c", size="slim broad huge", year="1999 2000 soon", kinds_said={"size": "ordinal:slim<broad", "year": "number"}
    )
    assert held(catalog, "size") == ["slim", "broad", None] and held(catalog, "year") == [1999.0, 2000.0, None]
    assert said(problems)[1:] == [(4, "size", "no ordinal", "mended"), (4, "year", "no number", "mended")]


@pytest.mark.parametrize(
    ("kinds_said", "words"),
    [
        ({"colour": "set"}, "items.csv has no column 'colour'; it has sku, name"),
        ({"name": "number"}, "column 'name' is the title, whose kind is fixed"),
        ({"color": "date"}, r"no value of column 'color' is of kind date \(row 2: 'red'\); set another with --kind 'color=text'"),
        ({"color": "ordinal"}, "the order of its values is not known"),
    ],
)
def test_kinds_that_do_not_fit(kinds_said, words):
    with pytest.raises(InputError, match=words):
        read("title=name", sku="a b", name="Lamp Mug", color="red blue", kinds_said=kinds_said)


def test_columns_that_say_nothing_are_left_out():
    notes: list[str] = []
    catalog, _ = read("title=name", sku="a b", name="Lamp Mug", blank=(None, None), imdb_id="1 2", available="soon later", notes=notes)
    assert list(catalog.columns) == ["item_id", "title", "available (column)", "available"]
    assert "'blank' is empty" in notes[0] and "'imdb_id' looks like a key" in notes[1]


def test_no_usable_row():
    with pytest.raises(InputError, match="has no usable row: it has a header only"):
        read(sku="")
    with pytest.raises(InputError, match="no row has a value in column 'sku'"):
        read(sku=(None,))


def test_files(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.png").write_bytes(picture())
    (tmp_path / "b.jpg").write_bytes(picture("JPEG", size=64)[:200])
    cells = ("sub\\a.png", "b.jpg", "none.png", None, "['sub/a.png', 'x.png']")
    catalog, problems = read("image=photo", images=tmp_path, sku="a b c d e", photo=cells)
    assert held(catalog, "image") == ["sub/a.png", None, None, None, "sub/a.png"]
    assert catalog.picture(0) == tmp_path / "sub/a.png" and catalog.picture(1) is None
    assert said(problems)[1:] == [
        (5, "photo", "no picture", "mended"),
        (3, "photo", "missing or broken picture", "mended"),
        (4, "photo", "missing or broken picture", "mended"),
    ]


def test_the_folder_of_files(tmp_path):
    with pytest.raises(InputError, match="is not a folder; --images names the folder"):
        read("image=photo", images=tmp_path / "none", sku="a", photo="a.png")
    notes: list[str] = []
    read(images=tmp_path, sku="a", notes=notes)
    assert "say which one does with --map image=.." in notes[0]
    catalog, problems = read("image=photo", sku="a", photo="a.png", notes=notes)
    assert "image" not in catalog.columns and "say with --images where its files lie" in notes[1]
    assert said(problems)[1:] == [(None, "photo", "no folder of pictures", "mended")]
