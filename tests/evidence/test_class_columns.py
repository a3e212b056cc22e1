"""Class indices and names in columns."""

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from cl_spark.evidence.class_columns import find_index, find_name, select_index

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("labels", "kind", "names", "expected"),
    [
        ([2, None, -1], "int", [], [2, None, -1]),
        ([2.0, 1.5, float("nan"), None], "double", [], [2, -1, None, None]),
        ([True, False, None], "boolean", [], [1, 0, None]),
        ([True, False, None], "boolean", ["True", "FALSE"], [0, 1, None]),
        ([True, False, None], "boolean", ["no", "yes"], [1, 0, None]),
    ],
)
def test_labels_that_are_numbers_or_booleans_tell_a_class(
    spark: SparkSession, labels: list[object], kind: str, names: list[str], expected: list[int | None]
) -> None:
    df = spark.createDataFrame(list(enumerate(labels)), f"id int, label {kind}").coalesce(1)
    selected = df.select(
        "id", select_index(F.col("label"), df.schema["label"].dataType, names).alias("index")
    )
    assert [row["index"] for row in selected.orderBy("id").collect()] == expected


def test_names_and_indices_find_each_other(spark: SparkSession) -> None:
    names = ["cat", 'do"g', "eel"]
    df = spark.createDataFrame([(0, "eel"), (1, 'do"g'), (2, "cow"), (None, None)], "index int, name string")
    found = df.select(find_name(F.col("index"), names), find_index(F.col("name"), names)).collect()
    assert [tuple(row) for row in found] == [("cat", 2), ('do"g', 1), ("eel", None), (None, None)]
