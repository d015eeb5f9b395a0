"""``doctor``: what would be used and why, and the state of a workspace."""

import json
import shutil

import pandas as pd
import pytest

from mllm_rec.cli import main
from mllm_rec.pipeline import Workspace, forget, open_shop, update
from mllm_rec.pipeline.doctor import doctor


@pytest.fixture
def own(workspace, tmp_path):
    return Workspace(shutil.copytree(workspace.root, tmp_path / "shop"))


def test_the_machine(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    report, text = doctor()
    assert report["packages"]["torch"][0].isdigit() and report["cores"] >= 1 and f" GB at {tmp_path}" in report["free disk"]
    assert ": " in report["device"] and "--device says otherwise" in report["device"] and "workspace" not in report
    assert "MLLM_REC_MLLM names it" in report["model"]  # the tests' own setting
    assert "caption" in report["embedded model"] and report["adapters"] == {} and "adapters" in text


def test_models_in_the_cache_and_adapters_are_found(monkeypatch, tmp_path):
    from huggingface_hub import constants

    snapshot = tmp_path / "hub" / "models--org--small" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot / "model.safetensors").write_bytes(b"x" * 3_000_000)
    (snapshot.parent.parent / "refs").mkdir()
    (snapshot.parent.parent / "refs" / "main").write_text("abc")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.chdir(tmp_path)
    for name, card in (("garden", {"task": "caption"}), ("broken", None)):
        folder = tmp_path / "adapters" / name
        folder.mkdir(parents=True)
        (folder / "adapter_config.json").write_text("{}")
        if card:
            (folder / "adapter_model.safetensors").write_bytes(b"")
            (folder / "mllm_rec.json").write_text(json.dumps(card))
    report, _ = doctor()
    assert report["models in the cache"] == {"org/small": "3 MB"}
    assert report["adapters"]["adapters/garden"] == "caption" and "holds no LoRA adapter" in report["adapters"]["adapters/broken"]


def test_a_workspace_and_when_training_again_pays(own, tmp_path, capsys, monkeypatch):
    state = doctor(own)[0]["workspace"]
    assert state["serves"] in ("popularity", "ease", "freedom") and state["since training"] == "nothing new"
    assert state["training again"] == "doesn't pay yet" and "image 119" in state["index"] and "(embedded)" in state["index"]
    assert state["features"]["image"] == "192 numbers, 119 of 120 items"
    pd.DataFrame({"item_id": [f"n{row}" for row in range(15)], "title": ["lamp"] * 15}).to_csv(tmp_path / "new.csv", index=False)
    update(own, tmp_path / "new.csv")
    assert "pays: a tenth of the items or more" in doctor(own)[0]["workspace"]["training again"]
    own.encoder("text").write_bytes(b"broken")
    assert "is not an encoder's state" in doctor(own)[0]["workspace"]["features"]["text"]
    monkeypatch.delenv("MLLM_REC_MLLM")
    own.record(mllm="embedded")
    assert doctor(own)[0]["model"].startswith("embedded: it captioned this workspace")
    assert main(["doctor", str(own.root)]) == 0 and "training again" in capsys.readouterr().out


def test_forgotten_users_make_it_pay(own):
    forget(own, str(open_shop(own).data.users[0]))
    assert "forgotten users" in doctor(own)[0]["workspace"]["training again"]
