"""Exact filters: typed expressions over the catalog's columns, and the rows that pass them.

A value that is missing is unknown: it fails every comparison, and so passes under ``Not``; ``unknown`` marks the rows
that pass only because of that, so that a card can say what isn't known.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from mllm_rec.data.catalog import Catalog
from mllm_rec.errors import InputError
from mllm_rec.retrieval.columns import column_index, looks_like_year

#: Words for a comparison, for amounts and for times.
_SAID = {"<": "under", "<=": "at most", ">": "over", ">=": "at least"}
_SAID_OF_TIME = {"<": "before", "<=": "until", ">": "after", ">=": "since"}
_DATE = re.compile(r"\d{4}-\d\d")
_DEEPEST = 50


@dataclass(frozen=True)
class Compare:
    """``column operator value``; operator is one of ``<  <=  >  >=  =``.

    Numbers compare by size, ordinals by declared order, dates as periods ("2020" is the whole year: ``> 2020`` starts
    with 2021). A category or an ordinal is equal when it is the same but for case and spaces; a set is equal to each
    value it contains, a text to every word or phrase it contains.
    """

    column: str
    operator: str
    value: float | str | bool


@dataclass(frozen=True)
class In:
    """``column`` equals at least one of ``values`` (as in ``Compare`` with ``=``)."""

    column: str
    values: tuple[float | str | bool, ...]


@dataclass(frozen=True)
class Not:
    """``part`` does not hold, or is unknown."""

    part: "Expression"


@dataclass(frozen=True)
class And:
    """All ``parts`` hold; an empty one holds."""

    parts: "tuple[Expression, ...]"


@dataclass(frozen=True)
class Or:
    """At least one of ``parts`` holds; an empty one fails."""

    parts: "tuple[Expression, ...]"


Expression = Compare | In | Not | And | Or


def mask(expression: Expression, catalog: Catalog) -> np.ndarray:
    """``(num_items,)`` bool: the rows that pass.

    Raises:
        InputError: a column that the catalog lacks, or a comparison that its kind doesn't have.
    """
    match expression:
        case Compare(column, operator, value):
            return column_index(catalog, column).compare(operator, value)
        case In(column, values):
            return column_index(catalog, column).contains(values)
        case Not(part):
            return ~mask(part, catalog)
        case And(parts):
            return np.logical_and.reduce([np.ones(len(catalog), dtype=bool), *(mask(part, catalog) for part in parts)])
        case Or(parts):
            return np.logical_or.reduce([np.zeros(len(catalog), dtype=bool), *(mask(part, catalog) for part in parts)])
    raise InputError(f"{expression!r} is not a filter; it must be Compare, In, Not, And or Or")


def unknown(expression: Expression, catalog: Catalog) -> np.ndarray:
    """``(num_items,)`` bool: the rows that pass only because a value is missing."""
    return mask(expression, catalog) & ~_certain(expression, catalog)[0]


def unknown_columns(expression: Expression, catalog: Catalog, row: int) -> tuple[str, ...]:
    """Columns without a value that let ``row`` pass; empty where it passes by what is known, or doesn't pass."""
    parts = expression.parts if isinstance(expression, And) else (expression,)
    open_parts = [part for part in parts if unknown(part, catalog)[row]] if mask(expression, catalog)[row] else []
    names = dict.fromkeys(name for part in open_parts for name in columns(part))
    return tuple(name for name in names if not column_index(catalog, name).known[row])


def _certain(expression: Expression, catalog: Catalog) -> tuple[np.ndarray, np.ndarray]:
    """Rows where the expression is known to hold, and rows where it is known to fail (Kleene's logic)."""
    match expression:
        case Compare(column, operator, _):
            holds = mask(expression, catalog)
            return holds, column_index(catalog, column).comparable(operator) & ~holds
        case In(column, _):
            holds = mask(expression, catalog)
            return holds, column_index(catalog, column).known & ~holds
        case Not(part):
            holds, fails = _certain(part, catalog)
            return fails, holds
    holding, failing = zip(*(_certain(part, catalog) for part in expression.parts), strict=True) if expression.parts else ((), ())
    none, every = np.zeros(len(catalog), dtype=bool), np.ones(len(catalog), dtype=bool)
    if isinstance(expression, And):
        return np.logical_and.reduce([every, *holding]), np.logical_or.reduce([none, *failing])
    return np.logical_or.reduce([none, *holding]), np.logical_and.reduce([every, *failing])


def columns(expression: Expression) -> tuple[str, ...]:
    """Names of the columns an expression reads, each once, in the order of reading."""
    match expression:
        case Compare(column, _, _) | In(column, _):
            return (column,)
        case Not(part):
            return columns(part)
    return tuple(dict.fromkeys(name for part in expression.parts for name in columns(part)))


