"""Tables from files: CSV in its dialects, or Parquet; every cell a string, every row with its number in the file."""

import csv
import gzip
import json
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow
import pyarrow.compute
import pyarrow.csv
import pyarrow.parquet

from mllm_rec.data.problems import Problems, shown
from mllm_rec.errors import InputError

_DELIMITERS = (",", "\t", ";", "|")
_FOREIGN = {
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"GIF8": "a GIF picture",
    b"PK\x03\x04": "an Excel workbook or a ZIP archive",
    b"\xd0\xcf\x11\xe0": "an Excel workbook",
    b"%PDF": "a PDF document",
    b"SQLite format 3": "an SQLite database",
    b"\x93NUMPY": "a NumPy matrix",
}
_BOMS = {
    b"\xef\xbb\xbf": "utf-8-sig",
    b"\xff\xfe\x00\x00": "utf-32",
    b"\x00\x00\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}
_CONTROL = bytes(code for code in range(1, 32) if code not in (9, 10, 12, 13))
_LOOK = 65_536
_STRAY_QUOTES = 200


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
    numbered, zero bytes removed: each noted in ``problems``.

    Args:
        path: the file.
        problems: where mends are noted.
        delimiter: of the cells; None: the one that the first rows agree on.

    Raises:
        InputError: no such file, a folder, an empty file, no text, or most rows don't fit the header.
    """
    content = _content(Path(path))
    if content[:4] == b"PAR1":
        table = _parquet(path)
        return Table(str(path), _finish(table, str(path), problems, np.arange(table.num_rows) + 2))
    text = _text(content, str(path), problems)
    stripped = text.lstrip(b"\n")
    offset = len(text) - len(stripped)
    if said := re.match(rb"sep=(.)\n", stripped):
        delimiter, stripped, offset = said[1].decode(), stripped[said.end() :], offset + 1
    body = stripped.rstrip(b"\n")
    delimiter = delimiter or _delimiter(body)
    header = next(iter(_records(body[: max(_LOOK, body.find(b"\n") + 1)].decode(errors="ignore").split("\n"), delimiter)))[0]
    if len(header) > 1 and all(re.fullmatch(r"\s*[-+.\d]+\s*", cell) for cell in header):
        raise InputError(
            f"{path}: row 1 is {shown(delimiter.join(header))}, which looks like data; the first row must name the columns, for example item_id,title"
        )
    table, rows = _whole(body, delimiter, len(header)), None
    if table is None:
        table, rows = _ragged(body, delimiter, len(header), str(path), problems, offset)
    table = table.rename_columns(header)
    return Table(str(path), _finish(table, str(path), problems, np.arange(table.num_rows) + 2 + offset if rows is None else rows))


def _content(path: Path) -> bytes:
    try:
        content = path.read_bytes()
        if content[:2] == b"\x1f\x8b":
            content = gzip.decompress(content)
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist; wanted a CSV, TSV or Parquet file") from error
    except IsADirectoryError as error:
        raise InputError(f"{path} is a folder; wanted a CSV, TSV or Parquet file in it") from error
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise InputError(f"{shown(path)} can't be read: {error}") from error
    if not content.strip():
        raise InputError(f"{path} is empty; wanted a header row and a row for each record")
    return content


def _text(content: bytes, path: str, problems: Problems) -> bytes:
    """The file as UTF-8 with line feeds only."""
    for magic, what in _FOREIGN.items():
        if content.startswith(magic):
            raise InputError(f"{path} is {what}; wanted a table: save it as CSV (UTF-8) or Parquet")
    encoding = next((encoding for mark, encoding in _BOMS.items() if content.startswith(mark)), "utf-8")
    head = content[:_LOOK]
    if encoding in ("utf-8", "utf-8-sig") and len(head) - len(head.translate(None, _CONTROL)) + max(0, head.count(0) - 8) > max(
        4, len(head) / 50
    ):
        raise InputError(f"{path} is no text; wanted a table: save it as CSV (UTF-8) or Parquet")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        if encoding != "utf-8":
            raise InputError(f"{path} starts as {encoding} but byte {error.start} can't be read so; save it as UTF-8") from error
        row = content[: error.start].count(b"\n") + 1
        problems.add(path, "other encoding", "not UTF-8 from this row on; the whole file is read as Windows-1252", "mended", rows=row)
        text = content.decode("cp1252", errors="replace")
    content = text.encode()
    if b"\r" in content:
        content = content.replace(b"\r\n", b"\n") if b"\n" in content else content.replace(b"\r", b"\n")
        content = content.replace(b"\r", b" ")
    if b"\0" in content:
        rows = [row for row, line in enumerate(content.split(b"\n"), 1) if b"\0" in line]
        problems.add(path, "zero byte", "the line holds zero bytes; they are removed", "mended", rows=rows)
        content = content.replace(b"\0", b"")
    if not content.strip():
        raise InputError(f"{path} is empty; wanted a header row and a row for each record")
    return content


def _delimiter(body: bytes) -> str:
    """The delimiter by which most of the first rows have as many cells as the header, and the header most cells."""
    lines = body[:_LOOK].decode(errors="ignore").split("\n")[:50]
    if len(body) > _LOOK and len(lines) > 1:
        lines = lines[:-1]

    def fit(delimiter: str) -> tuple[bool, int]:
        counts = [len(cells) for cells, _ in _records(lines, delimiter) if cells]
        return counts.count(counts[0]) >= 0.6 * len(counts) if counts[0] > 1 else False, counts[0]

    return max(_DELIMITERS, key=fit)


def _whole(body: bytes, delimiter: str, width: int) -> pyarrow.Table | None:
    """The records below the header where every line is one record of ``width`` cells; else None. This is the fast path."""
    names = [str(place) for place in range(width)]
    try:
        table = pyarrow.csv.read_csv(
            pyarrow.BufferReader(body),
            read_options=pyarrow.csv.ReadOptions(column_names=names, block_size=1 << 22),
            parse_options=pyarrow.csv.ParseOptions(
                delimiter=delimiter, quote_char='"' if b'"' in body else False, ignore_empty_lines=False
            ),
            convert_options=pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(names, pyarrow.string()), strings_can_be_null=False),
        )
    except pyarrow.ArrowInvalid:
        return None
    return table.slice(1) if table.num_rows == body.count(b"\n") + 1 else None


def _records(lines: list[str], delimiter: str) -> Iterator[tuple[list[str], bool]]:
    """Cells of each record, and whether a quote in it did not close: then its one line is read with quotes as plain characters."""
    start, stray = 0, 0
    limit = csv.field_size_limit(1 << 26)
    try:
        while start < len(lines):
            done = start
            reader = csv.reader((lines[place] + "\n" for place in range(start, len(lines))), delimiter=delimiter, strict=True)
            try:
                for cells in reader:
                    done = start + reader.line_num
                    yield cells, False
                return
            except csv.Error:
                if (stray := stray + 1) > _STRAY_QUOTES:
                    raise InputError(
                        f"line {done + 1}: more than {_STRAY_QUOTES} quotes are opened and not closed; write a quote inside a cell twice"
                    ) from None
                yield next(csv.reader([lines[done]], delimiter=delimiter, quoting=csv.QUOTE_NONE)), True
                start = done + 1
    finally:
        csv.field_size_limit(limit)


def _ragged(body: bytes, delimiter: str, width: int, path: str, problems: Problems, offset: int) -> tuple[pyarrow.Table, np.ndarray]:
    """The records below the header where some don't fit it, and their rows."""
    kept: list[list[str]] = []
    rows: list[int] = []
    short: dict[int, int] = {}
    long: dict[int, int] = {}
    stray: list[int] = []
    try:
        for row, (cells, broken) in enumerate(_records(body.decode().split("\n"), delimiter), 1 + offset):
            if broken:
                stray.append(row)
            if row == 1 + offset or not cells:
                continue
            while len(cells) > width and not cells[-1].strip():
                cells.pop()
            if len(cells) > width:
                long[row] = len(cells)
                continue
            if len(cells) < width:
                short[row] = len(cells)
                cells = cells + [""] * (width - len(cells))
            kept.append(cells)
            rows.append(row)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    if len(long) > max(1, len(kept)):
        row, count = next(iter(long.items()))
        raise InputError(
            f"{path}: most rows have more cells than the header's {width}; the first is row {row} with {count}; quote cells that hold a {delimiter!r}"
        )
    problems.add(
        path, "unclosed quote", "a quote opens and doesn't close as it should; it is read as a plain character", "mended", rows=stray
    )
    problems.add(
        path,
        "row too short",
        [f"{count} cells where the header has {width}; the rest is missing" for count in short.values()],
        "mended",
        rows=short,
    )
    problems.add(path, "row too long", [f"{count} cells where the header has {width}" for count in long.values()], "refused", rows=long)
    columns = list(zip(*kept, strict=True)) if kept else [()] * width
    table = pyarrow.table([pyarrow.array(column, pyarrow.string()) for column in columns], names=[str(place) for place in range(width)])
    return table, np.array(rows, dtype=np.int64)


def _names(header: list[str], path: str, problems: Problems) -> list[str]:
    names: list[str] = []
    for place, cell in enumerate(header, 1):
        name = " ".join(re.sub(r"[\x00-\x1f\x7f-\x9f]", " ", cell).split()) or f"column {place}"
        if name in names:
            fresh = next(f"{name}.{number}" for number in range(2, len(header) + 2) if f"{name}.{number}" not in (*names, *header))
            problems.add(
                path,
                "repeated column",
                f"column {place} is called {shown(name)} like one before it; it is read as {shown(fresh)}",
                "mended",
                rows=1,
                column=name,
            )
            name = fresh
        names.append(name)
    return names


def _parquet(path: Path | str) -> pyarrow.Table:
    try:
        table = pyarrow.parquet.read_table(path)
        table = table.select([place for place, name in enumerate(table.column_names) if not name.startswith("__index_level_")])
        return pyarrow.table([_strings(column) for column in table.columns], names=table.column_names)
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise InputError(f"{path} starts like a Parquet file but can't be read: {shown(error)}") from error


def _strings(column: pyarrow.ChunkedArray) -> pyarrow.ChunkedArray:
    """Any column as text: whole numbers without a point, lists and structures as JSON, times in ISO."""
    kind = column.type
    if pyarrow.types.is_dictionary(kind):
        return _strings(column.cast(kind.value_type))
    if pyarrow.types.is_floating(kind):
        column = pyarrow.compute.if_else(pyarrow.compute.is_finite(column), column, None)
        if (
            pyarrow.compute.all(pyarrow.compute.equal(column, pyarrow.compute.round(column))).as_py()
            and (pyarrow.compute.max(column).as_py() or 0) < 2**53
        ):
            column = column.cast(pyarrow.int64())
    if pyarrow.types.is_nested(kind) or pyarrow.types.is_binary(kind) or pyarrow.types.is_large_binary(kind):
        values = [None if value is None else json.dumps(value, ensure_ascii=False, default=str) for value in column.to_pylist()]
        return pyarrow.chunked_array([pyarrow.array(values, pyarrow.string())])
    return column.cast(pyarrow.string())


def _finish(table: pyarrow.Table, path: str, problems: Problems, rows: np.ndarray) -> pd.DataFrame:
    """Cells without blanks around them, empty ones missing, rows and nameless columns without any cell left out."""
    names = _names(table.column_names, path, problems)
    cells = [pyarrow.compute.utf8_trim_whitespace(column) for column in table.columns]
    cells = [pyarrow.compute.if_else(pyarrow.compute.equal(column, ""), None, column) for column in cells]
    frame = pyarrow.table(cells, names=names).to_pandas()
    frame.index = pd.Index(rows)
    empty = [name for place, name in enumerate(names, 1) if name == f"column {place}" and frame[name].isna().all()]
    frame = frame.drop(columns=empty)
    return frame[frame.notna().any(axis=1)]
