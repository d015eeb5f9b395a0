"""What a system may see: contiguous ids, the training part, features."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mllm_rec.data.catalog import Catalog
from mllm_rec.data.dataset import Dataset, gather_rows
from mllm_rec.data.features import Features
from mllm_rec.data.interactions import Interactions
from mllm_rec.errors import InputError


def log(*pairs, **more):
    users, items = zip(*pairs, strict=True) if pairs else ((), ())
    return Interactions(pd.DataFrame({"user_id": users, "item_id": items, **more}))


@pytest.fixture
def data():
    """v liked c and a, u liked c; w is known but has no training row, b no like."""
    return Dataset("abc", "uvw", log(("v", "c"), ("u", "c"), ("v", "a")))


def test_ids_follow_the_lists(data):
    assert data.edges.tolist() == [[1, 0, 1], [2, 2, 0]] and data.shape == (3, 3)
    assert data.user("v") == 1
    with pytest.raises(InputError, match="user 'x' is not in the log of 3 users"):
        data.user("x")
    assert data.index(log(("w", "b"), ("x", "b"), ("w", "z"))).tolist() == [[2], [1]]


def test_histories_and_counts(data):
    assert data.user_items.to_dense().tolist() == [[0, 0, 1], [1, 0, 1], [0, 0, 0]]
    assert data.history(torch.tensor([2, 1, 1])).tolist() == [[0, 0, 0], [1, 0, 1], [1, 0, 1]]
    assert data.item_counts.tolist() == [1, 0, 2] and data.user_counts.tolist() == [1, 2, 0]


def test_an_empty_training_part():
    data = Dataset("abc", "u", log())
    assert data.edges.shape == (2, 0) and data.history(torch.tensor([0])).tolist() == [[0, 0, 0]]


def test_what_does_not_fit_is_refused():
    with pytest.raises(InputError, match="1 training interactions name a user or an item that the data set does not list"):
        Dataset("ab", "u", log(("u", "a"), ("u", "z")))
    with pytest.raises(InputError, match="feature 'image' has 1 rows but the dataset has 2 items; rows must follow item order"):
        Dataset("ab", "u", log(("u", "a")), {"image": Features(np.ones((1, 4)), [True])})


@given(st.lists(st.lists(st.integers(0, 9), max_size=4), min_size=1, max_size=6), st.data())
def test_gather_rows_takes_each_row_whole(rows, draw):
    chosen = draw.draw(st.lists(st.integers(0, len(rows) - 1), max_size=8))
    starts = torch.tensor([0, *np.cumsum([len(row) for row in rows])])
    owner, place = gather_rows(starts, torch.tensor(chosen, dtype=torch.int64))
    flat = [value for row in rows for value in row]
    assert owner.tolist() == [k for k, row in enumerate(chosen) for _ in rows[row]]
    assert [flat[k] for k in place.tolist()] == [value for row in chosen for value in rows[row]]


def test_a_workspace_is_loaded_by_parts(tmp_path):
    Catalog(pd.DataFrame({"item_id": list("abc"), "title": list("xyz")}), {}).save(tmp_path / "catalog.parquet")
    Features(np.eye(3), [True] * 3).save(tmp_path / "features" / "text.safetensors")
    pairs = [("u", "a"), ("v", "b"), ("v", "c"), ("w", "a")]
    log(*pairs, part=["train", "validation", "test", "seen"]).table.to_parquet(tmp_path / "interactions.parquet")
    data = Dataset.load(tmp_path)
    assert data.edges.tolist() == [[0], [0]] and list(data.users) == ["u", "v", "w"] and list(data.features) == ["text"]
    assert Dataset.load(tmp_path, "train", "test").edges.tolist() == [[0, 1], [0, 2]]
    assert len(Interactions.load(tmp_path)) == 3 and len(Interactions.load(tmp_path, "seen")) == 1
    assert list(Interactions.load(tmp_path, "test").table.columns) == ["user_id", "item_id"]
    with pytest.raises(InputError, match="is not a workspace; make one with 'mllm-rec build"):
        Dataset.load(tmp_path / "none")


def test_interactions():
    rows = log(("u", "a"), ("v", "b"), ("u", "b"), timestamp=[3.0, 1.0, 2.0])
    assert rows.timed and len(rows) == 3 and not log(("u", "a"), timestamp=[None]).timed and not log(("u", "a")).timed
    assert rows.take([2, 0]).table["timestamp"].tolist() == [2.0, 3.0]
    assert rows.take([False, True, False]).table["item_id"].tolist() == ["b"]
    with pytest.raises(InputError, match="interactions lack the column 'item_id'; they have user_id, item"):
        Interactions(pd.DataFrame({"user_id": ["u"], "item": ["a"]}))
