"""``update``: new and changed items and interactions answer without training; interrupted, nothing is half done."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
from safetensors.torch import load_file

from mllm_rec.agent.session import Session
from mllm_rec.data.catalog import Catalog
from mllm_rec.data.features import Features
from mllm_rec.errors import InputError
from mllm_rec.pipeline import (
    Workspace,
    build,
    evaluate_workspace,
    explain_item,
    open_shop,
    recommend,
    recommend_all,
    search,
    update,
)
from mllm_rec.pipeline.since import retraining_pays

LANTERN = {"item_id": "lantern-1", "title": "Zanzibar lantern of quartz", "category": "lamp", "price": 33.5}


@pytest.fixture
def own(workspace, tmp_path):
    return Workspace(shutil.copytree(workspace.root, tmp_path / "shop"))


def csv(path, rows, **columns):
    pd.DataFrame(rows).rename(columns=columns).to_csv(path, index=False)
    return path


def ids(answer):
    return [item["item_id"] for item in answer[0]["items"]]


def test_a_new_item_answers_everywhere(own, shop_files, tmp_path):
    before = {path: path.read_bytes() for path in own.root.glob("runs/*/*/*.safetensors")}
    old = Features.load(own.feature("image"))
    picture = shop_files / "pictures" / sorted(os.listdir(shop_files / "pictures"))[0]
    shutil.copy(picture, tmp_path / "fresh.png")
    value, text = update(own, csv(tmp_path / "new.csv", [{**LANTERN, "image": "fresh.png"}]))
    assert value["since"]["items"] == 1 and "1 new items" in text and value["retraining pays"] is None
    assert ids(search(own, "zanzibar lantern"))[0] == "lantern-1"
    assert "lantern-1" in ids(search(own, image=tmp_path / "fresh.png"))[:2]
    answer = recommend(own, None, [], "a lantern of quartz", 3)[0]
    assert answer["items"][0]["item_id"] == "lantern-1" and "was read as" not in str(answer)
    shop = open_shop(own)
    assert Session(shop).turn("zanzibar lantern of quartz under 40").items[0] == "lantern-1"
    user = str(shop.data.users[0])
    assert "Zanzibar" in str(explain_item(own, user, "lantern-1"))
    image = Features.load(own.feature("image"))
    assert np.array_equal(image.values[: len(old.values)], old.values) and np.array_equal(image.center, old.center)
    assert image.present[-1] and (own.root / shop.catalog.table["image"].iat[-1]).read_bytes() == picture.read_bytes()
    assert {path: path.read_bytes() for path in before} == before


def test_the_catalog_own_table_is_understood_again(own, tmp_path):
    """As exported from the workspace: its own column names, sets as printed, the picture's path from the workspace."""
    table = pd.read_parquet(own.catalog)
    row = table[table["image"].notna()].iloc[3].copy()
    row["item_id"], row["title"] = "lantern-2", LANTERN["title"]
    (own.root / "pictures").mkdir()
    row["image"] = str(shutil.copy(own.root / row["image"], own.root / "pictures" / "new.png").relative_to(own.root))
    update(own, csv(tmp_path / "new.csv", [row]))
    added = Catalog.load(own.catalog).table.iloc[-1]
    assert added["title"] == LANTERN["title"] and list(added["room"]) == list(row["room"])
    assert Features.load(own.feature("image")).present[-1] and "lantern-2" in ids(search(own, "zanzibar lantern"))


def test_a_changed_item_is_what_it_says_now_and_keeps_what_it_does_not_say(own, tmp_path):
    catalog = Catalog.load(own.catalog)
    old = catalog.table.iloc[5]
    value, _ = update(own, csv(tmp_path / "new.csv", [{"sku": old["item_id"], "name": "Zanzibar lantern of quartz", "stock": 0}]))
    assert value["since"]["changed"] == 1 and value["since"]["items"] == 0
    now = Catalog.load(own.catalog)
    assert len(now) == len(catalog) and now.table["title"].iat[5] == "Zanzibar lantern of quartz"
    assert now.table["price"].iat[5] == old["price"] and now.table["image"].iat[5] == old["image"]
    assert not now.available[5] and old["item_id"] not in ids(search(own, "zanzibar lantern"))
    changed = Features.load(own.feature("text")).values[5]
    assert not np.allclose(changed, Features.load(own.feature("text")).values[4])


