"""Folders in the layouts of MMRec and RecBole."""

import numpy as np
import pytest
from by_hand import write

from mllm_rec.data.catalog import Catalog
from mllm_rec.data.sources import LAYOUTS, load
from mllm_rec.data.sources.mmrec import write_mmrec
from mllm_rec.errors import InputError

INTER = ("userID\titemID\tx_label", "7\t0\t0", "7\t2\t1", "8\t2\t0", "8\t1\t2")


@pytest.fixture
def mmrec(tmp_path):
    folder = tmp_path / "toys"
    folder.mkdir()
    write(folder / "toys.inter", *INTER)
    np.save(folder / "image_feat.npy", np.array([[1, 2], [0, 0], [3, 4], [5, 6]], np.float16))
    np.save(folder / "other.npy", np.ones(5))
    write(folder / "items.tsv", "itemID\ttitle\tcolor", "2\tRed car\tred", "0\t\tblue", "3\tBall\tred")
    return folder


def test_mmrec(mmrec):
    source = load(f"mmrec:{mmrec}")
    assert list(source.catalog.item_ids) == ["0", "1", "2", "3"]
    assert list(source.catalog.table["title"]) == ["Item 0", "Item 1", "Red car", "Ball"]
    assert list(source.catalog.table["color"]) == ["blue", None, "red", "red"]
    assert source.interactions.table["part"].tolist() == ["train", "validation", "train", "test"]
    assert source.interactions.table["user_id"].tolist() == ["7", "7", "8", "8"] and source.split == "given"
    assert source.features["image"].present.tolist() == [True, False, True, True] and list(source.features) == ["image"]
    assert any("other.npy is not used" in note for note in source.notes)


def test_mmrec_by_file_and_without_parts(mmrec):
    write(mmrec / "toys_small.inter", "userID\titemID", "7\t0", "7\t3")
    source = load(f"mmrec:{mmrec / 'toys_small.inter'}")
    assert source.split == "random" and "part" not in source.interactions.table and len(source.interactions) == 2
    assert "toys.inter" in source.notes[0]


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (("user\titemID", "1\t2"), "lacks the column 'userID'; it has user, itemID"),
        (("userID,itemID", "1,2"), "lacks the column 'itemID'; it has userID,itemID, with tabs between them"),
        (("userID\titemID", "1\tB07"), "column 'itemID' must hold whole numbers from 0: row 2 holds 'B07'"),
        (("userID\titemID",), "must hold whole numbers from 0: it has no row"),
        (("userID\titemID\tx_label", "1\t2\t3"), r"row 2 has x_label '3'; wanted 0 \(train\), 1 \(validation\) or 2 \(test\)"),
        (("userID\titemID", "1\t999999999"), "itemID goes up to 999999999, but only 1 items have a row"),
        (("userID\titemID", "1\t4"), r"image_feat.npy has 4 rows but there are 5 items"),
    ],
)
def test_mmrec_that_does_not_fit(mmrec, lines, words):
    write(mmrec / "toys.inter", *lines)
    with pytest.raises(InputError, match=words):
        load(f"mmrec:{mmrec}")


def test_mmrec_with_a_broken_matrix(mmrec):
    np.save(mmrec / "image_feat.npy", np.array([[1, 2], [np.nan, 0], [3, 4], [5, 6]]))
    with pytest.raises(InputError, match=r"image_feat.npy has NaN or infinite values in 1 rows, the first is row 1"):
        load(f"mmrec:{mmrec}")


@pytest.fixture
def recbole(tmp_path):
    folder = tmp_path / "films"
    folder.mkdir()
    write(
        folder / "films.inter",
        "user_id:token\titem_id:token\trating:float\ttimestamp:float",
        "u1\t10\t5\t100",
        "u1\t20\t2\t200",
        "u2\t10\t4\t300",
    )
    write(
        folder / "films.item",
        "item_id:token\tmovie_title:token_seq\trelease_year:float\tclass:token_seq\temb:float_seq",
        "10\tToy Story\t1995\tAnimation Comedy\t0.1 0.2",
        "20\tHeat\t1995\tCrime\t0.3 0.4",
    )
    return folder


