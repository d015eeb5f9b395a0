"""Ids from a column: none missing, none too long, each on one line."""

import pandas as pd

from mllm_rec.data import kinds
from mllm_rec.data.problems import Problems
from mllm_rec.data.tables import Table

#: Longer cells are no ids.
LONGEST = 500


def read_ids(table: Table, column: str, what: str, problems: Problems) -> pd.Series:
    """The ids of a column, by row; rows without one or with one longer than ``LONGEST`` are refused.

    Line breaks and tabs become blanks: lists of ids have one a line.

    Args:
        table: the file's rows.
        column: its column of ids.
        what: what they name, "item" or "user".
        problems: where mends and refusals are noted.
    """
    ids = kinds.known(table.frame[column])
    missing = ids.isna()
    problems.add(table.path, f"missing {what} id", f"the row names no {what}", "refused", rows=ids.index[missing], column=column)
    ids = ids[~missing]
    long = ids.str.len() > LONGEST
    lengths = [f"an id of {length} characters; wanted at most {LONGEST}" for length in ids[long].str.len()]
    problems.add(table.path, f"overlong {what} id", lengths, "refused", rows=ids.index[long], column=column)
    ids = ids[~long]
    # the characters, not their escapes: not every engine behind a column of strings knows \u
    broken = ids.str.contains("[\n\r\t\v\f\x85\u2028\u2029]", regex=True)
    if broken.any():
        why = "the id runs over several lines; it is read as one line"
        problems.add(table.path, f"line break in {what} id", why, "mended", rows=ids.index[broken], column=column)
        ids = ids.where(~broken, ids.str.split().str.join(" "))
    return ids
