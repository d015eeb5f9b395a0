"""Parquet tables as text."""

import json

import pyarrow
import pyarrow.compute
import pyarrow.parquet

from mllm_rec.data.problems import shown
from mllm_rec.errors import InputError


def read_parquet(content: bytes, path: str) -> pyarrow.Table:
    """Every column as text.

    Raises:
        InputError: the bytes are no whole Parquet file.
    """
    try:
        table = pyarrow.parquet.ParquetFile(pyarrow.BufferReader(content)).read()
        table = table.select([place for place, name in enumerate(table.column_names) if not name.startswith("__index_level_")])
        table = pyarrow.table([_strings(column) for column in table.columns], names=table.column_names)
        table.validate(full=True)
        return table
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise InputError(f"{path} starts like a Parquet file but can't be read: {shown(error)}") from error


def _strings(column: pyarrow.ChunkedArray) -> pyarrow.ChunkedArray:
    """Any column as text: whole numbers without a point, lists and structures as JSON, times in ISO."""
    kind = column.type
    if pyarrow.types.is_dictionary(kind):
        return _strings(column.cast(kind.value_type))
    if pyarrow.types.is_floating(kind):
        column = column.cast(pyarrow.float64() if pyarrow.types.is_float64(kind) else pyarrow.float32())
        column = pyarrow.compute.if_else(pyarrow.compute.is_finite(column), column, None)
        whole = pyarrow.compute.all(pyarrow.compute.equal(column, pyarrow.compute.round(column))).as_py()
        if whole and (pyarrow.compute.max(pyarrow.compute.abs(column)).as_py() or 0) < 2**53:
            column = column.cast(pyarrow.int64())
    try:
        return column.cast(pyarrow.string())
    except pyarrow.ArrowException:  # lists, structures, bytes that are no text, and kinds that have no text of their own
        values = [_written(value) for value in column.to_pylist()]
        return pyarrow.chunked_array([pyarrow.array(values, pyarrow.string())])


def _written(value: object) -> str | None:
    return None if value is None else json.dumps(value, ensure_ascii=False, default=str)
