"""Word vectors from files: by hand, and files that are not as they should be."""

import gzip

import numpy as np
import pytest
from shelves import shelf

from mllm_rec.encoders import load_encoder
from mllm_rec.encoders.chosen import chosen_encoder
from mllm_rec.encoders.word_vectors import WordVectors
from mllm_rec.errors import InputError

LINES = ["red 1 0 0", "Lamp 0 1 0", "lamp 9 9 9", "blue 0 0 1", "crimson 0.9 0.1 0"]


def written(path, lines):
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_the_mean_of_words_by_hand(tmp_path):
    """Of five words in the catalog two are "lamp": its weight is 1e-3 / (1e-3 + 2/5), that of the others 1e-3 / (1e-3 + 1/5)."""
    catalog = shelf(["red lamp", "blue lamp", "unheard"])
    encoder = WordVectors(written(tmp_path / "glove.txt", LINES))
    features = encoder.encode(catalog)
    rare, often = 1e-3 / (1e-3 + 1 / 5), 1e-3 / (1e-3 + 2 / 5)
    np.testing.assert_allclose(features.values[0], np.array([rare, often, 0]) / (rare + often), rtol=1e-5)
    assert features.present.tolist() == [True, True, False]
    near = features.values @ encoder.encode_query("CRIMSON")
    assert near.argmax() == 0, "a word that no item says finds what is like it"
    encoder.save(tmp_path / "state")
    (tmp_path / "glove.txt").unlink()
    loaded = load_encoder(tmp_path / "state")
    np.testing.assert_allclose(loaded.encode_query("crimson lamp"), encoder.encode_query("crimson lamp"), atol=1e-3)


def test_a_word2vec_file_has_a_first_line_of_its_own_and_may_be_gzipped(tmp_path):
    catalog = shelf(["red lamp", "blue"])
    plain = WordVectors(written(tmp_path / "a.vec", LINES)).encode(catalog)
    with gzip.open(tmp_path / "b.vec.gz", "wt", encoding="utf-8") as file:
        file.write("\n".join(["5 3", *LINES]))
    other = chosen_encoder("text", str(tmp_path / "b.vec.gz")).encode(catalog)
    np.testing.assert_array_equal(plain.values, other.values)


def test_only_the_catalogs_words_are_kept_beyond_the_first(tmp_path):
    encoder = WordVectors(written(tmp_path / "a.vec", LINES), most_words=1)
    encoder.encode(shelf(["blue", "blue"]))
    assert list(encoder._rows) == ["red", "blue"]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["red 1 0", "blue 1"], "line 2: 'blue' has 1 numbers, the lines before have 2"),
        (["red 1 0", "blue 1 x"], "line 2: after the word 'blue' there must be numbers only"),
        (["red 1 0", "blue 1 nan"], "line 2: 'blue' has numbers that are not finite"),
        (["red 1 0", "blue 1 0", "red 0 1"], "'red' stands in lines 1 and 3"),
        (["5 3"], "has no word vectors"),
        (["red 1 0", "Red 0 1", "Red 1 1"], "'Red' stands in lines 2 and 3"),
        (["red 1 0", "lamp 1", "blue 0 1"], "line 2: 'lamp' has 1 numbers"),
        (["red 1 0", "blue 1 0 0"], "line 2: 'blue' has 3 numbers, the lines before have 2"),
        (["red"], "line 1: 'red' has 0 numbers"),
        (["red 1 0", "", "blue 1 0"], "line 2: '' has 0 numbers; wanted a word and its numbers"),
        (["red\t1\t0"], "has 0 numbers; wanted a word and its numbers, separated by spaces"),
    ],
)
def test_files_that_are_not_as_they_should_be(tmp_path, lines, said):
    with pytest.raises(InputError, match=said):
        WordVectors(written(tmp_path / "a.vec", lines)).encode(shelf(["red blue"]))


def test_files_that_are_no_words(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "a.vec.gz").write_bytes(b"no gzip")
    (tmp_path / "cut.vec.gz").write_bytes(gzip.compress("\n".join(LINES).encode())[:-9])
    for name in ("a.txt", "a.vec.gz", "cut.vec.gz"):
        with pytest.raises(InputError, match="can't be read as word vectors"):
            WordVectors(tmp_path / name).encode(shelf(["red"]))
    with pytest.raises(InputError, match="there is no file"):
        chosen_encoder("text", str(tmp_path / "gone.vec"))
