"""What a kind of knowledge is worth: told alike, trained alike, judged on the same users."""

import shutil

import pytest

from mllm_rec.cli import main
from mllm_rec.data.features import Features
from mllm_rec.errors import InputError
from mllm_rec.pipeline import Workspace, ablate


@pytest.fixture
def own(workspace, tmp_path):
    shutil.copytree(workspace.root, tmp_path / "shop")
    return Workspace.open(tmp_path / "shop")


def test_the_table(own, capsys):
    image = Features.load(own.feature("image"))
    image.save(own.feature("caption"))  # stands for what a model said
    own.record(settings={"vbpr": {"fit.epochs": 2}, "freedom": {"fit.epochs": 2}})
    value, text = ablate(own, ["vbpr", "freedom"], seeds=2)
    for system in value["systems"]:
        assert list(system["parts"]) == ["ids", "text", "picture", "text + picture", "captions", "all"]
        users = {part["all"]["users"] for part in system["parts"].values()}
        assert len(users) == 1
        same = [part["all"]["metrics"] for part in (system["parts"]["picture"], system["parts"]["captions"])]
        assert same[0]["ndcg@20"] == same[1]["ndcg@20"], "the same numbers under another name are worth the same"
        pair = next(row for row in system["differences"] if (row["more"], row["less"]) == ("captions", "picture"))
        assert pair["ndcg@20"]["mean"] == pair["ndcg@20"]["low"] == 0.0
    assert "all - text + picture" in text and "vbpr, 2 seeds" in text
    assert main(["ablate", str(own.root), "--systems", "vbpr", "--seeds", "1"]) == 0  # trained above: read back
    assert "ids" in capsys.readouterr().out


def test_what_is_not_there_is_left_out(own):
    own.record(settings={"vbpr": {"fit.epochs": 1}})
    value, _ = ablate(own, ["vbpr"], seeds=1)
    assert list(value["systems"][0]["parts"]) == ["ids", "text", "picture", "text + picture"]


def test_a_system_without_features(own):
    with pytest.raises(InputError, match="'ease' reads no features"):
        ablate(own, ["ease"])