def test_recbole(recbole):
    source = load(f"recbole:{recbole}")
    assert list(source.catalog.table["title"]) == ["Toy Story", "Heat"]
    assert source.catalog.table["release_year"].tolist() == [1995.0, 1995.0]
    assert source.interactions.table["timestamp"].tolist() == [100.0, 200.0, 300.0] and source.split == "global-time"
    assert "emb" not in source.catalog.columns
    liked = LAYOUTS["recbole"](recbole, min_rating=4)
    assert len(liked.interactions) == 2 and liked.seen.table["item_id"].tolist() == ["20"]


def test_sets_of_recbole_have_blanks_between_their_parts(recbole):
    write(recbole / "films.item", "item_id:token\tname:token_seq\ttags:token_seq", "10\tToy Story\tnew  old", "20\tHeat\told")
    table = load(f"recbole:{recbole}").catalog.table
    assert list(table["tags"]) == [("new", "old"), ("old",)] and list(table["title"]) == ["Toy Story", "Heat"]


def test_recbole_in_parts_and_without_items(recbole):
    (recbole / "films.inter").unlink()
    (recbole / "films.item").unlink()
    for part, row in (("train", "u1\t10"), ("valid", "u1\t20"), ("test", "u2\t30")):
        write(recbole / f"films.{part}.inter", "user_id:token\titem_id:token", row)
    source = load(f"recbole:{recbole}")
    assert source.split == "given" and source.interactions.table["part"].tolist() == ["train", "validation", "test"]
    assert list(source.catalog.table["title"]) == ["10", "20", "30"]


def test_recbole_without_types(recbole):
    write(recbole / "films.inter", "user_id\titem_id", "u1\t10")
    with pytest.raises(InputError, match="column 'user_id' has no type; RecBole's headers read like item_id:token"):
        load(f"recbole:{recbole}")


@pytest.mark.parametrize("layout", ["mmrec", "recbole"])
def test_a_folder_without_a_log(tmp_path, layout, monkeypatch):
    monkeypatch.setenv("MLLM_REC_DATA", str(tmp_path))
    with pytest.raises(InputError, match=r"no file \*\.inter in"):
        load(f"{layout}:nowhere")


def test_a_relative_folder_is_looked_for_in_the_data_cache(mmrec, monkeypatch):
    monkeypatch.setenv("MLLM_REC_DATA", str(mmrec.parent))
    assert load("mmrec:toys").name == "toys"


def test_mmrec_written_is_read_back(mmrec, tmp_path):
    before = load(f"mmrec:{mmrec}")
    log = before.interactions.table.assign(rating=[1.0, 2.5, 3.0, 4.0], timestamp=[10.0, 20.0, 1.5e9, 1.6e9])
    names = {"0": "B07", "1": "B08", "2": "B|09", "3": "0010"}
    catalog = before.catalog
    catalog.table["item_id"], log["item_id"] = catalog.table["item_id"].map(names), log["item_id"].map(names)
    log["user_id"] = log["user_id"].map({"7": "ann", "8": "bob, the second"})
    write_mmrec(tmp_path / "toys2", Catalog(catalog.table, catalog.columns), log, before.features)
    after = load(f"mmrec:{tmp_path / 'toys2'}")
    assert after.interactions.table.to_dict("list") == log.to_dict("list") and after.split == "given"
    for name in ("item_id", "title", "color"):
        assert after.catalog.table[name].tolist() == catalog.table[name].where(catalog.table[name].notna(), None).tolist()
    np.testing.assert_array_equal(after.features["image"].values, before.features["image"].values)
    np.testing.assert_array_equal(after.features["image"].present, before.features["image"].present)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (("item_id,itemID", "a,0", "b,1", "c,2"), "see no row has itemID 3"),
        (("item_id,itemID", "a,0", "a,1", "c,2", "d,3"), "see row 3"),
        (("item_id,itemID", "a,0", "b,1", "c,1", "d,3"), "see row 4"),
    ],
)
def test_mmrec_with_ids_that_do_not_fit(mmrec, rows, words):
    write(mmrec / "i_id_mapping.csv", *rows)
    with pytest.raises(InputError, match=f"wanted one item_id for each itemID of the log, each once, but {words}"):
        load(f"mmrec:{mmrec}")


def test_mmrec_with_a_time_that_is_none(mmrec):
    write(mmrec / "toys.inter", "userID\titemID\ttimestamp", "7\t0\t12", "7\t3\tnoon")
    with pytest.raises(InputError, match="column 'timestamp' must hold numbers: row 3 holds 'noon'"):
        load(f"mmrec:{mmrec}")
