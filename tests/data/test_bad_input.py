"""Bad input, kind by kind: each ends in an error that says what to do, or in mends that are counted; never in a traceback.

A case is a small shop with one thing wrong, run through ``mllm-rec inspect``. ``wanted`` is either words that the error
holds, or how often each kind of problem is noted.
"""

import gzip
import json
from dataclasses import dataclass, field

import pytest
from by_hand import picture

from mllm_rec.cli import main

HEAD = "sku,name,price,photo"
ROWS = ["p1,Red lamp,12.50,a.png", "p2,Blue mug,7,a.png", "p3,Oak chair,99,a.png"]
LOG = ["user,sku,when,stars", "u1,p1,2024-01-01,5", "u1,p2,2024-01-02,3", "u2,p1,2024-01-03,4"]
ITEMS = [HEAD, *ROWS]
PNG = picture(size=64)


@dataclass(frozen=True)
class Case:
    name: str
    wanted: str | dict[str, int]
    items: list[str] | bytes = field(default_factory=lambda: ITEMS)
    log: list[str] | bytes | None = field(default_factory=lambda: LOG)
    args: str = ""
    picture: bytes = PNG


def item(row: str) -> list[str]:
    """The shop with one more item."""
    return [*ITEMS, row]


def row(row: str) -> list[str]:
    """The log with one more row."""
    return [*LOG, row]


