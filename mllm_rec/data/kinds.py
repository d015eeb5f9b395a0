"""What kind of thing a column holds, and its values as that kind."""

import ast
import json
import re
import warnings
from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from mllm_rec.data.catalog import KINDS, Column
from mllm_rec.errors import InputError

#: Cells that say "nothing is known"; lower-case "none" and "na" can be values and are kept.
MISSING = ("n/a", "N/A", "#N/A", "NA", "NaN", "nan", "<NA>", "null", "NULL", "None")
#: Orders that a column of sizes is recognized by.
SIZES = (("XXS", "XS", "S", "M", "L", "XL", "XXL", "XXXL"), ("tiny", "small", "medium", "large", "huge"))
#: Numbers beyond this are slips of the keyboard: float32 features have to hold them.
LARGEST = 1e15

_YES = {"yes", "y", "true", "t", "on", "in stock", "instock", "in_stock", "available", "active", "limited availability", "preorder"}
_NO = {
    "no",
    "n",
    "false",
    "f",
    "off",
    "out of stock",
    "outofstock",
    "out_of_stock",
    "oos",
    "sold out",
    "soldout",
    "unavailable",
    "not available",
    "inactive",
    "discontinued",
}
_PLAIN = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d{1,3})?"
_NUMBER = re.compile(
    r"(?P<sign>[-−+]?)\s*(?P<before>[^\d\s.,+−-]{0,6}\.?)\s*(?P<inner>[-−+]?)\s*"
    r"(?P<digits>\d(?:[\d.,]|['’\s](?=\d))*|[.,]\d+)\s*(?:[.,]?[-–—]{1,2})?\s*(?P<after>[^\d\s+−-]{0,6})"
)
_DATE_LIKE = r"(?:\d{1,4}[-/. ](?:\d{1,2}|[A-Za-z]{3,9})[-/., ]+\d{1,4}|[A-Za-z]{3,9}\.? \d{1,2},? \d{4})(?:[T ,].{4,30})?Z?"
_DAYS = (
    "%Y/%m/%d",
    "%d/%m/%Y",
    "%m/%d/%Y",
    "%d.%m.%Y",
    "%d-%m-%Y",
    "%m-%d-%Y",
    "%d-%b-%Y",
    "%d %b %Y",
    "%d %B %Y",
    "%b %d, %Y",
    "%B %d, %Y",
    "%m %d, %Y",
)
_TIMES = ("", " %H:%M", " %H:%M:%S", " %I:%M %p")
_UNIX_NAME = re.compile(r"unix|epoch|timestamp|(?:^|_)(?:ts|time)$")
_WORDS_OF_A_VALUE = 5
_SAMPLE = 20_000


def known(values: pd.Series) -> pd.Series:
    """The values with those of ``MISSING`` missing."""
    return values.mask(values.isin(MISSING))


def numbers(values: pd.Series, affix: bool = False) -> np.ndarray:
    """Values as ``(n,)`` float64, NaN where there is none: "1,299.00", "12,5", "1'000", "3e2".

    Args:
        values: strings, missing allowed.
        affix: allow a currency or unit of at most six characters before or after: "€12,50", "12.-", "USD 5".
    """
    result = np.full(len(values), np.nan)
    present = values.notna().to_numpy()
    plain = present & values.str.fullmatch(_PLAIN).fillna(False).to_numpy(dtype=bool)
    result[plain] = pd.to_numeric(values[plain], errors="coerce").to_numpy(dtype=np.float64)
    rest = values[present & ~plain]
    if len(rest):
        distinct = rest.unique()
        parts = {value: _NUMBER.fullmatch(value) for value in distinct if len(value) <= 40}
        found = [part for part in parts.values() if part]
        comma = any(re.search(r",\d{1,2}$", part["digits"]) for part in found) and not any(
            re.search(r"\.\d{1,2}$", part["digits"]) for part in found
        )
        read = {value: _number(part, comma) for value, part in parts.items() if part and (affix or not part["before"] + part["after"])}
        result[present & ~plain] = rest.map(read).to_numpy(dtype=np.float64)
    result[~(np.abs(result) <= LARGEST)] = np.nan
    return result


def _number(part: re.Match, comma: bool) -> float:
    """One number; ``comma``: the column writes decimals after a comma."""
    digits = re.sub(r"['’\s]", "", part["digits"]).rstrip(".,")
    if "," in digits and "." in digits:
        decimal = max(",.", key=digits.rfind)
    elif comma:
        decimal = ","
    else:
        decimal = "." if re.fullmatch(r"\d{1,3}(?:,\d{3})+", digits) or "." in digits else ","
    other = "." if decimal == "," else ","
    whole, _, fraction = digits.replace(other, "").rpartition(decimal) if decimal in digits else (digits.replace(other, ""), "", "")
    negative = (part["sign"] or part["inner"]) in ("-", "−")
    text = (
        f"{whole.replace(decimal, '')}.{fraction}"
        if fraction and digits.count(decimal) == 1
        else digits.replace(other, "").replace(decimal, "")
    )
    return -float(text) if negative else float(text)


def common_unit(values: pd.Series) -> str | None:
    """The unit that every value carries, such as "cm"; None where values carry none or different ones."""
    distinct = [value for value in values.dropna().unique() if len(value) <= 40]
    parts = [_NUMBER.fullmatch(value) for value in distinct]
    units = {part["before"] + part["after"] if part else None for part in parts}
    return units.pop() if len(units) == 1 else None


