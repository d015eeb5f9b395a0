"""Features from a file: what is read, and what is refused with its mend."""

import numpy as np
import pytest
from shelves import shelf

from mllm_rec.data.matrices import read_matrix
from mllm_rec.encoders import load_encoder
from mllm_rec.encoders.published import Published
from mllm_rec.errors import InputError

GOOD = np.array([[1, 2], [0, 0], [3, 4]], dtype=np.float16)


@pytest.fixture
def three():
    return shelf(["a", "b", "c"])


def saved(folder, values):
    np.save(folder / "image_feat.npy", values)
    return folder / "image_feat.npy"


def test_rows_of_zeros_are_missing_and_the_spec_follows_the_content(three, tmp_path):
    encoder = Published(saved(tmp_path, GOOD), source="example.org")
    features = encoder.encode(three)
    assert features.values.dtype == np.float32 and features.present.tolist() == [True, False, True]
    np.testing.assert_array_equal(features.values, GOOD)
    assert features.spec["file"] == "image_feat.npy" and features.spec["source"] == "example.org"
    np.testing.assert_array_equal(read_matrix(encoder.path, 3).values, features.values)
    spec = encoder.spec()
    saved(tmp_path, GOOD + 1)
    assert encoder.spec() != spec


def test_a_mask_marks_rows_as_missing_whatever_they_hold(three, tmp_path):
    values = GOOD.copy()
    values[0] = np.nan
    encoder = Published(saved(tmp_path, values), present=np.array([False, True, True]))
    features = encoder.encode(three)
    assert features.present.tolist() == [False, False, True] and not features.values[:2].any()
    assert encoder.spec()["mask"] != Published(encoder.path).spec()["mask"]
    with pytest.raises(InputError, match=r"mask for .* has shape \(2,\); wanted \(3,\)"):
        Published(encoder.path, present=np.array([True, False])).encode(three)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([[1, 2], [np.nan, 0], [3, np.inf]], "NaN or infinite values in 2 rows, the first is row 1 .*; set such rows to zeros"),
        ([[1.0], [1e300], [2.0]], "NaN or infinite values in 1 rows, the first is row 1"),
        ([[1, 2], [3, 4]], "has 2 rows but there are 3 items; rows must follow item order"),
        (np.zeros((3, 0)), r"shape \(3, 0\); wanted numbers of shape \(num_items, width\)"),
        ([1, 2, 3], r"shape \(3,\); wanted numbers"),
        ([["a"], ["b"], ["c"]], "wanted numbers"),
        ([[5, 6]] * 3, "the same values in all 3 rows; it says nothing of the items"),
        (np.zeros((3, 4)), "the same values in all 3 rows"),
    ],
    ids=["nan", "too large", "rows", "no width", "a list", "words", "constant", "zeros"],
)
def test_what_is_refused(three, tmp_path, values, said):
    path = saved(tmp_path, np.array(values))
    with pytest.raises(InputError, match=said):
        Published(path).encode(three)
    with pytest.raises(InputError, match=said):
        read_matrix(path, 3)


def test_files_that_are_no_matrix(three, tmp_path):
    with pytest.raises(InputError, match="does not exist; wanted a NumPy matrix with a row for each of the 3 items"):
        Published(tmp_path / "gone.npy").encode(three)
    words, objects = tmp_path / "words.npy", tmp_path / "objects.npy"
    words.write_text("1,2,3")
    np.save(objects, np.array([{"a": 1}, None, []], dtype=object), allow_pickle=True)
    empty, several = tmp_path / "empty.npy", tmp_path / "several.npz"
    empty.touch()
    np.savez(several, a=GOOD)
    for path in (words, objects, empty, several):
        with pytest.raises(InputError, match=path.name):
            Published(path).encode(three)


def test_one_item(tmp_path):
    assert Published(saved(tmp_path, np.array([[1, 1]]))).encode(shelf(["a"])).present.all()


def test_it_understands_no_query_and_has_no_state_to_load(tmp_path):
    encoder = Published(saved(tmp_path, GOOD))
    with pytest.raises(InputError, match="'published' understands no queries"):
        encoder.encode_query("lamp")
    encoder.save(tmp_path / "published.safetensors")
    with pytest.raises(InputError, match=r"published features \('image_feat.npy'\) have no state"):
        load_encoder(tmp_path / "published.safetensors")
