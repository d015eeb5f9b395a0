"""PCA and whitening of another encoder's features."""

import numpy as np
import pytest
from shelves import distinct_pictures, shelf

from mllm_rec.encoders import load_encoder
from mllm_rec.encoders.chosen import chosen_encoder
from mllm_rec.errors import InputError


@pytest.fixture(scope="module")
def catalog(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    return shelf([f"item {n}" for n in range(25)], folder, image=[*distinct_pictures(folder, 24), None])


@pytest.mark.parametrize("kind", ["pca", "whiten"])
def test_directions_of_the_features(catalog, kind, tmp_path):
    encoder, whole = chosen_encoder("image", f"statistics?{kind}=3"), chosen_encoder("image", "statistics").encode(catalog)
    features = encoder.encode(catalog)
    assert features.values.shape == (25, 3) and features.present.tolist() == whole.present.tolist()
    rows = features.values[:24].astype(np.float64)
    np.testing.assert_allclose(rows.mean(0), 0, atol=1e-5)
    spread = rows.T @ rows / 24
    variance = np.linalg.eigvalsh(np.cov(whole.values[:24].T.astype(np.float64), bias=True))[::-1][:3]
    np.testing.assert_allclose(spread, np.diag(variance if kind == "pca" else np.ones(3)), rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(encoder.encode_query((catalog.root / "5.png").read_bytes()), features.values[5], atol=1e-4)
    encoder.save(tmp_path / "state")
    loaded = load_encoder(tmp_path / "state")
    assert loaded.queries == ("picture",)
    np.testing.assert_array_equal(
        loaded.encode_query((catalog.root / "5.png").read_bytes()), encoder.encode_query((catalog.root / "5.png").read_bytes())
    )


def test_what_all_have_in_common_tells_nothing(tmp_path):
    features = chosen_encoder("text", "tfidf?whiten=8").encode(shelf(["same", "same", "same"]))
    assert features.width == 1 and not features.values.any()


def test_widths_that_are_none(catalog):
    for said in ("0", "-3", "x", ""):
        with pytest.raises(InputError, match="pca="):
            chosen_encoder("image", f"statistics?pca={said}")
