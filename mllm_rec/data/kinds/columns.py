"""The kind of a column, guessed or said, and its values as that kind."""

import re
from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from mllm_rec.data.catalog import KINDS, Column
from mllm_rec.data.kinds.amounts import NO, YES, common_unit, numbers
from mllm_rec.data.kinds.missing import known
from mllm_rec.data.kinds.moments import are_dates, count_seconds, dates
from mllm_rec.data.kinds.sets import is_set, split_set
from mllm_rec.errors import InputError

#: Orders that a column of sizes is recognized by.
SIZES = (("XXS", "XS", "S", "M", "L", "XL", "XXL", "XXXL"), ("tiny", "small", "medium", "large", "huge"))
_WORDS_OF_A_VALUE = 5


def infer(values: pd.Series, name: str) -> Column:
    """The kind of a column, from its name and its known values.

    Sizes are ordinal; two truth values, or 0 and 1, are categories; numbers (also with one common unit) and dates are
    what 95 of 100 values can be read as; cells whose parts repeat over the catalog are sets; short values that repeat
    are categories; everything else is text.
    """
    present = known(values).dropna()
    distinct = present.drop_duplicates()
    if not len(present):
        return Column(name, "category")
    lowered = set(distinct.str.lower())
    for order in SIZES:
        if len(lowered) > 1 and lowered <= {size.lower() for size in order}:
            return Column(name, "ordinal", _order_as_written(order, distinct))
    if lowered <= {"0", "1"} or lowered <= YES | NO:
        return Column(name, "category")
    coded = names_an_id(name) or distinct.str.fullmatch(r"0\d+").any()
    if not coded and _share(numbers(present)) >= 0.95:
        return Column(name, "date" if count_seconds(present, name) else "number")
    if not coded and (unit := common_unit(present)):
        return Column(name, "number", unit=unit)
    if are_dates(present, name):
        return Column(name, "date")
    if is_set(present):
        return Column(name, "set")
    short = distinct.str.len().max() <= 60 and (distinct.str.count(r"\s+") + 1).mean() <= _WORDS_OF_A_VALUE
    few = len(distinct) <= 0.9 * len(present) or len(present) <= 20
    return Column(name, "category" if short and few else "text")


def names_an_id(name: str) -> bool:
    """Whether a column is called like a key into something else: "imdb_id", "artistID", "url"."""
    return bool(
        re.search(r"(?:^|[\W_])(?:id|uuid|guid|ean|gtin|isbn|upc|asin|sku|url|uri)$", name.lower()) or re.search(r"[a-z]I[dD]$", name)
    )


def _share(read: np.ndarray) -> float:
    return float((~np.isnan(read)).mean())


def _order_as_written(order: Iterable[str], values: Iterable[str]) -> tuple[str, ...]:
    written: dict[str, list[str]] = {}
    for value in sorted(values):
        written.setdefault(value.lower(), []).append(value)
    return tuple(value for size in order for value in written.get(size.lower(), []))


def convert(values: pd.Series, column: Column) -> tuple[pd.Series, np.ndarray]:
    """Values as their column's kind (see ``Catalog``), and ``(n,)`` bool: a value was there but is none of that kind.

    Raises:
        InputError: an ordinal whose order is not known.
    """
    values = known(values)
    if column.kind == "number":
        read = pd.Series(numbers(values, affix=bool(common_unit(values))), index=values.index)
    elif column.kind == "date":
        read = dates(values, "timestamp")
    elif column.kind == "set":
        read = pd.Series(split_set(values), index=values.index, dtype=object)
    else:
        read = pd.Series(
            [" ".join(value.split()) if isinstance(value, str) else None for value in values.to_numpy(dtype=object)],
            index=values.index,
            dtype=object,
        )
        if column.kind == "ordinal":
            read = read.where(read.isin(column.order), None)
        elif column.kind == "category" and set(read.dropna().unique()) <= {"0", "1"}:
            read = read.map({"0": "no", "1": "yes"}).astype(object).where(read.notna(), None)
    return read, (values.notna() & read.isna()).to_numpy()


def read_kinds(said: Mapping[str, str | Column]) -> dict[str, Column]:
    """Kinds by column as said on the command line: ``color: category``, ``size: ordinal:small<medium<large``.

    Raises:
        InputError: an unknown kind.
    """
    columns = {}
    for name, kind in said.items():
        if isinstance(kind, Column):
            columns[name] = kind
            continue
        kind, _, order = kind.partition(":")
        if kind not in KINDS or (order and kind != "ordinal"):
            raise InputError(
                f"--kind {name}={said[name]}: wanted a kind of {', '.join(KINDS)}, for example size=ordinal:small<medium<large"
            )
        columns[name] = Column(name, kind, tuple(part.strip() for part in order.split("<") if part.strip()))
    return columns


def settle_order(column: Column, values: pd.Series) -> Column:
    """An ordinal with its order: the one given, that of its numbers, or that of known sizes.

    Raises:
        InputError: none of these.
    """
    if column.kind != "ordinal" or column.order:
        return column
    distinct = pd.Series(sorted(known(values).dropna().unique()), dtype="str")
    amounts = numbers(distinct, affix=True)
    if len(distinct) and not np.isnan(amounts).any():
        return Column(column.name, "ordinal", tuple(distinct.iloc[np.argsort(amounts, kind="stable")]))
    for order in SIZES:
        if set(distinct.str.lower()) <= {size.lower() for size in order}:
            return Column(column.name, "ordinal", _order_as_written(order, distinct))
    raise InputError(
        f"column '{column.name}' is to be ordinal, but the order of its values is not known; say it: --kind '{column.name}=ordinal:{'<'.join(distinct.iloc[:4])}'"
    )
