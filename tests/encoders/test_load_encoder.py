"""States of encoders: what is loaded, and what is refused."""

import numpy as np
import pytest
from safetensors.numpy import save_file
from shelves import RED, disc, shelf

from mllm_rec.data.features import Features
from mllm_rec.encoders import Encoder, load_encoder, usual_encoders
from mllm_rec.encoders.text import Text
from mllm_rec.errors import InputError


@pytest.mark.parametrize("name", ["attributes", "image", "text"])
def test_every_encoder_comes_back_as_it_was(name, tmp_path):
    disc(RED).save(tmp_path / "a.png")
    encoder = usual_encoders()[name]()
    encoder.encode(shelf(["red lamp", "mug"], tmp_path, image=["a.png", None], color=("category", ["red", None])))
    encoder.save(tmp_path / "state")
    loaded = load_encoder(tmp_path / "state")
    assert type(loaded) is type(encoder) and loaded.spec() == encoder.spec() and loaded.module() is None
    (arrays, values), (old_arrays, old_values) = loaded.state(), encoder.state()
    assert values == old_values and arrays.keys() == old_arrays.keys()
    for key in arrays:
        np.testing.assert_array_equal(arrays[key], old_arrays[key])


def test_the_table_of_encoders_holds_each_under_its_name():
    assert {name: encoder.name for name, encoder in usual_encoders().items()} == {
        "attributes": "attributes",
        "text": "text",
        "image": "image",
    }
    assert {name: encoder.queries for name, encoder in usual_encoders().items()} == {
        "attributes": (),
        "text": ("words",),
        "image": ("picture",),
    }


def test_settings_other_than_the_usual_are_kept(tmp_path):
    encoder = Text(width=2, most_words=9)
    encoder.encode(shelf(["red lamp", "blue mug", "oak chair"]))
    encoder.save(tmp_path / "state")
    assert (load_encoder(tmp_path / "state").width, load_encoder(tmp_path / "state").most_words) == (2, 9)


def test_a_state_of_another_version_is_refused(tmp_path, monkeypatch):
    encoder = Text()
    encoder.encode(shelf(["red lamp", "mug"]))
    spec = Text.spec
    monkeypatch.setattr(Text, "spec", lambda self: {**spec(self), "version": 0, "scikit-learn": "0.1"})
    encoder.save(tmp_path / "state")
    monkeypatch.undo()
    with pytest.raises(InputError, match="made with other scikit-learn, version; build the features again"):
        load_encoder(tmp_path / "state")


def test_files_that_are_no_state(tmp_path):
    (tmp_path / "words").write_text("hello")
    (tmp_path / "empty").touch()
    for name in ("gone", "words", "empty", "."):
        with pytest.raises(InputError, match=r"is not an encoder's state .*build the features again"):
            load_encoder(tmp_path / name)


def test_a_state_cut_short(tmp_path):
    encoder = Text()
    encoder.encode(shelf(["red lamp", "mug"]))
    encoder.save(tmp_path / "state")
    whole = (tmp_path / "state").read_bytes()
    for length in (4, 100, len(whole) - 3):
        (tmp_path / "state").write_bytes(whole[:length])
        with pytest.raises(InputError, match="is not an encoder's state"):
            load_encoder(tmp_path / "state")


def test_another_safetensors_file_is_no_state(tmp_path):
    Features(np.ones((2, 2)), np.ones(2)).save(tmp_path / "features")
    save_file({"a": np.ones(1)}, tmp_path / "bare")
    for name in ("features", "bare"):
        with pytest.raises(InputError, match="there is no encoder None; there are attributes, text, image, text-model"):
            load_encoder(tmp_path / name)


def test_an_encoder_that_cannot_be_written_leaves_the_old_state(tmp_path):
    class Broken(Text):
        def state(self):
            return {"a": "no array"}, {}

    encoder = Text()
    encoder.encode(shelf(["red lamp", "mug"]))
    encoder.save(tmp_path / "state")
    with pytest.raises(AttributeError):
        Broken().save(tmp_path / "state")
    assert load_encoder(tmp_path / "state").encode_query("lamp").any()
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


def test_the_base_class_encodes_nothing():
    with pytest.raises(NotImplementedError):
        Encoder().spec()
