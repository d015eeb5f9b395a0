"""Sheets of pictures: what the model said of each and how sure it was; what each feature takes for alike."""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from mllm_rec.data.catalog import Catalog
from mllm_rec.data.pictures import opened
from mllm_rec.mllm.features import BOTH, fields_of
from mllm_rec.mllm.schema import PROSE

if TYPE_CHECKING:
    from PIL import Image

_SIDE, _LINE, _COLUMNS, _WIDTH = 240, 15, 4, 300
#: Side of a picture in a strip.
_SMALL = 132
#: Letters of a line, and lines of a sentence.
_LETTERS, _SENTENCE = 46, 3
_LEGEND = "* the catalog says so too    ! the catalog says otherwise"


def caption_sheet(catalog: Catalog, table: pd.DataFrame, count: int) -> "Image.Image":
    """The first ``count`` captioned items, four to a row: picture, title, by field value and confidence, and the sentence.

    A "!" marks a value that the catalog contradicts, a "*" one that it confirms. A title in a script that the font has no
    letters for gives way to the item's id.
    """
    from PIL import Image, ImageDraw

    fields = list(fields_of(table)["field"].unique())
    items = list(dict.fromkeys(item for item in table["item_id"] if item in catalog.positions))[:count]
    height = _SIDE + _LINE * (len(fields) + 2 + _SENTENCE)
    sheet = Image.new("RGB", (min(_COLUMNS, len(items)) * _WIDTH, -(-len(items) // _COLUMNS) * height + 2 * _LINE), "white")
    draw, font = ImageDraw.Draw(sheet), _font()
    rows = {str(item): group for item, group in table[table["item_id"].isin(items)].groupby("item_id")}
    for number, item in enumerate(items):
        x, y = number % _COLUMNS * _WIDTH, number // _COLUMNS * height
        path = catalog.picture(catalog.positions[item])
        if path is not None and path.exists():
            sheet.paste(opened(path.read_bytes(), _SIDE), (x + 4, y + 4))
        title = str(catalog.table["title"].iat[catalog.positions[item]])[:44]
        title = title if _drawable(title, font) else str(item)[:44]
        said = fields_of(rows[item])
        values = [_line(name, group) for name, group in said.groupby("field", sort=False)]
        sentence = textwrap.wrap(" ".join(rows[item].loc[rows[item]["field"] == PROSE, "value"]), _LETTERS)[:_SENTENCE]
        for place, line in enumerate([title, *values, *sentence]):
            written = place == 0 or place > len(values)
            color = "black" if written else "#b00020" if "!" in line else "#808080" if ": unknown" in line else "#205030"
            draw.text((x + 6, y + _SIDE + 6 + place * _LINE), line, fill=color, font=font)
    draw.text((6, sheet.height - _LINE - 4), _LEGEND, fill="black", font=font)
    return sheet


def strips(catalog: Catalog, rows: Mapping[str, Sequence[tuple[int, float | None]]]) -> "Image.Image":
    """A strip of pictures for each name, the title of each beneath it, and the number that goes with it."""
    from PIL import Image, ImageDraw

    height = _SMALL + 3 * _LINE
    sheet = Image.new("RGB", (max(map(len, rows.values())) * (_SMALL + 8), len(rows) * height), "white")
    draw, font = ImageDraw.Draw(sheet), _font()
    for line, (name, strip) in enumerate(rows.items()):
        draw.text((4, line * height), name, fill="#205030", font=font)
        for place, (row, number) in enumerate(strip):
            x, y = place * (_SMALL + 8) + 4, line * height + _LINE
            path = catalog.picture(row)
            if path is not None and path.exists():
                sheet.paste(opened(path.read_bytes(), _SMALL), (x, y))
            title = str(catalog.table["title"].iat[row])
            title = title if _drawable(title, font) else str(catalog.item_ids[row])
            said = title[:20] if number is None else f"{number:.2f} {title[:16]}"
            draw.text((x, y + _SMALL + 2), said, fill="black", font=font)
    return sheet


def _font() -> Any:
    """DejaVu Sans: Latin, Greek, Cyrillic, Hebrew, Arabic, signs of money; it comes with the library that plots."""
    import matplotlib
    from PIL import ImageFont

    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", 11)


def _drawable(text: str, font: Any) -> bool:
    """Whether a font has every letter: one that is missing looks like a sign that no font has."""
    missing = bytes(font.getmask("\U0010ffff"))
    return all(bytes(font.getmask(letter)) != missing for letter in set(text))


def _line(name: object, rows: pd.DataFrame) -> str:
    said = []
    for value, confidence, source, conflict in rows[["value", "confidence", "source", "conflict"]].itertuples(index=False):
        sure = "" if pd.isna(confidence) else f" {confidence:.2f}"
        said.append(f"{value}{sure}{'!' if conflict else '*' if source == BOTH else ''}")
    return f"{name}: {', '.join(said)}"[:_LETTERS]