def to_json(expression: Expression) -> dict[str, Any]:
    """The expression as plain JSON values; ``from_json`` reads it back."""
    match expression:
        case Compare(column, operator, value):
            return {"column": column, "operator": operator, "value": value}
        case In(column, values):
            return {"column": column, "in": list(values)}
        case Not(part):
            return {"not": to_json(part)}
        case And(parts):
            return {"and": [to_json(part) for part in parts]}
        case Or(parts):
            return {"or": [to_json(part) for part in parts]}
    raise InputError(f"{expression!r} is not a filter; it must be Compare, In, Not, And or Or")


def from_json(said: Any, _depth: int = 0) -> Expression:
    """The expression that ``to_json`` wrote; columns and kinds are checked when it is applied.

    Raises:
        InputError: anything else, or more than 50 levels.
    """
    if _depth > _DEEPEST:
        raise InputError(f"the filter is nested more than {_DEEPEST} levels deep; write it flatter")
    match said:
        case {"column": str(column), "operator": str(operator), "value": bool() | int() | float() | str() as value, **rest} if not rest:
            return Compare(column, operator, value)
        case {"column": str(column), "in": list(values), **rest} if not rest and all(
            isinstance(value, bool | int | float | str) for value in values
        ):
            return In(column, tuple(values))
        case {"not": part, **rest} if not rest:
            return Not(from_json(part, _depth + 1))
        case {"and": list(parts), **rest} if not rest:
            return And(tuple(from_json(part, _depth + 1) for part in parts))
        case {"or": list(parts), **rest} if not rest:
            return Or(tuple(from_json(part, _depth + 1) for part in parts))
    raise InputError(
        f"{str(said)[:80]} is not a filter; it must be one of {{column, operator, value}}, {{column, in: [..]}}, {{not: ..}}, {{and: [..]}}, {{or: [..]}}"
    )


def describe(expression: Expression, catalog: Catalog | None = None) -> str:
    """A few words for a chip: "price under 40", "category: lamp", "not leather".

    With the catalog, a number column of years is said as time ("year before 1980").
    """
    match expression:
        case Compare(column, operator, value):
            timely = _DATE.match(str(value)) or (catalog is not None and _tells_time(catalog, column))
            words = (_name(column), (_SAID_OF_TIME if timely else _SAID).get(operator, ""), _said_amount(column, value))
            return " ".join(filter(None, words))
        case In(column, values):
            return f"{_name(column)}: {' or '.join(map(said_value, values))}"
        case Not(In(column, (value,))) if str(value).casefold() in ("yes", "true"):
            return f"not {_name(column)}"
        case Not(part):
            return f"not {_values_only(part) or describe(part, catalog)}"
        case And((Compare(column, ">=", low), Compare(other, "<=", high))) if column == other:
            return f"{_name(column)} {_said_amount(column, low)} to {_said_amount(column, high)}"
        case And((Compare(column, _, _) as low, Compare(other, _, _) as high)) if column == other:
            return f"{describe(low, catalog)} and {describe(high, catalog).removeprefix(_name(column) + ' ')}"
        case And(parts):
            return " and ".join(_values_only(part) or describe(part, catalog) for part in parts)
    shared = _values_only(expression)
    if shared and len({part.values for part in expression.parts if isinstance(part, In)}) == 1:
        return f"{' or '.join(map(_name, columns(expression)))}: {shared}"
    return " or ".join((isinstance(part, And) and _values_only(part)) or describe(part, catalog) for part in expression.parts)


def said_value(value: float | str | bool) -> str:
    """A value as people write it: 40 for 40.0, a text as it is."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else f"{value:.12g}"


def _said_amount(column: str, value: float | str) -> str:
    """A bound as people write it: a price in cents has two decimals."""
    cents = column == "price" and isinstance(value, float) and not value.is_integer() and round(value, 2) == value
    return f"{value:.2f}" if cents else said_value(value)


def conjunction(parts: Iterable[Expression]) -> Expression | None:
    """All of ``parts`` at once; None where there are none."""
    parts = tuple(parts)
    return None if not parts else parts[0] if len(parts) == 1 else And(parts)


def disjunction(parts: Iterable[Expression]) -> Expression:
    """Any of ``parts``; parts over one column become one ``In``."""
    merged: dict[Any, Expression] = {}
    for part in parts:
        match part:
            case In(column, values) if isinstance(same := merged.get(column), In):
                merged[column] = In(column, tuple(dict.fromkeys(same.values + values)))
            case In(column, _):
                merged[column] = part
            case _:
                merged[part] = part
    return next(iter(merged.values())) if len(merged) == 1 else Or(tuple(merged.values()))


def _values_only(expression: Expression) -> str:
    match expression:
        case In(_, values):
            return " or ".join(map(said_value, values))
        case Or(parts) if all(isinstance(part, In) for part in parts):
            return " or ".join(dict.fromkeys(map(_values_only, parts)))
        case And(parts) if all(isinstance(part, In) for part in parts):
            return " ".join(map(_values_only, parts))
    return ""


def _tells_time(catalog: Catalog, column: str) -> bool:
    return column in catalog.columns and (catalog.columns[column].kind == "date" or looks_like_year(catalog, column))


def _name(column: str) -> str:
    return column.replace("_", " ")
