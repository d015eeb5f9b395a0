"""A file's bytes as text: unpacked, decoded, with line feeds only."""

import gzip
import zlib
from pathlib import Path

from mllm_rec.data.problems import Problems, shown
from mllm_rec.errors import InputError

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


def content_of(path: Path) -> bytes:
    """The bytes of a file, unpacked where it is gzipped.

    Raises:
        InputError: no such file, a folder, broken, or empty.
    """
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


def text_of(content: bytes, path: str, problems: Problems) -> bytes:
    """The file as UTF-8 with line feeds only.

    Raises:
        InputError: it is no text, or not in the encoding that its first bytes name.
    """
    for magic, what in _FOREIGN.items():
        if content.startswith(magic):
            raise InputError(f"{path} is {what}; wanted a table: save it as CSV (UTF-8) or Parquet")
    encoding = next((encoding for mark, encoding in _BOMS.items() if content.startswith(mark)), "utf-8")
    head = content[:_LOOK]
    if encoding in ("utf-8", "utf-8-sig") and len(head) - len(head.translate(None, _CONTROL)) + max(0, head.count(0) - 8) > max(
        4, len(head) / 50
    ):
        raise InputError(f"{path} is no text; wanted a table: save it as CSV (UTF-8) or Parquet")
    content = _decoded(content, encoding, path, problems).lstrip("\ufeff").encode()
    if b"\r" in content:
        content = content.replace(b"\r\n", b"\n") if b"\n" in content else content.replace(b"\r", b"\n")
        content = content.replace(b"\r", b" ")
    if not content.strip():
        raise InputError(f"{path} is empty; wanted a header row and a row for each record")
    return content


def _decoded(content: bytes, encoding: str, path: str, problems: Problems) -> str:
    """The file's text: UTF-8 where that reads more letters than it fails on, else Windows-1252."""
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        if not encoding.startswith("utf-8"):
            raise InputError(f"{path} starts as {encoding} but byte {error.start} can't be read so; save it as UTF-8") from error
        row = content[: error.start].count(b"\n") + 1
    text = content.decode(encoding, errors="replace")
    marks = text.count("\ufffd")
    if encoding == "utf-8-sig" or len(text) - len(text.encode("ascii", "ignore")) > 2 * marks:
        rows = [row for row, line in enumerate(text.split("\n"), 1) if "\ufffd" in line]
        problems.add(path, "broken letter", "bytes that are no UTF-8; each is read as \ufffd", "mended", rows=rows)
        return text
    why = "not UTF-8 from this row on; the whole file is read as Windows-1252; save it as UTF-8 where letters look wrong"
    problems.add(path, "other encoding", why, "mended", rows=row)
    return content.decode("cp1252", errors="replace")
