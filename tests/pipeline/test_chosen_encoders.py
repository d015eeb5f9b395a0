"""``build --encoder``: what is named encodes, what is not named stays, and what can't be had is said before anything is done."""

import shutil
import sys
from pathlib import Path

import pytest

from mllm_rec.agent.session import Session
from mllm_rec.cli import main
from mllm_rec.data.features import Features
from mllm_rec.errors import InputError
from mllm_rec.pipeline import Workspace, build, open_shop

sys.path.insert(0, str(Path(__file__).parent.parent / "encoders"))
sys.path.insert(0, str(Path(__file__).parent.parent / "mllm"))
import tiny as vlm
import tiny_models as tiny


@pytest.fixture(scope="module")
def vit(tmp_path_factory):
    return tiny.vit(tmp_path_factory.mktemp("models") / "vit")


def test_what_is_named_encodes(shop_inputs, vit, tmp_path, capsys):
    chosen = {"image": f"{vit}?pca=6", "text": "minilm"}
    value, _ = build(shop_inputs, tmp_path / "shop", ["popularity"], mllm="none", encoders=chosen)
    workspace = Workspace.open(tmp_path / "shop")
    assert value["features"] == ["attributes", "image", "text"] and workspace.manifest()["encoders"] == chosen
    image, text = (Features.load(workspace.feature(name)) for name in ("image", "text"))
    assert image.width == 6 and image.spec["of"]["model"] == vit and text.width == 384
    before = workspace.feature("text").stat().st_mtime_ns
    build(shop_inputs, tmp_path / "shop", ["popularity"], mllm="none", encoders={**chosen, "image": "statistics"})
    assert Features.load(workspace.feature("image")).spec["encoder"] == "image"
    assert workspace.feature("text").stat().st_mtime_ns == before, "only what changed is encoded again"
    reply = Session(open_shop(workspace), size=4).turn("something to drink tea from")
    kinds = {str(open_shop(workspace).catalog.table["category"].iat[card.row]) for card in reply.cards}
    assert kinds & {"mug", "teapot"}, "MiniLM knows what no title says"


def test_a_model_that_is_gone_costs_its_own_queries_only(shop_inputs, vit, tmp_path, capsys):
    moved = shutil.copytree(vit, tmp_path / "model")
    build(shop_inputs, tmp_path / "shop", ["popularity"], mllm="none", encoders={"image": str(moved)})
    shutil.rmtree(moved)
    shop = open_shop(Workspace.open(tmp_path / "shop"))
    assert "nothing can be asked for by image" in capsys.readouterr().err
    assert not shop.candidates.sees_pictures and Session(shop, size=4).turn("a lamp").cards


def test_what_cannot_be_had_is_said_first(shop_inputs, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: (_ for _ in ()).throw(ConnectionError("no network")))
    for said, message in (
        ({"image": str(tmp_path / "gone")}, "there is no folder"),
        ({"smell": "x"}, "'smell' is no modality"),
        ({"image": "statistics?pac=3"}, "no option 'pac'"),
    ):
        with pytest.raises(InputError, match=message):
            build(shop_inputs, tmp_path / "shop", ["popularity"], encoders=said)
        assert not (tmp_path / "shop").exists()
    assert main(["build", "demo", "--out", str(tmp_path / "w"), "--encoder", "image=nothing/such"]) == 1
    assert "the hub gave no such model: no network" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["build", "demo", "--out", str(tmp_path / "w"), "--encoder", "minilm"])
    assert "must be MODALITY=NAME" in capsys.readouterr().err


def test_a_modality_that_no_item_has(shop_inputs, vit, tmp_path):
    with pytest.raises(InputError, match=r"no item has a file in a column 'video'"):
        build(shop_inputs, tmp_path / "shop", ["popularity"], mllm="none", encoders={"video": f"frames:{vit}"})


def test_hidden_states_of_a_model_that_answers_picture_queries(shop_inputs, tmp_path, capsys):
    model = vlm.llava(tmp_path / "model")
    build(shop_inputs, tmp_path / "shop", ["popularity"], mllm="none", encoders={"image": f"mllm:{model}?pca=16"})
    image = Features.load(Workspace.open(tmp_path / "shop").feature("image"))
    assert image.width == 16 and image.spec["of"]["encoder"] == "mllm-picture" and image.present.any()
    shop = open_shop(Workspace.open(tmp_path / "shop"))
    assert "nothing can be asked for" not in capsys.readouterr().err and shop.candidates.sees_pictures
    row = int(image.present.argmax())
    near = shop.candidates.spaces["image"].near_query(shop.catalog.picture(row).read_bytes())
    assert near[row] == pytest.approx(1, abs=1e-3), "the picture of an item lies where the item lies"
