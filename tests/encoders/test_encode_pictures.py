"""The image encoder: what is missing, what is computed again, what a picture finds."""

import io

import numpy as np
import pytest
from PIL import Image as Pictures
from shelves import BLUE, RED, disc, distinct_pictures, permuted, shelf

from mllm_rec.encoders import image
from mllm_rec.encoders.image import Image
from mllm_rec.encoders.store import Store
from mllm_rec.errors import InputError


def pictured(folder, names):
    return shelf([f"Item {k}" for k in range(len(names))], folder, image=names)


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """Twelve items of which the last two show the same picture, their encoder, and their features."""
    folder = tmp_path_factory.mktemp("shop")
    names = distinct_pictures(folder, 11)
    (folder / "copy.png").write_bytes((folder / "10.png").read_bytes())
    catalog, encoder = pictured(folder, [*names, "copy.png"]), Image()
    return catalog, encoder, encoder.encode(catalog)


@pytest.fixture
def measured(monkeypatch):
    """Every content that is measured while the test runs."""
    seen, describe = [], image.describe

    def counted(content):
        seen.append(content)
        return describe(content)

    monkeypatch.setattr(image, "describe", counted)
    return seen


def test_rows_have_length_1_and_equal_pictures_equal_rows(shop):
    _, encoder, features = shop
    assert features.present.all() and not encoder.problems and features.spec == encoder.spec()
    np.testing.assert_allclose(np.linalg.norm(features.values, axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(features.values[10], features.values[11])
    assert len(np.unique(features.values, axis=0)) == 11


def test_an_axis_is_divided_by_the_square_root_of_its_deviation():
    """Along the first axis the four rows deviate by the root of 8, along the second by the root of 1/2."""
    rows = np.array([[4, 0, 0], [-4, 0, 0], [0, 1, 0], [0, -1, 0]])
    np.testing.assert_allclose(np.abs(image._principal(rows, 3)), [[8**-0.25, 0], [0, 0.5**-0.25], [0, 0]], atol=1e-6)
    assert image._principal(rows, 1).shape == (3, 1)


def test_each_block_has_the_length_of_its_weight(shop):
    _, encoder, features = shop
    ends = np.cumsum([axes.shape[1] for axes in encoder._axes.values()])
    lengths = [np.linalg.norm(block, axis=1) for block in np.split(features.values, ends[:-1], axis=1)]
    np.testing.assert_allclose(lengths[0] / lengths[4], 1.2, rtol=1e-4)  # color to shape
    np.testing.assert_allclose(lengths[1] / lengths[4], 0.5, rtol=1e-4)  # layout to shape


def test_permuting_items_permutes_rows(shop):
    catalog, _, features = shop
    order = np.random.default_rng(0).permutation(len(catalog))
    np.testing.assert_array_equal(Image().encode(permuted(catalog, order)).values, features.values[order])


def test_batches_change_nothing(shop):
    catalog, _, features = shop
    np.testing.assert_array_equal(Image(batch_size=5).encode(catalog).values, features.values)


def test_a_picture_finds_its_own_item_first(shop):
    catalog, encoder, features = shop
    for row in range(10):
        path = catalog.picture(row)
        vector = encoder.encode_query(path.read_bytes())
        np.testing.assert_allclose(vector, features.values[row], atol=1e-5)
        np.testing.assert_array_equal(vector, encoder.encode_query(Pictures.open(path)))
        assert (features.values @ vector).argmax() == row


def test_missing_and_broken_pictures_are_marked_and_named(tmp_path):
    distinct_pictures(tmp_path, 2)
    (tmp_path / "words.png").write_text("not a picture")
    (tmp_path / "half.png").write_bytes((tmp_path / "0.png").read_bytes()[:300])
    (tmp_path / "folder.png").mkdir()
    names = ["0.png", None, "gone.png", "words.png", "half.png", "1.png", "folder.png", "words.png"]
    encoder = Image()
    with Store(tmp_path / "store") as store:
        features = encoder.encode(pictured(tmp_path, names), store)
        assert len(store) == 2
    assert features.present.tolist() == [True, False, False, False, False, True, False, False]
    assert not features.values[~features.present].any()
    faults = dict(encoder.problems)
    assert list(faults) == [2, 3, 4, 6, 7]
    assert faults[2] == "is not in the folder" and faults[3] == faults[7] == "is no picture"
    assert faults[4].startswith("can't be read: ") and faults[6] == "can't be read: Is a directory"


def test_each_content_is_measured_once_whatever_its_name(tmp_path, measured):
    names = distinct_pictures(tmp_path, 4)
    (tmp_path / "twin.png").write_bytes((tmp_path / "0.png").read_bytes())
    with Store(tmp_path / "store") as store:
        first = Image(batch_size=3).encode(pictured(tmp_path, [*names, "twin.png", "0.png"]), store)
        assert len(measured) == len(store) == 4

        (tmp_path / "3.png").rename(tmp_path / "renamed.png")
        again = Image().encode(pictured(tmp_path, [*names[:3], "renamed.png", "twin.png", "0.png"]), store)
        assert len(measured) == 4
        np.testing.assert_array_equal(again.values, first.values)

        disc(BLUE, 0.9).save(tmp_path / "0.png")
        changed = Image().encode(pictured(tmp_path, [*names[:3], "renamed.png", "twin.png", "0.png"]), store)
        assert measured[4:] == [(tmp_path / "0.png").read_bytes()]
        assert not np.allclose(changed.values[0], changed.values[4])


def test_without_a_store_too_each_content_is_measured_once(tmp_path, measured):
    distinct_pictures(tmp_path, 2)
    (tmp_path / "twin.png").write_bytes((tmp_path / "0.png").read_bytes())
    Image(batch_size=1).encode(pictured(tmp_path, ["0.png", "1.png", "twin.png"]))
    assert len(measured) == 2


def test_settings_are_part_of_the_key(tmp_path, measured):
    names = distinct_pictures(tmp_path, 2)
    with Store(tmp_path / "store") as store:
        Image().encode(pictured(tmp_path, names), store)
        Image(axes=4).encode(pictured(tmp_path, names), store)
    assert len(measured) == 4


@pytest.mark.parametrize(("names", "present"), [(["0.png"], [True]), (["0.png", "0.png"], [True, True]), ([None, None], [False, False])])
def test_nothing_to_compare(tmp_path, names, present):
    """With one picture or none there is no direction in which pictures differ: rows are 0, and so is a query."""
    distinct_pictures(tmp_path, 1)
    encoder = Image()
    features = encoder.encode(pictured(tmp_path, names))
    assert features.present.tolist() == present and not features.values.any()
    assert not encoder.encode_query(disc(RED)).any()


def test_a_catalog_without_a_column_of_pictures(tmp_path):
    assert not Image().encode(shelf(["A", "B"])).present.any()


def test_queries_that_cannot_be_encoded(shop):
    _, encoder, _ = shop
    with pytest.raises(InputError, match="the picture is no picture"):
        encoder.encode_query(b"words")
    buffer = io.BytesIO()
    disc(RED).save(buffer, "PNG")
    with pytest.raises(InputError, match="the picture can't be read"):
        encoder.encode_query(buffer.getvalue()[:200])
    with pytest.raises(InputError, match="encode a catalog or load its state first"):
        Image().encode_query(disc(RED))


def test_state_gives_the_same_queries(shop, tmp_path):
    from mllm_rec.encoders import load_encoder

    _, encoder, _ = shop
    encoder.save(tmp_path / "image.safetensors")
    loaded = load_encoder(tmp_path / "image.safetensors")
    np.testing.assert_array_equal(loaded.encode_query(disc(BLUE, 0.4)), encoder.encode_query(disc(BLUE, 0.4)))


def test_progress_is_counted_in_pictures(tmp_path, capsys):
    Image().encode(pictured(tmp_path, distinct_pictures(tmp_path, 2)), progress=True)
    assert "2/2" in (said := capsys.readouterr().err) and "picture" in said
