"""The catalog: one row per item, every column of a known kind."""

import difflib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from mllm_rec.errors import InputError

#: Columns with a meaning of their own; every other column is an attribute.
ROLES = {
    "item_id": "id",
    "title": "text",
    "text": "text",
    "image": "path",
    "audio": "path",
    "video": "path",
    "price": "number",
    "category": "category",
    "available": "boolean",
}
#: What an attribute can be.
KINDS = ("number", "ordinal", "category", "set", "text", "date")
_WORDS = ("id", "category", "ordinal", "text", "path")


@dataclass(frozen=True)
class Column:
    """Name and kind of a column; ``order`` lists an ordinal's values from least to most, ``unit`` is what every number carries."""

    name: str
    kind: str
    order: tuple[str, ...] = ()
    unit: str = ""


class Catalog:
    """Items in a fixed order; row ``i`` of every feature matrix is row ``i`` here.

    In memory a number is float64 (missing: NaN), a category, an ordinal or a text is ``str`` (missing: None), a set
    is a tuple of ``str`` (missing: None), a date is datetime64 (missing: NaT), ``available`` is bool, without gaps.

    Args:
        table: one row per item, with ``item_id`` (unique ``str``) and ``title``.
        columns: kind of each column that is not in ``ROLES``: a kind of ``KINDS``, or a ``Column``.
        root: folder that relative image, audio and video paths start from.

    Raises:
        InputError: a column without a kind, a missing or repeated ``item_id``, no item at all.
    """

    def __init__(self, table: pd.DataFrame, columns: Mapping[str, "str | Column"], root: Path | None = None):
        if len(table) == 0:
            raise InputError("the catalog has no items; it needs at least one row")
        for name in ("item_id", "title"):
            if name not in table:
                raise InputError(f"the catalog has no column '{name}'; it has {', '.join(map(str, table.columns))}")
        if table["item_id"].duplicated().any():
            twice = table.loc[table["item_id"].duplicated(), "item_id"].iloc[0]
            raise InputError(f"item_id '{twice}' stands in more than one row; ids must be unique")
        self.columns = {name: _column(name, columns) for name in table.columns}
        self.table = table.reset_index(drop=True)
        for name, column in self.columns.items():
            if column.kind in _WORDS:
                self.table[name] = self.table[name].astype(object).where(self.table[name].notna(), None)
        if "available" not in self.table:
            self.table["available"] = True
            self.columns["available"] = Column("available", "boolean")
        self.root = Path(root) if root else Path()
        #: By column, ``(num_items,)`` bool: values that no file said but a model saw in the picture.
        self.seen: dict[str, np.ndarray] = {}

    def __len__(self) -> int:
        return len(self.table)

    @cached_property
    def item_ids(self) -> np.ndarray:
        """``(num_items,)`` ids as ``str``, in row order."""
        return self.table["item_id"].to_numpy(dtype=object)

    @cached_property
    def positions(self) -> dict[str, int]:
        """Row of each item id."""
        return {item_id: row for row, item_id in enumerate(self.item_ids)}

    @property
    def attributes(self) -> dict[str, Column]:
        """Columns that say something about an item and can be asked for: all but ids, titles and paths."""
        return {name: column for name, column in self.columns.items() if column.kind in (*KINDS, "boolean") and name != "title"}

    @property
    def available(self) -> np.ndarray:
        """``(num_items,)`` bool: may be shown at all."""
        return self.table["available"].to_numpy(dtype=bool)

    def position(self, item_id: str) -> int:
        """Row of an item.

        Raises:
            InputError: the id is not in the catalog; the nearest ids are named.
        """
        if item_id in self.positions:
            return self.positions[item_id]
        near = difflib.get_close_matches(item_id, list(self.positions)[:50_000], n=3)
        raise InputError(f"item '{item_id}' is not in the catalog" + (f"; did you mean {', '.join(near)}?" if near else ""))

    def picture(self, row: int) -> Path | None:
        """Path of an item's picture, or None where it has none."""
        name = self.table["image"].iat[row] if "image" in self.table else None
        return self.root / name if isinstance(name, str) else None

    def rows(self, chosen: np.ndarray) -> "Catalog":
        """The chosen rows alone."""
        return Catalog(self.table.iloc[chosen], self.columns, self.root)

    def updated(self, other: "Catalog", said: Collection[str]) -> "Catalog":
        """With the rows of another: what it says of ids that are here takes the place of what was said, its other rows are appended.

        A known item keeps its title where the other has its id for one, and its files where the other has none.

        Args:
            other: new and changed items.
            said: its columns that say something of known items; columns that are not here are left out.
        """
        there = np.array([self.positions.get(item, -1) for item in other.item_ids])
        known, new = np.flatnonzero(there >= 0), np.flatnonzero(there < 0)
        table = {}
        for name, column in self.columns.items():
            values = [*self.table[name].tolist(), *([True if name == "available" else None] * len(new))]
            given = other.table[name].tolist() if name in other.table else []
            for row in known if given and name in said else ():
                kept = given[row] == other.item_ids[row] if name == "title" else given[row] is None and name in ("image", "audio", "video")
                if not kept:
                    values[there[row]] = given[row]
            if given:
                values[len(self) :] = [given[row] for row in new]
            kind = self.table[name].dtype if column.kind in ("number", "boolean", "date") else object
            table[name] = pd.Series(values, dtype=object).where(lambda cells: cells.notna(), None).astype(kind)  # type: ignore[call-overload]
        return Catalog(pd.DataFrame(table), self.columns, self.root)

    def named(self, row: int) -> dict[str, tuple[str, ...]]:
        """The named values that are known of an item, by column: its categories, ordinals and sets."""
        found: dict[str, tuple[str, ...]] = {}
        for name, column in self.attributes.items():
            value = self._values[name][row]
            if column.kind in ("category", "ordinal") and isinstance(value, str):
                found[name] = (value,)
            elif column.kind == "set" and isinstance(value, tuple):
                found[name] = value
        return found

    @cached_property
    def _values(self) -> dict[str, np.ndarray]:
        return {name: self.table[name].to_numpy(dtype=object) for name in self.attributes}

    def save(self, path: Path) -> None:
        """Write the table as Parquet, kinds in its schema's metadata, atomically."""
        import pyarrow
        import pyarrow.parquet

        from mllm_rec.data.files import atomic

        kinds = {name: [column.kind, list(column.order), column.unit] for name, column in self.columns.items()}
        table = pyarrow.Table.from_pandas(self.table, preserve_index=False)
        table = table.replace_schema_metadata({**(table.schema.metadata or {}), b"mllm_rec": json.dumps(kinds).encode()})
        with atomic(path) as temporary:
            pyarrow.parquet.write_table(table, temporary)

    @classmethod
    def load(cls, path: Path) -> "Catalog":
        """Read what ``save`` wrote; relative paths start from the file's folder.

        Raises:
            InputError: the file is broken, or ``save`` did not write it.
        """
        import pyarrow
        import pyarrow.parquet

        try:
            table = pyarrow.parquet.read_table(path)
            kinds = json.loads(table.schema.metadata[b"mllm_rec"])
        except FileNotFoundError:
            raise InputError(f"{path} does not exist; wanted a catalog that 'mllm-rec build' wrote") from None
        except (pyarrow.ArrowException, OSError, ValueError, TypeError, KeyError) as error:
            raise InputError(f"{path} is not a catalog that 'mllm-rec build' wrote: {error}; build it again") from error
        frame = table.to_pandas()
        for name, (kind, *_) in kinds.items():
            if kind == "set":
                frame[name] = pd.Series([None if value is None else tuple(value) for value in frame[name]], dtype=object)
        columns = {name: Column(name, kind, tuple(order), *unit) for name, (kind, order, *unit) in kinds.items()}
        return cls(frame, columns, root=Path(path).parent)


def _column(name: str, columns: Mapping[str, "str | Column"]) -> Column:
    given = columns.get(name, ROLES.get(name))
    if isinstance(given, Column):
        return given
    if given is None or given not in (*KINDS, *ROLES.values()):
        raise InputError(f"column '{name}' has kind {given!r}; it must be one of {', '.join(KINDS)}")
    return Column(name, given)