def file(lines: list[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


FILES = [
    Case("all is well", {}),
    Case("empty file", "items.csv is empty; wanted a header row", b""),
    Case("blank file", "items.csv is empty", b"\n \n"),
    Case("header only", "has no usable row: it has a header only", [HEAD]),
    Case("no header", "row 1 is '1,2,3', which looks like data", ["1,2,3", "4,5,6"], None),
    Case("only delimiters", "has neither column names nor cells", [",,,", ",,,"], None),
    Case("picture for a table", "is a PNG picture; wanted a table: save it as CSV", PNG),
    Case("Excel workbook", "is an Excel workbook or a ZIP archive; wanted a table", b"PK\x03\x04\x14\x00\x06\x00"),
    Case("old Excel workbook", "is an Excel workbook; wanted a table", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"),
    Case("binary file", "is no text; wanted a table", bytes(range(256)) * 8),
    Case("UTF-16 without its mark", "is no text; wanted a table", "\n".join(ITEMS).encode("utf-16-le")),
    Case("UTF-16", {}, "\n".join(ITEMS).encode("utf-16")),
    Case("UTF-16 cut in a letter", "starts as utf-16 but byte", "\n".join(ITEMS).encode("utf-16")[:-1]),
    Case("UTF-8 with a mark", {}, b"\xef\xbb\xbf" + file(ITEMS)),
    Case("Windows-1252", {"other encoding": 1}, file(ITEMS) + "p4,Café,1,a.png\n".encode("cp1252")),
    Case("a byte that is no UTF-8", {"broken letter": 1}, file(item("p4,Café für Élèves?,1,a.png")).replace(b"?", b"\xff")),
    Case("broken gzip", "can't be read", gzip.compress(file(ITEMS))[:20]),
    Case("truncated Parquet", "starts like a Parquet file but can't be read", b"PAR1\x15\x04"),
    Case("semicolons", {}, [line.replace(",", ";") for line in ITEMS]),
    Case("a quote that does not close", {"unclosed quote": 1}, item('p4,"5 inch lamp,1,a.png')),
    Case("a row too short", {"row too short": 1, "no picture": 1}, item("p4,Rug,3")),
    Case("a row too long", {"row too long": 1}, item("p4,Rug,3,a.png,more")),
    Case("header too short", "most rows have more cells than the header's 2", ["sku,name", *ROWS]),
    Case("control characters", {"control character": 2}, [*item("p4,\x1b[2JRug\x07,3,a.png"), "p5,R\0ug,3,a.png"]),
    Case("the same column twice", {"repeated column": 1}, [HEAD + ",name", *(f"{line},x" for line in ROWS)]),
    Case("HTML for a table", "no column looks like the item's id", ["<!DOCTYPE html>", "<html><body>Not found</body></html>"], None),
    Case("JSON for a table", "no column looks like", ['[{"sku": "p1",', ' "name": "Lamp"}]']),
]
VALUES = [
    Case("negative price", {"negative price": 1}, item("p4,Rug,-3,a.png")),
    Case("unparsable price", {"unparsable price": 1}, item("p4,Rug,ask,a.png")),
    Case("no price at all", "read as price, but none of its values is a number", [HEAD, "p1,Lamp,ask,a.png"], None, "--map price=price"),
    Case(
        "prices beyond all measure", {"unparsable price": 3}, [*item("p4,Rug,1e400,a.png"), f"p5,Rug,{'9' * 400},a.png", "p6,Rug,inf,a.png"]
    ),
    Case("NaN for a price", {}, item("p4,Rug,NaN,a.png")),
    Case("million characters in a title", {"overlong cell": 1}, item(f"p4,{'x' * 1_000_000},1,a.png")),
    Case("million characters in an id", {"overlong item id": 1}, item(f"{'x' * 1_000_000},Rug,1,a.png")),
    Case("no title", {"missing title": 1}, item("p4,,1,a.png")),
    Case("HTML in a title", {"HTML": 1}, item("p4,<script>alert(1)</script>,1,a.png")),
    Case(
        "ids with anything in them",
        {},
        [*item("../../etc/passwd,Rug,1,a.png"), '"a""b",R,1,a.png', "é\u202e😀,R,1,a.png", "'; DROP--,R,1,a.png"],
    ),
    Case("id on two lines", {"line break in item id": 1}, item('"p\n4",Rug,1,a.png')),
    Case("blanks around ids", {}, [HEAD, *(f"  {line}" for line in ROWS)]),
    Case("no id", {"missing item id": 2}, [*item(",Rug,1,a.png"), "n/a,Rug,2,a.png"]),
    Case("the same id twice", {"repeated item id": 2}, [*item(ROWS[0]), ROWS[0]]),
    Case("no column of ids", "no column looks like the item's id", ["name,color", "Red lamp,red", "Red lamp,red"], None),
    Case("no column of titles", {"no title": 1}, ["sku,price", "p1,3", "p2,4"]),
    Case("one item", {"unknown item": 1}, ITEMS[:2]),
]
PICTURES = [
    Case("no picture named", {"no picture": 1}, item("p4,Rug,1,")),
    Case("picture is not there", {"missing or broken picture": 1}, item("p4,Rug,1,b.png")),
    Case("picture that is text", {"missing or broken picture": 3}, picture=b"not a picture"),
    Case("picture of no bytes", {"missing or broken picture": 3}, picture=b""),
    Case("truncated picture", {"missing or broken picture": 3}, picture=PNG[:80]),
    Case("picture outside the folder", {"missing or broken picture": 1}, item("p4,Rug,1,../items.csv")),
    Case("absolute path", {"missing or broken picture": 1}, item("p4,Rug,1,/etc/passwd")),
    Case("picture on the web", {"missing or broken picture": 1}, item("p4,Rug,1,https://example.org/a.png")),
    Case("path longer than paths can be", {"missing or broken picture": 1}, item(f"p4,Rug,1,{'x' * 5000}.png")),
    Case("no folder of pictures", "is not a folder; --images names the folder", args="--images {folder}/none"),
    Case("a file for the folder of pictures", "is not a folder", args="--images {folder}/items.csv"),
]
LOGS = [
    Case("empty log", "log.csv is empty", log=b""),
    Case("no interaction", {}, log=LOG[:1]),
    Case("one user", {}, log=LOG[:2]),
    Case(
        "all items unknown",
        "none of the 2 item ids in column 'sku' is in the catalog",
        log=[LOG[0], "u1,x1,2024-01-01,5", "u1,x2,2024-01-01,5"],
    ),
    Case(
        "user and item swapped",
        "column 'user' holds such ids",
        log=["user,sku", "p1,u1", "p2,u1", "p3,u2"],
        args="--map item_id=sku,user_id=user",
    ),
    Case("ids as 1.0 for 1", {"item id with .0": 1}, ["sku,name", "1,Lamp", "2,Mug"], ["user,sku", "u1,1.0", "u2,2.0"]),
    Case("an unknown item", {"unknown item": 1}, log=row("u2,p9,2024-01-04,4")),
    Case("no user", {"missing user id": 1}, log=row(",p3,2024-01-04,4")),
    Case("no column of users", "no column looks like the user", log=["sku,when,stars", "p1,2024-01-01,5"]),
    Case("the same pair twice", {"repeated pair": 1}, log=row("u1,p1,2024-01-04,4")),
    Case("time in the future", {"time in the future": 1}, log=row("u2,p3,2999-01-01,4")),
    Case("no time", {"unparsable time": 2}, log=[*row("u2,p3,soon,4"), "u2,p2,,4"]),
    Case("no times at all", {"column without times": 1}, log=[LOG[0], "u1,p1,soon,5"], args="--map timestamp=when"),
    Case("unparsable rating", {"unparsable rating": 1}, log=row("u2,p3,2024-01-04,good"), args="--min-rating 4"),
    Case(
        "least rating without ratings",
        "has no column of ratings, but --min-rating is set",
        log=["user,sku", "u1,p1"],
        args="--min-rating 4",
    ),
    Case("least rating without a log", "--min-rating is set, but there is no log", log=None, args="--min-rating 4"),
    Case("least rating above all", "--min-rating 11 leaves no like; the ratings in column 'stars' go from 3 to 5", args="--min-rating 11"),
    Case("core that leaves nothing", "--k-core 5 leaves none of the 3 likes", args="--k-core 5"),
]
OPTIONS = [
    Case("no such file", "none.csv does not exist; wanted a CSV", args="--interactions {folder}/none.csv"),
    Case("a folder for a file", "is a folder; wanted a CSV", args="--interactions {folder}"),
    Case("map to no column", "has no column 'cost'; there are 'sku', 'name', 'price', 'photo'", args="--map price=cost"),
    Case("map to a misspelled column", "has no column 'nme'; did you mean 'name'?", args="--map title=nme"),
    Case("map of no field", "'titel' is no field; did you mean title", args="--map titel=name"),
    Case("one column for user and item", "can't be both the user and the item", args="--map item_id=sku,user_id=sku"),
    Case("kind that is none", "wanted a kind of number, ordinal", args="--kind name=words"),
    Case("kind for no column", "has no column 'color'", args="--kind color=set"),
    Case(
        "kind that no value has",
        "no value of column 'use' is of kind number",
        [HEAD + ",use", *(f"{line},a" for line in ROWS)],
        args="--kind use=number",
    ),
]


def run(case: Case, folder, capsys) -> tuple[int, str, str]:
    (folder / "pictures").mkdir()
    (folder / "pictures" / "a.png").write_bytes(case.picture)
    command = ["inspect", str(folder / "items.csv"), "--json", "--images", str(folder / "pictures")]
    for name, content in (("items.csv", case.items), ("log.csv", case.log)):
        if content is not None:
            (folder / name).write_bytes(content if isinstance(content, bytes) else file(content))
    command += ["--interactions", str(folder / "log.csv")] if case.log is not None else []
    code = main([*command, *(part.format(folder=folder) for part in case.args.split())])
    out = capsys.readouterr()
    return code, out.out, out.err


@pytest.mark.parametrize("case", [*FILES, *VALUES, *PICTURES, *LOGS, *OPTIONS], ids=lambda case: case.name)
def test_bad_input(case, tmp_path, capsys):
    code, out, err = run(case, tmp_path, capsys)
    assert "Traceback" not in err
    if isinstance(case.wanted, str):
        assert code == 1 and not out
        assert err.startswith("mllm-rec: ") and case.wanted in err
        assert str(tmp_path) in err or "--" in err  # names the file or the option
    else:
        assert code == 0, err
        assert json.loads(out)["problems"]["kinds"] == case.wanted


def test_the_table_is_long_enough():
    assert len({case.name for case in [*FILES, *VALUES, *PICTURES, *LOGS, *OPTIONS]}) >= 60
