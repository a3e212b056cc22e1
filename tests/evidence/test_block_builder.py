"""Blocks hold every row of a batch: its evidence, or why it is rejected."""

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from cl_spark.evidence.block_builder import BlockBuilder
from cl_spark.evidence.prob_formats import DenseProbs, SparseProbs
from cl_spark.evidence.validity import NULL_PART, RejectionReason
from cl_spark.kernels.row_evidence import ListingPolicy
from cl_spark.tables import columns as c
from tests.evidence.builders import BUILDER, batch, block

R = RejectionReason
NAN, INF = float("nan"), float("inf")
GOOD = [0.7, 0.2, 0.1]
STRUCTS = pa.list_(pa.struct([("k", pa.int32()), ("p", pa.float64())]))


def reason(builder: BlockBuilder, row: tuple[Any, Any, Any], **more: Any) -> RejectionReason:
    """Why a row is rejected; a good row beside it is not, whatever is wrong with the other."""
    columns = {name: pa.array([value, None]) for name, value in more.items()}
    good = "a" if builder.class_names else 0
    found = builder(batch([row, (99, good, GOOD)], **columns)).rejection
    if found is None:
        return R.NONE
    assert found[1] == R.NONE
    return R(int(found[0]))


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ((1, 0, GOOD), R.NONE),
        ((None, 0, GOOD), R.NULL_ID),
        ((1, None, GOOD), R.NULL_LABEL),
        ((1, 0, None), R.NULL_PROBS),
        ((1, 0, []), R.NULL_PROBS),
        ((1, 0, [0.5, None, 0.5]), R.NULL_PROBABILITY),
        ((1, 0, [0.5, NAN, 0.5]), R.NOT_FINITE),
        ((1, 0, [0.5, INF, 0.5]), R.NOT_FINITE),
        ((1, 0, [0.5, -INF, 0.5]), R.NOT_FINITE),
        ((1, 3, GOOD), R.LABEL_OUT_OF_RANGE),
        ((1, -1, GOOD), R.LABEL_OUT_OF_RANGE),
        ((1, 2**31, GOOD), R.LABEL_OUT_OF_RANGE),
        ((1, 0, [2.0**29, 0.0, 0.0]), R.TOO_LARGE),
        ((1, 0, [-(2.0**29), 0.0, 0.0]), R.TOO_LARGE),
        ((1, 1, [-(2.0**29), 0.0, 0.0]), R.NONE),  # neither highest nor of the given class
        ((1, 0, [2.0**29 - 1, 0.0, 0.0]), R.NONE),
        ((1, 0, [0.5, -0.5, 2.0]), R.NONE),  # scores
        ((1, 0, [0.7, 0.3]), R.NONE),  # K is not known here
    ],
)
def test_rows_are_rejected_for_what_is_wrong_with_them(
    row: tuple[Any, Any, Any], expected: RejectionReason
) -> None:
    assert reason(BUILDER, row) == expected


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ((1, 0, [0.6, 0.5, -0.1]), R.NEGATIVE),
        ((1, 0, [0.5, 0.2, 0.2]), R.NO_DISTRIBUTION),
        ((1, 0, [0.6, 0.5, -0.2]), R.NEGATIVE),  # both
        ((1, 0, [0.7, 0.2, 0.109]), R.NONE),
        ((1, 0, [1.0, 0.0, 0.0]), R.NONE),
    ],
)
def test_promised_probabilities_are_checked(row: tuple[Any, Any, Any], expected: RejectionReason) -> None:
    assert reason(replace(BUILDER, are_promised=True), row) == expected
    assert reason(BUILDER, row) == R.NONE


def test_names_that_are_no_class_are_rejected() -> None:
    builder = replace(BUILDER, class_names=("a", "b", "c"))
    assert reason(builder, (1, "c", GOOD)) == R.NONE
    assert reason(builder, (1, "d", GOOD)) == R.UNKNOWN_CLASS
    assert reason(builder, (1, None, GOOD)) == R.NULL_LABEL
    assert block([(1, "c", GOOD), (2, "a", GOOD), (3, "x", GOOD)], builder).given.tolist() == [2, 0, -1]


def test_of_a_composite_key_the_first_null_part_is_told() -> None:
    builder = replace(BUILDER, ids=("_id_0", "_id_1"))
    second = pa.array([0.5, NAN, None, None])
    found = builder(batch([(1, 0, GOOD), (2, 0, GOOD), (3, 0, GOOD), (None, 0, GOOD)], _id_1=second))
    assert found.rejection is not None
    assert found.rejection.tolist() == [R.NONE, NULL_PART + 1, NULL_PART + 1, NULL_PART]


def test_nan_is_no_id() -> None:
    rows = batch([(1, 0, GOOD), (2, 0, GOOD), (3, 0, GOOD)], _id_0=pa.array([1.5, NAN, None]))
    found = BUILDER(rows).rejection
    assert found is not None
    assert found.tolist() == [R.NONE, R.NULL_ID, R.NULL_ID]


def test_rows_of_one_table_only_are_rejected() -> None:
    assert reason(BUILDER, (1, None, GOOD), **{c.REJECTION: int(R.NO_LABEL)}) == R.NO_LABEL
    assert reason(BUILDER, (1, 0, None), **{c.REJECTION: int(R.NO_PREDICTION)}) == R.NO_PREDICTION


