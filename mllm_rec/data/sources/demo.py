"""The demo shop: home goods that do not exist, and people who buy them.

Everything here is synthetic: items are drawn by ``draw``, texts are put together from a domain
file's phrases, shoppers follow hidden tastes. A domain file (``prompts/domains/*.yaml``) says what
is sold; the same code draws any of them. The truth about every item is a table of its own, for
evaluation only.
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import yaml
from tqdm import tqdm

from mllm_rec import resources
from mllm_rec.data.catalog import Catalog
from mllm_rec.data.files import atomic
from mllm_rec.data.interactions import Interactions
from mllm_rec.data.sources.base import Source
from mllm_rec.data.sources.drawing.scene import VIEWS, render, views
from mllm_rec.data.sources.shoppers import END, SPAN, shop

if TYPE_CHECKING:
    from PIL import Image

#: The shop: ``world(**DEMO)``.
DEMO: dict[str, Any] = {"domain_file": "domains/home_goods.yaml", "items": 1200, "users": 600, "seed": 7}

_DAY = 24 * 3600
#: How often a shop's own tables and texts say what an item is.
_KNOWN = {"color": 0.40, "material": 0.55, "room": 0.70, "released": 0.80}
_SAID = {"color": 0.10, "material": 0.12, "pattern": 0.15, "shape": 0.15}
_STOCKED, _PICTURED, _FRONT = 0.96, 0.97, 0.92


def world(domain_file: str | Path, items: int, users: int, seed: int) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """A shop: its catalog, its interactions and the truth about its items. No picture is drawn.

    Args:
        domain_file: a path, or a name under ``prompts/``.
        items: how many things it sells.
        users: how many people buy there.
        seed: of everything; the same seed gives the same tables.

    Returns:
        catalog: item_id, title, text, price, category, available, image (file name of the picture that
            ``pictures`` draws, or None), and color, material, room (list), released (ISO date), None where
            the shop does not say.
        interactions: user_id, item_id, timestamp (seconds since 1970).
        truth: item_id, field, value, shown (whether the item's picture shows it); one row per value.

    Raises:
        FileNotFoundError: no such domain file.
    """
    domain = read(domain_file)
    goods = _goods(domain, items, seed)
    catalog, truth = _catalog(domain, goods, seed), _truth(domain, goods)
    return catalog, shop(goods, users, np.random.default_rng([seed, 3])), truth


def demo() -> Source:
    """The demo shop as a source, without its truth; its pictures are drawn when they are asked for."""
    table, interactions, _ = world(**DEMO)
    table["room"] = pd.Series([None if rooms is None else tuple(rooms) for rooms in table["room"]], dtype=object)
    table["released"] = pd.to_datetime(table["released"])
    kinds = {name: field["kind"] for name, field in read(DEMO["domain_file"])["fields"].items() if name in table}
    log = interactions.astype({"user_id": "str", "item_id": "str", "timestamp": float})
    return Source(
        "demo",
        Catalog(table, {**kinds, "released": "date"}),
        Interactions(log),
        split="global-time",
        split_name="global-time",
        domain=resources.path(DEMO["domain_file"]),
        notes=("everything in this shop is synthetic: drawn, written and bought by the generator",),
        draw_pictures=draw_pictures,
    )


def draw_pictures(folder: Path) -> None:
    """Draw the demo shop's pictures into a folder, ``ITEM_ID.png`` each; those that lie there are left as they are."""
    folder.mkdir(parents=True, exist_ok=True)
    left = {
        name: recipe
        for name, recipe in recipes(DEMO["domain_file"], DEMO["items"], DEMO["seed"]).items()
        if not (folder / f"{name}.png").exists()
    }

    def save(name: str) -> None:
        with atomic(folder / f"{name}.png") as temporary:
            draw(*left[name]).save(temporary, "PNG")

    with ThreadPoolExecutor() as threads:
        list(tqdm(threads.map(save, left), "drawing", len(left), unit="picture", disable=not left or None))


def draw(
    attributes: Mapping[str, str],
    seed: int,
    hard: bool = False,
    *,
    domain_file: str | Path = DEMO["domain_file"],
    size: int = 224,
) -> Image.Image:
    """The picture of an item, ``(size, size)`` RGB; the same arguments give the same pixels.

    Args:
        attributes: category, color, pattern, shape and material; ``view`` may be 'front' (the default),
            'detail' (hides category and shape) or 'backlit' (hides color, pattern and material).
        seed: of viewpoint, light, room and everything else the attributes leave open.
        hard: more rotation, occlusion, colored light and clutter.
        domain_file: where the values come from.
        size: pixels a side.

    Raises:
        ValueError: a value that the domain does not have or the generator cannot draw.
    """
    domain = read(domain_file)
    hexes, kinds = domain["fields"]["color"]["hex"], domain["categories"]
    for field, known in (("color", hexes), ("category", kinds)):
        if attributes[field] not in known:
            raise ValueError(f"'{attributes[field]}' is not a {field} of {domain['name']}; it has {', '.join(known)}")
    drawn = {
        "view": "front",
        **attributes,
        "kind": kinds[attributes["category"]]["drawn_as"],
        "colors": hexes[attributes["color"]],
        "others": [tints[0] for color, tints in hexes.items() if color != attributes["color"]],
    }
    return render(drawn, seed, hard, size)


def recipes(domain_file: str | Path, items: int, seed: int) -> dict[str, tuple[dict[str, str], int]]:
    """What ``draw`` needs for the picture of each item of ``world`` that has one: item_id to (attributes, seed)."""
    goods = _goods(read(domain_file), items, seed)
    goods = goods[goods["view"].notna()]
    fields = ["category", "color", "pattern", "shape", "material", "view"]
    attributes = _rows(goods[fields])
    return {name: (drawn, int(own)) for name, drawn, own in zip(goods["item_id"], attributes, goods["picture_seed"], strict=True)}


def pictures(domain_file: str | Path, items: int, seed: int, skip: Collection[str] = ()) -> Iterator[tuple[str, Image.Image]]:
    """The pictures of a ``world``, one by one: (item_id, picture). ``skip``: item ids drawn before."""
    for name, (attributes, own) in recipes(domain_file, items, seed).items():
        if name not in skip:
            yield name, draw(attributes, own, domain_file=domain_file)


def read(domain_file: str | Path) -> dict[str, Any]:
    """A domain file's contents, as plain dicts and lists; ``domain_file`` is a path, or a name under ``prompts/``."""
    place = Path(domain_file)
    return _parsed(place if place.is_file() else resources.path(str(domain_file)))


@functools.lru_cache(maxsize=8)
def _parsed(place: Path) -> dict[str, Any]:
    return yaml.safe_load(place.read_text(encoding="utf-8"))


def _goods(domain: dict[str, Any], items: int, seed: int) -> pd.DataFrame:
    """Everything there is to know about each item, one row each."""
    rng = np.random.default_rng([seed, 1])
    kinds = domain["categories"]
    shares = np.array([kind.get("share", 1.0) for kind in kinds.values()])
    names = rng.choice(list(kinds), items, p=shares / shares.sum())
    patterns = domain["fields"]["pattern"]["values"]
    weights = np.array([1.6 if pattern == "plain" else 1.0 for pattern in patterns])
    styles = {name: style for style, collection in domain["collections"].items() for name in collection}
    rows = []
    for name, (collection, noun) in zip(names, _titles(names, kinds, list(styles), rng), strict=True):
        kind = kinds[name]
        material = rng.choice(kind["materials"])
        leaning = domain.get("leanings", {}).get(material, {}) if rng.random() < 0.5 else {}
        usual = "pattern" in leaning and rng.random() < 0.4
        pattern = rng.choice(leaning["pattern"]) if usual else rng.choice(patterns, p=weights / weights.sum())
        low, high = kind["price"]
        rooms = rng.choice(kind["rooms"], min(len(kind["rooms"]), int(rng.integers(1, 3))), replace=False)
        rows.append({
            "category": name, "collection": collection, "noun": noun, "style": styles[collection], "material": material,
            "color": rng.choice(leaning.get("color", list(domain["fields"]["color"]["hex"]))), "pattern": pattern,
            "shape": rng.choice(kind["shapes"]), "room": sorted(map(str, rooms)),
            "price": _price(low * (high / low) ** rng.beta(1.6, 2.2), rng),
            "released": int(END - SPAN - rng.random() * 2 * SPAN if rng.random() < 0.65 else END - SPAN * rng.uniform(0.02, 1)),
            "available": rng.random() < _STOCKED,
            "view": _view(kind["drawn_as"], rng),
            "picture_seed": int(rng.integers(2**31)),
        })  # fmt: skip
    goods = pd.DataFrame(rows)
    prefix, digits = domain.get("prefix", "I"), max(4, len(str(items)))
    goods.insert(0, "item_id", [f"{prefix}{number:0{digits}d}" for number in range(1, items + 1)])
    return goods


def _view(kind: str, rng: np.random.Generator) -> str | None:
    """How an item is pictured; None: it has no picture."""
    if rng.random() >= _PICTURED:
        return None
    return "front" if rng.random() < _FRONT else str(rng.choice(views(kind)[1:]))


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(column): value for column, value in row.items()} for row in table.to_dict("records")]