def truths(values: pd.Series) -> np.ndarray:
    """Whether an item can be had, as ``(n,)`` float64: 1 for a positive number or "in stock", 0 for none, NaN where unclear."""
    words = values.str.lower()
    amounts = numbers(values)
    result = np.where(np.isnan(amounts), np.nan, (amounts > 0).astype(np.float64))
    result[words.isin(_YES).to_numpy(dtype=bool)] = 1.0
    result[words.isin(_NO).to_numpy(dtype=bool)] = 0.0
    return result


def dates(values: pd.Series, name: str = "") -> pd.Series:
    """Values as datetime64 in UTC (no zone kept), NaT where there is none.

    ISO first, else the one format of ``_DAYS`` that reads most values (on a tie the day comes before the month);
    eight digits are YYYYMMDD; other whole numbers count from 1970 in seconds, milli-, micro- or nanoseconds, but only
    where ``name`` says that they are a time.
    """
    present = values.dropna()
    empty = pd.Series(pd.NaT, index=values.index, dtype="datetime64[us]")
    if not len(present):
        return empty
    digits = present.str.fullmatch(r"[-+]?\d+(?:\.\d*)?").fillna(False)
    if digits.mean() > 0.5:
        seconds = _seconds(present, bool(_UNIX_NAME.search(name.lower())))
        return (
            pd.to_datetime(pd.Series(seconds * 1e6, index=present.index).round(), unit="us", errors="coerce")
            .reindex(values.index)
            .astype("datetime64[us]")
        )
    sample = pd.Series(present.iloc[:_SAMPLE].unique()[:500], dtype="str")
    formats = ["ISO8601", *(day + time for day in _DAYS for time in _TIMES)]
    shares = []
    for form in formats:
        shares.append(pd.to_datetime(sample, format=form, errors="coerce", utc=True).notna().mean())
        if shares[-1] == 1:
            break
    best = int(np.argmax(shares))
    if shares[best] == 0:
        return empty
    read = pd.to_datetime(present, format=formats[best], errors="coerce", utc=True)
    return read.dt.tz_localize(None).reindex(values.index).astype("datetime64[us]")


def _seconds(present: pd.Series, is_time: bool) -> np.ndarray:
    """Numbers as seconds since 1970, NaN where they can't be a time."""
    amounts = pd.to_numeric(present, errors="coerce").to_numpy(dtype=np.float64)
    as_day = present.str.fullmatch(r"(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])").fillna(False).to_numpy(dtype=bool)
    as_year = present.str.fullmatch(r"[12]\d{3}").fillna(False).to_numpy(dtype=bool)
    if max(as_day.mean(), as_year.mean()) > 0.95:
        days = pd.to_datetime(present, format="%Y%m%d" if as_day.any() else "%Y", errors="coerce").astype("datetime64[us]")
        return np.where(days.isna(), np.nan, days.to_numpy().astype(np.int64) / 1e6)
    if not is_time:
        return np.full(len(present), np.nan)
    typical = np.nanmedian(np.abs(amounts))
    unit = 1e9 if typical > 1e17 else 1e6 if typical > 1e14 else 1e3 if typical > 1e11 else 1.0
    seconds = amounts / unit
    return np.where(np.abs(seconds) < 1e11, seconds, np.nan)


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
    """The elements of a cell that is a JSON list or a Python list, tuple or set of plain values; None for any other cell."""
    if len(cell) > 20_000 or not (cell[:1] + cell[-1:]) in ("[]", "()", "{}"):
        return None
    for read in (json.loads, ast.literal_eval):
        try:
            with warnings.catch_warnings(action="ignore"):
                value = read(cell)
        except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
            continue
        if isinstance(value, (list, tuple, set)) and not any(isinstance(part, (list, tuple, set, dict)) for part in value):
            return sorted(value, key=str) if isinstance(value, set) else list(value)
    return None


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
    if lowered <= {"0", "1"} or lowered <= _YES | _NO:
        return Column(name, "category")
    coded = names_an_id(name) or distinct.str.fullmatch(r"0\d+").any()
    if not coded and _share(numbers(present)) >= 0.95:
        return Column(name, "date" if _looks_unix(present, name) else "number")
    if not coded and common_unit(present):
        return Column(name, "number")
    if present.str.fullmatch(_DATE_LIKE).fillna(False).mean() >= 0.95 and dates(present, name).notna().mean() >= 0.95:
        return Column(name, "date")
    if _is_set(present):
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


def _looks_unix(present: pd.Series, name: str) -> bool:
    return bool(_UNIX_NAME.search(name.lower())) and bool(present.str.fullmatch(r"\d{9,13}").fillna(False).mean() >= 0.95)


def _order_as_written(order: Iterable[str], values: Iterable[str]) -> tuple[str, ...]:
    written: dict[str, list[str]] = {}
    for value in sorted(values):
        written.setdefault(value.lower(), []).append(value)
    return tuple(value for size in order for value in written.get(size.lower(), []))


def _is_set(present: pd.Series) -> bool:
    """Whether cells hold several short parts, most of which come again in other cells; sentences are none."""
    sample = present.iloc[:_SAMPLE]
    marked = sample.str.contains(r"[|;,]", regex=True)
    if marked.mean() < 0.1 and not sample.str.startswith("[").any() or sample.str.contains(r"[.!?]$", regex=True).mean() > 0.1:
        return False
    cells = [cell for cell in split_set(sample) if cell]
    parts = pd.Series([part for cell in cells for part in cell], dtype="str")
    if len(parts) < 1.2 * len(cells):
        return False
    again = parts.duplicated(keep=False)
    return bool((parts.str.count(" ") + 1).mean() <= 2.5 and (parts.str.len() <= 60).mean() >= 0.95 and again.mean() >= 0.7)


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
