"""Lists and tables from a workspace."""

import shutil

import numpy as np
import pandas as pd
import pytest

from mllm_rec.data.catalog import Catalog
from mllm_rec.errors import InputError
from mllm_rec.pipeline import Workspace, evaluate_workspace, explain_item, open_shop, recommend, recommend_all
from mllm_rec.recommender import Query


@pytest.fixture(scope="module")
def shop(workspace):
    return open_shop(workspace)


def test_everyone_gets_what_is_allowed_and_new(workspace, tmp_path):
    (tmp_path / "no.txt").write_text("H0001\nH0002\n\nNOPE\n")
    value, _ = recommend_all(workspace, 7, tmp_path / "recs.parquet", tmp_path / "no.txt")
    lists, log, catalog = (
        pd.read_parquet(tmp_path / "recs.parquet"),
        pd.read_parquet(workspace.interactions),
        Catalog.load(workspace.catalog),
    )
    assert list(lists.columns) == ["user_id", "item_id", "rank", "score"] and value["rows"] == len(lists)
    assert set(lists["user_id"]) == set(log["user_id"]) and lists.groupby("user_id").size().max() == 7
    assert not set(zip(lists["user_id"], lists["item_id"], strict=True)) & set(zip(log["user_id"], log["item_id"], strict=True))
    assert not set(lists["item_id"]) & {"H0001", "H0002", *catalog.item_ids[~catalog.available]}
    for _, rows in lists.groupby("user_id"):
        assert list(rows["rank"]) == list(range(1, len(rows) + 1)) and rows["score"].is_monotonic_decreasing


def test_the_list_of_one_is_the_list_of_everyone(workspace, shop, tmp_path):
    recommend_all(workspace, 5, tmp_path / "recs.csv")
    lists = pd.read_csv(tmp_path / "recs.csv")
    for user in ("U0001", "U0050"):
        scores = shop.candidates.taste(Query(shop.data.edges.new_tensor([shop.data.user(user)])))[0].numpy().copy()
        scores[~shop.catalog.available] = -np.inf
        scores[shop.hidden[1][shop.hidden[0] == shop.data.user(user)]] = -np.inf
        best = shop.catalog.item_ids[np.argsort(-scores, kind="stable")[:5]]
        assert list(lists.loc[lists["user_id"] == user, "item_id"]) == list(best)
        assert [item["item_id"] for item in recommend(workspace, user, [], "", 5)[0]["items"]] == list(best)


def test_words_filter_and_reasons_are_given(workspace, shop):
    value, text = recommend(workspace, "U0001", [], "a lamp under 60, not black", 5, None, explain=True)
    rows = shop.catalog.table.set_index("item_id").loc[[item["item_id"] for item in value["items"]]]
    assert len(rows) and (rows["category"] == "lamp").all() and (rows["price"] < 60).all() and not (rows["color"] == "black").any()
    assert [chip["label"] for chip in value["chips"]] == ["category: lamp", "price under 60", "not black"]
    assert all(item["why"] and item["reason"] for item in value["items"]) and value["items"][0]["title"] in text


def test_a_like_moves_the_list(workspace):
    plain, liked = (
        [item["item_id"] for item in recommend(workspace, None, likes, "", 8)[0]["items"]] for likes in ([], ["H0010", "H0020"])
    )
    assert plain != liked and not {"H0010", "H0020"} & set(liked)


def test_why_one_item(workspace):
    value, text = explain_item(workspace, "U0001", "H0005")
    assert value["user"] == "U0001" and value["item_id"] == "H0005" and text
    assert {line for claim in value["claims"] for line in claim["evidence"]} <= {row["id"] for row in value["evidence"]}
    with pytest.raises(InputError, match="item 'H5' is not in the catalog"):
        explain_item(workspace, "U0001", "H5")
    with pytest.raises(InputError, match="user 'nobody' is not in the log"):
        explain_item(workspace, "nobody", "H0005")


def test_the_table(workspace):
    value, text = evaluate_workspace(workspace, None, 1, "test", "train+validation", (5, 20))
    assert (value["split"], value["mask"], value["seeds"]) == ("global-time", "train+validation", 1)
    assert [row["system"] for row in value["systems"]] == ["popularity", "ease", "freedom"]
    for row in value["systems"]:
        recall = row["metrics"]["recall@20"]
        assert recall["low"] <= recall["mean"] <= recall["high"] and row["seconds"] >= 0
        assert row["tables"]["warm"]["users"] == row["users"], "under global-time the main table is the warm users'"
    assert "global-time" in text and "train+validation" in text
    assert all(f"{metric}@{k}" in text for metric in ("recall", "ndcg") for k in (5, 20))
    with pytest.raises(InputError, match="'lightgcn' is not trained in"):
        evaluate_workspace(workspace, ["lightgcn"], 1, "test", "train", (20,))


def test_seeds_are_averaged(workspace, tmp_path):
    workspace = Workspace(shutil.copytree(workspace.root, tmp_path / "w"))
    one, _ = evaluate_workspace(workspace, ["freedom"], 1, "validation", "train", (20,))
    two, _ = evaluate_workspace(workspace, ["freedom"], 2, "validation", "train", (20,))
    assert workspace.seeds("freedom") == 2 and two["seeds"] == 2 and one["mask"] == "train"
    assert one["systems"][0]["metrics"]["ndcg@20"]["mean"] != two["systems"][0]["metrics"]["ndcg@20"]["mean"]


def test_files_that_cannot_be_used(workspace, tmp_path):
    with pytest.raises(InputError, match=r"must end in \.parquet or \.csv"):
        recommend_all(workspace, 5, tmp_path / "recs.xlsx")
    with pytest.raises(InputError, match="--exclude names a text file"):
        open_shop(workspace, tmp_path / "missing.txt")
