"""Rows without an id are those with a null, or NaN, in a part of it."""

from pyspark.sql import SparkSession

from cl_spark.tables.ids import lacks_id


def test_a_null_or_nan_in_any_part_is_no_id(spark: SparkSession) -> None:
    nan = float("nan")
    rows = [("a", 1.0, 1), (None, 1.0, 2), ("NaN", nan, 3), ("a", None, 4), ("NaN", 0.0, None)]
    df = spark.createDataFrame(rows, "`s.t` string, x double, n int")
    found = df.where(lacks_id(df, ["s.t", "x"])).collect()
    assert {row.n for row in found} == {2, 3, 4}
