"""Facts that every report shows."""

from pyspark.sql import SparkSession

from cl_spark.runs.facts import first_reasons


def test_reasons_come_most_frequent_first_each_with_its_lowest_id(spark: SparkSession) -> None:
    rows = [
        ("null label", 4, "x"),
        ("null id", None, "y"),
        ("unknown class name", 5, "b"),
        ("unknown class name", 5, "a"),
        ("unknown class name", 6, "a"),
        ("null label", 3, "z"),
    ]
    rejected = spark.createDataFrame(rows, "reason string, `id.1` long, part string")
    reasons = first_reasons(rejected, ["id.1", "part"])
    assert reasons.columns == ["reason", "rows", "id"]
    assert [tuple(row) for row in reasons.collect()] == [
        ("unknown class name", 3, "5, a"),
        ("null label", 2, "3, z"),
        ("null id", 1, "y"),
    ]
