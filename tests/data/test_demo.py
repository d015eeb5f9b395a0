"""The demo shop: frozen, honest about what its pictures show, and not readable from color alone."""

import hashlib

import numpy as np
import pytest
import yaml
from PIL import Image

from mllm_rec.data.sources import demo
from mllm_rec.data.sources.demo import DEMO, contact_sheet, draw, pictures, read, recipes, world

HOME = DEMO["domain_file"]
PICNIC = "domains/picnic.yaml"
LAMP = {"category": "lamp", "color": "red", "pattern": "striped", "shape": "tapered", "material": "linen"}
TABLES = "72ee74e5b7874c6f6bcafd6d333fc5fa78b8994ed3e887e6e1b93e210b943117"
DRAWINGS = "610cae84be52dd5789031fc14eeefadf511e6fc97e40bb6045cad2075fc3f9dc"


@pytest.fixture(scope="module")
def shop():
    return world(**DEMO)


@pytest.fixture(scope="module")
def drawings():
    """300 pictures seen from the front, with what they show: [(attributes, mean color)]."""
    front = [recipe for recipe in recipes(HOME, DEMO["items"], DEMO["seed"]).values() if recipe[0]["view"] == "front"][:300]
    return [(attributes, pixels(draw(attributes, own, size=64)).mean((0, 1))) for attributes, own in front]


def pixels(picture):
    return np.asarray(picture, dtype=np.float64)


def test_the_shop_is_frozen(shop):
    """Nothing is tuned by bending the world: a changed hash is a changed benchmark."""
    text = "".join(table.to_csv(index=False, lineterminator="\n") for table in shop)
    assert hashlib.sha256(text.encode()).hexdigest() == TABLES


def test_the_drawings_are_frozen():
    drawn = [draw(*recipe).tobytes() for recipe in list(recipes(HOME, DEMO["items"], DEMO["seed"]).values())[:8]]
    assert hashlib.sha256(b"".join(drawn)).hexdigest() == DRAWINGS


def test_the_tables_are_those_of_a_shop(shop):
    catalog, interactions, truth = shop
    assert len(catalog) == 1200 and catalog["item_id"].is_unique and catalog["title"].is_unique
    assert catalog["price"].between(5, 400).all()
    assert 0.02 < 1 - catalog["available"].mean() < 0.07
    assert 0.02 < catalog["image"].isna().mean() < 0.045
    assert 0.35 < catalog["color"].notna().mean() < 0.45 and 0.5 < catalog["material"].notna().mean() < 0.6
    assert not {"pattern", "shape", "style"} & set(catalog.columns)
    assert interactions["user_id"].nunique() == 600 and not interactions.duplicated(["user_id", "item_id"]).any()
    counts = interactions.groupby("user_id").size()
    assert counts.min() >= 5 and 22 < counts.mean() < 32 and counts.max() > 80
    assert set(interactions["item_id"]) <= set(catalog["item_id"]) == set(truth["item_id"])


def test_titles_and_texts_leave_most_attributes_out(shop):
    catalog, _, truth = shop
    words = (catalog["title"] + " " + catalog["text"]).set_axis(catalog["item_id"])
    for field in ("color", "pattern", "shape", "material"):
        values = truth[truth["field"] == field].set_index("item_id")["value"]
        said = np.mean([value in words[item] for item, value in values.items()])
        assert 0.05 < said < 0.3, f"{field} is said of {said:.0%} of the items"


def test_time_brings_cold_items_and_cold_users(shop):
    _, interactions, _ = shop
    late = interactions["timestamp"] > interactions["timestamp"].quantile(0.8)
    assert len(set(interactions[late]["item_id"]) - set(interactions[~late]["item_id"])) > 30
    assert len(set(interactions[late]["user_id"]) - set(interactions[~late]["user_id"])) > 10
    assert interactions["timestamp"].is_monotonic_increasing


def test_shown_is_what_the_picture_shows(shop):
    catalog, _, truth = shop
    shown = truth.groupby("field")["shown"].mean()
    assert (shown[["style", "room"]] == 0).all()
    assert shown[["category", "color", "pattern", "shape", "material"]].between(0.88, 0.97).all()
    bare = catalog[catalog["image"].isna()]["item_id"]
    assert not truth[truth["item_id"].isin(bare)]["shown"].any()
    for item, (attributes, _) in recipes(HOME, DEMO["items"], DEMO["seed"]).items():
        if attributes["view"] == "detail":
            hidden = truth[(truth["item_id"] == item) & ~truth["shown"]]["field"]
            assert set(hidden) == {"category", "shape", "style", "room"}


