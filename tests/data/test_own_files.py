"""A shop's own files, end to end: read, and seen by inspect before any build."""

import json

import pandas as pd
import pytest
from by_hand import picture, said, write

from mllm_rec.cli import main
from mllm_rec.data.inspect import inspect
from mllm_rec.data.sources import own_files
from mllm_rec.errors import InputError


@pytest.fixture
def shop(tmp_path):
    """Four items, one picture, five rows of a log; no column is called as in the toolkit."""
    write(
        tmp_path / "items.csv",
        "nr;bezeichnung;preis;foto;lager;farben",
        "p1;Rote Lampe;12,50 €;a.png;3;rot|gold",
        "p2;Blaue Tasse;1.234,00 €;b.png;0;gold",
        "p3;Stuhl aus Eiche;auf Anfrage;;1;gold|rot",
        "p1;Rote Lampe;12,50 €;a.png;3;rot",
    )
    (tmp_path / "a.png").write_bytes(picture())
    write(
        tmp_path / "log.csv",
        "kunde,artikel,wann,sterne",
        "u1,p1,2024-01-01,5",
        "u1,p2,2024-01-02,2",
        "u2,p1,2024-01-03,4",
        "u2,p9,2024-01-04,4",
        "u3,p3,2024-01-05,5",
    )
    return tmp_path


MAP = {
    "item_id": "nr|artikel",
    "title": "bezeichnung",
    "image": "foto",
    "available": "lager",
    "user_id": "kunde",
    "timestamp": "wann",
    "rating": "sterne",
}


def test_a_shop_is_read(shop):
    source = own_files(shop / "items.csv", shop, shop / "log.csv", MAP, min_rating=4)
    assert source.name == "items" and list(source.catalog.item_ids) == ["p1", "p2", "p3"]
    assert source.catalog.table["price"].tolist()[:2] == [12.5, 1234.0] and source.catalog.available.tolist() == [True, False, True]
    assert source.catalog.picture(0) == shop / "a.png" and source.catalog.picture(1) is None
    assert source.interactions.table["user_id"].tolist() == ["u1", "u2", "u3"] and source.seen.table["item_id"].tolist() == ["p2"]
    assert source.split == "global-time" and source.interactions.timed
    assert sorted(kind for _, _, kind, _ in said(source.problems)) == [
        "missing or broken picture",
        "no picture",
        "repeated item id",
        "unknown item",
        "unparsable price",
    ]
    assert [line["file"] for line in source.problems if line["kind"] == "unknown item"] == [str(shop / "log.csv")]
    assert any("guessed from names and contents: price=preis" in note for note in source.notes)


def test_without_a_log_and_without_times(shop):
    source = own_files(shop / "items.csv", map={"item_id": "nr"})
    assert source.split == "none" and not len(source.interactions) and source.seen is None
    source = own_files(shop / "items.csv", None, write(shop / "plain.csv", "customer,sku", "u1,p1"), {"item_id": "nr|sku"})
    assert source.split == "random" and len(source.interactions) == 1


def test_the_core_is_kept(shop):
    write(shop / "log.csv", "user,nr", "u1,p1", "u1,p2", "u2,p1", "u2,p2", "u3,p3")
    source = own_files(shop / "items.csv", None, shop / "log.csv", {"item_id": "nr"}, k_core=2)
    assert sorted(source.interactions.table["user_id"].unique()) == ["u1", "u2"] and len(source.catalog) == 3
    assert "the 2-core keeps 4 of 5 likes" in source.notes


def test_inspect_shows_what_was_understood(shop):
    found, text = inspect(shop / "items.csv", shop, shop / "log.csv", MAP, min_rating=4)
    columns = {row["column"]: row for row in found["items"]["columns"]}
    assert columns["nr"]["role"] == "item_id" and not columns["nr"]["guessed"]
    assert columns["preis"]["role"] == "price" and columns["preis"]["guessed"] and columns["preis"]["holds"] == "12.5 to 1234"
    assert columns["farben"]["role"] is None and columns["farben"]["kind"] == "set" and columns["farben"]["holds"].startswith("2 values: ")
    assert columns["foto"]["known"] == pytest.approx(1 / 3)
    assert (found["items"]["rows"], found["items"]["items"]) == (4, 3)
    log = found["log"]
    assert (log["rows"], log["users"], log["items"], log["likes"], log["seen_only"]) == (5, 3, 2, 3, 1)
    assert log["density"] == pytest.approx(3 / 9)
    assert log["cores"]["2"] == {"users": 0, "items": 0, "likes": 0}
    assert found["split"]["how"] == "global-time"
    assert found["problems"]["count"] == 5 and len(found["problems"]["examples"]) == 5
    for words in ("price (guessed)", "repeated item id: 1 refused; first: items.csv, row 5", "2-core: 0 users", "density 33.33%"):
        assert words in text


def test_the_command_line_says_the_same(shop, capsys):
    pairs = ",".join(f"{field}={column}" for field, column in MAP.items())
    command = [
        "inspect",
        str(shop / "items.csv"),
        "--images",
        str(shop),
        "--interactions",
        str(shop / "log.csv"),
        "--map",
        pairs,
        "--min-rating",
        "4",
    ]
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == inspect(shop / "items.csv", shop, shop / "log.csv", MAP, min_rating=4)[0]
    assert main(command) == 0
    assert "Rote Lampe" in capsys.readouterr().out


def test_what_is_not_understood_shows_the_columns(shop, capsys):
    assert main(["inspect", str(shop / "items.csv"), "--interactions", str(shop / "log.csv")]) == 1
    said = capsys.readouterr()
    assert not said.out and "no column looks like the item's id" in said.err
    assert "kunde" in said.err and "bezeichnung  100%    'Rote Lampe', 'Blaue Tasse'" in said.err


def test_parquet_reads_as_csv_does(shop):
    frames = {name: pd.read_csv(shop / f"{name}.csv", sep=mark, dtype="str") for name, mark in (("items", ";"), ("log", ","))}
    for name, frame in frames.items():
        frame.to_parquet(shop / f"{name}.parquet")
    csv, parquet = (own_files(shop / f"items.{end}", shop, shop / f"log.{end}", MAP) for end in ("csv", "parquet"))
    pd.testing.assert_frame_equal(csv.catalog.table, parquet.catalog.table)
    pd.testing.assert_frame_equal(csv.interactions.table, parquet.interactions.table)
    assert said(csv.problems) == said(parquet.problems)


def test_options_that_do_not_fit(shop):
    with pytest.raises(InputError, match="--min-rating is set, but there is no log"):
        own_files(shop / "items.csv", map={"item_id": "nr"}, min_rating=4)
