"""Whole rows as JSON."""

import json

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from cl_spark.tables.row_json import select_row_json

pytestmark = pytest.mark.matrix


def test_a_row_keeps_columns_whose_names_differ_in_case_only(spark: SparkSession) -> None:
    df = spark.range(1).select("id", F.lit("x").alias("A.b"), F.lit(2), F.lit(True).alias("_hidden"))
    df = df.toDF("id", "A.b", "a.B", "_hidden")
    rows = df.select("id", select_row_json("_hidden").alias("row"), select_row_json().alias("whole"))
    found = rows.collect()[0]
    assert json.loads(found.row) == {"id": 0, "A.b": "x", "a.B": 2}
    assert json.loads(found.whole) == {"id": 0, "A.b": "x", "a.B": 2, "_hidden": True}
