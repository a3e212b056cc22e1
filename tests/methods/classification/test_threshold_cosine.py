"""The score by the cosine: the formula on doubles, whatever the format and the partitions."""

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from cl_spark import ConfigurationError, LabelAudit, find_label_issues
from cl_spark.errors import EmptyTableError
from tests.oracle.datasets import dataset


@pytest.fixture(scope="module")
def expected() -> dict[int, float]:
    """r[y] / |r| with r = p / t, in plain numpy."""
    data = dataset(83, 200, 4)
    probs, labels = data.probs, data.labels
    means = [probs[labels == k, k].mean() for k in range(probs.shape[1])]
    ratios = probs / np.maximum(means, 2e-6)
    cosine = ratios[np.arange(len(labels)), labels] / np.linalg.norm(ratios, axis=1)
    return dict(enumerate(cosine.tolist()))


@pytest.mark.parametrize("partitions", [1, 7])
def test_it_is_the_formula(df: DataFrame, expected: dict[int, float], partitions: int) -> None:
    with LabelAudit(df.repartition(partitions)) as audit:
        scores = audit.label_quality_scores(method="threshold_cosine").collect()
        found = {row["id"]: row["label_quality"] for row in scores}
        assert found == pytest.approx(expected, abs=1e-12)
        issues = audit.find_label_issues(rank_by="threshold_cosine").orderBy("rank").collect()
    order = sorted((found[row["id"]], row["id"]) for row in issues)
    assert [(row["label_quality"], row["id"]) for row in issues] == order


def test_lists_of_classes_are_scored_as_arrays(df: DataFrame) -> None:
    entries = F.transform("pred_probs", lambda p, k: F.struct(k.alias("class"), p.alias("prob")))
    lists = df.withColumn("pred_probs", entries)
    with LabelAudit(df) as dense, LabelAudit(lists, num_classes=4) as sparse:
        ours, theirs = (
            {row["id"]: row["label_quality"] for row in scores.collect()}
            for scores in (audit.label_quality_scores(method="threshold_cosine") for audit in (sparse, dense))
        )
    assert ours == theirs


def test_scores_and_adjustment_are_refused(spark: SparkSession, df: DataFrame) -> None:
    with pytest.raises(ConfigurationError, match="takes the thresholds out of the probabilities itself"):
        find_label_issues(df, rank_by="threshold_cosine", adjust_pred_probs=True)
    rows = [(1, 0, [5.0, -3.0]), (2, 1, [1.0, 2.0])]
    logits = spark.createDataFrame(rows, "id int, label int, pred_probs array<double>")
    with pytest.raises(ConfigurationError, match="threshold_cosine' needs probabilities"):
        find_label_issues(logits, rank_by="threshold_cosine")
    for given, told in (
        (0.0, "needs thresholds above 0, but that of class 2 is 0"),
        (np.nan, "class 2 is NaN"),
    ):
        with (
            LabelAudit(df, thresholds=[0.5, 0.5, given, 0.5]) as audit,
            pytest.raises(ConfigurationError, match=told),
        ):
            audit.label_quality_scores(method="threshold_cosine")


def test_given_thresholds_that_scores_cannot_use_are_refused(spark: SparkSession, df: DataFrame) -> None:
    with LabelAudit(df, thresholds=[0.5, np.inf, 0.5, 0.5]) as audit:
        with pytest.raises(
            ConfigurationError, match="needs thresholds that are finite, but that of class 1 is inf"
        ):
            audit.label_quality_scores(adjust_pred_probs=True)
        assert audit.label_quality_scores(method="threshold_cosine").where("isnan(label_quality)").isEmpty()
    with LabelAudit(df.limit(0), num_classes=4, thresholds=[0.5] * 4) as audit:
        for question in (audit.health_summary, audit.noise_rates):
            with pytest.raises(EmptyTableError, match="no row of the input can be used"):
                question()


def test_a_caller_may_ask_for_more_issues_than_there_are_rows(df: DataFrame) -> None:
    with LabelAudit(df) as audit:
        issues = audit.find_label_issues(filter_by="low_self_confidence", num_issues=10**16)
        assert issues.count() == audit.num_examples