def test_what_a_file_does_not_say_stays(own, tmp_path):
    before = Catalog.load(own.catalog)
    gone = int(np.flatnonzero(~before.available)[0])
    rows = [{"sku": before.item_ids[row], "cost": 1.5, "photo": "lost.png"} for row in (gone, 4)]
    value, _ = update(own, csv(tmp_path / "new.csv", [*rows, {"sku": "x1", "cost": 2, "photo": "lost.png"}]))
    now = Catalog.load(own.catalog)
    assert value["since"]["changed"] == 2 and list(now.table["price"].iloc[[gone, 4]]) == [1.5, 1.5]
    others = [name for name in before.table if name != "price"]
    pd.testing.assert_frame_equal(now.table[others].iloc[:120], before.table[others])
    assert now.table["title"].iat[120] == "x1" and now.available[120] and now.picture(120) is None
    names = pd.DataFrame({"sku": before.item_ids[[4, 6]], "name": ["", "Zanzibar lantern"]})
    update(own, csv(tmp_path / "new.csv", names))
    now = Catalog.load(own.catalog)
    assert now.table["title"].iat[4] == before.table["title"].iat[4] and now.table["title"].iat[6] == "Zanzibar lantern"


def test_a_log_may_have_columns_of_the_catalog(own, tmp_path):
    rows = [{"customer": "newcomer", "sku": item, "cost": 3, "name": "as sold"} for item in open_shop(own).catalog.item_ids[:3]]
    assert update(own, interactions=csv(tmp_path / "log.csv", rows))[0]["since"]["interactions"] == 3


def test_new_users_and_what_they_like(own, tmp_path):
    shop = open_shop(own)
    liked = [str(item) for item in shop.catalog.item_ids[shop.catalog.available][:3]]
    csv(tmp_path / "new.csv", [LANTERN])
    log = csv(tmp_path / "log.csv", [{"customer": "newcomer", "sku": item} for item in [*liked, "lantern-1"]])
    value, _ = update(own, tmp_path / "new.csv", log)
    assert value["since"] == {"items": 1, "changed": 0, "users": 1, "interactions": 4, "forgotten": 0}
    got = ids(recommend(own, "newcomer", [], "", 8))
    assert len(got) == 8 and not {*liked, "lantern-1"} & set(got)
    assert got != ids(recommend(own, None, [], "", 8))
    known = str(shop.data.users[1])
    before = ids(recommend(own, known, [], "", 5))
    update(own, interactions=csv(tmp_path / "log.csv", [{"user_id": known, "item_id": before[0]}]))
    assert before[0] not in ids(recommend(own, known, [], "", 5))
    out = tmp_path / "lists.csv"
    recommend_all(own, 5, out)
    assert "newcomer" in set(pd.read_csv(out, dtype=str)["user_id"])


def test_the_same_again_is_nothing_new(own, tmp_path):
    csv(tmp_path / "new.csv", [LANTERN])
    log = csv(tmp_path / "log.csv", [{"customer": "newcomer", "sku": "lantern-1"}])
    first = update(own, tmp_path / "new.csv", log)[0]["since"]
    assert update(own, tmp_path / "new.csv", log)[0]["since"] == first


def test_figures_of_stale_runs_are_refused_until_retrained(own, tmp_path):
    update(own, csv(tmp_path / "new.csv", [LANTERN]))
    with pytest.raises(InputError, match=r"stale: 1 new items since .* --retrain"):
        evaluate_workspace(own, None, 1, "test", "train+validation", (10,))
    log = [
        {"customer": f"n{user}", "sku": item}
        for user in range(60)
        for item in ("lantern-1", *Catalog.load(own.catalog).item_ids[user:][:3])
    ]
    value, text = update(own, interactions=csv(tmp_path / "log.csv", log))
    assert "a tenth of the log" in value["retraining pays"] and "--retrain" in text and retraining_pays(own) == value["retraining pays"]
    before = load_file(own.run("freedom", 0) / "checkpoint.safetensors")["users"].shape
    value, text = update(own, retrain=True)
    assert (value["retraining pays"] is None and value["since"] == {}) or "trained" in text
    after = load_file(own.run("freedom", 0) / "checkpoint.safetensors")["users"].shape
    assert after[0] == before[0] + 60
    assert set(pd.read_parquet(own.interactions)["part"]) == {"train", "validation", "test"}
    assert evaluate_workspace(own, None, 1, "test", "train+validation", (10,))[0]["systems"]
    shop = open_shop(own)
    assert shop.system.data.num_items == len(shop.catalog) == 121


def test_other_encoders_come_with_training(own, tmp_path):
    with pytest.raises(InputError, match="--encoder goes with --retrain"):
        update(own, csv(tmp_path / "new.csv", [LANTERN]), encoders={"text": "tfidf?pca=8"})
    update(own, csv(tmp_path / "new.csv", [LANTERN]), retrain=True, encoders={"text": "tfidf?pca=8"})
    assert Features.load(own.feature("text")).width == 8 and own.manifest()["encoders"] == {"text": "tfidf?pca=8"}
    update(own, retrain=True, encoders={"image": "statistics?pca=4"})
    assert own.manifest()["encoders"] == {"text": "tfidf?pca=8", "image": "statistics?pca=4"}
    assert ids(search(own, "zanzibar lantern"))[0] == "lantern-1" and Features.load(own.feature("image")).width == 4


