"""The distribution of scores."""

import numpy as np
import pytest
from pyspark.sql import SparkSession

from cl_spark import LabelAudit
from cl_spark.methods.classification.score_distribution import ScoreRanges
from cl_spark.methods.classification.thresholds import ClassStatistics
from cl_spark.tables import columns as c
from tests.frames import predictions
from tests.oracle.datasets import dataset

DATA = dataset(83, 200, 4)


@pytest.mark.matrix
@pytest.mark.parametrize("scale", [1.0, 40.0])
def test_the_distribution_of_scores_counts_every_example_and_issue_once(
    spark: SparkSession, scale: float
) -> None:
    probs = DATA.probs * scale - (scale - 1) / 2
    given = probs[np.arange(len(DATA.labels)), DATA.labels]
    low, high = (0.0, 1.0) if scale == 1 else (given.min(), given.max())
    with LabelAudit(predictions(spark, DATA.labels, probs)) as audit:
        issues = audit.find_label_issues()
        wrong = sorted(row.id for row in issues.select("id").collect())
        rows = audit.score_distribution(issues).toPandas()
    place = np.minimum(np.floor((given - low) / (high - low) * 20), 19).astype(int)
    for name, of in ((c.EXAMPLES, np.arange(len(given))), (c.NUM_ISSUES, np.array(wrong))):
        expected = np.zeros((4, 20), int)
        np.add.at(expected, (DATA.labels[of], place[of]), 1)
        found = np.zeros((4, 20), int)
        of_row = np.rint((rows["lower"] - low) / (high - low) * 20).astype(int)
        np.add.at(found, (rows["class"].to_numpy(), of_row.to_numpy()), rows[name].to_numpy())
        assert (found == expected).all(), name


@pytest.mark.parametrize("score", [-(2.0**28), 5.0, 1e6])
def test_scores_that_are_all_one_number_have_a_range(spark: SparkSession, score: float) -> None:
    ranges = ScoreRanges.cover(ClassStatistics(2, {}, score, score))
    assert (ranges.low, ranges.high) == (score, score + 1)
    with LabelAudit(predictions(spark, [0, 1, 0, 1], np.full((4, 2), score))) as audit:
        rows = audit.score_distribution(audit.find_label_issues()).orderBy("class").collect()
    assert [(row["class"], row.lower, row.examples) for row in rows] == [(0, score, 2), (1, score, 2)]