@pytest.mark.parametrize(
    ("view", "change"),
    [("detail", {"category": "chair", "shape": "oval"}), ("backlit", {"color": "blue", "pattern": "floral", "material": "glass"})],
)
def test_what_a_view_hides_cannot_be_read_from_it(view, change):
    seen = draw({**LAMP, "view": view}, 5, size=96).tobytes()
    assert seen == draw({**LAMP, **change, "view": view}, 5, size=96).tobytes()
    assert seen != draw(LAMP, 5, size=96).tobytes()


@pytest.mark.parametrize("field", ["category", "pattern", "shape"])
def test_mean_color_does_not_tell_the_classes(drawings, field):
    values, colors = np.array([attributes[field] for attributes, _ in drawings]), np.array([color for _, color in drawings])
    apart = ((colors[:, None] - colors) ** 2).sum(-1)
    np.fill_diagonal(apart, np.inf)
    assert (values[apart.argmin(1)] == values).mean() < 0.4


def test_every_category_has_five_silhouettes_that_differ():
    for category, kind in read(HOME)["categories"].items():
        assert len(kind["shapes"]) >= 5
        backlit = {**LAMP, "category": category, "view": "front" if category == "rug" else "backlit"}
        drawn = [pixels(draw({**backlit, "shape": shape}, 3, size=48)) for shape in kind["shapes"]]
        for k, one in enumerate(drawn):
            assert all((np.abs(one - other).max(-1) > 60).mean() > 0.01 for other in drawn[:k]), category


@pytest.mark.parametrize(
    ("field", "values"), [("color", ["blue", "orange"]), ("pattern", ["dotted", "plain"]), ("material", ["metal", "rattan"])]
)
def test_each_attribute_changes_the_picture(field, values):
    drawn = [pixels(draw({**LAMP, field: value}, 3, size=96)) for value in [*values, LAMP[field]]]
    assert all((np.abs(one - other).max(-1) > 20).mean() > 0.02 for k, one in enumerate(drawn) for other in drawn[:k])


def test_hard_and_seed_change_the_picture_and_nothing_else_does():
    assert draw(LAMP, 1).tobytes() == draw(LAMP, 1).tobytes()
    assert len({draw(LAMP, seed, hard).tobytes() for seed in (1, 2) for hard in (False, True)}) == 4
    assert draw(LAMP, 1).size == (224, 224) and draw(LAMP, 1).mode == "RGB"


def test_drawing_can_be_resumed():
    wanted = list(recipes(HOME, 12, 0))
    drawn = dict(pictures(HOME, 12, 0, skip=wanted[:-2]))
    assert list(drawn) == wanted[-2:]
    attributes, own = recipes(HOME, 12, 0)[wanted[-1]]
    assert draw(attributes, own).tobytes() == drawn[wanted[-1]].tobytes()


def test_another_domain_needs_no_other_code(tmp_path):
    home = read(HOME)
    kinds = {"jug": "teapot", "stool": "chair"}
    domain = {
        **home,
        "name": "inn",
        "prefix": "N",
        "categories": {name: {**home["categories"][kind], "nouns": [name]} for name, kind in kinds.items()},
        "fields": {**home["fields"], "category": {"kind": "category", "shown": True, "values": list(kinds)}},
    }
    place = tmp_path / "inn.yaml"
    place.write_text(yaml.safe_dump(domain), encoding="utf-8")
    catalog, interactions, truth = world(place, items=20, users=4, seed=1)
    assert set(catalog["category"]) == set(kinds) and catalog["item_id"].iat[0] == "N0001"
    assert len(interactions) and len(truth) >= 20 * 7
    assert next(pictures(place, 20, 1))[1].size == (224, 224)


def test_errors_say_what_was_wanted():
    with pytest.raises(ValueError, match="'mauve' is not a color of home_goods"):
        draw({**LAMP, "color": "mauve"}, 1)
    with pytest.raises(ValueError, match="a lamp has no shape 'hexagonal'; it has tapered"):
        draw({**LAMP, "shape": "hexagonal"}, 1)
    with pytest.raises(ValueError, match="'tiled' is not a pattern"):
        draw({**LAMP, "pattern": "tiled"}, 1)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        read("domains/nowhere.yaml")


def test_a_shop_of_any_size_has_a_title_for_each_item():
    items, _, _ = world(PICNIC, items=900, users=1, seed=0)
    plain = items["title"].str.replace(r" \d+$", "", regex=True)
    assert not (items["title"] + items["category"]).duplicated().any() and plain.nunique() < 900


def test_the_contact_sheet_says_that_it_is_synthetic(tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "contact_sheet", lambda: contact_sheet(count=4, columns=2, size=32))
    demo.main(["--contact-sheet", str(tmp_path / "sheet.png")])
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (64, 64) and sheet.info["Description"].startswith("Synthetic")
