"""Cells as dates and times."""

import re

import numpy as np
import pandas as pd

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
_SAMPLE = 20_000


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
    digits = present.str.fullmatch(r"[-+]?[0-9]+(?:\.[0-9]*)?(?:[eE][-+]?[0-9]{1,2})?").fillna(False)
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
    as_day = present.str.fullmatch(r"(?:19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])").fillna(False).to_numpy(dtype=bool)
    as_year = present.str.fullmatch(r"[12][0-9]{3}").fillna(False).to_numpy(dtype=bool)
    if max(as_day.mean(), as_year.mean()) > 0.95:
        days = pd.to_datetime(present, format="%Y%m%d" if as_day.any() else "%Y", errors="coerce").astype("datetime64[us]")
        return np.where(days.isna(), np.nan, days.to_numpy().astype(np.int64) / 1e6)
    if not is_time:
        return np.full(len(present), np.nan)
    typical = np.nanmedian(np.abs(amounts))
    unit = 1e9 if typical > 1e17 else 1e6 if typical > 1e14 else 1e3 if typical > 1e11 else 1.0
    seconds = amounts / unit
    return np.where(np.abs(seconds) < 1e11, seconds, np.nan)


def count_seconds(present: pd.Series, name: str) -> bool:
    """Whether numbers are times in seconds or milliseconds since 1970; their column's name has to say so too."""
    return bool(_UNIX_NAME.search(name.lower())) and bool(present.str.fullmatch(r"[0-9]{9,13}").fillna(False).mean() >= 0.95)


def are_dates(present: pd.Series, name: str) -> bool:
    """Whether 95 of 100 values are written like dates and can be read as such."""
    written = present.str.fullmatch(_DATE_LIKE).fillna(False)
    return bool(written.mean() >= 0.95 and dates(present, name).notna().mean() >= 0.95)
