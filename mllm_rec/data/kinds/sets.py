"""Cells that hold several values."""

import ast
import json
import re
import warnings

import pandas as pd

from mllm_rec.data.kinds.missing import MISSING

_SAMPLE = 20_000
#: A string in quotes, and strings as NumPy prints them: ['a' 'b'].
_QUOTED = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""")
_PRINTED_ARRAY = re.compile(rf"\[(?:\s*(?:{_QUOTED.pattern}))+\s*\]")


def split_set(values: pd.Series) -> list[tuple[str, ...] | None]:
    """Each cell as its parts without repeats: JSON and Python lists, else parts between the column's bars, semicolons or commas."""
    mark = max("|;,", key=lambda mark: values.str.contains(mark, regex=False).fillna(False).sum())
    cells = {value: _parts(value, mark) for value in values.dropna().unique()}
    return [cells.get(value) if isinstance(value, str) else None for value in values.to_numpy(dtype=object)]


def _parts(cell: str, mark: str) -> tuple[str, ...] | None:
    listed = literal_list(cell)
    parts = [" ".join(str(part).split()) for part in (cell.split(mark) if listed is None else listed)]
    return tuple(dict.fromkeys(part for part in parts if part and part not in MISSING)) or None


def literal_list(cell: str) -> list | None:
    """The elements of a cell that is a JSON list, a Python list, tuple or set, or a NumPy array, of plain values; None for any other cell."""
    if len(cell) > 20_000 or (cell[:1] + cell[-1:]) not in ("[]", "()", "{}"):
        return None
    for read in (json.loads, _printed_array, ast.literal_eval):
        try:
            with warnings.catch_warnings(action="ignore"):
                value = read(cell)
        except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
            continue
        if isinstance(value, (list, tuple, set)) and not any(isinstance(part, (list, tuple, set, dict)) for part in value):
            return sorted(value, key=str) if isinstance(value, set) else list(value)
    return None


def _printed_array(cell: str) -> list[str]:
    """The strings of an array as NumPy prints it; without commas Python would take them for one string.

    Raises:
        ValueError, SyntaxError: it is none.
    """
    if not _PRINTED_ARRAY.fullmatch(cell):
        raise ValueError(cell)
    return [ast.literal_eval(part) for part in _QUOTED.findall(cell)]


def is_set(present: pd.Series) -> bool:
    """Whether cells hold several short parts, most of which come again in other cells; sentences are none."""
    sample = present.iloc[:_SAMPLE]
    marked = sample.str.contains(r"[|;,]", regex=True)
    if (marked.mean() < 0.1 and not sample.str.startswith("[").any()) or sample.str.contains(r"[.!?]$", regex=True).mean() > 0.1:
        return False
    cells = [cell for cell in split_set(sample) if cell]
    parts = pd.Series([part for cell in cells for part in cell], dtype="str")
    if len(parts) < 1.2 * len(cells):
        return False
    again = parts.duplicated(keep=False)
    return bool((parts.str.count(" ") + 1).mean() <= 2.5 and (parts.str.len() <= 60).mean() >= 0.95 and again.mean() >= 0.7)
