"""The log in three parts: what is learned, what chooses, what judges."""

import difflib
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mllm_rec.data.interactions import Interactions
from mllm_rec.errors import InputError

#: Names of the parts, in the order they are used.
PARTS = ("train", "validation", "test")
#: Share of the rows, or of the items, in validation and again in test.
HELD_OUT = 0.1
#: Fewest warm users that a validation can be read from; for small logs a tenth of the users.
FEWEST = 50


@dataclass(frozen=True)
class Parts:
    """The three parts of a log; each keeps its order."""

    train: Interactions
    validation: Interactions
    test: Interactions


def split(interactions: Interactions, how: str, seed: int = 0) -> Parts:
    """Split a log; arguments and errors as in ``assign``."""
    part = assign(interactions, how, seed)
    return Parts(*(interactions.take(part == name) for name in PARTS))


def assign(interactions: Interactions, how: str, seed: int = 0) -> np.ndarray:
    """The part of each row, ``(n,)`` of "train", "validation" or "test".

    * ``given``: the column ``part`` says.
    * ``random``: of each user a tenth (at least one) is the test, a tenth the validation, drawn by chance.
    * ``user-time``: the same shares, each user's latest rows.
    * ``global-time``: the latest tenth of all rows is the test, the tenth before it the validation; rows of one moment stay together.
    * ``leave-one-out``: each user's last row is the test, the one before it the validation.
    * ``cold-items``: a tenth of the items, drawn by chance, is in the test alone, another in the validation alone.
    * ``none``: everything is train.

    Where the split goes by user, a user with two rows has no validation, and one with a single row is train only.

    Args:
        interactions: the log.
        how: one of the above.
        seed: of what is drawn.

    Raises:
        InputError: no such split, times that are missing, or a part that is none.
    """
    table = interactions.table
    if how == "given":
        return _given(table)
    if how in ("user-time", "global-time") and not interactions.timed and len(table):
        raise InputError(f"the split '{how}' needs a timestamp in every row; bring one, or split by 'random' or 'leave-one-out'")
    generator = np.random.default_rng(seed)
    times = table["timestamp"].to_numpy() if interactions.timed else np.arange(len(table))
    match how:
        case "random":
            return _by_user(table["user_id"], generator.permutation(len(table)), HELD_OUT)
        case "user-time":
            return _by_user(table["user_id"], times, HELD_OUT)
        case "leave-one-out":
            return _by_user(table["user_id"], times, 0)
        case "global-time":
            return _by_moment(times)
        case "cold-items":
            return _by_item(table["item_id"], generator)
        case "none":
            return np.full(len(table), "train", dtype=object)
    known = ("given", "random", "user-time", "global-time", "leave-one-out", "cold-items", "none")
    near = difflib.get_close_matches(how, known, n=1)
    raise InputError(f"'{how}' is not a split; " + (f"did you mean '{near[0]}'?" if near else f"there are {', '.join(known)}"))


def warm_users(interactions: Interactions, part: np.ndarray, held_out: str = "validation") -> int:
    """Users with rows in ``held_out`` and in train."""
    users = interactions.table["user_id"].to_numpy()
    return len(np.intersect1d(users[part == held_out].astype(str), users[part == "train"].astype(str)))


def settle(interactions: Interactions, how: str, seed: int = 0) -> tuple[np.ndarray, str, str]:
    """``assign``, but global-time gives way to user-time where its validation holds too few warm users.

    Too few are less than ``FEWEST``, or than a tenth of the users where that is less.

    Returns:
        Part of each row, how it was split, and a sentence where that isn't what was asked for (else "").
    """
    part = assign(interactions, how, seed)
    if how != "global-time" or not len(part):
        return part, how, ""
    needed, warm = min(FEWEST, -(-interactions.table["user_id"].nunique() // 10)), warm_users(interactions, part)
    if warm >= needed:
        return part, how, ""
    note = f"the split is user-time, not global-time: its validation would hold {warm} users with a past, and {needed} are the fewest to choose by"
    return assign(interactions, "user-time", seed), "user-time", note


def _given(table: pd.DataFrame) -> np.ndarray:
    if "part" not in table:
        raise InputError("the log has no column 'part', so no split is given; choose another, for example 'user-time' or 'random'")
    wrong = ~table["part"].isin(PARTS)
    if wrong.any():
        raise InputError(
            f"row {int(wrong.to_numpy().argmax())} of the log is of part {table['part'][wrong].iloc[0]!r}; wanted {', '.join(PARTS)}"
        )
    return table["part"].to_numpy(dtype=object)


def _by_user(users: pd.Series, order: Any, share: float) -> np.ndarray:
    """Each user's last rows in ``order``: test, before them validation; ``share`` of the user's rows each, at least one."""
    codes = pd.factorize(users)[0]
    count = np.bincount(codes)[codes] if len(codes) else codes
    sorted_rows = np.lexsort((np.arange(len(codes)), np.asarray(order), codes))
    rank = np.empty(len(codes), dtype=np.int64)
    rank[sorted_rows] = np.arange(len(codes)) - np.searchsorted(codes[sorted_rows], codes[sorted_rows])
    from_last = count - 1 - rank
    held = np.maximum(1, np.floor(share * count + 0.5)).astype(np.int64)
    part = np.full(len(codes), "train", dtype=object)
    part[(from_last < 2 * held) & (count >= 3)] = "validation"
    part[(from_last < held) & (count >= 2)] = "test"
    return part


def _by_moment(times: Any) -> np.ndarray:
    part = np.full(len(times), "train", dtype=object)
    if len(times):
        ordered = np.sort(np.asarray(times))
        first_test, first_validation = (ordered[int(len(times) * (1 - share))] for share in (HELD_OUT, 2 * HELD_OUT))
        part[times >= first_validation] = "validation"
        part[times >= first_test] = "test"
    return part


def _by_item(items: pd.Series, generator: np.random.Generator) -> np.ndarray:
    codes, names = pd.factorize(items, sort=True)
    place = generator.permutation(len(names))[codes] if len(names) else codes
    held = max(1, round(HELD_OUT * len(names))) if len(names) >= 3 else 0
    return np.select([place < held, place < 2 * held], ["test", "validation"], "train").astype(object)
