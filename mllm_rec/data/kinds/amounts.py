"""Cells as numbers, with what shops write around them, and as yes or no."""

import re

import numpy as np
import pandas as pd

#: Numbers beyond this are slips of the keyboard: float32 features have to hold them.
LARGEST = 1e15
#: Cells that say that an item can be had, or can't, in small letters.
YES = frozenset(
    [
        "yes",
        "y",
        "true",
        "t",
        "on",
        "in stock",
        "instock",
        "in_stock",
        "available",
        "active",
        "limited availability",
        "preorder",
        "ja",
        "oui",
        "si",
        "sí",
    ]
)
NO = frozenset(
    [
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
        "nein",
        "non",
    ]
)
_PLAIN = r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]{1,3})?"
_THOUSANDS = r"[-+]?[0-9]{1,3}(?:\.[0-9]{3})+"
_LONGEST = 40
_CURRENCY = 3
_NUMBER = re.compile(
    r"(?P<sign>[-−+]?)\s*(?P<before>[^\d\s.,+−-]{0,6}(?:(?<=[^\W\d_])\.)?)\s*(?P<inner>[-−+]?)\s*"
    r"(?P<digits>\d+(?:[.,]\d*)?|[.,]\d+|\d{1,3}(?P<mark>[.,'’\s])(?:\d{2,3}(?P=mark))*\d{3}(?:[.,]\d*)?)"
    r"\s*(?:[.,]?[-–—]{1,2})?\s*(?P<after>[^\d\s+−-]{0,6})"
)


def numbers(values: pd.Series, affix: bool = False) -> np.ndarray:
    """Values as ``(n,)`` float64, NaN where there is none: "1,299.00", "12,5", "1'000", "3e2".

    Args:
        values: strings, missing allowed.
        affix: allow a currency or unit of at most six characters before or after: "€12,50", "12.-", "USD 5".
    """
    result = np.full(len(values), np.nan)
    present = values.notna().to_numpy()
    plain = present & values.str.fullmatch(_PLAIN).fillna(False).to_numpy(dtype=bool)
    if (present & ~plain).any():
        parts = {value: _NUMBER.fullmatch(value) for value in values[present & ~plain].unique() if len(value) <= _LONGEST}
        found = [part for part in parts.values() if part]
        comma = any(re.search(r",\d{1,2}$", part["digits"]) for part in found) and not any(
            re.search(r"\.\d{1,2}$", part["digits"]) for part in found
        )
        if comma:  # then the point in 1.299 parts thousands
            plain &= ~values.str.fullmatch(_THOUSANDS).fillna(False).to_numpy(dtype=bool)
            parts |= {value: _NUMBER.fullmatch(value) for value in values[present & ~plain].unique() if len(value) <= _LONGEST}
        read = {value: _number(part, comma) for value, part in parts.items() if part and (affix or not part["before"] + part["after"])}
        result[present & ~plain] = values[present & ~plain].map(read).to_numpy(dtype=np.float64)
    result[plain] = pd.to_numeric(values[plain], errors="coerce").to_numpy(dtype=np.float64)
    result[~(np.abs(result) <= LARGEST)] = np.nan
    return result


def parts_thousands(values: pd.Series) -> np.ndarray:
    """``(n,)`` bool: prices like "1.299" whose point parts thousands: all with a point have three digits after it, the rest are whole."""
    bare = values.str.replace(r"[^\d.,]", "", regex=True)
    pointed = bare.str.fullmatch(r"[1-9]\d{0,2}\.\d{3}").fillna(False).to_numpy(dtype=bool)
    whole = bare.str.fullmatch(r"\d+").fillna(False).to_numpy(dtype=bool)
    return pointed if (pointed | whole | values.isna().to_numpy()).all() else np.zeros(len(values), dtype=bool)


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
    """The unit that every value carries, such as "cm"; None where values carry none or different ones.

    A word before the number, or letters that touch it, are no unit but part of a name: "Room 12", "Q1".
    """
    distinct = [value for value in values.dropna().unique() if len(value) <= _LONGEST]
    parts = [_NUMBER.fullmatch(value) for value in distinct]
    units = {part["before"] + part["after"] if part and not _is_name(part) else None for part in parts}
    return units.pop() if len(units) == 1 else None


def _is_name(part: re.Match) -> bool:
    letters = part["before"].rstrip(".")
    return letters.isalpha() and (len(letters) > _CURRENCY or (part.end("before") == part.start("digits") and letters == part["before"]))


def truths(values: pd.Series) -> np.ndarray:
    """Whether an item can be had, as ``(n,)`` float64: 1 for a positive number or "in stock", 0 for none, NaN where unclear."""
    words = values.str.lower()
    amounts = numbers(values)
    result = np.where(np.isnan(amounts), np.nan, (amounts > 0).astype(np.float64))
    result[words.isin(YES).to_numpy(dtype=bool)] = 1.0
    result[words.isin(NO).to_numpy(dtype=bool)] = 0.0
    return result
