"""What a batch of rows tells before anything is summed up, without Spark."""

from typing import Any

import pyarrow as pa

from cl_spark.evidence.prob_formats import DenseProbs
from cl_spark.methods.multilabel.membership_reader import LabelForm, MembershipReader
from cl_spark.tables import columns as c

SETS: list[tuple[list[int | None], int, LabelForm]] = [
    ([0, 1, 0, 1], 4, LabelForm.FLAGS),
    ([0, 0, 0], 3, LabelForm.FLAGS),
    ([1, 1, 1], 3, LabelForm.FLAGS),
    ([0, 1], 2, LabelForm.HAS_FIRST),  # of two classes, either is meant
    ([0, 1, 0], 4, LabelForm.HAS_FIRST),
    ([0, 2, 0, 1], 4, LabelForm.HAS_FIRST),
    ([0, 4], 3, LabelForm.HAS_FIRST),
    ([1, 3], 3, LabelForm.HAS_NEXT),
    ([1, 3, 4], 3, LabelForm.BEYOND),
    ([1, 2], 3, LabelForm.ORDINARY),
    ([], 3, LabelForm.ORDINARY),
    ([-1, 3], 3, LabelForm.ORDINARY),
    ([None, 0, 0], 3, LabelForm.ORDINARY),
]
"""Sets of labels, K, and what they look like."""


def find_forms(labels: pa.Array, lengths: list[int], names: tuple[str, ...] | None = None) -> list[int]:
    probs = pa.array([[0.5] * length for length in lengths])
    batch: Any = pa.RecordBatch.from_pydict({"id": list(range(len(labels))), c.LABEL: labels, c.PROBS: probs})
    return MembershipReader(DenseProbs("double"), names, ("id",))(batch).form.tolist()


def test_class_indices_that_may_mean_something_else_are_told() -> None:
    labels = pa.array([labels for labels, _, _ in SETS], pa.list_(pa.int64()))
    assert find_forms(labels, [length for _, length, _ in SETS]) == [form for _, _, form in SETS]


def test_names_and_boolean_columns_mean_what_they_say() -> None:
    names = pa.array([["a", "b", "a"]], pa.list_(pa.string()))
    assert find_forms(names, [3], ("a", "b", "c")) == [LabelForm.ORDINARY]
    flags = pa.array([[False, True, False]], pa.list_(pa.bool_()))
    assert find_forms(flags, [3]) == [LabelForm.ORDINARY]
