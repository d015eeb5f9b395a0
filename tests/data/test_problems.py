"""Every occurrence is one line with file and row."""

import json

from mllm_rec.data.problems import Problems, shown


def test_lines_counts_and_summary(tmp_path):
    problems, later = Problems(), Problems()
    problems.add("shop/log.csv", "unknown item", ["no a", "no b"], "refused", rows=[3, 5], column="sku")
    later.add(tmp_path / "items.csv", "no title", "ids are shown", "mended")
    later.add("shop/log.csv", "unknown item", "no c", "mended", rows=9)
    problems.add("shop/log.csv", "never", "none", "refused", rows=[])
    problems.extend(later)
    assert len(problems) == 4 and problems.counts() == {"unknown item": 3, "no title": 1}
    assert problems.summary() == [
        "unknown item: 3 mended and refused; first: log.csv, row 3: no a",
        "no title: 1 mended; first: items.csv: ids are shown",
    ]
    problems.write(tmp_path / "problems.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "problems.jsonl").read_text(encoding="utf-8").splitlines()]
    assert lines == list(problems)
    assert lines[1] == {
        "file": "shop/log.csv",
        "row": 5,
        "column": "sku",
        "kind": "unknown item",
        "why": "no b",
        "action": "refused",
    }
    assert lines[2] == {"file": str(tmp_path / "items.csv"), "kind": "no title", "why": "ids are shown", "action": "mended"}


def test_values_are_shown_short_and_on_one_line():
    assert shown("a\nb") == "'a b'"
    assert len(shown("x" * 1_000_000)) < 100
    assert "\x1b" not in shown("\x1b[31m")
