"""Records of a delimited text, whatever its delimiter and however its quotes."""

import csv
from collections.abc import Iterator

import numpy as np
import pyarrow
import pyarrow.csv

from mllm_rec.data.problems import Problems
from mllm_rec.errors import InputError

_DELIMITERS = (",", "\t", ";", "|")
_LOOK = 65_536
_STRAY_QUOTES = 200
#: Lines of a record; a quote that stays open longer was never meant to be.
_LONGEST_RECORD = 1000


def delimiter_of(body: bytes) -> str:
    """The delimiter by which most of the first rows have as many cells as the header, and the header most cells."""
    lines = body[:_LOOK].decode(errors="ignore").split("\n")[:50]
    if len(body) > _LOOK and len(lines) > 1:
        lines = lines[:-1]

    def fit(delimiter: str) -> tuple[bool, int]:
        counts = [len(cells) for cells, _ in records(lines, delimiter) if cells]
        return counts.count(counts[0]) >= 0.6 * len(counts) if counts[0] > 1 else False, counts[0]

    return max(_DELIMITERS, key=fit)


def whole(body: bytes, delimiter: str, width: int, quoted: bool = True) -> pyarrow.Table | None:
    """The records below the header where every line is one record of ``width`` cells; else None. This is the fast path."""
    names = [str(place) for place in range(width)]
    try:
        table = pyarrow.csv.read_csv(
            pyarrow.BufferReader(body),
            read_options=pyarrow.csv.ReadOptions(column_names=names, block_size=1 << 22),
            parse_options=pyarrow.csv.ParseOptions(
                delimiter=delimiter, quote_char='"' if quoted and b'"' in body else False, ignore_empty_lines=False
            ),
            convert_options=pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(names, pyarrow.string()), strings_can_be_null=False),
        )
    except pyarrow.ArrowInvalid:
        return None
    return table.slice(1) if table.num_rows == body.count(b"\n") + 1 else None


def records(lines: list[str], delimiter: str) -> Iterator[tuple[list[str], bool]]:
    """Cells of each record, and whether a quote in it did not close: then its one line is read with quotes as plain characters."""
    start, done, stray = 0, 0, 0

    def following() -> Iterator[str]:
        for place in range(start, len(lines)):
            if place - done >= _LONGEST_RECORD:
                raise csv.Error
            yield lines[place] + "\n"

    limit = csv.field_size_limit(1 << 26)
    try:
        while start < len(lines):
            done = start
            reader = csv.reader(following(), delimiter=delimiter, strict=True)
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


def ragged(body: bytes, delimiter: str, width: int, path: str, problems: Problems, offset: int) -> tuple[pyarrow.Table, np.ndarray]:
    """The records below the header where some don't fit it, and their rows."""
    kept: list[list[str]] = []
    rows: list[int] = []
    short: dict[int, int] = {}
    long: dict[int, int] = {}
    stray: list[int] = []
    try:
        for row, (cells, broken) in enumerate(records(body.decode().split("\n"), delimiter), 1 + offset):
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
        if (table := whole(body, delimiter, width, quoted=False)) is None:
            raise InputError(f"{path}: {error}") from error
        why = f"more than {_STRAY_QUOTES} quotes are opened and not closed; all quotes of the file are read as plain characters"
        problems.add(path, "plain quotes", why, "mended")
        return table, np.arange(table.num_rows) + 2 + offset
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
