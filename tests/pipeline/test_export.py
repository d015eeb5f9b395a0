"""``mllm-rec export``: a folder for another toolkit, which comes back as it was."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from mllm_rec.cli import main
from mllm_rec.data.catalog import Catalog
from mllm_rec.data.dataset import Dataset
from mllm_rec.data.sources import load
from mllm_rec.data.split import split
from mllm_rec.errors import InputError
from mllm_rec.pipeline.export import export


def test_the_round_trip(workspace, tmp_path, capsys):
    out = tmp_path / "shop"
    assert main(["export", str(workspace.root), "--to", "mmrec", "--out", str(out), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    header = (out / "shop.inter").read_text().partition("\n")[0].split("\t")
    assert header[:2] == ["userID", "itemID"] and header[-1] == "x_label"
    source, own = load(f"mmrec:{out}"), Dataset.load(workspace.root)
    parts = split(source.interactions, source.split)
    back = Dataset(source.catalog.item_ids, pd.unique(source.interactions.table["user_id"]), parts.train, source.features)
    assert back.items.tolist() == own.items.tolist() and back.users.tolist() == own.users.tolist()
    assert torch.equal(back.edges, own.edges) and said["parts"]["train"] == own.edges.shape[1]
    for part in ("validation", "test"):
        held = own.index(type(parts.train).load(workspace.root, part))
        assert torch.equal(back.index(getattr(parts, part)), held) and held.shape[1] == said["parts"][part] > 0
    assert set(back.features) == set(own.features) == set(said["features"])
    for name, feature in own.features.items():
        np.testing.assert_array_equal(back.features[name].values, feature.values)
        np.testing.assert_array_equal(back.features[name].present, feature.present & feature.values.any(axis=1))
    catalog = Catalog.load(workspace.catalog)
    assert {name: column.kind for name, column in source.catalog.columns.items()} == {
        name: column.kind for name, column in catalog.columns.items() if column.kind != "path"
    }
    for name in source.catalog.columns:
        pd.testing.assert_series_equal(source.catalog.table[name], catalog.table[name], check_dtype=False)


def test_a_folder_with_other_files_is_refused(workspace, tmp_path):
    np.save(tmp_path / "depth_feat.npy", np.ones((2, 2)))
    with pytest.raises(InputError, match=r"holds depth_feat\.npy, which would be read along"):
        export(workspace, "mmrec", tmp_path)


def test_a_workspace_is_not_written_into(workspace):
    with pytest.raises(InputError, match="is a workspace, which the files would get mixed up with"):
        export(workspace, "mmrec", workspace.root)
