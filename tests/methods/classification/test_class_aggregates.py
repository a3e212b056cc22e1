"""Sums by given class, from small blocks without Spark."""

import numpy as np
import pyarrow as pa
import pytest

from cl_spark.evidence.validity import RejectionReason
from cl_spark.kernels.fixed_point import exact_mean
from cl_spark.kernels.row_evidence import ListingPolicy
from cl_spark.methods.classification.class_aggregates import (
    ClassAggregate,
    ClassAggregates,
    ClassSums,
    RejectedCount,
    add_rows,
    make_empty_sums,
)
from tests.evidence.builders import block

POLICY = ListingPolicy()
ROWS = [(0, 0, [0.75, 0.25]), (1, 0, [0.5, 0.5]), (2, 2, [0.1, 0.2, 0.7]), (3, 1, [0.9, 0.1])]
BAD = [(4, None, [0.5, 0.5]), (5, None, [0.5, 0.5]), (6, 9, [0.5, 0.5]), (8, 2, [0.5, 0.5]), (7, 0, None)]


def aggregated(*blocks: list[tuple[object, object, object]]) -> list[dict[str, object]]:
    batches = list(ClassSums(POLICY)(iter([block(rows) for rows in blocks])))
    return pa.Table.from_batches(batches).to_pylist()


def test_rows_of_a_class_are_counted_and_their_self_confidences_summed_exactly() -> None:
    classes = {(row["num_probs"], row["given"]): row for row in aggregated(ROWS[:2], ROWS[2:])}
    assert set(classes) == {(2, 0), (2, 1), (3, 2)}
    of_class = classes[2, 0]
    assert (of_class["examples"], of_class["lowest"], of_class["highest"]) == (2, 0.5, 0.75)
    limbs = [of_class[name] for name in ("whole", "high", "low")]
    assert exact_mean(*limbs, 2) == 0.625
    assert classes[2, 1]["highest"] == 0.9
    assert classes[2, 1]["lowest"] == 0.1


def test_the_sums_are_the_same_however_rows_are_cut_into_blocks() -> None:
    rng = np.random.default_rng(0)
    probs = rng.dirichlet(np.ones(3), 40)
    rows = [(number, int(rng.integers(3)), list(one)) for number, one in enumerate(probs)]
    whole = aggregated(rows)
    assert aggregated(rows[:7], rows[7:8], rows[8:]) == whole
    assert sum(row["examples"] for row in whole) == 40


def test_rejected_rows_are_counted_by_reason_number_of_probabilities_and_label() -> None:
    rejected = [row for row in aggregated(ROWS + BAD, BAD) if row["rejection"]]
    assert {(row["rejection"], row["num_probs"], row["given"]): row["examples"] for row in rejected} == {
        (RejectionReason.NULL_LABEL, 2, -1): 4,
        (RejectionReason.LABEL_OUT_OF_RANGE, 2, 2): 2,
        (RejectionReason.LABEL_OUT_OF_RANGE, 2, 9): 2,  # K may be more than the probabilities of these rows
        (RejectionReason.NULL_PROBS, -1, 0): 2,
    }
    assert all(row["highest"] is None for row in rejected)


def test_a_task_without_rows_has_no_aggregates() -> None:
    assert aggregated([]) == []


def test_bounds_are_of_suspects_without_an_array_and_of_rows_that_are_no_suspects() -> None:
    wide = 100  # arrays this long are kept only of suspects that have too much to list
    sure, beaten, hopeless = (np.full(wide, 1e-3) for _ in range(3))
    sure[0], beaten[[0, 1]], hopeless[[0, 1]] = 0.9, [0.3, 0.6], [1e-4, 0.9]
    one = block([(number, 0, list(row)) for number, row in enumerate((sure, beaten, hopeless))])
    sums = make_empty_sums(wide)
    add_rows(sums, one, np.ones(3, dtype=bool), wide, POLICY)
    assert sums["suspect_bound"][0] == one.least_score[1], "the array of the third is kept"
    assert sums["other_bound"][0] == one.least_score[0]
    assert np.isinf(sums["suspect_bound"][1:]).all()
    assert np.isinf(sums["other_bound"][1:]).all()


def test_sums_of_no_rows_change_nothing_they_are_merged_with() -> None:
    sums = make_empty_sums(3)
    assert {name: values.tolist() for name, values in sums.items()} == {
        **{name: [0, 0, 0] for name in ("examples", "whole", "high", "low")},
        **{name: [np.inf] * 3 for name in ("lowest", "least", "suspect_bound", "other_bound")},
        "highest": [-np.inf] * 3,
    }


def test_rows_of_the_input_are_those_of_classes_and_those_rejected() -> None:
    of_class = ClassAggregate(3, 0, 5, 0, 0, 0, 0.1, 0.0, 0.9, 0.0, 0.0)
    aggregates = ClassAggregates(
        [of_class, of_class._replace(given=1, examples=2)],
        [RejectedCount(RejectionReason.NULL_PROBS, -1, 4), RejectedCount(RejectionReason.NULL_ID, 3, 1)],
    )
    assert aggregates.rows_by_num_probs == {3: 8, -1: 4}
    assert aggregates.num_rows == pytest.approx(12, abs=0)
