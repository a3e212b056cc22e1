"""Scores from the evidence equal those of whole arrays; ranges of scores include their lower ends."""

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from cl_spark import ConfigurationError, LabelAudit
from cl_spark.evidence.blocks import Block, BlockParts, KeptArrays
from cl_spark.evidence.prob_formats import DenseProbs
from cl_spark.kernels.quality_scores import METHODS, adjust_probs, confidence_weighted_entropy
from cl_spark.kernels.row_evidence import ListingPolicy, extract_dense
from cl_spark.methods.classification.score_distribution import ConfidenceCounts, ScoreRanges
from cl_spark.methods.classification.scores import (
    ArrayScores,
    add_by_id,
    add_issue_flag,
    check_method,
    check_probabilities,
    normalized_margins,
    self_confidences,
)
from cl_spark.methods.classification.thresholds import ClassStatistics
from cl_spark.tables import columns as c
from cl_spark.tables.spark_errors import SPARK_ERRORS, find_source_change
from tests.frames import predictions

pytestmark = pytest.mark.slow

RNG = np.random.default_rng(3)
PROBS, GIVEN = RNG.dirichlet(np.ones(4), 200), RNG.integers(0, 4, 200).astype(np.int32)


def block(given: np.ndarray = GIVEN, probs: np.ndarray = PROBS) -> Block:
    found = extract_dense(given, probs, ListingPolicy(), with_sums=False)
    return Block(
        given=given,
        predicted=found.predicted,
        self_confidence=found.self_confidence,
        max_prob=found.max_prob,
        second_max_prob=found.second_max_prob,
        unlisted_max_prob=found.unlisted_max_prob,
        num_probs=probs.shape[1],
        parts=BlockParts(kept=KeptArrays(np.arange(len(given)), pa.array(probs.tolist()))),
    )


def test_scores_of_the_evidence_are_those_of_arrays() -> None:
    assert self_confidences(block()).tolist() == METHODS["self_confidence"](GIVEN, PROBS).tolist()
    assert normalized_margins(block()).tolist() == METHODS["normalized_margin"](GIVEN, PROBS).tolist()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("adjust", [True, False])
def test_kept_arrays_are_scored_by_any_method(method: str, adjust: bool) -> None:
    thresholds = np.array([0.3, 0.4, 0.5, 0.2])
    score = ArrayScores(method, adjust, thresholds, DenseProbs("double"))
    probs = adjust_probs(PROBS, thresholds) if adjust else PROBS
    assert score(block()).tolist() == METHODS[method](GIVEN, probs).tolist()


def test_methods_and_their_options_are_checked() -> None:
    check_method("confidence_weighted_entropy", False, "rank_by")
    with pytest.raises(ConfigurationError, match="rank_by='margin' is not a label quality score"):
        check_method("margin", False, "rank_by")
    with pytest.raises(ConfigurationError, match="adjust_pred_probs does not go with method="):
        check_method("confidence_weighted_entropy", True, "method")
    check_probabilities(ClassStatistics(2, {}, -1e-7, 1 + 1e-7), "adjust_pred_probs")
    for lowest, highest, least in ((-3.0, 7.0, 0.0), (0.1, 7.0, -3.0)):
        with pytest.raises(ConfigurationError, match="range from -3 to 7"):
            check_probabilities(ClassStatistics(2, {}, lowest, highest, least=least), "adjust_pred_probs")


def test_ranges_hold_their_lower_end_and_the_last_its_upper_end() -> None:
    probs = np.array([[0.0, 1.0], [0.05, 0.95], [0.049, 0.951], [1.0, 0.0], [0.99, 0.01]])
    found = block(np.array([0, 0, 0, 0, 1], dtype=np.int32), probs)
    ranges = ScoreRanges.cover(ClassStatistics(2, {}, 0.0, 1.0))
    assert ranges.find(found).tolist() == [0, 1, 0, 19, 0]
    (batch,) = ConfidenceCounts(ranges)(iter([found, found]))
    counts = {(row[c.GIVEN], row["_range"]): row[c.EXAMPLES] for row in batch.to_pylist()}
    assert counts == {(0, 0): 4, (0, 1): 2, (0, 19): 2, (1, 0): 2}


def test_ranges_cover_scores_of_any_scale() -> None:
    assert ScoreRanges.cover(ClassStatistics(2, {}, -4.0, 6.0)) == ScoreRanges(-4.0, 6.0)
    flat = ScoreRanges.cover(ClassStatistics(2, {}, -1.0, -1.0))
    assert flat.low < flat.high


