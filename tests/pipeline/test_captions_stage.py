"""The stage that captions: made again when what it depends on changed, and only then."""

import json
import os
import shutil
from dataclasses import replace

import pandas as pd
import pytest
import yaml
from PIL import Image

from mllm_rec import resources
from mllm_rec.data.domain import Domain
from mllm_rec.mllm.adapters import CARD
from mllm_rec.mllm.prompts import FOLDER
from mllm_rec.mllm.providers import EMBEDDED, MODEL
from mllm_rec.mllm.providers.scripted import Scripted
from mllm_rec.mllm.schema import CaptionSchema
from mllm_rec.pipeline import Workspace, build, captions, open_shop, train
from mllm_rec.pipeline.caption import chosen_model

SAID = {"category": "lamp", "color": "red", "pattern": "striped", "shape": "round", "material": "metal", "style": "unknown", "room": []}


@pytest.fixture
def shop(shop_files, shop_inputs, tmp_path, monkeypatch):
    """Inputs with pictures of their own, a workspace's folder, and a model that fails at one of them."""
    pictures = shutil.copytree(shop_files / "pictures", tmp_path / "pictures")

    class Shop:
        inputs, root = replace(shop_inputs, images=pictures), tmp_path / "shop"
        model = Scripted(lambda conversation: Shop.say(conversation))

        @staticmethod
        def say(conversation):
            picture = conversation[-1]["content"][0]["image"]
            return "no JSON" if picture.getpixel((0, 0)) == (1, 2, 3) else json.dumps({**SAID, "caption": "a red lamp"})

        def build(self, **how):
            """How many pictures the model was asked about, without those of further samples; and the workspace."""
            before = len(self.model.asked)
            build(self.inputs, self.root, systems=["popularity"], **{"mllm": "scripted", **how})
            return len({id(one[-1]["content"][0]["image"]) for one in self.model.asked[before:]}), Workspace.open(self.root)

    Image.new("RGB", (64, 64), (1, 2, 3)).save(pictures / "H0003.png")
    monkeypatch.setattr("mllm_rec.pipeline.caption.load_provider", lambda *_, **__: Shop.model)
    return Shop()


def test_made_again_when_something_changed(shop, monkeypatch, tmp_path):
    asked, workspace = shop.build()
    assert asked == 119 and workspace.manifest()["captions"]["failed"] == 1
    assert shop.build()[0] == 0
    for _ in range(2):
        assert shop.build(retry_failed=True)[0] == 1, "as often as it is asked for"
    picture = shop.inputs.images / "H0004.png"
    shutil.copyfile(shop.inputs.images / "H0003.png", picture)
    os.utime(picture, (1, 1))
    assert shop.build()[0] == 1 and workspace.manifest()["captions"]["failed"] == 2, "another picture in the same file"
    prompt = yaml.safe_load(resources.path("caption/v1.yaml").read_text(encoding="utf-8"))
    (tmp_path / "own" / "caption").mkdir(parents=True)
    (tmp_path / "own" / "caption" / "v1.yaml").write_text(yaml.safe_dump({**prompt, "system": "Be brief.", "tests": []}))
    monkeypatch.setenv(FOLDER, str(tmp_path / "own"))
    assert shop.build()[0] == 119, "other words"


def test_without_captions_the_systems_are_trained_again(shop):
    _, workspace = shop.build()
    train(workspace, ["freedom"], 1, {"fit.epochs": "1"})
    assert "caption" in open_shop(workspace).data.features
    build(shop.inputs, shop.root, systems=["popularity", "freedom"], mllm="none")
    manifest = workspace.manifest()
    assert manifest["mllm"] == "none" and manifest["captions"] is None
    assert "caption" not in open_shop(workspace).data.features


def test_what_was_said_is_shown_and_exported(shop, tmp_path):
    _, workspace = shop.build()
    value, text = captions(workspace, show=6, sheet=tmp_path / "sheet.png", out=tmp_path / "captions.parquet")
    assert (value["captioned"], value["failed"], value["left"]) == (118, 1, 0) and "118 captioned, 1 failed" in text
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > 300 and len(sheet.convert("RGB").getcolors(1 << 24)) > 100
    table = pd.read_parquet(tmp_path / "captions.parquet")
    assert list(table.columns) == ["item_id", "field", "value", "confidence", "source", "conflict"]
    colors = table[table["field"] == "color"]
    assert set(colors["value"]) == {"red"} and colors["confidence"].between(0.5, 1).all() and colors["conflict"].any()


def test_the_embedded_model_is_the_default_at_home_only(shop, workspace, monkeypatch, tmp_path, capsys):
    monkeypatch.delenv(MODEL)
    if (EMBEDDED / CARD).exists():
        assert chosen_model(workspace, None) == "embedded" and chosen_model(workspace, "none") == "none"
    domain = yaml.safe_load(workspace.domain.read_text(encoding="utf-8"))
    domain["fields"]["color"]["values"].append("ultraviolet")
    other = tmp_path / "domain.yaml"
    other.write_text(yaml.safe_dump(domain), encoding="utf-8")
    assert CaptionSchema.of_domain(Domain.load(other)).key() != CaptionSchema.of_domain(Domain.load(workspace.domain)).key()
    shop.inputs = replace(shop.inputs, domain=other)
    assert shop.build(mllm=None)[0] == 0 and "no captions" in capsys.readouterr().err
