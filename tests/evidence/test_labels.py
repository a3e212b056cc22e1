"""Labels of a second table."""

import pytest
from pyspark.sql import SparkSession

from cl_spark import LabelAudit
from cl_spark.errors import ColumnTypeError, MissingColumnError
from cl_spark.evidence.labels import join_labels
from cl_spark.evidence.validity import RejectionReason as R
from cl_spark.tables import columns as c

pytestmark = pytest.mark.slow


def test_labels_are_joined_by_id_and_rows_of_one_table_only_are_marked(
    spark: SparkSession, caplog: pytest.LogCaptureFixture
) -> None:
    predictions = spark.createDataFrame(
        [(1, 0.5, 9, "x"), (2, 0.25, 9, "x")], "`i.d` long, p double, label int, source string"
    )
    labels = spark.createDataFrame([(2, 0, "a"), (3, 1, "b")], "`i.d` long, label int, source string")
    joined = join_labels(predictions, labels, ["i.d"], "label", ["source", "nowhere"])
    rows = joined.select("`i.d`", "p", "label", "source", c.REJECTION).collect()
    assert sorted(map(tuple, rows)) == [
        (1, 0.5, None, None, R.NO_LABEL),
        (2, 0.25, 0, "a", None),
        (3, None, 1, "b", R.NO_PREDICTION),
    ]
    assert "the labels table's is used" in caplog.text


def test_slices_may_be_part_of_the_id_or_the_label(spark: SparkSession) -> None:
    rows = [("ab"[i % 2], i, i % 2, [0.9, 0.1]) for i in range(6)]
    predictions = spark.createDataFrame(rows, "source string, id long, label int, pred_probs array<double>")
    labels = predictions.drop("pred_probs")
    keys, slices = ["source", "id"], ["Source", "LABEL"]
    with LabelAudit(predictions, labels=labels, id_col=keys, slice_by=slices) as audit:
        found = {(row.slice_column, row.slice_value): row.examples for row in audit.slice_health().collect()}
    assert found == {("Source", "a"): 3, ("Source", "b"): 3, ("LABEL", "0"): 3, ("LABEL", "1"): 3}
    repeated = join_labels(predictions, labels, ["id"], "label", ["source", "ID", "SOURCE"])
    assert sorted(repeated.columns) == sorted(["id", "label", "source", "pred_probs", c.REJECTION])


def test_no_row_is_multiplied(spark: SparkSession) -> None:
    predictions = spark.createDataFrame(
        [("a", 1), ("a", 2), (None, 3), (None, 3), ("b", 4)], "source string, id int"
    )
    labels = spark.createDataFrame(
        [
            ("a", 1, 0),
            ("a", 1, 1),
            ("a", 2, 2),
            (None, 3, 0),
            (None, 3, 0),
            (None, 5, 1),
            ("c", 6, 0),
            ("c", 6, 0),
        ],
        "source string, id long, label int",
    )
    joined = join_labels(predictions, labels, ["source", "id"], "label")
    assert sorted(map(tuple, joined.collect()), key=str) == [
        ("a", 1, None, R.REPEATED_ID),
        ("a", 2, 2, None),
        ("b", 4, None, R.NO_LABEL),
        ("c", 6, None, R.REPEATED_ID),
        (None, 3, None, None),
        (None, 3, None, None),
        (None, 5, 1, R.NO_PREDICTION),
    ]


def test_nan_is_no_id_of_several_rows(spark: SparkSession) -> None:
    nan = float("nan")
    predictions = spark.createDataFrame([(1.0,), (nan,)], "id double")
    labels = spark.createDataFrame([(1.0, 0), (nan, 1), (nan, 2)], "id double, label int")
    rows = join_labels(predictions, labels, ["id"], "label").collect()
    assert sorted((str(row.id), row.label, row[c.REJECTION]) for row in rows) == [
        ("1.0", 0, None),
        ("nan", None, None),
    ]


def test_several_labels_of_an_id_are_told_whatever_is_checked(spark: SparkSession) -> None:
    predictions = spark.createDataFrame(
        [(i, [0.9, 0.1]) for i in range(6)], "id long, pred_probs array<double>"
    )
    labels = spark.createDataFrame([(i % 6, i % 2) for i in range(8)], "id int, label int")
    for check_ids in (True, False):
        with LabelAudit(predictions, labels=labels, check_ids=check_ids) as audit:
            assert audit.num_examples == 4
            assert {(row.id, row.reason) for row in audit.rejected().collect()} == {
                (0, "id of several rows"), (1, "id of several rows")
            }  # fmt: skip
            assert audit.statistics.num_rejected == 2


@pytest.mark.parametrize(("ours", "theirs"), [("string", "int"), ("int", "string"), ("float", "double")])
def test_ids_that_spark_would_cast_are_refused(spark: SparkSession, ours: str, theirs: str) -> None:
    predictions = spark.sql(f"SELECT CAST(3 AS {ours}) `i.d`, 0.5 p")
    labels = spark.sql(f"SELECT CAST(3 AS {theirs}) `i.d`, 0 label")
    with pytest.raises(ColumnTypeError, match=f"'i.d' is {ours} in predictions and {theirs} in labels"):
        join_labels(predictions, labels, ["i.d"], "label")


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
