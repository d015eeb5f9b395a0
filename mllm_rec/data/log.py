"""A clean log from a table: known items, one row per pair, times in seconds."""

import time
from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from mllm_rec.data import kinds
from mllm_rec.data.ids import read_ids
from mllm_rec.data.interactions import Interactions
from mllm_rec.data.problems import Problems, shown
from mllm_rec.data.tables import Table
from mllm_rec.errors import InputError

_DAY = 86_400.0
_SAMPLE = 20_000


def interactions_from(
    table: Table,
    fields: Mapping[str, str],
    item_ids: Iterable[str],
    problems: Problems,
    min_rating: float | None = None,
    now: float | None = None,
) -> tuple[Interactions, Interactions | None]:
    """What users liked, and what else they have seen.

    Refused: rows without a user, without an item or with an unknown one; rows without a readable time where most rows
    have one; rows without a readable rating where ``min_rating`` is set. Times in the future are set to the latest
    time that isn't. Of rows with the same user and item one is kept, at its place in the log: the latest where the log
    has ratings (people change their minds), else the earliest; weights are summed.

    Args:
        table: the log.
        fields: column by field of ``Interactions``, with ``user_id`` and ``item_id``.
        item_ids: of the catalog.
        problems: where mends and refusals are noted.
        min_rating: a row is a like from this rating on; lower ones are only seen. None: every row is a like.
        now: seconds since 1970 that the future begins at; None: the clock's.

    Returns:
        likes, and the rows below ``min_rating`` (None where that is not set).

    Raises:
        InputError: ``min_rating`` without a rating column or above every rating, no row with a known item, a column
            without one usable value.
    """
    if min_rating is not None and "rating" not in fields:
        raise InputError(
            f"{table.path} has no column of ratings, but --min-rating is set; name it with --map rating=.. or leave --min-rating out"
        )
    ids = {f"{what}_id": read_ids(table, fields[f"{what}_id"], what, problems) for what in ("user", "item")}
    known = pd.DataFrame(ids).dropna()
    known = _known_items(known, table, fields["item_id"], pd.Index(item_ids), problems)
    if "timestamp" in fields:
        known = _timed(known, table, fields["timestamp"], problems, time.time() if now is None else now)
    if "rating" in fields:
        known = _rated(known, table, fields["rating"], problems, min_rating)
    if "weight" in fields:
        known["weight"] = _weights(table.frame.loc[known.index, fields["weight"]], table, fields["weight"], problems)
    known = _one_per_pair(known, table, problems)
    log = Interactions(known.reset_index(drop=True))
    if min_rating is None:
        return log, None
    liked = (log.table["rating"] >= min_rating).to_numpy()
    if len(log) and not liked.any():
        least, most = log.table["rating"].min(), log.table["rating"].max()
        raise InputError(
            f"{table.path}: --min-rating {min_rating:g} leaves no like; the ratings in column '{fields['rating']}' go from {least:g} to {most:g}"
        )
    return _renumbered(log.take(liked)), _renumbered(log.take(~liked))


def _renumbered(log: Interactions) -> Interactions:
    return Interactions(log.table.reset_index(drop=True))


def _known_items(log: pd.DataFrame, table: Table, column: str, items: pd.Index, problems: Problems) -> pd.DataFrame:
    known = log["item_id"].isin(items)
    if len(log) and not known.any():
        # A spreadsheet with a gap in a column of whole numbers writes them all as 12.0.
        for change, written in (("taken off", log["item_id"].str.removesuffix(".0")), ("added", log["item_id"] + ".0")):
            if (known := written.isin(items)).any():
                said = f"item ids end in .0 in one file and not in the other; it is {change} here"
                problems.add(table.path, "item id with .0", said, "mended", column=column)
                log = log.assign(item_id=written)
                break
        else:
            bare = items.str.lstrip("0")
            if bare.is_unique and (known := log["item_id"].isin(bare)).any():
                said = "item ids have lost their leading zeros in the log (spreadsheets do that); they are put back"
                problems.add(table.path, "item id without zeros", said, "mended", column=column)
                log = log.assign(item_id=log["item_id"].map(dict(zip(bare, items, strict=True))).fillna(log["item_id"]))
                known = log["item_id"].isin(items)
        if not known.any():
            raise InputError(_all_unknown(log["item_id"], table, column, items))
    why = [f"item {shown(name)} is not in the catalog" for name in log.loc[~known, "item_id"]]
    problems.add(table.path, "unknown item", why, "refused", rows=log.index[~known], column=column)
    return log[known].copy()


def _all_unknown(ids: pd.Series, table: Table, column: str, items: pd.Index) -> str:
    others = [name for name in table.columns if name != column and table.frame[name].iloc[:_SAMPLE].isin(items).mean() > 0.5]
    hint = f"column '{others[0]}' holds such ids" if others else "say which columns match"
    return (
        f"{table.path}: none of the {len(ids)} item ids in column '{column}' is in the catalog (row {ids.index[0]}: {shown(ids.iloc[0])}; "
        f"the catalog's first is {shown(items[0])}); {hint}, for example --map item_id={others[0] if others else '..'}"
    )