def test_issues_of_one_id_flag_each_score_once(spark: SparkSession) -> None:
    scores = spark.createDataFrame([(1, 0.5), (1, 0.25), (2, 0.5)], "id int, label_quality double")
    issues = spark.createDataFrame([(1,), (1,)], "id int")
    flagged = add_issue_flag(scores, issues, ["id"])
    assert sorted(map(tuple, flagged.collect())) == [(1, 0.25, True), (1, 0.5, True), (2, 0.5, False)]


def test_columns_read_again_are_added_by_id(spark: SparkSession) -> None:
    rows = spark.createDataFrame([(1, "a", 5), (1, "b", 6)], "`i.d` int, source string, x int")
    again = spark.createDataFrame(
        [(1, "b", 0.5), (1, "a", 0.25), (2, "a", 0.75)], "`i.d` int, source string, p double"
    )
    found = add_by_id(rows, again, ["i.d", "source"])
    assert found.columns == ["i.d", "source", "x", "p"]
    assert sorted(map(tuple, found.collect())) == [(1, "a", 5, 0.25), (1, "b", 6, 0.5)]


@pytest.mark.parametrize(
    ("ids", "again", "matches"),
    [([1, 2, 7], [1, 2], 0), ([1, 7], [1, 7, 7], 2), ([1, 7, 7], [1, 7], 2)],
)
def test_a_row_that_is_not_found_once_fails_the_query(
    spark: SparkSession, ids: list[int], again: list[int], matches: int
) -> None:
    rows = spark.createDataFrame([(i,) for i in ids], "id int")
    read_again = spark.createDataFrame([(i, i / 2) for i in again], "id int, label_quality double")
    joined = add_by_id(rows, read_again, ["id"])
    for query in (joined.collect, joined.count, joined.select("id").collect):
        with pytest.raises(SPARK_ERRORS) as caught:
            query()
        explained = find_source_change(caught.value)
        assert f"id 7 has {matches} matches" in str(explained)
        assert str(explained).startswith("the input changed while it was read")
        assert str(explained).endswith("instead of 1")


def test_entropy_is_not_mixed_up_between_rows_of_an_id(spark: SparkSession) -> None:
    rows = [(7, 0, [0.1, 0.9]), (7, 0, [0.2, 0.8]), (8, 1, [0.3, 0.7]), (9, 0, [0.9, 0.1])]
    df = spark.createDataFrame(rows, "id int, label int, pred_probs array<double>")
    with LabelAudit(df, check_ids=False) as audit:
        issues = audit.find_label_issues(
            filter_by="predicted_neq_given", rank_by="confidence_weighted_entropy"
        )
        with pytest.raises(SPARK_ERRORS, match="id 7 has 4 matches instead of 1"):
            issues.collect()
        assert audit.find_label_issues(filter_by="predicted_neq_given").count() == 2


@pytest.mark.parametrize("odd", [[-1e-9, 0.2, 0.800000001], [0.0, 0.0, 1.0000001]])
def test_values_that_rounding_put_outside_count_as_0_and_1(spark: SparkSession, odd: list[float]) -> None:
    probs = np.tile([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]], (10, 1))
    probs[20] = odd
    labels = np.arange(30) % 3
    df = predictions(spark, labels, probs)
    with LabelAudit(df) as audit, LabelAudit(df, probabilities=True) as promised:
        assert audit.num_examples == promised.num_examples == 30
        scores = audit.label_quality_scores(method="confidence_weighted_entropy")
        (odd_score,) = scores.where("id = 20").collect()
        expected = confidence_weighted_entropy(labels[20:21], probs[20:21].clip(0, 1))
        assert odd_score.label_quality == expected[0]
        assert scores.count() == 30


@pytest.mark.parametrize("odd", [[-0.001, 0.2, 0.801], [0.0, -0.5, 1.5]])
def test_one_row_of_scores_is_told_before_anything_is_scored(spark: SparkSession, odd: list[float]) -> None:
    probs = np.tile([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]], (10, 1))
    probs[20] = odd
    df = predictions(spark, np.arange(30) % 3, probs)
    with LabelAudit(df) as audit, pytest.raises(ConfigurationError, match="range from -0"):
        audit.find_label_issues(rank_by="confidence_weighted_entropy")
    with LabelAudit(df, probabilities=True) as audit:
        assert audit.find_label_issues(rank_by="confidence_weighted_entropy").count() == 0
        assert audit.num_examples == 29
