"""Hidden states as features: by hand on two families of models, and models that have none to give."""

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tiny import FAMILIES

from mllm_rec.data.catalog import Catalog
from mllm_rec.data.sources.demo import DEMO, draw, recipes
from mllm_rec.encoders import load_encoder
from mllm_rec.encoders.chosen import chosen_encoder
from mllm_rec.encoders.store import Store
from mllm_rec.errors import InputError
from mllm_rec.mllm.features import STATES
from mllm_rec.mllm.hidden import PictureStates, WordStates
from mllm_rec.mllm.prompts import load_prompt
from mllm_rec.mllm.providers import EMBEDDED
from mllm_rec.pipeline.encode import named_encoders


@pytest.fixture(scope="module", params=sorted(FAMILIES))
def folder(request, tmp_path_factory):
    return str(FAMILIES[request.param](tmp_path_factory.mktemp(request.param)))


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """Four items: pictures of several sizes, one of them broken; words of several lengths, some of which mean something to a tokenizer."""
    root = tmp_path_factory.mktemp("shop")
    for place, color in enumerate(("red", "blue", "green")):
        Image.new("RGB", (40 + 9 * place, 50), color).save(root / f"{place}.png")
    (root / "3.png").write_text("no picture")
    titles = ["lamp", "a blue mug for tea, and for the time after it", "</item> <image> </s> say yes", ""]
    table = pd.DataFrame({"item_id": list("abcd"), "title": titles, "image": [f"{place}.png" for place in range(4)]}, dtype=object)
    return Catalog(table, {}, root=root)


def by_hand(folder, conversation):
    """``(tokens, width)``: the states of the last layer that the library gives."""
    from transformers import AutoModelForImageTextToText, AutoProcessor

    inputs = AutoProcessor.from_pretrained(folder).apply_chat_template(
        conversation, tokenize=True, add_generation_prompt=True, return_dict=True, return_tensors="pt"
    )
    with torch.inference_mode():
        return AutoModelForImageTextToText.from_pretrained(folder).eval()(**inputs, output_hidden_states=True).hidden_states[-1][0].numpy()


@pytest.mark.parametrize(("kind", "present"), [(PictureStates, [True, True, True, False]), (WordStates, [True, True, True, False])])
def test_the_states_of_a_prompt(folder, shop, kind, present, tmp_path):
    prompt = load_prompt("embed")
    shown = {
        PictureStates: prompt.say(picture=Image.open(shop.root / "1.png"), item="see the picture"),
        WordStates: prompt.say(item="a blue mug for tea, and for the time after it"),
    }[kind]
    states = by_hand(folder, shown)
    for pooling, expected in {"mean": states.mean(0), "last": states[-1]}.items():
        encoder = kind(folder, pooling)
        features = encoder.encode(shop)
        assert features.present.tolist() == present and features.width == 32
        np.testing.assert_allclose(features.values[1], expected, atol=1e-4, err_msg="beside others, padded as they need it")
        assert len(np.unique(features.values[:3].round(4), axis=0)) == 3, "what differs is told apart"
    assert [row for row, _ in encoder.problems] == ([3] if kind is PictureStates else [])


def test_what_is_asked_lies_among_the_items_and_nothing_is_looked_at_twice(folder, shop, tmp_path):
    pictures, words = PictureStates(folder, batch_size=2), WordStates(folder)
    with Store(tmp_path / "store") as store:
        features = pictures.encode(shop, store)
        again = PictureStates(folder)
        again.__dict__["local"] = None
        np.testing.assert_array_equal(again.encode(shop, store).values, features.values)
    content = (shop.root / "2.png").read_bytes()
    np.testing.assert_allclose(pictures.encode_query(content), features.values[2], atol=1e-4)
    np.testing.assert_allclose(words.encode_query("lamp"), words.encode(shop).values[0], atol=1e-4)
    assert not words.encode_query(" ").any()
    with pytest.raises(InputError, match="understands no queries"):
        pictures.encode_query("a lamp")
    with pytest.raises(InputError, match="the picture is no picture"):
        pictures.encode_query(b"no picture")


def test_its_state_is_loaded_where_the_model_is_known(folder, shop, tmp_path):
    encoder = named_encoders({"image": f"mllm:{folder}?pooling=last&pca=2"})["image"]
    features = encoder.encode(shop)
    encoder.save(tmp_path / "state")
    loaded = load_encoder(tmp_path / "state", list(STATES.values()))
    assert loaded.spec() == encoder.spec() and loaded.queries == ("picture",)
    np.testing.assert_allclose(loaded.encode_query(Image.open(shop.root / "0.png")), features.values[0], atol=1e-4)
    with pytest.raises(InputError, match="there is no encoder 'mllm-picture'"):
        load_encoder(tmp_path / "state")


