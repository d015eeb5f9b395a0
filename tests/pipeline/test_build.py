"""Building a workspace: what is in it, what is made again and what isn't."""

import dataclasses
import hashlib
import json
import shutil

import numpy as np
import pandas as pd
import pytest

from mllm_rec.data.sources import demo
from mllm_rec.errors import InputError
from mllm_rec.pipeline import Inputs, Workspace, build, evaluate_workspace, recommend, train
from mllm_rec.pipeline.runs import default_systems

QUICK = ["popularity", "ease"]


def contents(workspace, *patterns):
    """Hash of every artifact that doesn't hold a time of day or a duration."""
    paths = sorted(path for pattern in patterns for path in workspace.root.glob(pattern))
    assert paths
    return {str(path.relative_to(workspace.root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def write(folder, items, log=None):
    folder.mkdir(exist_ok=True)
    pd.DataFrame(items).to_csv(folder / "items.csv", index=False)
    if log is None:
        return Inputs(items=folder / "items.csv")
    pd.DataFrame(log, columns=["user_id", "item_id"]).to_csv(folder / "log.csv", index=False)
    return Inputs(items=folder / "items.csv", interactions=folder / "log.csv")


def mugs(count):
    return {"item_id": [f"m{row}" for row in range(count)], "title": [f"{'red' if row % 2 else 'blue'} mug {row}" for row in range(count)]}


def test_every_artifact_is_there(workspace):
    manifest = workspace.manifest()
    assert set(manifest["stages"]) == {"data", "features/attributes", "features/text", "features/image", "index", "training"}
    log = pd.read_parquet(workspace.interactions)
    assert set(log["part"]) == {"train", "validation", "test"} and manifest["split"] == {"how": "global-time", "name": "global-time"}
    assert log.loc[log["part"] == "train", "timestamp"].max() < log.loc[log["part"] == "test", "timestamp"].min()
    assert json.loads(workspace.serving.read_text())["system"] in ("popularity", "ease", "freedom")
    for system in ("popularity", "ease", "freedom"):
        assert workspace.seeds(system) == 1 and (workspace.run(system, 0) / "checkpoint.safetensors").exists()
    problems = [json.loads(line) for line in workspace.problems.read_text().splitlines()]
    assert problems and all({"file", "kind", "why", "action"} <= set(problem) for problem in problems)


def test_a_second_build_makes_nothing(workspace, shop_inputs):
    ours = [path for path in workspace.root.rglob("*") if path.is_file() and path.name != ".lock" and "chroma" not in path.parts]
    before = {path: path.stat().st_mtime_ns for path in ours}
    value, text = build(shop_inputs, workspace.root, systems=["popularity", "ease", "freedom"])
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert value["items"] == 120 and value["features"] == ["attributes", "image", "text"] and value["serving"] in text


def test_what_changed_is_made_again(tmp_path):
    inputs = write(
        tmp_path / "files",
        {**mugs(12), "price": range(12)},
        [(f"u{user}", f"m{item}") for user in range(8) for item in range(user % 3, 12, 3)],
    )
    workspace = Workspace(tmp_path / "w")
    build(inputs, workspace.root, systems=QUICK)
    keys = {name: stage["key"] for name, stage in workspace.manifest()["stages"].items()}
    assert set(contents(workspace, "features/*.safetensors")) == {"features/attributes.safetensors", "features/text.safetensors"}

    write(tmp_path / "files", mugs(12))  # the log stays, the price goes
    build(inputs, workspace.root, systems=QUICK)
    changed = {name for name, stage in workspace.manifest()["stages"].items() if keys.get(name) != stage["key"]}
    assert changed == {"data", "features/attributes", "features/text", "training"}
    assert set(contents(workspace, "features/*.safetensors")) == {"features/text.safetensors"}


def test_a_catalog_without_a_log_is_recommended_by_content(tmp_path):
    value, _ = build(write(tmp_path / "files", mugs(9)), tmp_path / "w")
    assert value["interactions"] == 0 and value["serving"] == "popularity" and value["split"] == "none"
    items = recommend(Workspace.open(tmp_path / "w"), None, ["m1"], "", 4)[0]["items"]
    assert len(items) == 4 and all("red" in item["title"] for item in items[:3]) and "m1" not in [item["item_id"] for item in items]
    with pytest.raises(InputError, match="nothing is held out"):
        evaluate_workspace(Workspace.open(tmp_path / "w"), None, 1, "test", "train+validation", (10,))


def test_a_log_that_is_left_out_leaves_content(tmp_path):
    log = [(f"u{user}", f"m{item}") for user in range(6) for item in range(user % 3, 9, 3)]
    build(write(tmp_path / "files", mugs(9), log), tmp_path / "w", systems=["bpr"])
    value, _ = build(Inputs(items=tmp_path / "files" / "items.csv"), tmp_path / "w")
    assert value["serving"] == "popularity" and value["interactions"] == 0


def test_one_user_is_enough_to_build(tmp_path):
    value, _ = build(write(tmp_path / "files", mugs(6), [("u", "m0")]), tmp_path / "w", systems=[*QUICK, "bpr"])
    assert value["users"] == 1 and value["systems"][0]["ndcg@20"] is None
    assert len(recommend(Workspace.open(tmp_path / "w"), "u", [], "", 10)[0]["items"]) == 5


def test_settings_are_kept_and_the_best_serves(workspace, tmp_path):
    copy = Workspace(shutil.copytree(workspace.root, tmp_path / "w"))
    value, _ = train(copy, ["itemknn"], 1, {"neighbors": "3"})
    assert [row["system"] for row in value["systems"]] == ["itemknn"]
    assert json.loads((copy.run("itemknn", 0) / "metrics.json").read_text())["settings"]["neighbors"] == 3
    rows = copy.manifest()["trained"]
    assert value["serving"] == max(rows, key=lambda row: row["ndcg@20"])["system"] and len(rows) == 4
    with pytest.raises(InputError, match="no setting 'neighbours'; did you mean 'neighbors'"):
        train(copy, ["itemknn"], 1, {"neighbours": "3"})
    with pytest.raises(InputError, match="wanted a number"):
        train(copy, ["itemknn"], 1, {"neighbors": "many"})
    with pytest.raises(InputError, match="'fredom' is not a system; did you mean 'freedom'"):
        train(copy, ["fredom"], 1, {})


def test_a_second_writer_is_refused(shop_inputs, tmp_path):
    with Workspace(tmp_path / "w").writing(), pytest.raises(InputError, match="another process is writing"):
        build(shop_inputs, tmp_path / "w")


def test_default_systems():
    assert default_systems(100, ["text"], 50) == ["popularity", "ease", "lightgcn", "freedom"]
    assert default_systems(20_001, [], 50) == ["popularity", "itemknn", "lightgcn"]
    assert default_systems(100, ["text"], 0) == ["popularity"]


def test_the_truth_is_not_needed(tmp_path, monkeypatch):
    """The demo shop without its truth: the same features, scores and answers to the byte."""
    monkeypatch.setitem(demo.DEMO, "items", 40)
    monkeypatch.setitem(demo.DEMO, "users", 30)
    found = []
    for name in ("with", "without"):
        build(Inputs(source="demo"), tmp_path / name, systems=QUICK)
        workspace = Workspace.open(tmp_path / name)
        answer = recommend(workspace, "U0001", [], "a warm lamp", 5, None, True)[0]
        found.append((contents(workspace, "features/*.safetensors", "serving/*.safetensors", "catalog.parquet"), answer))
        monkeypatch.setattr(demo, "_truth", lambda *_: None)
    assert found[0] == found[1]


def test_a_source_that_has_its_own_files_takes_no_others(tmp_path):
    with pytest.raises(InputError, match="--kind goes with --items"):
        build(Inputs(source="demo", kinds={"a": "text"}), tmp_path)
    with pytest.raises(InputError, match="'dmeo' is not a source; did you mean 'demo'"):
        build(Inputs(source="dmeo"), tmp_path)


def test_every_split_can_be_asked_for(shop_inputs, tmp_path):
    for how in ("random", "user-time", "leave-one-out", "cold-items"):
        build(dataclasses.replace(shop_inputs, images=None, split=how), tmp_path / how, systems=["popularity"])
        log = pd.read_parquet(tmp_path / how / "interactions.parquet")
        assert set(log["part"]) == {"train", "validation", "test"}
        cold = set(log.loc[log["part"] == "test", "item_id"]) - set(log.loc[log["part"] != "test", "item_id"])
        assert len(cold) > 5 if how == "cold-items" else np.isfinite(len(cold))
