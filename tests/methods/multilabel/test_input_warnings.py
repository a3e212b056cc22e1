"""Sets of labels that seem to mean something else than class indices."""

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from cl_spark import ConfigurationError, MultilabelAudit
from tests.methods.multilabel.frames import make_sets

pytestmark = pytest.mark.slow

LABELS, PROBS = make_sets(seed=11, rows=40, classes=4)


@pytest.fixture(scope="module")
def df(spark: SparkSession) -> DataFrame:
    rows = [(i, given, row.tolist()) for i, (given, row) in enumerate(zip(LABELS, PROBS, strict=True))]
    return spark.createDataFrame(rows, "id int, labels array<int>, pred_probs array<double>").cache()


def flag_classes(df: DataFrame, rows: str) -> DataFrame:
    """Some rows with a flag for each class in place of the indices of those they have."""
    flags = "transform(sequence(0, 3), k -> int(array_contains(labels, k)))"
    return df.withColumn("labels", F.expr(f"if({rows}, {flags}, labels)"))


def test_flags_of_classes_are_no_class_indices(df: DataFrame) -> None:
    with (
        pytest.raises(
            ConfigurationError,
            match=r"labels_col: 21 of 40 sets in column 'labels' hold 4 numbers that are 0 or 1, such as "
            r"\[[01], [01], [01], [01]\]: .* Make class indices of them, by filter\(sequence\(",
        ),
        MultilabelAudit(flag_classes(df, "id < 21")) as audit,
    ):
        audit.find_label_issues()
    with MultilabelAudit(flag_classes(df, "id < 20")) as audit:  # half of the rows may be sets all the same
        assert audit.num_examples == 40
        assert audit.warnings() == []


def test_labels_that_count_from_one_are_told_of_and_logged_once(
    df: DataFrame, caplog: pytest.LogCaptureFixture
) -> None:
    one_based = df.withColumn("labels", F.transform("labels", lambda k: k + 1))
    with MultilabelAudit(one_based) as audit:
        (warning,) = audit.warnings()
        assert audit.warnings() == [warning]
        assert "warning: labels look 1-based" in audit._repr_html_()
        rejected = audit.num_rejected
    assert rejected == sum(3 in labels for labels in LABELS) > 0
    assert warning.code == "labels_one_based"
    assert warning.message.startswith(
        f"labels look 1-based: no set has class 0, {rejected} rows with label 4 are rejected, and no label is"
    )
    assert warning.message.endswith("subtract 1 from the elements of column 'labels'")
    logged = [record.getMessage() for record in caplog.records if "1-based" in record.getMessage()]
    assert logged == [f"{warning.message} (labels_one_based)"]


@pytest.mark.parametrize("other", ["array(0, 4)", "array(5)"])
def test_a_label_0_or_one_beyond_the_next_says_that_they_do_not(df: DataFrame, other: str) -> None:
    labels = F.expr(f"if(id = 7, {other}, transform(labels, k -> k + 1))")
    with MultilabelAudit(df.withColumn("labels", labels)) as audit:
        assert audit.warnings() == []