def test_a_build_of_the_same_files_keeps_what_came(own, shop_inputs, tmp_path):
    update(own, csv(tmp_path / "new.csv", [LANTERN]))
    value, _ = build(shop_inputs, own.root, systems=["popularity", "ease", "freedom"])
    assert value["items"] == 121 and not own.manifest()["since"] and ids(search(own, "zanzibar lantern"))[0] == "lantern-1"


def test_what_is_wrong_is_said_and_kept(own, tmp_path, capsys):
    rows = [{**LANTERN, "image": "gone.png", "sheen": "dull"}, {**LANTERN, "item_id": "", "title": "nothing"}]
    value, _ = update(own, csv(tmp_path / "new.csv", rows))
    assert value["since"]["items"] == 1
    said = [json.loads(line) for line in own.problems.read_text().splitlines()]
    assert any(one["kind"] == "new column" and one["column"] == "sheen" for one in said)
    assert any("gone.png" in one["why"] for one in said) and any(one["file"].endswith("items.csv") for one in said)
    assert sum(own.manifest()["problems"].values()) == len(said)
    for wrong, why in (
        ({"items": tmp_path / "no.csv"}, "no.csv"),
        ({"interactions": csv(tmp_path / "odd.csv", [{"alpha": 1, "beta": 2}])}, "odd.csv"),
        ({}, "nothing to do"),
    ):
        before = own.manifest_path.read_bytes(), own.catalog.read_bytes()
        with pytest.raises(InputError, match=why):
            update(own, **wrong)
        assert before == (own.manifest_path.read_bytes(), own.catalog.read_bytes())


def test_an_encoder_that_is_gone_leaves_items_without_that_feature(own, tmp_path, capsys):
    own.encoder("text").write_bytes(b"broken")
    update(own, csv(tmp_path / "new.csv", [LANTERN]))
    assert "new items have no text feature" in capsys.readouterr().err
    assert not Features.load(own.feature("text")).present[-1] and Features.load(own.feature("attributes")).present[-1]
    assert "lantern-1" in open_shop(own).catalog.positions


def test_encoders_trained_with_a_system_take_new_items_in(shop_inputs, tmp_path):
    own = Workspace(tmp_path / "shop")
    own.record(settings={"vbpr": {"fit.epochs": 1, "dim": 8, "content_dim": 8}})
    networks = {"image": "cnn?width=8", "text": "gru?width=8"}
    build(shop_inputs, own.root, ["vbpr"], mllm="none", encoders=networks, strategies=["end-to-end"])
    before = {name: np.load(own.inputs(name)) for name in networks}
    title = " ".join(["Zanzibar lantern, a warm brass lamp"] * 8)  # longer than any text before
    update(own, csv(tmp_path / "new.csv", [{**LANTERN, "title": title}]))
    after = {name: np.load(own.inputs(name)) for name in networks}
    assert after["text"].shape[1] > before["text"].shape[1] and after["image"].shape == (121, *before["image"].shape[1:])
    assert (
        np.array_equal(after["text"][:120, : before["text"].shape[1]], before["text"])
        and not after["text"][:120, before["text"].shape[1] :].any()
    )
    shop = open_shop(own)
    assert shop.data.features["text"].present[-1] and not shop.data.features["image"].present[-1]
    assert "lantern-1" in ids(search(own, "warm brass lamp"))


def test_killed_at_any_moment_all_or_nothing_is_there(own, tmp_path):
    csv(tmp_path / "new.csv", [{**LANTERN, "item_id": f"lantern-{place}"} for place in range(5)])
    command = [sys.executable, "-m", "mllm_rec.cli", "update", str(own.root), "--items", str(tmp_path / "new.csv")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and not (own.root / ".waiting").exists():
        time.sleep(0.0005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    opened = Workspace.open(own.root)
    counts = {
        len(Catalog.load(opened.catalog)),
        *(len(Features.load(opened.feature(name)).values) for name in ("text", "image", "attributes")),
    }
    assert counts in ({120}, {125}) and len(counts) == 1
    update(own, tmp_path / "new.csv")
    assert open_shop(own).catalog.table["title"].str.contains("Zanzibar").sum() == 5
    assert not (own.root / ".waiting").exists() and "lantern-3" in ids(search(own, "zanzibar lantern"))


def test_files_that_wait_are_put_in_place_by_whoever_comes_next(own):
    with pytest.raises(KeyboardInterrupt), own.together() as place:
        place(own.serving).parent.mkdir(parents=True)
        place(own.serving).write_text("half")
        raise KeyboardInterrupt
    assert own.serving.read_text() != "half"
    with own.writing():
        pass
    assert own.serving.read_text() != "half" and not (own.root / ".waiting").exists()
    waiting = own.root / ".waiting"
    (waiting / "runs").mkdir(parents=True)
    (waiting / "serving.json").write_text("new")
    (waiting / "runs" / "note").write_text("new")
    (waiting / "whole").touch()
    assert Workspace.open(own.root).serving.read_text() == "new" and (own.root / "runs" / "note").read_text() == "new"
