"""The central arrow: what the model says of a picture moves what is recommended."""

import json

import numpy as np
import pytest
import torch

from mllm_rec.data.features import Features
from mllm_rec.data.sources import demo
from mllm_rec.mllm.providers import Answer
from mllm_rec.mllm.providers.scripted import Scripted
from mllm_rec.optimization.fit import FitSettings
from mllm_rec.pipeline import Workspace, build, open_shop
from mllm_rec.recommender import Query

FIELDS = ("category", "color", "pattern", "shape", "material")


@pytest.fixture
def speak(monkeypatch):
    """Puts a scripted model in the place of the one asked for: it knows the truth, but of one item says what it is told."""
    truth = {name: attributes for name, (attributes, _) in demo.recipes(demo.DEMO["domain_file"], items=120, seed=3).items()}

    def script(changed, said, key):
        def say(conversation):
            words = conversation[-1]["content"][-1]["text"]
            title = words.split("title: ", 1)[1].split(" text: ", 1)[0].split("\n")[0].strip()
            name = titles[title]
            values = {field: truth[name][field] for field in FIELDS} | (said if name == changed else {})
            text = json.dumps({**values, "style": "unknown", "room": [], "caption": f"{' '.join(values.values())}"}, separators=(",", ":"))
            return Answer(text, tuple((sign, 0.0) for sign in text))

        items, _, _ = demo.world(demo.DEMO["domain_file"], items=120, users=80, seed=3)
        titles = dict(zip(items["title"], items["item_id"], strict=True))
        monkeypatch.setattr("mllm_rec.pipeline.caption.load_provider", lambda *_, **__: Scripted(say, key=key))

    return script


def test_one_caption_moves_vector_neighbors_and_rank(shop_inputs, speak, tmp_path, monkeypatch):
    """Captioned anew by a model that says the same, nothing moves; with one caption changed all three do.

    Vectors are compared by their products with each other, for features made apart needn't have the same axes.
    """
    monkeypatch.setattr("mllm_rec.pipeline.runs.fit_settings", lambda changes: FitSettings(epochs=12))
    changed, seen = "H0007", []
    other = {"category": "rug", "color": "pink", "pattern": "zigzag", "shape": "oval", "material": "wool"}
    for said in ({}, {}, other):
        speak(changed, said, f"script{len(seen)}")
        build(shop_inputs, tmp_path / "shop", systems=["freedom"], mllm=f"scripted{len(seen)}")
        workspace = Workspace.open(tmp_path / "shop")
        features = Features.load(workspace.feature("caption"))
        shop = open_shop(workspace)
        row = shop.catalog.position(changed)
        products = features.values @ features.values.T
        near = products[row] - 9 * (np.arange(len(products)) == row)
        scores = shop.system.score(Query(torch.arange(shop.data.num_users)))
        ranks = (scores > scores[:, [row]]).sum(1)
        seen.append((products, set(np.argsort(-near)[:10].tolist()), ranks))
    (before, near_before, ranks_before), same, (after, near_after, ranks_after) = seen
    assert (before == same[0]).all() and near_before == same[1] and (ranks_before == same[2]).all(), "nothing, by the same caption"
    moved = np.abs(before - after)
    others = np.delete(np.delete(moved, row, 0), row, 1)
    assert moved[row].max() > 0.5 and others.max() < 0.1, "its vector, and no other's"
    assert near_before != near_after, "its neighbors"
    assert (ranks_before != ranks_after).any(), "its rank"
    assert shop.catalog.table["pattern"].iat[row] == "zigzag", "and what can be asked for"


def test_without_a_model_nothing_is_captioned(workspace):
    assert workspace.manifest()["mllm"] in ("none", "embedded")
    if workspace.manifest()["mllm"] == "none":
        assert not workspace.captions.exists() and not workspace.feature("caption").exists()
