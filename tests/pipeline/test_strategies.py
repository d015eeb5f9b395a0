"""``--strategy end-to-end``: what it needs, what keeps it, and that what was trained answers."""

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from mllm_rec.agent.session import Session
from mllm_rec.cli import main
from mllm_rec.data.features import Features
from mllm_rec.encoders.text import item_texts
from mllm_rec.errors import InputError
from mllm_rec.pipeline import Workspace, ablate, build, evaluate_workspace, open_shop, train
from mllm_rec.strategies import known_strategies

NETWORKS = {"image": "cnn?width=8", "text": "textcnn?width=8"}
SHORT = {"fit.epochs": 2, "dim": 8, "content_dim": 8}


@pytest.fixture(scope="module")
def own(shop_inputs, tmp_path_factory):
    workspace = Workspace(tmp_path_factory.mktemp("end_to_end") / "shop")
    workspace.record(settings={"vbpr": SHORT})
    build(shop_inputs, workspace.root, ["vbpr"], mllm="none", encoders=NETWORKS, strategies=["end-to-end"])
    return workspace


def weights(folder):
    return {name: tensor for name, tensor in load_file(folder / "checkpoint.safetensors").items() if name.startswith("content.encoders.")}


def test_kept_by_system_and_used_by_every_later_step(own, shop_inputs, capsys):
    assert own.manifest()["strategies"] == {"vbpr": ["end-to-end"]}
    assert sorted(path.name for path in (own.root / "inputs").iterdir()) == ["image.npy", "text.npy"]
    before = (own.run("vbpr", 0) / "log.jsonl").read_text()
    assert {name.split(".")[2] for name in weights(own.run("vbpr", 0))} == {"image", "text"}
    build(shop_inputs, own.root, ["popularity", "vbpr"], mllm="none", encoders=NETWORKS)
    build(shop_inputs, own.root, ["vbpr"], mllm="none", encoders=NETWORKS)
    value, _ = evaluate_workspace(own, ["vbpr"], 1, "test", "train", (20,))
    assert value["systems"][0]["system"] == "vbpr" and (own.run("vbpr", 0) / "log.jsonl").read_text() == before
    ablate(own, ["vbpr"], seeds=1)
    names = {part: {name.split(".")[2] for name in weights(own.root / "ablation" / part / "vbpr" / "0")} for part in ("ids", "picture")}
    assert names == {"ids": set(), "picture": {"image"}}


def test_what_was_trained_serves_and_is_asked(own):
    assert json.loads(own.serving.read_text())["strategies"] == ["end-to-end"]
    shop, begun = open_shop(own), Features.load(own.feature("text"))
    trained = weights(own.serving_folder)["content.encoders.text.last.weight"]
    encoder = shop.candidates.spaces["text"].encoder
    assert torch.equal(encoder.module().last.weight, trained)
    assert not np.allclose(shop.data.features["text"].values, begun.values, atol=1e-4)
    row = int(np.flatnonzero(begun.present)[0])
    said = item_texts(shop.catalog)[row]
    np.testing.assert_allclose(encoder.encode_query(said), shop.data.features["text"].values[row], atol=1e-4)
    assert shop.candidates.sees_pictures and Session(shop, size=4).turn("a lamp").cards


def test_back_to_frozen(own, tmp_path):
    again = Workspace(shutil.copytree(own.root, tmp_path / "shop"))
    train(again, ["vbpr"], 1, {}, ["none"])
    assert again.manifest()["strategies"] == {"vbpr": []} and not weights(again.run("vbpr", 0))
    assert json.loads(again.serving.read_text())["strategies"] == [] and open_shop(again)


def test_what_it_needs_is_said_before_anything_is_done(own, shop_inputs, tmp_path, capsys):
    for encoders, systems, strategies, message in (
        (NETWORKS, ["vbpr"], ["end-to-edn"], "'end-to-edn' is not a strategy; did you mean 'end-to-end'"),
        (NETWORKS, ["vbpr"], ["sideways"], "'sideways' is not a strategy; there are end-to-end"),
        ({"text": "tfidf"}, ["vbpr"], ["end-to-end"], "every encoder is frozen; build with --encoder image=cnn"),
        (NETWORKS, ["bpr", "popularity"], ["end-to-end"], "bpr, popularity: 'end-to-end' suits none of them"),
    ):
        with pytest.raises(InputError, match=message):
            build(shop_inputs, tmp_path / "shop", systems, mllm="none", encoders=encoders, strategies=strategies)
        assert not (tmp_path / "shop").exists()
    with pytest.raises(InputError, match="bpr: 'end-to-end' suits none of them"):
        train(own, ["bpr"], 1, {}, ["end-to-end"])
    assert main(["train", str(own.root), "--systems", "vbpr", "--strategy", "end-to-ned"]) == 1
    assert "did you mean 'end-to-end'" in capsys.readouterr().err
    assert known_strategies(["none"]) == [] and known_strategies(["end-to-end"]) == ["end-to-end"]


def test_frozen_workspaces_are_left_as_they_are(workspace, tmp_path):
    again = Workspace(shutil.copytree(workspace.root, tmp_path / "shop"))
    before = again.manifest()
    with pytest.raises(InputError, match=r"every encoder is frozen; build with --encoder image=cnn"):
        train(again, ["freedom"], 1, {}, ["end-to-end"])
    after = again.manifest()
    assert after.get("strategies", {}) == before.get("strategies", {}) == {} and after["stages"] == before["stages"]
    assert not (again.root / "inputs").exists()
    logs = {path: path.stat().st_mtime_ns for path in again.root.glob("runs/*/*/log.jsonl")}
    train(again, ["freedom"], 1, {}, ["none"])
    assert logs and all(path.stat().st_mtime_ns == time for path, time in logs.items()), "nothing had to be trained again"


def test_an_encoder_that_is_taken_away(own, shop_inputs, tmp_path):
    frozen = {"image": "cnn?pca=4", "text": "tfidf"}
    again = Workspace(shutil.copytree(own.root, tmp_path / "shop"))
    with pytest.raises(InputError, match="every encoder is frozen"):
        build(shop_inputs, again.root, ["vbpr"], mllm="none", encoders=frozen)
    build(shop_inputs, again.root, ["vbpr"], mllm="none", encoders=frozen, strategies=["none"])
    assert not list((again.root / "inputs").iterdir()) and open_shop(again)
