"""``mllm-rec features``: what there is, what is alike, and matrices that come back."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from mllm_rec.cli import main
from mllm_rec.data.features import Features
from mllm_rec.errors import InputError
from mllm_rec.pipeline.features import features


def test_what_there_is(workspace, capsys):
    assert main(["features", str(workspace.root), "--json"]) == 0
    rows = {row["feature"]: row for row in json.loads(capsys.readouterr().out)["features"]}
    for name in ("attributes", "image", "text"):
        own = Features.load(workspace.feature(name))
        assert (rows[name]["items"], rows[name]["width"], rows[name]["present"]) == (*own.values.shape, own.present.sum())
        assert rows[name]["spec"] == own.spec


def test_the_nearest_are_those_of_a_product_by_hand(workspace, tmp_path):
    own = Features.load(workspace.feature("image"))
    row = int(np.flatnonzero(own.present)[3])
    ids = pd.read_parquet(workspace.catalog)["item_id"]
    value, _ = features(workspace, near=ids[row], sheet=tmp_path / "near.png")
    centered = own.values - own.values[own.present].mean(0)
    unit = centered / np.linalg.norm(centered, axis=1, keepdims=True)
    like = np.where(own.present, unit @ unit[row], -2)
    like[row] = -2
    assert [one["item_id"] for one in value["near"]["image"]] == ids[np.argsort(-like)[:6]].tolist()
    assert value["near"]["image"][0]["likeness"] == pytest.approx(like.max(), abs=1e-3)
    with Image.open(tmp_path / "near.png") as sheet:
        assert sheet.width > 6 * 132 and sheet.height > len(value["near"]) * 132


def test_matrices_in_the_names_of_mmrec(workspace, tmp_path):
    features(workspace, export=tmp_path / "out")
    own = Features.load(workspace.feature("text"))
    np.testing.assert_array_equal(np.load(tmp_path / "out" / "text_feat.npy"), own.values)
    mapping = pd.read_csv(tmp_path / "out" / "i_id_mapping.csv")
    assert mapping["itemID"].tolist() == list(range(len(own.values)))


def test_what_cannot_be_shown(workspace, tmp_path):
    with pytest.raises(InputError, match="not in the catalog"):
        features(workspace, near="nothing")
    with pytest.raises(InputError, match="--near ITEM"):
        features(workspace, sheet=tmp_path / "near.png")
