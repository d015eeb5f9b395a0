"""A clean log from a table: ids, pairs, times, ratings, weights."""

import pandas as pd
import pytest
from by_hand import said, table

from mllm_rec.data.log import interactions_from
from mllm_rec.data.problems import Problems
from mllm_rec.errors import InputError

FIELDS = {"user_id": "who", "item_id": "what", "timestamp": "at", "rating": "stars", "weight": "times"}
NOW = pd.Timestamp("2024-06-01").timestamp()


def read(items="a b c", min_rating=None, **columns):
    """Likes, seen rows and problems of ``log.csv``."""
    log, problems = table("log.csv", **columns), Problems()
    fields = {name: column for name, column in FIELDS.items() if column in columns}
    likes, seen = interactions_from(log, fields, items.split(), problems, min_rating, NOW)
    return likes.table, seen and seen.table, problems


def pairs(frame):
    return list(zip(frame["user_id"], frame["item_id"], strict=True))


def test_ids():
    likes, seen, problems = read(who=("u", None, "u", "v", "v"), what=("a", "a", None, "x", "b"))
    assert pairs(likes) == [("u", "a"), ("v", "b")] and seen is None
    assert said(problems) == [
        (3, "who", "missing user id", "refused"),
        (4, "what", "missing item id", "refused"),
        (5, "what", "unknown item", "refused"),
    ]
    assert "item 'x' is not in the catalog" in [line["why"] for line in problems]


@pytest.mark.parametrize(("catalog", "log"), [("1 2", "1.0 2.0"), ("1.0 2.0", "1 2")])
def test_whole_numbers_that_a_spreadsheet_wrote_with_a_point(catalog, log):
    likes, _, problems = read(catalog, who="u v", what=log)
    assert pairs(likes) == list(zip("uv", catalog.split(), strict=True))
    assert said(problems) == [(None, "what", "item id with .0", "mended")]


def test_no_known_item_is_an_error():
    with pytest.raises(
        InputError, match=r"none of the 2 item ids in column 'what' is in the catalog \(row 2: 'x'; the catalog's first is 'a'\)"
    ):
        read(who="u v", what="x y")
    with pytest.raises(InputError, match="column 'who' holds such ids, for example --map item_id=who"):
        read(who="a b", what="u v")


@pytest.mark.parametrize("cells", ["1709352306 1709352307", "1709352306000 1709352307000", "2024-03-02T04:05:06Z 2024-03-02T04:05:07Z"])
def test_times_are_seconds(cells):
    likes, _, problems = read(who="u v", what="a b", at=cells)
    assert likes["timestamp"].tolist() == [1709352306.0, 1709352307.0] and not len(problems)


def test_times_that_cannot_be():
    likes, _, problems = read(who="u v w x", what="a b c a", at="2024-03-02 2999-01-01 soon 2024-03-01")
    day = pd.Timestamp("2024-03-02").timestamp()
    assert pairs(likes) == [("u", "a"), ("v", "b"), ("x", "a")] and likes["timestamp"].tolist() == [day, day, day - 86_400]
    assert said(problems) == [(4, "at", "unparsable time", "refused"), (3, "at", "time in the future", "mended")]


def test_only_the_future():
    likes, _, _ = read(who="u v", what="a b", at="2999-01-01 3000-01-01")
    assert likes["timestamp"].tolist() == [NOW, NOW]


def test_a_column_without_times_is_not_used():
    likes, _, problems = read(who="u v w", what="a b c", at="soon later 2024-03-02")
    assert "timestamp" not in likes and len(likes) == 3
    assert said(problems) == [(None, "at", "column without times", "mended")]


def test_repeated_pairs():
    columns = {"who": "u v u u", "what": "a a a b", "at": "2024-03-03 2024-03-02 2024-03-01 2024-03-01"}
    likes, _, problems = read(**columns, times="1 1 2 5")
    assert pairs(likes) == [("v", "a"), ("u", "a"), ("u", "b")]  # the earliest stays
    assert likes["weight"].tolist() == [1.0, 3.0, 5.0]
    assert said(problems) == [(2, None, "repeated pair", "mended")]
    likes, _, _ = read(**columns, stars="1 2 3 4")
    assert likes["rating"].tolist() == [1.0, 2.0, 4.0]  # the latest opinion stays
    assert read(who="u u", what="a a")[2].counts() == {"repeated pair": 1}


def test_ratings():
    columns = {"who": "u v w x", "what": "a b c a", "stars": ("5", "3,5", "good", None)}
    likes, seen, problems = read(**columns)
    assert len(likes) == 4 and seen is None
    assert said(problems) == [(4, "stars", "unparsable rating", "mended"), (5, "stars", "unparsable rating", "mended")]
    likes, seen, problems = read(**columns, min_rating=4)
    assert pairs(likes) == [("u", "a")] and pairs(seen) == [("v", "b")]
    assert {line["action"] for line in problems} == {"refused"}


def test_ratings_that_do_not_fit():
    with pytest.raises(InputError, match="has no column of ratings, but --min-rating is set"):
        read(who="u", what="a", min_rating=4)
    with pytest.raises(InputError, match="column 'stars' is read as the rating, but none of its values is a number"):
        read(who="u", what="a", stars="good")
    with pytest.raises(InputError, match="--min-rating 8 leaves no like; the ratings in column 'stars' go from 2 to 5"):
        read(who="u v", what="a b", stars="5 2", min_rating=8)


def test_weights():
    likes, _, problems = read(who="u v w x", what="a b c a", times=("2.5", "-1", "many", None))
    assert likes["weight"].tolist() == [2.5, 1.0, 1.0, 1.0]
    assert said(problems) == [(row, "times", "unparsable weight", "mended") for row in (3, 4, 5)]


def test_an_empty_log():
    likes, seen, problems = read(who="", what="", at="", stars="", min_rating=4)
    assert not len(likes) and not len(seen) and not len(problems)