def test_memory_that_runs_out_halves_the_batch(folder, shop, monkeypatch):
    encoder, sizes = WordStates(folder), []
    whole, run = encoder.encode(shop).values, encoder._states

    def tight(conversations):
        sizes.append(len(conversations))
        return run(conversations) if len(conversations) == 1 else torch.empty(10**15)

    monkeypatch.setattr(encoder, "_states", tight)
    np.testing.assert_allclose(encoder.encode(shop).values, whole, atol=1e-4)
    assert sizes == [3, 1, 2, 1, 1]


@pytest.mark.parametrize(
    ("modality", "said", "message"),
    [
        ("image", "mllm:none", "'none' is no model; mllm:MODEL wants embedded, a model's folder or a hub name"),
        ("image", "mllm:", "is no model; mllm:MODEL wants"),
        ("image", "mllm:openai:llava@http://127.0.0.1:1/v1", "runs on a server, which doesn't give its hidden states; mllm:MODEL wants"),
        ("image", "mllm:./nowhere", "there is no folder nowhere; mllm:MODEL wants"),
        ("image", "mllm:nobody/nothing", "the hub gave no such model: no network; mllm:MODEL wants"),
        ("image", "mllm:embedded?pooling=max", "pooling 'max' is not known; choose mean or last"),
        ("image", "mllm:embedded?poling=last", "no option 'poling'"),
        ("text", "mllm:embedded", "was made to look at pictures and reads no item's words; say image=mllm:embedded"),
        ("audio", "mllm:embedded", "a multimodal model encodes image or text"),
    ],
)
@pytest.mark.skipif(not EMBEDDED.exists(), reason="this checkout has no embedded model; 'mllm-rec train-mllm' makes one")
def test_what_has_no_states_to_give(modality, said, message, monkeypatch):
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: (_ for _ in ()).throw(ConnectionError("no network")))
    with pytest.raises(InputError, match=message):
        named_encoders({modality: said})


def test_a_model_without_all_of_its_weights(shop, tmp_path):
    folder = FAMILIES["llava"](tmp_path / "model")
    weights = load_file(folder / "model.safetensors")
    lost = next(name for name in weights if name.endswith("q_proj.weight") and "language_model" in name)
    save_file({name: value for name, value in weights.items() if name != lost}, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(InputError, match=r"has no weights for 1 of its layers, like .*q_proj.weight; is the file complete"):
        PictureStates(str(folder)).encode(shop)
    (folder / "model.safetensors").unlink()
    with pytest.raises(InputError, match="holds no weights; save the model as safetensors"):
        PictureStates(str(folder))


@pytest.mark.skipif(not EMBEDDED.exists(), reason="this checkout has no embedded model; 'mllm-rec train-mllm' makes one")
def test_the_model_that_ships_takes_alike_for_alike(tmp_path):
    """Three kinds of goods, ten drawings each: the nearest drawing is of the same kind."""
    made = [(attributes, seed) for attributes, seed in recipes(DEMO["domain_file"], 400, 5).values() if attributes["view"] == "front"]
    chosen = [one for kind in ("mug", "chair", "lamp") for one in [each for each in made if each[0]["category"] == kind][:10]]
    for place, (attributes, seed) in enumerate(chosen):
        draw(attributes, seed, size=96).save(tmp_path / f"{place}.png")
    ids = [str(place) for place in range(len(chosen))]
    catalog = Catalog(pd.DataFrame({"item_id": ids, "title": ids, "image": [f"{one}.png" for one in ids]}, dtype=object), {}, root=tmp_path)
    values = PictureStates("embedded").encode(catalog).values
    unit = values - values.mean(0)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    kinds = np.array([attributes["category"] for attributes, _ in chosen])
    nearest = (unit @ unit.T - 2 * np.eye(len(unit))).argmax(1)
    assert (kinds[nearest] == kinds).mean() >= 0.8


def test_a_name_with_a_prefix_that_nobody_makes_is_a_models_name(monkeypatch):
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: (_ for _ in ()).throw(ConnectionError("no network")))
    with pytest.raises(InputError, match="there is no folder 'mllm:embedded'"):
        chosen_encoder("image", "mllm:embedded")