def _timed(log: pd.DataFrame, table: Table, column: str, problems: Problems, now: float) -> pd.DataFrame:
    said = kinds.known(table.frame.loc[log.index, column])
    read = kinds.dates(said, "timestamp")
    seconds = read.to_numpy().astype("datetime64[us]").astype(np.int64) / 1e6
    seconds[read.isna().to_numpy()] = np.nan
    unread = np.isnan(seconds)
    if len(log) and unread.mean() > 0.5:
        some = said.dropna()
        where = f" (row {some.index[0]}: {shown(some.iloc[0])})" if len(some) else ""
        problems.add(
            table.path,
            "column without times",
            f"{unread.mean():.0%} of column '{column}' can't be read as times{where}; the column is not used",
            "mended",
            column=column,
        )
        return log
    why = [
        f"{shown('' if pd.isna(value) else value)} is no time; the row can't be put before or after the others" for value in said[unread]
    ]
    problems.add(table.path, "unparsable time", why, "refused", rows=log.index[unread], column=column)
    log = log.assign(timestamp=seconds)[~unread]
    future = (log["timestamp"] > now + _DAY).to_numpy()
    if future.any():
        latest = log.loc[~future, "timestamp"].max() if not future.all() else now
        why = [f"{shown(value)} lies in the future; set to the latest time that doesn't" for value in said[~unread][future]]
        problems.add(table.path, "time in the future", why, "mended", rows=log.index[future], column=column)
        log.loc[future, "timestamp"] = latest
    return log


def _rated(log: pd.DataFrame, table: Table, column: str, problems: Problems, min_rating: float | None) -> pd.DataFrame:
    said = table.frame.loc[log.index, column]
    ratings = kinds.numbers(said)
    unread = np.isnan(ratings)
    if len(log) and unread.all():
        raise InputError(
            f"{table.path}: column '{column}' is read as the rating, but none of its values is a number (row {log.index[0]}: {shown(said.iloc[0])}); map another with --map rating=.."
        )
    refused = min_rating is not None
    why = [
        f"{shown('' if pd.isna(value) else value)} is no rating" + ("" if refused else "; the row counts without one")
        for value in said[unread]
    ]
    problems.add(table.path, "unparsable rating", why, "refused" if refused else "mended", rows=log.index[unread], column=column)
    log = log.assign(rating=ratings)
    return log[~unread] if refused else log


def _weights(said: pd.Series, table: Table, column: str, problems: Problems) -> np.ndarray:
    weights = kinds.numbers(said)
    wrong = ~(weights > 0)
    why = [f"{shown('' if pd.isna(value) else value)} is no positive weight; taken as 1" for value in said[wrong]]
    problems.add(table.path, "unparsable weight", why, "mended", rows=said.index[wrong], column=column)
    return np.where(wrong, 1.0, weights)


def _one_per_pair(log: pd.DataFrame, table: Table, problems: Problems) -> pd.DataFrame:
    if not len(log):
        return log
    users, items = pd.factorize(log["user_id"])[0], pd.factorize(log["item_id"])[0]
    pairs = users.astype(np.int64) * (int(items.max()) + 1) + items
    by_time = np.argsort(log["timestamp"].to_numpy(), kind="stable") if "timestamp" in log else np.arange(len(log))
    again = np.zeros(len(log), dtype=bool)
    again[by_time] = pd.Series(pairs[by_time]).duplicated(keep="last" if "rating" in log else "first").to_numpy()
    if again.any():
        kept = "latest" if "rating" in log else "earliest"
        problems.add(
            table.path, "repeated pair", f"this user and item stand in another row; the {kept} is kept", "mended", rows=log.index[again]
        )
        if "weight" in log:
            log["weight"] = log["weight"].groupby(pairs).transform("sum")
    return log[~again]


def k_core(log: Interactions, least: int) -> np.ndarray:
    """Rows left when users and items with fewer than ``least`` rows are taken out until none is, as ``(n,)`` bool."""
    users, items = pd.factorize(log.table["user_id"])[0], pd.factorize(log.table["item_id"])[0]
    kept = np.ones(len(log), dtype=bool)
    while kept.any():
        poor = (np.bincount(users[kept], minlength=users.max() + 1) < least)[users] | (
            np.bincount(items[kept], minlength=items.max() + 1) < least
        )[items]
        if not (poor & kept).any():
            break
        kept &= ~poor
    return kept


def keep_core(log: Interactions, least: int) -> tuple[Interactions, str]:
    """The rows that ``k_core`` leaves, and a sentence on how many they are.

    Raises:
        InputError: none is left.
    """
    kept = k_core(log, least)
    if len(log) and not kept.any():
        raise InputError(
            f"--k-core {least} leaves none of the {len(log)} likes; choose a smaller one ('mllm-rec inspect' without it shows what 2, 5 and 10 leave)"
        )
    return _renumbered(log.take(kept)), f"the {least}-core keeps {kept.sum()} of {len(log)} likes"
