"""Several systems side by side, with how much each differs from a baseline; every row says how it was measured."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mllm_rec.errors import InputError
from mllm_rec.evaluation.significance import Difference, holm, paired_bootstrap
from mllm_rec.evaluation.table import Table

#: Below this corrected p a difference is marked.
LEVEL = 0.05


@dataclass(frozen=True)
class Comparison:
    """Tables by system; ``differences[system][metric]`` to the baseline, p corrected after Holm over all of them."""

    tables: Mapping[str, Table]
    names: tuple[str, ...]
    split: str
    mask: str
    baseline: str | None
    differences: Mapping[str, Mapping[str, Difference]]

    def to_dict(self) -> dict[str, Any]:
        """Split, mask, users and a list of systems, each with metrics and, beside a baseline, differences."""
        systems = []
        for system, table in self.tables.items():
            entry: dict[str, Any] = {"system": system, "users": len(table), "left_out": table.left_out, "metrics": table.to_dict()}
            if system in self.differences:
                entry["difference"] = {
                    name: {"mean": found.mean, "low": found.low, "high": found.high, "p": found.p}
                    for name, found in self.differences[system].items()
                }
            systems.append(entry)
        return {"split": self.split, "mask": self.mask, "baseline": self.baseline, "systems": systems}

    def text(self) -> str:
        """The table for a terminal: mean, interval, difference to the baseline ("*": significant), split and mask."""
        rows = [["system", *self.names, "split", "masked", "users"]]
        for system, table in self.tables.items():
            cells = [self._cell(system, name) for name in self.names]
            rows.append([system, *cells, self.split, self.mask, str(len(table))])
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        left_out = next(iter(self.tables.values())).left_out
        notes = [f"[low, high]: 95 % bootstrap over users; {left_out} users have nothing held out and are left out."]
        if self.differences:
            notes.append(f"+/-: difference to {self.baseline}; *: p < {LEVEL} (paired bootstrap, Holm's correction).")
        return "\n".join([*lines, "", *notes])

    def markdown(self) -> str:
        """The table for a document: mean and interval, and beside a baseline each difference with its paired interval ("*": significant)."""
        rows = [["", *self.names]]
        for system in self.tables:
            cells = []
            for name in self.names:
                found = self.differences.get(system, {}).get(name)
                cells.append(self._cell(system, name) + (f" [{found.low:+.4f}, {found.high:+.4f}]" if found else ""))
            rows.append([system, *cells])
        lines = [f"| {' | '.join(row)} |" for row in rows]
        users = len(next(iter(self.tables.values())))
        note = f"{users} users, split {self.split}, {self.mask} masked; 95 % bootstraps over users"
        if self.differences:
            note += f"; +/-: difference to {self.baseline}, paired, * where p < {LEVEL} after Holm's correction"
        return "\n".join([lines[0], "|---" * len(rows[0]) + "|", *lines[1:], "", note + "."])

    def _cell(self, system: str, name: str) -> str:
        table = self.tables[system]
        said = f"{table.mean(name):.4f}"
        if name in table.values:
            low, high = table.interval(name)
            said += f" [{low:.4f}, {high:.4f}]"
        found = self.differences.get(system, {}).get(name)
        return said if found is None else f"{said} {found.mean:+.4f}{'*' if found.p < LEVEL else ''}"


def compare(
    tables: Mapping[str, Table],
    split: str,
    mask: str = "train+validation",
    names: Sequence[str] = ("recall@20", "ndcg@20"),
    baseline: str | None = None,
) -> Comparison:
    """Set systems side by side.

    Args:
        tables: by system, over the same users.
        split: how the log was split, as in ``split(how=...)``.
        mask: which parts were hidden from the lists.
        names: metrics shown.
        baseline: a system of ``tables`` that the others are compared with; None: no comparison.

    Raises:
        InputError: no table, no such baseline or metric, or tables over different users.
    """
    if not tables:
        raise InputError("there is no system to compare; evaluate at least one")
    first, like = next(iter(tables.items()))
    for system, table in tables.items():
        if not np.array_equal(table.users, like.users):
            raise InputError(
                f"'{system}' was evaluated on {len(table)} users, '{first}' on {len(like)} others; evaluate all on the same held-out part"
            )
        for name in names:
            table.mean(name)
    if baseline is not None and baseline not in tables:
        raise InputError(f"the baseline '{baseline}' is not among the systems {', '.join(tables)}")
    found = [
        (system, paired_bootstrap(table, tables[baseline], name))
        for system, table in tables.items()
        if baseline is not None and system != baseline
        for name in names
        if name in table.values
    ]
    differences: dict[str, dict[str, Difference]] = {}
    for (system, one), p in zip(found, holm(one.p for _, one in found), strict=True):
        differences.setdefault(system, {})[one.name] = Difference(one.name, one.mean, one.low, one.high, float(p))
    return Comparison(tables, tuple(names), split, mask, baseline, differences)
