"""Tables of one system, over seeds, and several side by side."""

import numpy as np
import pytest
from small_tables import table

from mllm_rec.errors import InputError
from mllm_rec.evaluation import compare, over_seeds


def test_mean_interval_and_dictionary():
    values = np.random.default_rng(0).random(40)
    one = table(values, lists=np.arange(40).reshape(1, 40, 1) % 3)
    low, high = one.interval("recall@1")
    assert one.mean("recall@1") == values.mean() and low < values.mean() < high
    assert one.to_dict() == {
        "recall@1": {"mean": values.mean(), "low": low, "high": high},
        "coverage@1": {"mean": 0.75, "low": None, "high": None},
    }


def test_names_that_are_not_there_are_answered():
    with pytest.raises(InputError, match="the table has no 'recal@1'; did you mean 'recall@1'"):
        table([1]).mean("recal@1")
    with pytest.raises(InputError, match="it has recall@1, coverage@1"):
        table([1]).interval("?")
    with pytest.raises(InputError, match="'coverage@1' is one number for all users"):
        table([1]).interval("coverage@1")


def test_a_part_of_the_users():
    one = table([0.1, 0.2, 0.3], users=[2, 5, 7], lists=[[[0], [1], [-1]]]).only(np.array([True, False, True]))
    assert one.users.tolist() == [2, 7] and one.mean("recall@1") == pytest.approx(0.2)
    assert one.mean("coverage@1") == 1 / 4  # a list without an item covers nothing
    with pytest.raises(InputError, match="none of the table's 2 users is left"):
        one.only(np.array([False, False]))


def test_over_seeds_each_user_is_averaged_first():
    a, b = table([0.0, 0.4], lists=[[[0], [0]]]), table([1.0, 0.0], lists=[[[1], [2]]])
    both = over_seeds([a, b])
    assert both.per_user("recall@1").tolist() == [0.5, 0.2] and both.mean("recall@1") == 0.35
    assert both.mean("coverage@1") == pytest.approx((1 / 4 + 2 / 4) / 2) and both.lists.shape == (2, 2, 1) and both.left_out == 3
    assert over_seeds([a]).per_user("recall@1").tolist() == [0, 0.4]
    assert both.interval("recall@1") == (0.2, 0.5)  # over two users, of the means over seeds


def test_seeds_over_different_users_are_not_averaged():
    with pytest.raises(InputError, match="same users, items and metrics"):
        over_seeds([table([0.1]), table([0.1], users=[3])])
    with pytest.raises(InputError, match="no tables to average"):
        over_seeds([])


@pytest.fixture
def tables():
    base = np.random.default_rng(1).random(200)
    noise = np.random.default_rng(2).normal(size=200)
    return {"popularity": table(base), "better": table(base + 0.1 + 0.01 * noise), "alike": table(base + 0.1 * (noise - noise.mean()))}


def test_side_by_side(tables):
    found = compare(tables, "random", names=("recall@1", "coverage@1"), baseline="popularity")
    assert set(found.differences) == {"better", "alike"} and set(found.differences["better"]) == {"recall@1"}
    better, alike = (found.differences[name]["recall@1"] for name in ("better", "alike"))
    assert better.mean == pytest.approx(0.1, abs=0.01) and better.low > 0.09 and better.p < 0.01
    assert alike.mean == pytest.approx(0) and alike.low < 0 < alike.high and alike.p > 0.5


def test_p_values_are_corrected_for_how_many_there_are(tables):
    alone = compare({name: tables[name] for name in ("popularity", "better")}, "random", names=("recall@1",), baseline="popularity")
    among = compare(tables | {"again": tables["better"]}, "random", names=("recall@1",), baseline="popularity")
    assert among.differences["better"]["recall@1"].p == pytest.approx(3 * alone.differences["better"]["recall@1"].p)


def test_the_text_says_split_mask_users_and_marks(tables):
    said = compare(tables, "ua", names=("recall@1", "coverage@1"), baseline="popularity").text()
    lines = said.splitlines()
    assert lines[0].split() == ["system", "recall@1", "coverage@1", "split", "masked", "users"]
    mean, (low, high) = tables["better"].mean("recall@1"), tables["better"].interval("recall@1")
    assert f"{mean:.4f} [{low:.4f}, {high:.4f}] +0.0999* " in lines[2] and "*" not in lines[3]
    assert all(line.endswith("ua     train+validation  200") and "0.2500" in line for line in lines[1:4])
    assert "3 users have nothing held out" in said and "difference to popularity" in said


def test_the_markdown_has_intervals_of_differences(tables):
    found = compare(tables, "ua", names=("recall@1",), baseline="popularity")
    lines, one = found.markdown().splitlines(), found.differences["better"]["recall@1"]
    assert lines[:2] == ["|  | recall@1 |", "|---|---|"] and lines[2].count("[") == 1
    assert lines[3].endswith(f" {one.mean:+.4f}* [{one.low:+.4f}, {one.high:+.4f}] |") and "split ua" in lines[-1]


def test_the_dictionary_holds_the_same(tables):
    found = compare(tables, "ua", "train", ("recall@1",), "popularity").to_dict()
    assert (found["split"], found["mask"], found["baseline"]) == ("ua", "train", "popularity")
    assert [entry["system"] for entry in found["systems"]] == list(tables) and "difference" not in found["systems"][0]
    assert found["systems"][1]["metrics"] == tables["better"].to_dict() and found["systems"][1]["users"] == 200
    assert found["systems"][1]["difference"]["recall@1"].keys() == {"mean", "low", "high", "p"}


def test_what_cannot_be_compared_is_said(tables):
    with pytest.raises(InputError, match="the baseline 'ease' is not among the systems popularity, better, alike"):
        compare(tables, "ua", names=("recall@1",), baseline="ease")
    with pytest.raises(InputError, match="the table has no 'recall@2'"):
        compare(tables, "ua", names=("recall@2",))
    with pytest.raises(InputError, match="no system to compare"):
        compare({}, "ua")
    with pytest.raises(InputError, match="'b' was evaluated on 2 users, 'a' on 1"):
        compare({"a": table([1.0]), "b": table([1.0, 2.0])}, "ua", names=("recall@1",))
