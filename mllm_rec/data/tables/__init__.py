"""Tables from files: CSV in its dialects, or Parquet; every cell a string, every row with its number in the file."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow
import pyarrow.compute

from mllm_rec.data.problems import Problems, shown
from mllm_rec.data.tables.content import content_of, text_of
from mllm_rec.data.tables.delimited import delimiter_of, ragged, records, whole
from mllm_rec.data.tables.parquet import read_parquet
from mllm_rec.errors import InputError

__all__ = ["Table", "read_table"]

#: Wider tables are refused.
MOST_COLUMNS = 2_000
_LOOK = 65_536
_UNPRINTABLE = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x{9f}]"


@dataclass(frozen=True)
class Table:
    """A file's rows.

    Attributes:
        path: the file as the user named it.
        frame: every column ``str`` without blanks around it (missing where empty); its index is the row in the file,
            the header counted as row 1.
    """

    path: str
    frame: pd.DataFrame

    @property
    def name(self) -> str:
        """The file's name without its folder."""
        return Path(self.path).name

    @property
    def columns(self) -> list[str]:
        """Column names in file order."""
        return list(self.frame.columns)


def read_table(path: Path | str, problems: Problems, delimiter: str | None = None) -> Table:
    """Read a CSV (comma, tab, semicolon or bar; UTF-8, UTF-16, else Windows-1252; also gzipped) or a Parquet file.

    Rows with cells missing at the end are filled up, rows with too many cells refused, repeated column names
    numbered, control characters removed: each noted in ``problems``.

    Args:
        path: the file.
        problems: where mends are noted.
        delimiter: of the cells; None: the one that the first rows agree on.

    Raises:
        InputError: no such file, a folder, an empty file, no text, or most rows don't fit the header.
    """
    content = content_of(Path(path))
    if content[:4] == b"PAR1":
        table = read_parquet(content, str(path))
        return Table(str(path), _finish(table, str(path), problems, np.arange(table.num_rows) + 2))
    text = text_of(content, str(path), problems)
    stripped = text.lstrip(b"\n")
    offset = len(text) - len(stripped)
    if said := re.match(rb"sep=(.)\n", stripped):
        delimiter, stripped, offset = said[1].decode(), stripped[said.end() :], offset + 1
    body = stripped.rstrip(b"\n")
    delimiter = delimiter or delimiter_of(body)
    header = next(iter(records(body[: max(_LOOK, body.find(b"\n") + 1)].decode(errors="ignore").split("\n"), delimiter)))[0]
    if len(header) > 1 and all(re.fullmatch(r"\s*[-+.\d]+\s*", cell) for cell in header):
        raise InputError(
            f"{path}: row 1 is {shown(delimiter.join(header))}, which looks like data; the first row must name the columns, for example item_id,title"
        )
    table, rows = whole(body, delimiter, len(header)), None
    if table is None:
        table, rows = ragged(body, delimiter, len(header), str(path), problems, offset)
    table = table.rename_columns(header)
    return Table(str(path), _finish(table, str(path), problems, np.arange(table.num_rows) + 2 + offset if rows is None else rows))


def _names(header: list[str], path: str, problems: Problems) -> list[str]:
    if len(header) > MOST_COLUMNS:
        raise InputError(f"{path} has {len(header)} columns; wanted at most {MOST_COLUMNS}: a matrix of numbers belongs into a .npy file")
    names: dict[str, None] = {}
    taken = set(header)
    for place, cell in enumerate(header, 1):
        name = " ".join(re.sub(r"[\x00-\x1f\x7f-\x9f]", " ", cell).split()) or f"column {place}"
        if name in names:
            fresh = next(f"{name}.{number}" for number in range(2, len(header) + 2) if f"{name}.{number}" not in taken)
            problems.add(
                path,
                "repeated column",
                f"column {place} is called {shown(name)} like one before it; it is read as {shown(fresh)}",
                "mended",
                rows=1,
                column=name,
            )
            name = fresh
            taken.add(name)
        names[name] = None
    return list(names)


def _finish(table: pyarrow.Table, path: str, problems: Problems, rows: np.ndarray) -> pd.DataFrame:
    """Cells without blanks around them, empty ones missing, rows and nameless columns without any cell left out."""
    names = _names(table.column_names, path, problems)
    columns = [_printable(column, path, name, problems, rows) for name, column in zip(names, table.columns, strict=True)]
    cells = [pyarrow.compute.utf8_trim_whitespace(column) for column in columns]
    cells = [pyarrow.compute.if_else(pyarrow.compute.equal(column, ""), None, column) for column in cells]
    frame = pyarrow.table(cells, names=names).to_pandas()
    frame.index = pd.Index(rows)
    empty = [name for place, name in enumerate(names, 1) if name == f"column {place}" and frame[name].isna().all()]
    frame = frame.drop(columns=empty)
    if not len(frame.columns):
        raise InputError(f"{path} has neither column names nor cells; wanted a header row and a row for each record")
    return frame[frame.notna().any(axis=1)]


def _printable(column: pyarrow.ChunkedArray, path: str, name: str, problems: Problems, rows: np.ndarray) -> pyarrow.ChunkedArray:
    """Cells without control characters other than tabs and line breaks: a terminal would obey them."""
    held = pyarrow.compute.match_substring_regex(column, _UNPRINTABLE)
    if not pyarrow.compute.any(held).as_py():
        return column
    at = rows[held.to_pandas().fillna(False).to_numpy(dtype=bool)]
    problems.add(path, "control character", "the cell holds control characters; they are removed", "mended", rows=at, column=name)
    return pyarrow.compute.replace_substring_regex(column, _UNPRINTABLE, "")
