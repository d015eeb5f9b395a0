"""Small catalogs, and pictures simple enough to know what they hold."""

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image as Pictures

from mllm_rec.data.catalog import Catalog

RED, GREEN, BLUE, WHITE, GRAY = (220, 30, 30), (30, 160, 60), (40, 60, 200), (255, 255, 255), (128, 128, 128)


def shelf(titles, root: Path | None = None, **columns) -> Catalog:
    """A catalog of the given titles; ``columns`` add columns as ``name=(kind, values)``, roles as ``name=values``."""
    table = pd.DataFrame({"item_id": [f"i{row}" for row in range(len(titles))], "title": list(titles)}, dtype=object)
    kinds = {}
    for name, given in columns.items():
        kind, values = given if isinstance(given, tuple) else (None, given)
        table[name] = values if kind in ("number", "date") or name == "price" else pd.Series(values, dtype=object)
        if kind:
            kinds[name] = kind
    return Catalog(table, kinds, root=root)


def permuted(catalog: Catalog, order) -> Catalog:
    """The same items in another order."""
    return Catalog(catalog.table.iloc[order].reset_index(drop=True), catalog.columns, root=catalog.root)


def disc(color, radius=0.5, side=96, back=WHITE, stripes=0, across=True, center=(0.0, 0.0)) -> Pictures.Image:
    """A disc before a plain background; ``stripes`` black ones from edge to edge of the picture, ``across`` it or down."""
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    inside = (x - center[0]) ** 2 + (y - center[1]) ** 2 < radius**2
    pixels = np.where(inside[..., None], color, back).astype(np.uint8)
    if stripes:
        black = np.sin((x if across else y) * np.pi * stripes) > 0
        pixels[inside & black] = 0
    return Pictures.fromarray(pixels)


def distinct_pictures(folder: Path, count: int) -> list[str]:
    """File names of ``count`` discs, no two alike."""
    folder.mkdir(parents=True, exist_ok=True)
    for k in range(count):
        color = (RED, GREEN, BLUE, GRAY)[k % 4]
        disc(color, 0.35 + 0.05 * (k // 8), stripes=4 * (k % 3), center=(0.02 * (k // 4), 0)).save(folder / f"{k}.png")
    return [f"{k}.png" for k in range(count)]


def cosines(rows: np.ndarray) -> np.ndarray:
    """``(rows, rows)`` cosines of non-zero rows."""
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit @ unit.T
