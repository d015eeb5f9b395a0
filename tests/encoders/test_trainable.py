"""Encoders that can be trained: what they read, what they begin with, and that no row depends on another."""

import numpy as np
import pytest
import torch
from shelves import BLUE, GREEN, RED, disc, distinct_pictures, permuted, shelf
from torch.nn.functional import relu

from mllm_rec.encoders import load_encoder, networks
from mllm_rec.encoders.chosen import chosen_encoder
from mllm_rec.encoders.store import Store
from mllm_rec.errors import InputError

TITLES = [
    "red lamp",
    "blue lamp with a large shade",
    "red mug",
    "blue mug",
    "the lamp of a red, blue and large house",
    "zebra",
    "",
    "red red red",
]
SAID = {"text": ["textcnn?width=6", "gru?width=6", "tfidf?trained=6"], "image": ["cnn?width=6", "statistics?trained=6"]}
ALL = [(modality, said) for modality, those in SAID.items() for said in those]


@pytest.fixture(scope="module")
def catalog(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    return shelf(TITLES, folder, image=[*distinct_pictures(folder, 7), None])


@pytest.mark.parametrize(("modality", "said"), ALL)
def test_features_are_what_the_module_makes_of_the_inputs(catalog, modality, said):
    encoder = chosen_encoder(modality, said)
    features, (inputs, present) = encoder.encode(catalog), encoder.inputs(catalog)
    assert encoder.trainable and features.width == 6 and len(inputs) == len(TITLES)
    np.testing.assert_array_equal(features.present, present)
    with torch.no_grad():
        made = encoder.module()(torch.from_numpy(inputs[present])).numpy()
        one_by_one = np.concatenate([encoder.module()(torch.from_numpy(row[None])).numpy() for row in inputs[present]])
    np.testing.assert_allclose(made, features.values[present], atol=1e-5)
    np.testing.assert_allclose(one_by_one, made, atol=1e-5)
    np.testing.assert_allclose(made.mean(0), 0, atol=1e-5)
    assert made.std(0).max() > 1e-3


@pytest.mark.parametrize(("modality", "said"), ALL)
def test_a_query_lies_where_the_item_lies_before_and_after_loading(catalog, modality, said, tmp_path):
    encoder = chosen_encoder(modality, said)
    features = encoder.encode(catalog)
    query = TITLES[1] if modality == "text" else (catalog.root / "1.png").read_bytes()
    np.testing.assert_allclose(encoder.encode_query(query), features.values[1], atol=1e-4)
    encoder.save(tmp_path / "state")
    loaded = load_encoder(tmp_path / "state")
    assert loaded.queries == encoder.queries == (("words",) if modality == "text" else ("picture",))
    np.testing.assert_array_equal(loaded.encode_query(query), encoder.encode_query(query))
    for name, tensor in encoder.module().state_dict().items():
        assert torch.equal(loaded.module().state_dict()[name], tensor)


@pytest.mark.parametrize(("modality", "said"), ALL)
def test_the_same_weights_whatever_else_is_drawn_and_permuting_items_permutes_rows(catalog, modality, said):
    encoder, order = chosen_encoder(modality, said), np.random.default_rng(0).permutation(len(TITLES))
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    first = encoder.encode(catalog).values
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(2)
    np.testing.assert_allclose(chosen_encoder(modality, said).encode(permuted(catalog, order)).values, first[order], atol=1e-4)


def test_words_that_are_read():
    encoder = chosen_encoder("text", "textcnn")
    (ids, present), known = (encoder.learn(shelf(TITLES)), encoder.inputs(shelf(TITLES)))[1], encoder._vocabulary
    # of two items or more; "a" and "of" by length and by plural rule are words like any other
    assert "zebra" not in known and "shade" not in known and {"red", "blue", "lamp", "mug", "large"} <= known.keys()
    assert present.tolist() == [True, True, True, True, True, False, False, True]
    assert min(known.values()) == 2 and ids[5].tolist()[:2] == [networks.UNKNOWN, networks.PADDING] and not ids[6].any()
    assert ids[0].tolist()[:3] == [known["red"], known["lamp"], networks.PADDING]
    assert not chosen_encoder("text", "textcnn").encode(shelf(["alone", "here"])).present.any()


def test_words_nobody_knows_ask_for_nothing(catalog):
    encoder = chosen_encoder("text", "gru")
    encoder.encode(catalog)
    assert not encoder.encode_query("zebra, or a giraffe").any() and not encoder.encode_query("").any()
    assert encoder.encode_query("red zebra").any()
    with pytest.raises(InputError, match="'gru' has no weights yet; encode a catalog"):
        chosen_encoder("text", "gru").encode_query("red")


def test_textcnn_equation():
    """Kim, eq. 2-3: ``max_i relu(w . x_{i:i+h-1} + b)`` over the windows of the text, padded where it is shorter."""
    torch.manual_seed(0)
    network = networks.TextConvNet(9, 2, word_dim=3, filters=4)
    for text in ([2, 5, 8, 3, 4, 7], [6, 1]):
        found = []
        for window, layer in zip(networks.TextConvNet.windows, network.convolutions, strict=True):
            x = network.words(torch.tensor(text + [0] * max(0, window - len(text))))
            windows = [x[start : start + window] for start in range(len(x) - window + 1)]
            found.append(torch.stack([relu(torch.einsum("td,fdt->f", one, layer.weight) + layer.bias) for one in windows]).amax(0))
        wanted = network.last(torch.cat(found))
        for padding in (0, 9):
            assert torch.allclose(network(torch.tensor([text + [0] * padding]))[0], wanted, atol=1e-6)


def test_gru_reads_the_words_and_not_the_padding():
    torch.manual_seed(0)
    network = networks.TextGRU(9, 2, word_dim=3, state=4)
    wanted = network.last(network.gru(network.words(torch.tensor([[2, 5, 8]])))[0].mean(1))
    assert torch.allclose(network(torch.tensor([[2, 5, 8, 0, 0], [1, 2, 3, 4, 5]]))[0], wanted[0], atol=1e-6)
    assert not torch.allclose(network(torch.tensor([[8, 5, 2]])), wanted, atol=1e-3), "order counts"


def test_broken_pictures_are_named_and_pixels_are_kept(tmp_path):
    distinct_pictures(tmp_path, 2)
    (tmp_path / "words.png").write_text("not a picture")
    catalog, encoder = shelf(["a", "b", "c", "d"], tmp_path, image=["0.png", "words.png", None, "1.png"]), chosen_encoder("image", "cnn")
    with Store(tmp_path / "store") as store:
        features = encoder.encode(catalog, store)
        assert features.present.tolist() == [True, False, False, True] and len(store) == 2
        assert [row for row, why in encoder.problems if why.startswith("is no picture")] == [1]
        np.testing.assert_array_equal(chosen_encoder("image", "cnn?width=9").inputs(catalog, store)[0], encoder.inputs(catalog)[0])
        assert len(store) == 2, "the pixels are the same for every width"
    with pytest.raises(InputError, match="the picture is no picture"):
        encoder.encode_query(b"words")


def test_pixels_are_those_of_the_picture(tmp_path):
    for name, color in (("r", RED), ("g", GREEN), ("b", BLUE)):
        disc(color, radius=3).save(tmp_path / f"{name}.png")
    inputs, present = chosen_encoder("image", "cnn").inputs(shelf(["r", "g", "b"], tmp_path, image=["r.png", "g.png", "b.png"]))
    assert inputs.dtype == np.uint8 and inputs.shape == (3, 32, 32, 3) and present.all()
    assert (inputs == np.array([RED, GREEN, BLUE])[:, None, None]).all()


def test_a_trained_projection_begins_with_the_principal_directions(catalog):
    ours, theirs = (chosen_encoder("image", f"statistics?{kind}=4").encode(catalog) for kind in ("trained", "pca"))
    np.testing.assert_allclose(np.abs(ours.values), np.abs(theirs.values), atol=1e-4)
    wide = chosen_encoder("image", "statistics?trained=300").encode(catalog)
    assert wide.width == 300 and np.abs(wide.values).max(0).astype(bool).sum() <= 192


def test_what_is_trained_already_or_has_no_such_option_is_refused():
    with pytest.raises(InputError, match=r"'cnn' is trained itself; give it its width with \?width=8"):
        chosen_encoder("image", "cnn?trained=8")
    with pytest.raises(InputError, match="no option 'side'"):
        chosen_encoder("image", "cnn?side=8")
    with pytest.raises(InputError, match="'width=none' must be a number"):
        chosen_encoder("text", "gru?width=none")
    with pytest.raises(InputError, match="'text' is frozen"):
        chosen_encoder("text", "tfidf").inputs(shelf(["a"]))
