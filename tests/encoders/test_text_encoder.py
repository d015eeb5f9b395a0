"""The text encoder: TF-IDF by hand, queries, and texts that nobody expected."""

import time

import numpy as np
import pytest
from shelves import cosines, permuted, shelf

from mllm_rec.encoders import load_encoder
from mllm_rec.encoders.text import Text, words
from mllm_rec.errors import InputError

TITLES = ("Red table lamp", "Blue table lamp", "Striped mug", "Plain mug", "Oak chair with armrests")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Red LAMPS, 2 mugs!", ["red", "lamp", "mug"]),
        ("Stories of cities", ["story", "of", "city"]),
        ("glasses dresses bus gas class", ["glasse", "dresse", "bus", "gas", "class"]),
        ("Café Müller", ["cafe", "muller"]),
        ("赤い lamp", ["赤", "い", "lamp"]),
        ("Красная ваза", ["красная", "ваза"]),
        ("rock'n'roll snake_case 4K", ["rock", "roll", "snake", "case", "4k"]),
        ("", []),
    ],
)
def test_words(text, said):
    assert words(text) == said


def test_values_are_those_of_tf_idf():
    """Two of two items say red: ln 3/2; one says lamp: ln 3. The decomposition keeps every direction there is."""
    features = Text().encode(shelf(["red lamp", "red mug"]))
    shared, own = np.log(3 / 2), np.log(3)
    assert features.width == 2
    np.testing.assert_allclose(np.linalg.norm(features.values, axis=1), 1, rtol=1e-6)
    assert cosines(features.values)[0, 1] == pytest.approx(shared**2 / (shared**2 + own**2), rel=1e-5)


def test_a_word_said_twice_counts_one_and_its_logarithm():
    values = Text().encode(shelf(["red red lamp", "red", "lamp"])).values
    twice = 1 + np.log(2)
    assert values[0] @ values[1] == pytest.approx(twice / np.hypot(twice, 1), rel=1e-5)
    assert values[0] @ values[2] == pytest.approx(1 / np.hypot(twice, 1), rel=1e-5)


def test_title_text_and_attributes_count_alike():
    """A long text does not drown the title: the lamp with a mug in its text stays nearer to 'lamp'."""
    catalog = shelf(
        ["lamp", "mug"], text=("text", ["goes with any mug " * 200, "for tea"]), room=("set", [("kitchen",), ("hall", "kitchen")])
    )
    encoder = Text()
    values = encoder.encode(catalog).values
    assert (values @ encoder.encode_query("lamp")).argmax() == 0
    assert (values @ encoder.encode_query("hall")).argmax() == 1


def test_words_find_their_item_however_they_are_written():
    encoder = Text()
    values = encoder.encode(shelf(TITLES)).values
    for row, query in enumerate(("a RED table lamp", "blue lamps", "striped mugs", "plain  mug?", "chairs")):
        assert (values @ encoder.encode_query(query)).argmax() == row
    assert not encoder.encode_query("zeppelin").any() and not encoder.encode_query("").any()


def test_permuting_items_keeps_likenesses():
    catalog, order = shelf(TITLES), [3, 0, 4, 1, 2]
    values, moved = Text().encode(catalog).values, Text().encode(permuted(catalog, order)).values
    np.testing.assert_allclose(cosines(moved), cosines(values)[np.ix_(order, order)], atol=1e-5)


def test_the_same_catalog_gives_the_same_bytes():
    assert Text().encode(shelf(TITLES)).values.tobytes() == Text().encode(shelf(TITLES)).values.tobytes()


def test_items_without_a_word_are_missing():
    features = Text().encode(shelf(["lamp", "!?", ""], text=("text", [None, None, None])))
    assert features.present.tolist() == [True, False, False] and not features.values[1:].any()


def test_no_word_at_all():
    encoder = Text()
    features = encoder.encode(shelf(["-", ""]))
    assert features.width == 1 and not features.present.any() and not encoder.encode_query("lamp").any()


def test_one_item():
    encoder = Text()
    features = encoder.encode(shelf(["Red lamp"]))
    assert features.present.all() and features.values @ encoder.encode_query("lamp") > 0


def test_width_is_kept():
    rng = np.random.default_rng(0)
    titles = [" ".join(f"w{number}" for number in rng.integers(0, 60, 8)) for _ in range(40)]
    assert Text(width=7).encode(shelf(titles)).width == 7
    encoder = Text(most_words=5)
    encoder.encode(shelf(titles))
    assert len(encoder.state()[1]["vocabulary"]) == 5


def test_a_title_of_a_million_signs_takes_no_time_and_harms_nobody():
    begun = time.process_time()
    encoder = Text()
    features = encoder.encode(shelf(["lamp " + "word " * 200_000 + "zeppelin", "mug", "a" * 1_000_000]))
    assert time.process_time() - begun < 2
    assert features.present.all() and not encoder.encode_query("zeppelin").any()
    assert (features.values @ encoder.encode_query("mug")).argmax() == 1
    encoder.encode_query("mug " * 250_000)
    assert time.process_time() - begun < 4


def test_state_gives_the_same_queries(tmp_path):
    encoder = Text()
    encoder.encode(shelf([*TITLES, "лампа 灯", "café"]))
    encoder.save(tmp_path / "text.safetensors")
    loaded = load_encoder(tmp_path / "text.safetensors")
    for query in ("red lamp", "灯", "CAFÉ", "zeppelin"):
        np.testing.assert_array_equal(loaded.encode_query(query), encoder.encode_query(query))


def test_a_query_before_any_catalog():
    with pytest.raises(InputError, match="encode a catalog or load its state first"):
        Text().encode_query("lamp")
