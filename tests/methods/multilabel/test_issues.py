"""Classes that pruning leaves alone."""

import pytest
from pyspark.sql import SparkSession

from cl_spark import MultilabelAudit

pytestmark = pytest.mark.slow


def test_classes_too_small_to_prune_are_named(spark: SparkSession, caplog: pytest.LogCaptureFixture) -> None:
    """Of "rare" there are two examples, and of "usual" all but one; of "never" there is none to prune."""
    sets = [["usual"]] * 4 + [["usual", "rare", "half"]] * 2 + [["half"]]
    rows = [(i, labels, [0.4, 0.6, 0.5, 0.1]) for i, labels in enumerate(sets)]
    df = spark.createDataFrame(rows, "id int, labels array<string>, pred_probs array<double>")
    with MultilabelAudit(df, class_names=["rare", "usual", "half", "never"]) as audit:
        audit.find_label_issues_per_class(filter_by="confident_learning")
        assert "not pruned" not in caplog.text
        audit.find_label_issues_per_class(min_examples_per_class=2)
    assert "1 classes are given to at most 2 examples, which are not pruned: rare" in caplog.text
    assert "1 classes are not given to at most 2 examples, which are not pruned: usual" in caplog.text
