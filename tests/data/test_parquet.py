"""Parquet of any type, as text."""

import datetime as dt
from decimal import Decimal

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from by_hand import said

from mllm_rec.data.problems import Problems
from mllm_rec.data.tables import read_table
from mllm_rec.errors import InputError

MOMENT = dt.datetime(2024, 1, 2, 3, 4, 5)


@pytest.fixture
def read(tmp_path):
    def write_and_read(table, problems):
        pq.write_table(table, tmp_path / "items.parquet")
        return read_table(tmp_path / "items.parquet", problems)

    return write_and_read


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        (pa.array(["a", " b "]), ["a", "b"]),
        (pa.array([1, 2]), ["1", "2"]),
        (pa.array([12.0, None]), ["12", None]),
        (pa.array([1.5, float("nan")]), ["1.5", None]),
        (pa.array([float("inf"), -1e300]), [None, "-1e+300"]),
        (pa.array([1.5, 2.0], pa.float16()), ["1.5", "2"]),
        (pa.array([True, None]), ["true", None]),
        (pa.array([b"abc", b"d"]), ["abc", "d"]),
        (pa.array([["a", "b"], None]), ['["a", "b"]', None]),
        (pa.array([{"x": 1}, None]), ['{"x": 1}', None]),
        (pa.array([Decimal("1.50"), None]), ["1.50", None]),
        (pa.array([MOMENT.date(), None]), ["2024-01-02", None]),
        (pa.array([MOMENT, None], pa.timestamp("s")), ["2024-01-02 03:04:05.000", None]),
        (pa.array(["a", None]).dictionary_encode(), ["a", None]),
    ],
)
def test_types(read, values, wanted):
    frame = read(pa.table({"sku": ["1", "2"], "held": values}), Problems()).frame
    assert list(frame["held"].astype(object).where(frame["held"].notna(), None)) == wanted
    assert list(frame.index) == [2, 3]


def test_ids_and_column_names_as_in_csv(read):
    problems = Problems()
    assert read(pa.table([["a"], ["b\x07"]], names=["sku", "sku"]), problems).columns == ["sku", "sku.2"]
    assert said(problems) == [(1, "sku", "repeated column", "mended"), (2, "sku.2", "control character", "mended")]


def test_the_index_that_pandas_writes_is_no_column(tmp_path):
    pd.DataFrame({"sku": ["a"]}, index=["x"]).to_parquet(tmp_path / "items.parquet")
    assert read_table(tmp_path / "items.parquet", Problems()).columns == ["sku"]


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_truncated_file_is_refused(tmp_path, share):
    pq.write_table(pa.table({"sku": [str(number) for number in range(100)]}), tmp_path / "whole.parquet")
    content = (tmp_path / "whole.parquet").read_bytes()
    (tmp_path / "items.parquet").write_bytes(content[: int(share * len(content))])
    with pytest.raises(InputError, match="starts like a Parquet file but can't be read"):
        read_table(tmp_path / "items.parquet", Problems())


def test_no_column(read):
    with pytest.raises(InputError, match="neither column names nor cells"):
        read(pa.table({}), Problems())
