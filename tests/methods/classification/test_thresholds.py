"""Class statistics merge and tell thresholds; K and final reasons of rejection follow from the counts."""

import numpy as np
import pytest

from cl_spark import EmptyTableError, InputError, SingleClassError
from cl_spark.evidence.blocks import Block
from cl_spark.evidence.validity import RejectionReason
from cl_spark.kernels.row_evidence import ListingPolicy
from cl_spark.methods.classification.class_aggregates import (
    ClassAggregate,
    ClassAggregates,
    ClassSums,
    RejectedCount,
)
from cl_spark.methods.classification.thresholds import ClassStatistics, ConfidenceSum, summarize_classes


def of_class(given: int, *, num_probs: int = 3, examples: int = 2, **values: float) -> ClassAggregate:
    bounds = {"lowest": 0.25, "least": 0.0, "highest": 0.75, "suspect_bound": np.inf, "other_bound": 0.1}
    return ClassAggregate(num_probs, given, examples, whole=0, high=2**28, low=0, **{**bounds, **values})


def test_statistics_merge_class_by_class() -> None:
    ours = ClassStatistics(3, {0: ConfidenceSum(2, 1, 0, 0), 1: ConfidenceSum(1, 0, 2**28, 0)}, 0.2, 0.9)
    theirs = ClassStatistics(3, {1: ConfidenceSum(3, 1, 2**28, 0)}, 0.1, 0.8)
    merged = ours + theirs
    assert merged == theirs + ours
    assert merged.class_counts.tolist() == [2, 4, 0]
    assert (merged.lowest, merged.highest) == (0.1, 0.9)
    assert merged.thresholds().tolist() == [0.5, 0.5, 2.0]
    with pytest.raises(InputError, match="of 3 and of 2 classes"):
        _ = ours + ClassStatistics(2, {}, 0.0, 1.0)


def test_thresholds_of_scores_are_not_bounded() -> None:
    sums = {0: ConfidenceSum(2, -5, 0, 0)}
    assert ClassStatistics(2, sums, -4.0, 3.0).thresholds().tolist() == [-2.5, np.inf]
    assert ClassStatistics(2, {0: ConfidenceSum(2, 0, 0, 0)}, 0.0, 1.0).thresholds().tolist() == [2e-6, 2.0]


def test_k_is_the_usual_number_of_probabilities_and_the_larger_on_a_tie() -> None:
    rejected = [
        RejectedCount(RejectionReason.LABEL_OUT_OF_RANGE, 2, 3),
        RejectedCount(RejectionReason.NULL_ID, 3, 1),
    ]
    aggregates = ClassAggregates([of_class(0), of_class(1, num_probs=2, examples=1)], rejected)
    assert aggregates.num_rows == 7
    summary = summarize_classes(aggregates, None)
    assert summary.statistics.num_classes == 2  # four rows have two probabilities, three have three
    assert summary.statistics.rejected == {
        RejectionReason.LABEL_OUT_OF_RANGE: 3,
        RejectionReason.NULL_ID: 1,
        RejectionReason.WRONG_LENGTH: 2,
    }
    known = summarize_classes(aggregates, 3).statistics
    assert known.class_counts.tolist() == [2, 0, 0]
    assert known.rejected == {RejectionReason.WRONG_LENGTH: 4, RejectionReason.NULL_ID: 1}
    tie = ClassAggregates([of_class(0), of_class(1, num_probs=2)], [])
    assert summarize_classes(tie, None).statistics.num_classes == 3


def test_bounds_of_margins_are_those_of_accepted_rows() -> None:
    other = of_class(2, suspect_bound=-0.5)
    bounds = summarize_classes(ClassAggregates([of_class(0), other], []), 3).margin_bounds
    assert bounds.suspect.tolist() == [np.inf, np.inf, -0.5]
    assert bounds.other.tolist() == [0.1, np.inf, 0.1]


def test_tables_without_usable_rows_are_rejected() -> None:
    with pytest.raises(EmptyTableError, match="the input has no rows"):
        summarize_classes(ClassAggregates([], []), 3)
    nulls = ClassAggregates([], [RejectedCount(RejectionReason.NULL_LABEL, 3, 4)])
    with pytest.raises(EmptyTableError, match=r"no row of the input can be used \(null label: 4\)"):
        summarize_classes(nulls, None)
    assert summarize_classes(nulls, 3, may_be_empty=True).statistics.num_examples == 0
    with pytest.raises(SingleClassError, match="1 class per row"):
        summarize_classes(ClassAggregates([of_class(0, num_probs=1)], []), None)


def test_a_kernel_sums_blocks_by_class_exactly() -> None:
    values = np.array([0.5, 0.25, 0.125])
    block = Block(
        given=np.array([1, 1, 0], dtype=np.int32),
        predicted=np.array([1, 0, 0], dtype=np.int32),
        self_confidence=values,
        max_prob=np.array([0.5, 0.75, 0.125]),
        second_max_prob=np.zeros(3),
        unlisted_max_prob=np.array([0.25, 0.5, 0.0]),
        rejection=np.array([0, 0, RejectionReason.NULL_ID], dtype=np.int8),
        num_probs=2,
    )
    batches = list(ClassSums(ListingPolicy())(iter([block, block])))
    rows = [row for batch in batches for row in batch.to_pylist()]
    (accepted,) = [row for row in rows if row["rejection"] == 0]
    (rejected,) = [row for row in rows if row["rejection"] != 0]
    limbs = ConfidenceSum(*(accepted[name] for name in ("examples", "whole", "high", "low")))
    assert (accepted["given"], accepted["num_probs"], limbs.mean) == (1, 2, 0.375)
    assert (accepted["lowest"], accepted["highest"]) == (0.25, 0.75)
    assert accepted["suspect_bound"] == np.inf  # arrays so short are kept
    assert accepted["other_bound"] == 0.25
    assert (rejected["rejection"], rejected["examples"]) == (RejectionReason.NULL_ID, 2)
