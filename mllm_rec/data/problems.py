"""What was wrong with the files read: every occurrence, and what was done about it."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mllm_rec.data.files import atomic

#: What can be done about a problem: go on with a stated change, or leave the row out.
ACTIONS = ("mended", "refused")
_SHOWN = 80


@dataclass(frozen=True)
class _Same:
    """Occurrences of one kind in one file; ``why`` is one sentence for all of them or one for each."""

    file: str
    rows: Sequence[int] | None
    column: str | None
    kind: str
    why: str | Sequence[str]
    action: str

    def __len__(self) -> int:
        return 1 if self.rows is None else len(self.rows)

    def lines(self) -> Iterator[dict[str, Any]]:
        for place in range(len(self)):
            line: dict[str, Any] = {"file": self.file}
            if self.rows is not None:
                line["row"] = int(self.rows[place])
            if self.column is not None:
                line["column"] = self.column
            why = self.why if isinstance(self.why, str) else self.why[place]
            yield {**line, "kind": self.kind, "why": why, "action": self.action}


@dataclass
class Problems:
    """Collects occurrences; each becomes one line of ``problems.jsonl``.

    Rows are counted from 1 with the header as row 1, as a spreadsheet shows them.
    """

    _groups: list[_Same] = field(default_factory=list)

    def add(
        self,
        file: str | Path,
        kind: str,
        why: str | Sequence[str],
        action: str,
        *,
        rows: Iterable[int] | int | None = None,
        column: str | None = None,
    ):
        """Note one occurrence (no row, or one) or one for each of ``rows``.

        Args:
            file: the file as the user named it.
            kind: a few words that occurrences are counted by, such as "unknown item".
            why: a sentence for all rows, or one for each.
            action: an entry of ``ACTIONS``.
            rows: 1-based rows in the file, the header counted.
            column: the column as the file names it.
        """
        places = [rows] if isinstance(rows, int) else None if rows is None else list(rows)
        if places is None or places:
            self._groups.append(_Same(str(file), places, column, kind, why, action))

    def extend(self, other: "Problems") -> None:
        """Add all occurrences of another collection."""
        self._groups.extend(other._groups)

    def __len__(self) -> int:
        return sum(map(len, self._groups))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for group in self._groups:
            yield from group.lines()

    def counts(self) -> dict[str, int]:
        """Occurrences by kind, most frequent first."""
        counted: Counter[str] = Counter()
        for group in self._groups:
            counted[group.kind] += len(group)
        return dict(counted.most_common())

    def summary(self) -> list[str]:
        """One line a kind: how often, what was done, and the first occurrence."""
        lines = []
        for kind, count in self.counts().items():
            groups = [group for group in self._groups if group.kind == kind]
            first = next(groups[0].lines())
            place = ", ".join([Path(first["file"]).name, *([f"row {first['row']}"] if "row" in first else [])])
            done = " and ".join(sorted({group.action for group in groups}))
            lines.append(f"{kind}: {count} {done}; first: {place}: {first['why']}")
        return lines

    def write(self, path: Path, after: Path | None = None) -> None:
        """Write one JSON object a line, atomically; below the lines of another such file, if one is given."""
        before = after.read_text(encoding="utf-8") if after is not None else ""
        with atomic(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
            file.write(before)
            for line in self:
                file.write(json.dumps(line, ensure_ascii=False) + "\n")


def shown(value: object) -> str:
    """A value as an error or a problem quotes it: on one line and short."""
    text = " ".join(str(value).split())
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "…")
