"""What is understood of a shop's own files, before anything is built from them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from mllm_rec.data import mapping
from mllm_rec.data.catalog import Column
from mllm_rec.data.interactions import Interactions
from mllm_rec.data.log import k_core as core
from mllm_rec.data.problems import Problems, shown
from mllm_rec.data.sources.base import Source
from mllm_rec.data.sources.own_files import from_tables
from mllm_rec.data.tables import Table, read_table
from mllm_rec.errors import InputError

_CORES = (2, 5, 10)
_EXAMPLES = 3
_WHY = {
    "global-time": "every like has a time, so the latest ones are the test; where that leaves too few users to validate on, the build takes each user's latest instead and says so",
    "random": "no column of the log was recognized as time (name it with --map timestamp=..)",
    "none": "there is no like, so nothing is trained or tested; items are recommended by their content",
}


def inspect(
    items: Path | str,
    images: Path | str | None = None,
    interactions: Path | str | None = None,
    map: Mapping[str, str] | None = None,
    kinds: Mapping[str, str | Column] | None = None,
    min_rating: float | None = None,
    k_core: int = 0,
) -> tuple[dict[str, Any], str]:
    """What ``own_files`` makes of the same arguments, as plain values and as text to read.

    Raises:
        InputError: the files are not understood; it says what must be given, and what the columns look like.
    """
    problems = Problems()
    table = read_table(items, problems)
    log = read_table(interactions, problems) if interactions is not None else None
    try:
        meaning = mapping.understand(table, log, map, Path(images) if images is not None else None)
        source = from_tables(table, log, meaning, problems, images, kinds, min_rating, k_core)
    except InputError as error:
        seen = "\n\n".join(_raw(one) for one in (table, log) if one is not None)
        raise InputError(f"{error}\n\n{seen}") from error
    found = {
        "understood": True,
        "items": {"file": table.path, "rows": len(table.frame), "items": len(source.catalog), "columns": _columns(table, source, meaning)},
        "log": _log(log, source, meaning) if log is not None else None,
        "split": {"how": source.split, "why": _WHY[source.split]},
        "problems": {"count": len(problems), "kinds": problems.counts(), "examples": problems.summary()},
        "notes": list(source.notes),
    }
    return found, _text(found)


def _columns(table: Table, source: Source, meaning: mapping.Meaning) -> list[dict[str, Any]]:
    """Each column of the items file: what it is read as, its kind, how many items have it, what it holds."""
    roles = {column: role for role, column in meaning.items.items()}
    rows = []
    for name in table.columns:
        role = roles.get(name)
        held = role or (name if name in source.catalog.columns else f"{name} (column)")
        row: dict[str, Any] = {"column": name, "role": role, "guessed": role is not None and ("items", role) not in meaning.given}
        if held not in source.catalog.columns:
            rows.append({**row, "kind": "not used", "known": 0.0, "holds": _examples(table.frame[name])})
            continue
        column, values = source.catalog.columns[held], source.catalog.table[held]
        rows.append({**row, "kind": column.kind, "known": float(values.notna().mean()), "holds": _holds(column, values)})
    return rows


def _holds(column: Column, values: pd.Series) -> str:
    """Range, values by frequency, or examples."""
    present = values.dropna()
    if not len(present):
        return "nothing"
    if column.kind == "number":
        return f"{present.min():g} to {present.max():g}"
    if column.kind == "date":
        return f"{present.min():%Y-%m-%d} to {present.max():%Y-%m-%d}"
    if column.kind == "boolean":
        return f"{int(values.sum())} yes, {int((~values).sum())} no"
    if column.kind == "ordinal":
        return " < ".join(column.order)
    if column.kind in ("category", "set"):
        counts = (present.explode() if column.kind == "set" else present).value_counts()
        return f"{len(counts)} values: " + ", ".join(shown(value) for value in counts.index[:_EXAMPLES])
    return _examples(present)


def _examples(values: pd.Series) -> str:
    return ", ".join(shown(value) for value in values.dropna().iloc[:_EXAMPLES]) or "nothing"


def _log(log: Table, source: Source, meaning: mapping.Meaning) -> dict[str, Any]:
    """The log's columns and size, and what taking out rare users and items would leave."""
    likes = source.interactions
    users, items = likes.table["user_id"].nunique(), likes.table["item_id"].nunique()
    columns = [
        {"column": column, "role": name, "guessed": ("log", name) not in meaning.given, "holds": _examples(log.frame[column])}
        for name, column in meaning.log.items()
    ]
    return {
        "file": log.path,
        "rows": len(log.frame),
        "columns": columns,
        "not_used": [name for name in log.columns if name not in meaning.log.values()],
        "users": users,
        "items": items,
        "likes": len(likes),
        "seen_only": len(source.seen) if source.seen is not None else 0,
        "density": len(likes) / (users * len(source.catalog)) if users else 0.0,
        "cores": {str(least): _left(likes, least) for least in _CORES},
    }


def _left(likes: Interactions, least: int) -> dict[str, int]:
    left = likes.table[core(likes, least)]
    return {"users": left["user_id"].nunique(), "items": left["item_id"].nunique(), "likes": len(left)}


def _raw(table: Table) -> str:
    """A file's columns as they stand in it."""
    lines = [
        [name, f"{table.frame[name].notna().mean() if len(table.frame) else 0:.0%}", _examples(table.frame[name])] for name in table.columns
    ]
    return f"{table.path}: {len(table.frame)} rows\n" + _aligned([["column", "filled", "holds"], *lines])


def _text(found: dict[str, Any]) -> str:
    def role(row: dict[str, Any]) -> str:
        return (row["role"] or "attribute") + (" (guessed)" if row["guessed"] else "")

    items, log = found["items"], found["log"]
    table = [
        [row["column"], role(row) if row["kind"] != "not used" else "-", row["kind"], f"{row['known']:.0%}", row["holds"]]
        for row in items["columns"]
    ]
    parts = [
        f"{items['file']}: {items['rows']} rows, {items['items']} items\n"
        + _aligned([["column", "read as", "kind", "known", "holds"], *table])
    ]
    if log:
        table = [[row["column"], role(row), row["holds"]] for row in log["columns"]]
        size = f"{log['rows']} rows: {log['users']} users, {log['items']} items, {log['likes']} likes, density {log['density']:.2%}"
        size += f", {log['seen_only']} rows that are only seen" if log["seen_only"] else ""
        unused = f"\n  not used: {', '.join(log['not_used'])}" if log["not_used"] else ""
        parts.append(f"{log['file']}: {size}\n" + _aligned([["column", "read as", "holds"], *table]) + unused)
        cores = [
            f"  {least}-core: {left['users']} users, {left['items']} items, {left['likes']} likes" for least, left in log["cores"].items()
        ]
        parts.append("what --k-core would leave\n" + "\n".join(cores))
    parts.append(f"split: {found['split']['how']}; {found['split']['why']}")
    examples = found["problems"]["examples"]
    parts.append(f"problems: {found['problems']['count']}" + "".join(f"\n  {line}" for line in examples))
    if found["notes"]:
        parts.append("notes" + "".join(f"\n  {line}" for line in found["notes"]))
    return "\n\n".join(parts)


def _aligned(rows: list[list[str]]) -> str:
    widths = [min(40, max(len(row[place]) for row in rows)) for place in range(len(rows[0]) - 1)]
    return "\n".join(
        "  " + "  ".join([*(cell[:40].ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]).rstrip() for row in rows
    )