def test_rows_of_an_id_with_several_labels_are_rejected() -> None:
    for is_repeated in (False, True):
        marks = {c.REJECTION: int(R.REPEATED_ID), c.REPEATED: is_repeated}
        assert reason(BUILDER, (1, None, GOOD), **marks) == R.REPEATED_ID
    assert reason(BUILDER, (1, 0, GOOD), **{c.REJECTION: 0, c.REPEATED: True}) == R.REPEATED_ID


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ([(0, 0.7), (1, 0.2)], R.NONE),
        ([], R.NULL_PROBS),
        (None, R.NULL_PROBS),
        ([(0, None)], R.NULL_PROBABILITY),
        ([(None, 0.5)], R.NULL_PROBABILITY),
        ([(0, NAN)], R.NOT_FINITE),
        ([(0, 0.5), (0, 0.5)], R.NO_SET_OF_CLASSES),
        ([(7, 0.5)], R.NO_SET_OF_CLASSES),
        ([(0, 0.1)], R.NONE_ABOVE_ABSENT),
        ([(0, 2.0**30)], R.TOO_LARGE),
    ],
)
def test_lists_of_classes_are_rejected_for_what_is_wrong_with_them(
    row: list[tuple[int | None, float | None]] | None, expected: RejectionReason
) -> None:
    builder = replace(BUILDER, prob_format=SparseProbs("double", 3, 0.1))
    listed = None if row is None else [{"k": k, "p": p} for k, p in row]
    rows = [(1, 0, listed), (2, 1, [{"k": 1, "p": 0.8}])]
    found = builder(batch(rows, STRUCTS)).rejection
    assert (R.NONE if found is None else R(int(found[0]))) == expected


def test_of_several_reasons_the_first_is_given() -> None:
    everything = {c.REPEATED: True, c.REJECTION: int(R.NO_LABEL)}
    row: list[Any] = [None, None, [INF, None]]
    order = [(R.REPEATED_ID, c.REPEATED), (R.NULL_ID, 0), (R.NO_LABEL, c.REJECTION), (R.NULL_LABEL, 1),
             (R.NULL_PROBABILITY, None)]  # fmt: skip
    for expected, healed in order:
        assert reason(BUILDER, tuple(row), **everything) == expected
        if isinstance(healed, str):
            everything.pop(healed)
        elif healed is not None:
            row[healed] = 5
    row[2] = [INF, 0.5]
    assert reason(BUILDER, tuple(row)) == R.NOT_FINITE
    row[2] = [2.0**30, 0.5]
    assert reason(BUILDER, tuple(row)) == R.LABEL_OUT_OF_RANGE
    row[1] = 0
    assert reason(replace(BUILDER, are_promised=True), tuple(row)) == R.TOO_LARGE


def test_rejected_rows_list_and_keep_nothing() -> None:
    found = block([(1, 1, [0.6, 0.4]), (None, 1, [0.6, 0.4]), (3, 0, [0.6, 0.4])])
    assert set(found.listed.row.tolist()) == {0, 2}
    assert found.kept.rows.tolist() == [0], "the suspect that can be used"
    assert found.kept.arrays.to_pylist() == [[0.6, 0.4]]


def test_rows_of_several_lengths_share_a_block() -> None:
    found = block([(1, 0, [0.9, 0.1]), (2, 2, [0.1, 0.2, 0.7]), (3, 0, None), (4, 0, [])])
    assert np.asarray(found.num_probs).tolist() == [2, 3, -1, 0]
    assert found.max_prob.tolist()[:2] == [0.9, 0.7]
    assert np.isnan(found.max_prob[2:]).all()
    assert found.predicted.tolist() == [0, 2, 0, 0]
    assert block([(1, 0, [0.9, 0.1]), (2, 0, [0.9, 0.1])]).num_probs == 2


def test_all_arrays_are_kept_on_demand() -> None:
    rows = [(1, 0, GOOD), (2, 1, GOOD), (3, None, GOOD)]
    found = block(rows, replace(BUILDER, keeps_all_arrays=True))
    assert found.kept.rows.tolist() == [0, 1, 2]
    assert found.kept.arrays.to_pylist() == [GOOD] * 3


def test_rows_of_some_given_classes_are_chosen() -> None:
    rows = [(1, 0, GOOD), (2, 1, GOOD), (3, None, GOOD), (4, 5, GOOD), (5, 1, GOOD)]
    found = block(rows, replace(BUILDER, given_classes=np.array([False, True, False])))
    assert found.ids.column(0).to_pylist() == [2, 5]


def test_slices_go_along_with_ids() -> None:
    builder = replace(BUILDER, slices=("_slice_0",))
    found = builder(batch([(1, 0, GOOD)], _slice_0=pa.array(["x"])))
    assert found.ids.to_pydict() == {"_id_0": [1], "_slice_0": ["x"]}


@pytest.mark.parametrize("element", ["float", "double"])
def test_evidence_has_the_precision_of_the_input(element: str) -> None:
    builder = replace(BUILDER, prob_format=DenseProbs(element), policy=ListingPolicy())
    kind = pa.list_(pa.float32() if element == "float" else pa.float64())
    for rows in ([(1, 0, GOOD)], [], [(1, 0, None)]):
        found = builder(batch(rows, kind))
        assert (
            found.max_prob.dtype
            == found.listed.prob.dtype
            == (np.float32 if element == "float" else np.float64)
        )
        assert len(found) == len(rows)
