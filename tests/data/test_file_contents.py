"""Files before they are tables: encodings, compression, and what is no text."""

import gzip

import pytest
from by_hand import picture, said, write

from mllm_rec.data.problems import Problems
from mllm_rec.data.tables import read_table
from mllm_rec.errors import InputError

LINES = ("sku,name", "a,Café", "b,Vaße")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_encodings_that_say_what_they_are(tmp_path, encoding):
    problems = Problems()
    table = read_table(write(tmp_path / "items.csv", *LINES, encoding=encoding), problems)
    assert table.columns == ["sku", "name"] and list(table.frame["name"]) == ["Café", "Vaße"]
    assert not len(problems)


def test_windows_1252(tmp_path):
    problems = Problems()
    table = read_table(write(tmp_path / "items.csv", *LINES, "c,5 €", encoding="cp1252"), problems)
    assert list(table.frame["name"]) == ["Café", "Vaße", "5 €"]
    assert said(problems) == [(2, None, "other encoding", "mended")]


def test_one_broken_letter_does_not_spoil_the_others(tmp_path):
    (tmp_path / "items.csv").write_bytes("sku,name\na,Café\nb,Vaße\nc,Blüte\nd,Wand".encode() + b"\xff\n")
    problems = Problems()
    table = read_table(tmp_path / "items.csv", problems)
    assert list(table.frame["name"]) == ["Café", "Vaße", "Blüte", "Wand\ufffd"]
    assert said(problems) == [(5, None, "broken letter", "mended")]


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_line_ends(tmp_path, line_end):
    (tmp_path / "items.csv").write_bytes(line_end.join(LINES).encode())
    assert list(read_table(tmp_path / "items.csv", Problems()).frame["name"]) == ["Café", "Vaße"]


def test_gzip(tmp_path):
    path = tmp_path / "items.csv.gz"
    path.write_bytes(gzip.compress("\n".join(LINES).encode()))
    assert len(read_table(path, Problems()).frame) == 2
    path.write_bytes(path.read_bytes()[:30])
    with pytest.raises(InputError, match=r"items\.csv\.gz' can't be read"):
        read_table(path, Problems())


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (picture("PNG"), "a PNG picture"),
        (picture("JPEG"), "a JPEG picture"),
        (b"PK\x03\x04rest of it", "an Excel workbook"),
        (b"%PDF-1.7", "a PDF document"),
        (bytes(range(256)) * 4, "no text"),
        (("sku,name\na,b\n" * 9).encode("utf-16-le"), "no text"),
        (b"", "is empty"),
        (b" \n\n \n", "is empty"),
        (b"\xef\xbb\xbf\n", "is empty"),
        (b"\xff\xfe\x00", "starts as utf-16"),
        (b",,,\n,,,\n", "neither column names nor cells"),
    ],
)
def test_what_is_no_table_says_what_it_is(tmp_path, content, what):
    (tmp_path / "items.csv").write_bytes(content)
    with pytest.raises(InputError, match=what):
        read_table(tmp_path / "items.csv", Problems())


def test_no_file_and_a_folder(tmp_path):
    with pytest.raises(InputError, match="does not exist; wanted a CSV"):
        read_table(tmp_path / "items.csv", Problems())
    with pytest.raises(InputError, match="is a folder"):
        read_table(tmp_path, Problems())
