"""Small tables and files, written by hand."""

import io
from pathlib import Path

import pandas as pd
from PIL import Image

from mllm_rec.data.problems import Problems
from mllm_rec.data.tables import Table


def column(*values: str | None) -> pd.Series:
    """Cells as a table holds them, the first in row 2."""
    return pd.Series(list(values), index=range(2, len(values) + 2), dtype="str")


def table(file: str = "items.csv", /, **columns: str | tuple) -> Table:
    """A table of words: ``table(sku="a b", price=("1", None))``."""
    cells = {name: cells.split() if isinstance(cells, str) else list(cells) for name, cells in columns.items()}
    rows = range(2, len(next(iter(cells.values()))) + 2)
    return Table(file, pd.DataFrame(cells, index=rows, dtype="str"))


def write(path: Path, *lines: str, encoding: str = "utf-8") -> Path:
    """A file of lines."""
    path.write_bytes("".join(f"{line}\n" for line in lines).encode(encoding))
    return path


def picture(kind: str = "PNG", color: str = "red", size: int = 8) -> bytes:
    """A picture's bytes."""
    content = io.BytesIO()
    Image.new("RGB", (size, size), color).save(content, kind)
    return content.getvalue()


def said(problems: Problems) -> list[tuple]:
    """(row, column, kind, action) of each problem."""
    return [(line.get("row"), line.get("column"), line["kind"], line["action"]) for line in problems]
