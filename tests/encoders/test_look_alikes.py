"""Whether pictures that lie near each other show like things: judged on the demo shop's drawings."""

import io
from collections import Counter

import numpy as np
import pytest
from shelves import shelf

from mllm_rec.data.sources.demo import DEMO, draw, recipes
from mllm_rec.encoders.image import Image

KINDS, OF_EACH = ("lamp", "mug", "chair", "cushion", "clock"), 9
FIELDS = ("category", "color", "pattern", "shape", "material")


def front_views():
    """What the shop's front views show, and how each is drawn."""
    return [recipe for recipe in recipes(DEMO["domain_file"], DEMO["items"], DEMO["seed"]).values() if recipe[0]["view"] == "front"]


def drawn(chosen, folder, size):
    """Attributes, pictures, the encoder and the features of a catalog of drawings."""
    pictures = [draw(*recipe, size=size) for recipe in chosen]
    names = [f"{row}.png" for row in range(len(chosen))]
    for picture, name in zip(pictures, names, strict=True):
        picture.save(folder / name)
    encoder = Image()
    return [shown for shown, _ in chosen], pictures, encoder, encoder.encode(shelf(names, folder, image=names)).values


@pytest.fixture(scope="module")
def drawings(tmp_path_factory):
    """Nine front views of each of five categories."""
    left, chosen = Counter(dict.fromkeys(KINDS, OF_EACH)), []
    for shown, own in front_views():
        if left[shown["category"]] > 0:
            left[shown["category"]] -= 1
            chosen.append((shown, own))
    return drawn(chosen, tmp_path_factory.mktemp("drawings"), 160)


def by_mean_color(pictures):
    means = np.stack([np.asarray(picture, dtype=float).mean(axis=(0, 1)) for picture in pictures])
    return -((means[:, None] - means) ** 2).sum(axis=2)


def neighbors(likeness, count):
    return np.argsort(-likeness + 1e9 * np.eye(len(likeness)), axis=1)[:, :count]


def lift(likeness, values):
    """How many times more often one of the three nearest has the same value than any other item has."""
    values = np.array(values)
    same = values[:, None] == values
    return (values[neighbors(likeness, 3)] == values[:, None]).mean() / same[~np.eye(len(same), dtype=bool)].mean()


@pytest.mark.parametrize(("field", "least"), list(zip(FIELDS, (2.8, 2.3, 1.3, 1.8, 1.5), strict=True)))
def test_neighbors_are_alike_and_not_by_mean_color(drawings, field, least):
    attributes, pictures, _, rows = drawings
    assert len(attributes) == len(KINDS) * OF_EACH
    values = [shown[field] for shown in attributes]
    assert lift(rows @ rows.T, values) > least > lift(by_mean_color(pictures), values)


def test_a_re_encoded_and_resized_copy_finds_its_item(drawings):
    _, pictures, encoder, rows = drawings
    for row in range(0, len(pictures), 6):
        buffer = io.BytesIO()
        pictures[row].resize((110, 110)).save(buffer, "JPEG", quality=60)
        likeness = rows @ encoder.encode_query(buffer.getvalue())
        assert (likeness > likeness[row]).sum() < 3


@pytest.mark.slow
def test_five_neighbors_tell_what_a_picture_shows(tmp_path):
    """Leave-one-out accuracy of five neighbors among 400: half a minute, most of it drawing."""
    attributes, pictures, _, rows = drawn(front_views()[:400], tmp_path, 224)
    found = {}
    for field in FIELDS:
        values = [shown[field] for shown in attributes]
        for name, likeness in (("image", rows @ rows.T), ("mean color", by_mean_color(pictures))):
            said = [Counter(values[near] for near in nearest).most_common(1)[0][0] for nearest in neighbors(likeness, 5)]
            found[field, name] = np.mean(np.array(said) == values)
    for field, least in zip(FIELDS, (0.75, 0.55, 0.42, 0.30, 0.40), strict=True):
        assert found[field, "image"] > least > 2 * found[field, "mean color"], found
