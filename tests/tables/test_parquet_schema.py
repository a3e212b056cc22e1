"""Parquet files whose columns Spark cannot infer: types that drifted, and types it does not have."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from cl_spark import ColumnTypeError, InputError
from cl_spark.tables.input_table import read_source
from cl_spark.tables.parquet_schema import find_files_schema
from cl_spark.tables.text_files import Roles

ROLES = Roles(("id",), "label", ("pred_probs",))
NARROW = {"id": pa.int32(), "label": pa.int8(), "pred_probs": pa.list_(pa.float32())}
WIDE = {"id": pa.int64(), "label": pa.int32(), "pred_probs": pa.list_(pa.float64())}


def write(path: Path, types: dict[str, pa.DataType], first: int) -> None:
    """Two rows with columns of some types."""
    path.parent.mkdir(exist_ok=True)
    columns = {"id": [first, first + 1], "label": [0, 1], "pred_probs": [[0.75, 0.25], [0.5, 0.5]]}
    arrays = {name: pa.array(values).cast(types[name]) for name, values in columns.items()}
    pq.write_table(pa.table(arrays), path)


@pytest.mark.parametrize("order", [(NARROW, WIDE), (WIDE, NARROW)], ids=["narrow first", "wide first"])
def test_types_that_drifted_are_read_as_the_wider_one(
    spark: SparkSession, tmp_path: Path, order: tuple[dict[str, pa.DataType], ...]
) -> None:
    if spark.version < "4":
        pytest.skip("Spark 3.5 reads no type as a wider one")
    for i, types in enumerate(order):
        write(tmp_path / "in" / f"{i}.parquet", types, 2 * i)
    df = read_source(spark, str(tmp_path / "in"), "predictions", roles=ROLES).df
    assert df.dtypes == [("id", "bigint"), ("label", "int"), ("pred_probs", "array<double>")]
    assert sorted(row.id for row in df.collect()) == [0, 1, 2, 3]
    assert {tuple(row.pred_probs) for row in df.collect()} == {(0.75, 0.25), (0.5, 0.5)}


def test_types_that_hold_no_values_of_each_other_are_told(spark: SparkSession, tmp_path: Path) -> None:
    path = tmp_path / "in"
    path.mkdir()
    pq.write_table(pa.table({"id": [1], "label": [0], "note": [1]}), path / "a.parquet")
    pq.write_table(pa.table({"id": [2], "label": ["a"], "note": [0.5]}), path / "b.parquet")
    with pytest.raises(ColumnTypeError, match=r"column 'label' of .* is .* in different files"):
        read_source(spark, str(path), "predictions", roles=ROLES)
    df = read_source(spark, str(path), "predictions", roles=Roles(("id",))).df
    assert sorted(row.id for row in df.select("id").collect()) == [1, 2]


def test_a_column_that_nobody_asks_for_may_be_of_any_type(spark: SparkSession, tmp_path: Path) -> None:
    times = pd.Series(pd.date_range("2026-01-01", periods=2)).astype("datetime64[ns]")
    half = pa.array([np.float16(0.5), np.float16(1)])
    columns = {"id": pa.array([1, 2]), "seen_at": pa.array(times), "half": half, "text": pa.array(["a", "b"])}
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    path = str(tmp_path / "a.parquet")
    df = read_source(spark, path, "predictions", roles=Roles(("id",), others=("text",))).df
    assert [tuple(row) for row in df.orderBy("id").collect()] == [(1, "a"), (2, "b")]
    for col, words in (
        ("seen_at", "nanoseconds; write it in micro"),
        ("Half", "half precision; write it as"),
    ):
        with pytest.raises(ColumnTypeError, match=f"predictions: column '{col.lower()}' of .*{words}"):
            read_source(spark, path, "predictions", roles=Roles(("id",), others=(col,)))


def test_probabilities_of_half_precision_are_told(spark: SparkSession, tmp_path: Path) -> None:
    halves = pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(4, "float16")), 2)
    pq.write_table(pa.table({"id": [1, 2], "label": [0, 1], "pred_probs": halves}), tmp_path / "a.parquet")
    with pytest.raises(
        ColumnTypeError, match=r"column 'pred_probs' of .* half precision; write it as float32"
    ):
        read_source(spark, str(tmp_path), "predictions", roles=ROLES)


def test_names_that_differ_in_case_are_told_where_one_is_asked_for(
    spark: SparkSession, tmp_path: Path
) -> None:
    pq.write_table(pa.table({"id": [1], "x": [2], "X": ["a"]}), tmp_path / "a.parquet")
    path = str(tmp_path / "a.parquet")
    assert read_source(spark, path, "predictions", roles=Roles(("id",))).df.collect()[0].id == 1
    with pytest.raises(ColumnTypeError, match=r"column 'x' of .* upper and lower case only; rename it"):
        read_source(spark, path, "predictions", roles=Roles(("id", "X")))


SAME_IN_PARQUET = [
    (pa.large_string(), pa.string(), ["a", "b"]),
    (pa.dictionary(pa.int32(), pa.string()), pa.string(), ["a", "b"]),
    (pa.large_binary(), pa.binary(), [b"a", b"b"]),
    (pa.large_list(pa.float64()), pa.list_(pa.float64()), [[0.75, 0.25], [0.5, 0.5]]),
    (pa.list_(pa.float64(), 2), pa.list_(pa.float64()), [[0.75, 0.25], [0.5, 0.5]]),
    (pa.struct({"a": pa.large_string()}), pa.struct({"a": pa.string()}), [{"a": "a"}, {"a": "b"}]),
    (pa.map_(pa.string(), pa.large_string()), pa.map_(pa.string(), pa.string()), [[("a", "b")], []]),
    (pa.timestamp("us", "Europe/Berlin"), pa.timestamp("us", "UTC"), [0, 1]),
]
"""Pairs of types of Arrow, which Parquet stores alike; and values."""


def test_types_that_only_arrow_tells_apart_are_one(spark: SparkSession, tmp_path: Path) -> None:
    pairs = [pa.array(values, one).cast(other) for one, other, values in SAME_IN_PARQUET]
    written = [pa.array(values, one) for one, _, values in SAME_IN_PARQUET]
    for i, arrays in enumerate((written, pairs)):
        names = [f"col{j}" for j in range(len(arrays))]
        pq.write_table(pa.table(arrays, names), tmp_path / f"{i}.parquet")
    inferred = spark.read.parquet(str(tmp_path)).schema
    assert find_files_schema(spark, [f"{path}" for path in tmp_path.iterdir()], inferred) is None


def test_labels_of_pandas_2_and_3_are_read_together(spark: SparkSession, tmp_path: Path) -> None:
    for i, kind in enumerate((pa.string(), pa.large_string(), pa.dictionary(pa.int8(), pa.string()))):
        labels = pa.array(["cat", "dog"], kind)
        pq.write_table(pa.table({"id": [2 * i, 2 * i + 1], "label": labels}), tmp_path / f"{i}.parquet")
    df = read_source(spark, str(tmp_path), "predictions", roles=Roles(("id",), "label")).df
    assert sorted(tuple(row) for row in df.collect()) == [(i, ("cat", "dog")[i % 2]) for i in range(6)]


def test_columns_that_some_files_lack_are_null_there(spark: SparkSession, tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": [1]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"ID": [2], "label": [7]}), tmp_path / "b.parquet")
    df = read_source(spark, str(tmp_path), "predictions").df
    assert sorted(tuple(row) for row in df.select("id", "label").collect()) == [(1, None), (2, 7)]


def test_files_that_are_no_parquet_say_so(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_text("hello")
    with pytest.raises(InputError, match=r"predictions: cannot read .*a.parquet") as error:
        read_source(spark, str(tmp_path / "a.parquet"), "predictions")
    assert "\n" not in str(error.value)
