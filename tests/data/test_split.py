"""The log in three parts."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mllm_rec.data.interactions import Interactions
from mllm_rec.data.split import assign, settle, split, warm_users
from mllm_rec.errors import InputError


def log(users, items=None, **more):
    users = list(users)
    return Interactions(pd.DataFrame({"user_id": users, "item_id": items or [f"i{row}" for row in range(len(users))], **more}))


def short(part):
    """One sign a row: train, validation, test."""
    return "".join({"train": ".", "validation": "v", "test": "t"}[name] for name in part)


def test_by_user_and_time():
    rows = log("uuuuwvvx", timestamp=[4, 1, 3, 2, 1, 5, 6, 9])
    assert short(assign(rows, "user-time")) == "t.v...t."  # u has four rows, v two, w and x one
    assert short(assign(rows, "leave-one-out")) == "t.v...t."


def test_a_tenth_of_twenty_rows_is_two():
    part = assign(log("u" * 20, timestamp=range(20)), "user-time")
    assert short(part) == "." * 16 + "vvtt"
    assert short(assign(log("u" * 20, timestamp=range(20)), "leave-one-out")) == "." * 18 + "vt"


def test_leave_one_out_goes_by_place_without_times():
    assert short(assign(log("uvuvu"), "leave-one-out")) == "..vtt"


def test_by_moment():
    assert short(assign(log("uvwxyuvwxy", timestamp=[9, 8, 7, 6, 5, 4, 3, 2, 1, 0]), "global-time")) == "tv........"
    together = assign(log("uvwxyuvwxy", timestamp=[0, 0, 0, 0, 0, 0, 0, 5, 5, 5]), "global-time")
    assert short(together) == ".......ttt"
    assert short(assign(log("uvw", timestamp=[1, 1, 1]), "global-time")) == "ttt"


def test_by_item():
    rows = log("uvw" * 20, [f"i{row % 20}" for row in range(60)])
    part = assign(rows, "cold-items", seed=1)
    items = {name: set(rows.table["item_id"][part == name]) for name in ("train", "validation", "test")}
    assert {name: len(found) for name, found in items.items()} == {"train": 16, "validation": 2, "test": 2}
    assert not items["train"] & items["test"] and not items["train"] & items["validation"] and not items["validation"] & items["test"]


def test_given():
    parts = ["test", "train", "validation"]
    assert assign(log("uvw", part=parts), "given").tolist() == parts
    three = split(log("uvw", part=parts), "given")
    assert [list(part.table["user_id"]) for part in (three.train, three.validation, three.test)] == [["v"], ["w"], ["u"]]
    assert short(assign(log("uvw"), "none")) == "..."


@pytest.mark.parametrize(
    ("rows", "how", "words"),
    [
        (log("uv"), "given", "the log has no column 'part', so no split is given"),
        (log("uv", part=["train", "dev"]), "given", "row 1 of the log is of part 'dev'; wanted train, validation, test"),
        (log("uv"), "global-time", "the split 'global-time' needs a timestamp in every row"),
        (log("uv", timestamp=[1, np.nan]), "user-time", "needs a timestamp in every row"),
        (log("uv"), "leave-one-uot", r"'leave-one-uot' is not a split; did you mean 'leave-one-out'\?"),
        (log("uv"), "xyz", "there are given, random, user-time"),
    ],
)
def test_splits_that_cannot_be(rows, how, words):
    with pytest.raises(InputError, match=words):
        assign(rows, how)


@given(
    st.lists(st.integers(0, 5), max_size=60),
    st.sampled_from(["random", "user-time", "global-time", "leave-one-out", "cold-items"]),
    st.integers(0, 9),
)
def test_every_row_has_one_part_and_a_seed_one_split(users, how, seed):
    rows = log(map(str, users), [str(row % 7) for row in range(len(users))], timestamp=np.arange(len(users), dtype=float))
    part = assign(rows, how, seed)
    assert len(part) == len(users) and set(part) <= {"train", "validation", "test"}
    assert (part == assign(rows, how, seed)).all()
    three = split(rows, how, seed)
    assert sorted([*three.train.table.index, *three.validation.table.index, *three.test.table.index]) == list(range(len(users)))
    if how in ("random", "user-time", "leave-one-out"):
        for user in set(users):
            counts = pd.Series(part[np.array(users) == user]).value_counts().reindex(["train", "validation", "test"], fill_value=0)
            rows_of_user = counts.sum()
            held = 1 if how == "leave-one-out" else max(1, int(0.1 * rows_of_user + 0.5))
            assert counts["test"] == (held if rows_of_user >= 2 else 0) and counts["validation"] == (held if rows_of_user >= 3 else 0)
    if how == "user-time":
        for user in set(users):
            mine = part[np.array(users) == user].tolist()
            assert mine == sorted(mine, key=["train", "validation", "test"].index)


def test_another_seed_is_another_split():
    rows = log("u" * 30)
    assert (assign(rows, "random", 0) != assign(rows, "random", 1)).any()


def test_too_few_warm_users_in_the_validation():
    """20 users, so two are needed: in the first log the validation's two rows are of one user, in the second of two."""
    early = list("abcdefghijklmnopqrst")
    rows = log([*early, *"aaabb"], timestamp=range(25))
    part, how, note = settle(rows, "global-time")
    assert warm_users(rows, assign(rows, "global-time")) < 2
    assert how == "user-time" and "user-time, not global-time" in note and (part == assign(rows, "user-time")).all()
    rows = log([*early, *"abcde"], timestamp=range(25))
    assert settle(rows, "global-time")[1:] == ("global-time", "")
    assert settle(rows, "random")[1:] == ("random", "")
    assert settle(log([]), "global-time")[1:] == ("global-time", "")