def _titles(names: np.ndarray, kinds: dict[str, Any], collections: list[str], rng: np.random.Generator) -> list[tuple[str, str]]:
    """A (collection, noun) for each item, no pair twice in a category; when all are taken, they come again with a number: "jar 2"."""
    left = {}
    for name, kind in kinds.items():
        pairs = [(collection, noun) for collection in collections for noun in kind["nouns"]]
        own = [pairs[k] for k in rng.permutation(len(pairs))]
        rounds = -(-int((names == name).sum()) // len(own))
        left[name] = [(collection, f"{noun} {number}") for number in range(rounds, 1, -1) for collection, noun in own] + own
    return [left[name].pop() for name in names]


def _price(amount: float, rng: np.random.Generator) -> float:
    """A price as shops write it: 18.50, 34.00, 59.90."""
    return float(round(int(amount) + rng.choice([0.0, 0.5, 0.9, 0.95]), 2))


def _catalog(domain: dict[str, Any], goods: pd.DataFrame, seed: int) -> pd.DataFrame:
    """What the shop says about its goods."""
    rng = np.random.default_rng([seed, 2])
    titles, texts = zip(*(_words(domain, row, rng) for row in _rows(goods)), strict=True)
    catalog = pd.DataFrame({"item_id": goods["item_id"], "title": titles, "text": texts})
    for column in ("price", "category", "available"):
        catalog[column] = goods[column]
    pictured = goods["view"].notna()
    catalog["image"] = (goods["item_id"] + ".png").astype(object).where(pictured, None)
    dates = pd.to_datetime(goods["released"], unit="s").dt.strftime("%Y-%m-%d")
    for column, share in _KNOWN.items():
        known = rng.random(len(goods)) < share
        values = dates if column == "released" else goods[column]
        catalog[column] = values.astype(object).where(known, None)
    return catalog


def _words(domain: dict[str, Any], item: dict[str, Any], rng: np.random.Generator) -> tuple[str, str]:
    """An item's title and text; most of what a picture shows stays unsaid."""
    phrases = domain["phrases"]
    noun, lines = item["noun"], [rng.choice(domain["categories"][item["category"]]["texts"])]
    said = [field for field, share in _SAID.items() if rng.random() < share]
    if said and said[0] != "shape" and rng.random() < 0.4:
        noun = f"{item[said.pop(0)]} {noun}"
    lines += [rng.choice(phrases[field]).format(value=item[field]) for field in said]
    if rng.random() < 0.35:
        lines.append(rng.choice(phrases["style"][item["style"]]))
    if rng.random() < 0.3:
        lines.append(rng.choice(phrases["room"]).format(room=rng.choice(item["room"])))
    if rng.random() < 0.6:
        lines.append(rng.choice(phrases["closing"]))
    return f"{item['collection']} {noun}", " ".join(lines)


def _truth(domain: dict[str, Any], goods: pd.DataFrame) -> pd.DataFrame:
    """One row per item, field and value."""
    rows = []
    for item in _rows(goods):
        visible = item["view"] in VIEWS
        for field in ("category", "color", "pattern", "shape", "material", "style", "room"):
            shown = visible and bool(domain["fields"][field].get("shown")) and field not in VIEWS[item["view"]]
            values = item[field] if isinstance(item[field], list) else [item[field]]
            rows += [(item["item_id"], field, str(value), shown) for value in values]
    return pd.DataFrame(rows, columns=["item_id", "field", "value", "shown"])


def contact_sheet(count: int = 60, columns: int = 10, size: int = 150) -> Image.Image:
    """A sheet of the demo shop's first ``count`` pictures, ``columns`` to a row."""
    from PIL import Image

    sheet = Image.new("RGB", (columns * size, -(-count // columns) * size))
    for k, (attributes, own) in enumerate(list(recipes(DEMO["domain_file"], DEMO["items"], DEMO["seed"]).values())[:count]):
        sheet.paste(draw(attributes, own, size=size), (k % columns * size, k // columns * size))
    return sheet


def main(arguments: list[str] | None = None) -> None:
    """Writes the contact sheet: ``python -m mllm_rec.data.sources.demo --contact-sheet FILE``."""
    from PIL.PngImagePlugin import PngInfo

    parser = argparse.ArgumentParser(description="Draw a sheet of the demo shop's pictures, all of them synthetic.")
    parser.add_argument("--contact-sheet", type=Path, required=True, metavar="FILE", help="where the PNG goes")
    said = PngInfo()
    said.add_text("Description", "Synthetic: drawn by the generator of mllm-rec's demo shop; no such goods exist.")
    contact_sheet().save(parser.parse_args(arguments).contact_sheet, optimize=True, pnginfo=said)


if __name__ == "__main__":
    main()
