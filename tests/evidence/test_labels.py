"""Labels of a second table."""

import pytest
from pyspark.sql import SparkSession

from cl_spark.errors import MissingColumnError
from cl_spark.evidence.labels import UNMATCHED, join_labels


def test_labels_are_joined_by_id_and_rows_of_one_table_only_are_marked(
    spark: SparkSession, caplog: pytest.LogCaptureFixture
) -> None:
    predictions = spark.createDataFrame(
        [(1, 0.5, 9, "x"), (2, 0.25, 9, "x")], "`i.d` long, p double, label int, source string"
    )
    labels = spark.createDataFrame([(2, 0, "a"), (3, 1, "b")], "`i.d` long, label int, source string")
    joined = join_labels(predictions, labels, ["i.d"], "label", ["source", "nowhere"])
    rows = joined.select("`i.d`", "p", "label", "source", UNMATCHED).collect()
    assert sorted(map(tuple, rows)) == [
        (1, 0.5, None, None, "label"),
        (2, 0.25, 0, "a", None),
        (3, None, 1, "b", "prediction"),
    ]
    assert "the labels table's is used" in caplog.text


@pytest.mark.parametrize(
    ("id_col", "label_col", "message"),
    [("no", "label", "labels: no column 'no'"), ("id", "no", "labels: no column 'no'"),
     ("key", "label", "predictions: no column 'key'; the table has 'id', 'p'")],
)  # fmt: skip
def test_a_missing_column_is_named_with_its_table(
    id_col: str, label_col: str, message: str, spark: SparkSession
) -> None:
    predictions = spark.createDataFrame([(1, 0.5)], "id long, p double")
    labels = spark.createDataFrame([(1, 1, 0)], "id long, key long, label int")
    with pytest.raises(MissingColumnError, match=message):
        join_labels(predictions, labels, [id_col], label_col)
