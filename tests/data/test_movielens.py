"""MovieLens-100K from a made-up folder: the split by the rules, with and without what lies beside it."""

import pytest
from by_hand import picture, said, write

from mllm_rec.data.sources import load, place_of
from mllm_rec.errors import InputError

GENRES = ("unknown|0", "Action|1", "Comedy|2")
MOVIES = (
    "1|Toy Story (1995)|01-Jan-1995||http://x|0|0|1",
    "2|Usual Suspects, The (1995)|01-Jan-1995||http://x|0|1|1",
    "3|Café (1990)|01-Jan-1990||http://x|1|0|0",
    "4|unknown||||1|0|0",
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Three users, four movies. User 1 has 11 training likes, so that two validate; user 2 two; user 3 one."""
    monkeypatch.setenv("MLLM_REC_DATA", str(tmp_path))
    folder = tmp_path / "ml-100k"
    folder.mkdir()
    more = [f"{number}|Movie {number} (1990)|||http://x|0|1|0" for number in range(5, 13)]
    write(folder / "u.genre", *GENRES, "")
    write(folder / "u.item", *MOVIES, *more, encoding="latin-1")
    ones = [f"1\t{movie}\t{4 + movie % 2}\t{1000 - movie}" for movie in range(1, 12)]  # movie 1 was liked last, 2 before it
    write(folder / "ua.base", *ones, "1\t12\t3\t2000", "2\t1\t5\t10", "2\t2\t4\t10", "2\t3\t1\t30", "3\t1\t4\t10")
    write(folder / "ua.test", "1\t3\t3\t500", "2\t4\t5\t1", "3\t2\t4\t1", "3\t3\t2\t1")
    return folder


def rows(interactions, part):
    table = interactions.table[interactions.table["part"] == part]
    return list(zip(table["user_id"], table["item_id"], strict=True))


def test_a_rating_of_four_is_a_like_and_the_last_tenth_of_them_validates(folder):
    source = load("movielens-100k")
    assert rows(source.interactions, "validation") == [("1", "1"), ("1", "2"), ("2", "2")]  # of one moment the later row
    assert rows(source.interactions, "train") == [*(("1", str(movie)) for movie in range(3, 12)), ("2", "1"), ("3", "1")]
    assert rows(source.interactions, "test") == [("2", "4"), ("3", "2")]
    assert source.seen.table["item_id"].tolist() == ["12", "3", "3", "3"] and "part" not in source.seen.table
    assert source.split == "given" and source.split_name == "ua"


def test_the_archive_alone(folder):
    table = load("movielens-100k").catalog.table[:4]
    assert list(table["title"]) == ["Toy Story", "The Usual Suspects", "Café", "unknown"]
    assert list(table["genres"]) == [("Comedy",), ("Action", "Comedy"), None, None]
    assert table["year"].tolist()[:3] == [1995, 1995, 1990] and table["year"].isna().tolist()[3]
    assert "image" not in table and "text" not in table


def test_with_plots_and_posters(folder):
    cast = ", ".join(f"Actor {number}" for number in range(12))
    write(
        folder / "items.tsv",
        "item_id\ttitle\tplot\tgenres\tyear\tdirectors\tcast",
        f"1\tToy Story!\tA doll is jealous.\tAnimation, Family\t1996\tJohn Lasseter\t{cast}",
        "3\t\t\t\t\t\t",
    )
    (folder / "posters").mkdir()
    (folder / "posters" / "1.jpg").write_bytes(picture("JPEG"))
    (folder / "posters" / "2.jpg").write_text("no picture")
    source = load("movielens-100k")
    catalog = source.catalog
    first, second, third = (catalog.table.iloc[row] for row in range(3))
    assert (first["title"], first["text"], first["year"]) == ("Toy Story!", "A doll is jealous.", 1996)
    assert first["genres"] == ("Animation", "Family") and first["directors"] == ("John Lasseter",) and len(first["cast"]) == 10
    assert (second["title"], second["text"], second["genres"]) == ("The Usual Suspects", None, ("Action", "Comedy"))
    assert (third["title"], third["year"]) == ("Café", 1990)
    assert catalog.picture(0) == folder / "posters" / "1.jpg" and catalog.picture(1) is None
    assert said(source.problems)[0] == (2, None, "missing or broken picture", "mended") and len(source.problems) == 11


def test_another_split(folder):
    with pytest.raises(InputError, match=r"has no split 'u1': u1\.base and u1\.test have to lie there"):
        write(folder / "u1.base")
        load("movielens-100k-u1")
    write(folder / "u1.base", "1\t1\t5\t1")
    write(folder / "u1.test", "1\t2\t5\t1")
    source = load("movielens-100k-u1")
    assert rows(source.interactions, "train") == [("1", "1")] and source.split_name == "u1"


@pytest.mark.parametrize(
    ("name", "lines", "words"),
    [
        ("u.item", ("1|Toy Story (1995)|x",), "u.item: wanted 8 cells with bars between them in each row, for 3 genres"),
        ("ua.base", ("1\tone\tgood\tnow",), "ua.base: wanted user, item, rating and time"),
        ("ua.test", (), "ua.test: wanted user, item, rating and time .*but it has no row"),
        ("ua.test", ("1\t1\t5\t1", "1\t1\t5"), "ua.test: .*but row 2 lacks one of them"),
        ("ua.base", ("1\t99\t5\t1",), "ua.base: .*but row 1 lacks one of them or names no movie of u.item"),
        ("items.tsv", ("id\ttitle", "1\tToy"), "items.tsv has no column 'item_id'; it has id, title"),
    ],
)
def test_files_that_do_not_fit(folder, name, lines, words):
    write(folder / name, *lines)
    with pytest.raises(InputError, match=words):
        load("movielens-100k")


def test_no_genres(folder):
    (folder / "u.genre").unlink()
    with pytest.raises(InputError, match=r"No such file or directory: u\.genre; Get ml-100k\.zip"):
        load("movielens-100k")


def test_its_place(folder):
    assert place_of("movielens-100k") == folder and place_of("movielens-100k-u1") is None
