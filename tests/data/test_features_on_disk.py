"""Feature matrices: shapes, missing rows, on disk."""

import numpy as np
import pytest

from mllm_rec.data.features import Features
from mllm_rec.data.files import atomic
from mllm_rec.errors import InputError


def test_missing_rows_are_zero_whatever_they_hold():
    features = Features(np.array([[1, 2], [np.nan, 5]]), [True, False])
    assert features.values.dtype == np.float32 and features.width == 2
    assert features.values.tolist() == [[1, 2], [0, 0]] and features.present.tolist() == [True, False]


@pytest.mark.parametrize(
    ("values", "present", "words"),
    [
        (np.ones(3), np.ones(3, bool), r"shape \(3,\)"),
        (np.ones((3, 0)), np.ones(3, bool), r"shape \(3, 0\)"),
        (np.ones((3, 2)), np.ones(2, bool), r"presence \(2,\)"),
        (np.array([[1.0], [np.nan], [np.inf]]), np.ones(3, bool), "NaN or infinite values in 2 rows, the first is row 1"),
        (np.array([[1.0], [1e300], [1.0]]), np.ones(3, bool), "the first is row 1"),
    ],
)
def test_wrong_shapes_and_values(values, present, words):
    with pytest.raises(InputError, match=words):
        Features(values, present)


def test_saved_and_loaded(tmp_path):
    features = Features(np.arange(6).reshape(3, 2), [True, False, True], {"encoder": "text", "dim": 2})
    features.save(tmp_path / "features" / "text.safetensors")
    loaded = Features.load(tmp_path / "features" / "text.safetensors")
    assert (loaded.values == features.values).all() and (loaded.present == features.present).all()
    assert loaded.spec == {"encoder": "text", "dim": 2}


def test_broken_files(tmp_path):
    Features(np.ones((3, 2)), [True] * 3).save(tmp_path / "text.safetensors")
    (tmp_path / "part.safetensors").write_bytes((tmp_path / "text.safetensors").read_bytes()[:-4])
    for name in ("part", "none"):
        with pytest.raises(InputError, match=rf"{name}\.safetensors can't be read as features"):
            Features.load(tmp_path / f"{name}.safetensors")


def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    (tmp_path / "a").write_text("old")
    with pytest.raises(OSError, match="disk full"), atomic(tmp_path / "a") as temporary:
        temporary.write_text("half")
        raise OSError("disk full")
    assert (tmp_path / "a").read_text() == "old" and len(list(tmp_path.iterdir())) == 1
