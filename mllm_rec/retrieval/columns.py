"""One index per catalog column, made once: what the exact filters read."""

import difflib
import itertools
import re
import threading
import unicodedata
import weakref
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from mllm_rec.data.catalog import Catalog
from mllm_rec.errors import InputError

_COMPARE = {"<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal, "=": np.equal}
_PERIOD = re.compile(r"\d{4}(-\d\d(-\d\d([T ]\d\d:\d\d(:\d\d)?)?)?)?")
_WORDS = re.compile(r"[^\W_]+")
_TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def fold(text: str) -> str:
    """``text`` without what equality ignores: case, width and runs of spaces."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


class ColumnIndex:
    """A column as arrays. ``known`` is ``(num_items,)`` bool: the row has a value."""

    known: np.ndarray

    def __init__(self, name: str, kind: str):
        self.name, self.kind = name, kind

    def compare(self, operator: str, value: Any) -> np.ndarray:
        """``(num_items,)`` bool: ``value`` stands in this relation; False where unknown."""
        if operator != "=":
            raise self._no_order(operator)
        return self.contains((value,))

    def contains(self, values: Iterable[Any]) -> np.ndarray:
        """``(num_items,)`` bool: equal to (or containing) at least one of ``values``."""
        found = np.zeros(len(self.known), dtype=bool)
        for value in values:
            found |= self.compare("=", value)
        return found

    def comparable(self, operator: str) -> np.ndarray:
        """``(num_items,)`` bool: the rows for which the relation is decided."""
        return self.known

    def counts(self, rows: np.ndarray) -> dict[str, int]:
        """How many of the rows in a ``(num_items,)`` bool mask have each value, for columns with named values."""
        return {}

    def _no_order(self, operator: str) -> InputError:
        if operator not in _COMPARE:
            return InputError(f"'{operator}' is not a comparison; use one of {', '.join(_COMPARE)}")
        return InputError(f"column '{self.name}' is a {self.kind}, which has no order for '{operator}'; use = or in")


class _Numbers(ColumnIndex):
    def __init__(self, name: str, kind: str, values: pd.Series):
        super().__init__(name, kind)
        self.values = values.to_numpy(dtype=np.float64, na_value=np.nan)
        self.known = ~np.isnan(self.values)

    def compare(self, operator: str, value: Any) -> np.ndarray:
        if operator not in _COMPARE:
            raise self._no_order(operator)
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = np.nan
        if np.isnan(number) or isinstance(value, bool):
            raise InputError(f"column '{self.name}' is a number and {value!r} is not one; write it like 40 or 12.5")
        return _COMPARE[operator](self.values, number)


class _Dates(ColumnIndex):
    def __init__(self, name: str, kind: str, values: pd.Series):
        super().__init__(name, kind)
        dates = pd.to_datetime(values)
        if getattr(dates.dt, "tz", None) is not None:
            dates = dates.dt.tz_convert("UTC").dt.tz_localize(None)
        self.values = dates.to_numpy().astype("datetime64[s]")
        self.known = ~np.isnat(self.values)

    def compare(self, operator: str, value: Any) -> np.ndarray:
        start, end = self._period(value)
        match operator:
            case "<":
                return self.values < start
            case "<=":
                return self.values < end
            case ">":
                return self.values >= end
            case ">=":
                return self.values >= start
            case "=":
                return (self.values >= start) & (self.values < end)
        raise self._no_order(operator)

    def _period(self, value: Any) -> tuple[np.datetime64, np.datetime64]:
        text = (
            str(int(value)) if isinstance(value, int | float) and not isinstance(value, bool) and float(value).is_integer() else str(value)
        )
        try:
            if not _PERIOD.fullmatch(text):
                raise ValueError
            moment = np.datetime64(text.replace(" ", "T"))
        except ValueError:
            raise InputError(
                f"column '{self.name}' is a date and {value!r} is not one; write it like 2024, 2024-05 or 2024-05-31"
            ) from None
        return moment.astype("datetime64[s]"), (moment + 1).astype("datetime64[s]")


class _Named(ColumnIndex):
    """Columns whose values have names: ``names`` as first spelled, ``codes`` by folded name."""

    def _name(self, flat: Sequence[Any] | np.ndarray) -> np.ndarray:
        codes, spelled = pd.factorize(np.asarray(flat, dtype=object))
        self.codes: dict[str, int] = {}
        self.names: list[str] = []
        folded = np.empty(len(spelled), dtype=np.int64)
        for position, name in enumerate(map(str, spelled)):
            folded[position] = self.codes.setdefault(fold(name), len(self.names))
            if folded[position] == len(self.names):
                self.names.append(name)
        return np.where(codes >= 0, folded[codes], -1) if len(spelled) else np.full(len(flat), -1)

    def _codes_of(self, values: Iterable[Any]) -> list[int]:
        found = {self.codes.get(fold(self._text(value)), -1) for value in values}
        return sorted(found - {-1})

    def _text(self, value: Any) -> str:
        return f"{value:.15g}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


class _Categories(_Named):
    def __init__(self, name: str, kind: str, values: pd.Series, order: tuple[str, ...]):
        super().__init__(name, kind)
        self.rows = self._name(values.where(values.notna(), None).to_numpy(dtype=object))
        self.known = self.rows >= 0
        self.order = [fold(value) for value in order]
        places = {value: place for place, value in enumerate(self.order)}
        ranks = np.array([*(places.get(fold(name), -1) for name in self.names), -1])
        self.ranks = ranks[self.rows]

    def contains(self, values: Iterable[Any]) -> np.ndarray:
        wanted = np.zeros(len(self.names) + 1, dtype=bool)
        wanted[self._codes_of(values)] = True
        return wanted[self.rows]

    def compare(self, operator: str, value: Any) -> np.ndarray:
        if operator == "=" or operator not in _COMPARE or not self.order:
            return super().compare(operator, value)
        if fold(self._text(value)) not in self.order:
            near = difflib.get_close_matches(fold(self._text(value)), self.order, n=1)
            raise InputError(
                f"'{value}' is not one of the ordered values of column '{self.name}': {', '.join(self.order)}"
                + (f"; did you mean '{near[0]}'?" if near else "")
            )
        return _COMPARE[operator](self.ranks, self.order.index(fold(self._text(value)))) & (self.ranks >= 0)

    def comparable(self, operator: str) -> np.ndarray:
        return self.known if operator == "=" else self.ranks >= 0

    def counts(self, rows: np.ndarray) -> dict[str, int]:
        return dict(zip(self.names, np.bincount(self.rows[rows & self.known], minlength=len(self.names)).tolist(), strict=True))


class _Booleans(ColumnIndex):
    def __init__(self, name: str, kind: str, values: pd.Series):
        super().__init__(name, kind)
        self.values = values.to_numpy(dtype=bool)
        self.known = np.ones(len(values), dtype=bool)

    def contains(self, values: Iterable[Any]) -> np.ndarray:
        wanted = []
        for value in values:
            if fold(str(value)) not in _TRUTH:
                raise InputError(f"column '{self.name}' is true or false, not {value!r}")
            wanted.append(_TRUTH[fold(str(value))])
        return np.isin(self.values, wanted)


class _Sets(_Named):
    """For each value the rows that contain it, one after another in ``rows``; value ``c`` has ``rows[starts[c]:starts[c + 1]]``."""

    def __init__(self, name: str, kind: str, values: pd.Series):
        super().__init__(name, kind)
        sets = [value if isinstance(value, tuple | list | set | frozenset | np.ndarray) else None for value in values]
        self.known = np.array([value is not None for value in sets], dtype=bool)
        lengths = np.array([0 if value is None else len(value) for value in sets], dtype=np.int64)
        codes = self._name(list(itertools.chain.from_iterable(value for value in sets if value is not None)))
        rows = np.repeat(np.arange(len(sets)), lengths)
        pairs = np.unique(codes[codes >= 0] * len(sets) + rows[codes >= 0])
        self.rows = pairs % len(sets)
        self.starts = np.searchsorted(pairs, np.arange(len(self.names) + 1) * len(sets))

    def contains(self, values: Iterable[Any]) -> np.ndarray:
        found = np.zeros(len(self.known), dtype=bool)
        for code in self._codes_of(values):
            found[self.rows[self.starts[code] : self.starts[code + 1]]] = True
        return found

    def counts(self, rows: np.ndarray) -> dict[str, int]:
        ends = np.concatenate([[0], np.cumsum(rows[self.rows])])
        return dict(zip(self.names, (ends[self.starts[1:]] - ends[self.starts[:-1]]).tolist(), strict=True))


class _Texts(ColumnIndex):
    def __init__(self, name: str, kind: str, values: pd.Series):
        super().__init__(name, kind)
        import pyarrow

        self.known = values.notna().to_numpy(dtype=bool)
        self.lines = pyarrow.array(
            [f" {_spoken(value)} " if known else "" for value, known in zip(values, self.known, strict=True)], pyarrow.string()
        )

    def contains(self, values: Iterable[Any]) -> np.ndarray:
        import pyarrow.compute

        found = np.zeros(len(self.known), dtype=bool)
        for value in values:
            if words := _spoken(value):
                found |= pyarrow.compute.match_substring(self.lines, f" {words} ").to_numpy(zero_copy_only=False)
        return found


def _spoken(text: Any) -> str:
    return " ".join(_WORDS.findall(fold(str(text))))


_indexes: "weakref.WeakKeyDictionary[Catalog, dict[str, ColumnIndex]]" = weakref.WeakKeyDictionary()
_lock = threading.RLock()


def column_index(catalog: Catalog, name: str) -> Any:
    """The index of a column, made at the first call and kept as long as the catalog lives.

    Raises:
        InputError: the catalog has no such column; the nearest name is said.
    """
    with _lock:
        made = _indexes.setdefault(catalog, {})
        if name not in made:
            made[name] = _make(catalog, name)
        return made[name]


def _make(catalog: Catalog, name: str) -> ColumnIndex:
    column = catalog.columns.get(name)
    if column is None:
        near = difflib.get_close_matches(name, catalog.columns, n=1)
        raise InputError(
            f"the catalog has no column '{name}'" + (f"; did you mean '{near[0]}'?" if near else f"; it has {', '.join(catalog.columns)}")
        )
    values = catalog.table[name]
    match column.kind:
        case "number":
            return _Numbers(name, column.kind, values)
        case "date":
            return _Dates(name, column.kind, values)
        case "set":
            return _Sets(name, column.kind, values)
        case "boolean":
            return _Booleans(name, column.kind, values)
        case "category" | "ordinal" | "id":
            return _Categories(name, column.kind, values, column.order)
    return _Texts(name, column.kind, values)


def looks_like_year(catalog: Catalog, name: str) -> bool:
    """Whether a number column's known values, one at least, are all whole numbers from 1800 to 2100."""
    if catalog.columns[name].kind != "number":
        return False
    index = column_index(catalog, name)
    known = index.values[index.known]
    return len(known) > 0 and bool(((known >= 1800) & (known <= 2100) & (known == np.floor(known))).all())
