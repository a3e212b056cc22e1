"""The confident class is the one member of the confident set, or the argmax where there are several."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cl_spark.kernels.confident_class import NO_CLASS, choose_confident_class


@pytest.mark.parametrize(
    ("row", "thresholds", "expected"),
    [
        ([0.6, 0.3, 0.1], [0.7, 0.2, 0.2], 1),  # one member, though it is not the argmax
        ([0.6, 0.3, 0.1], [0.7, 0.2, 0.1], 0),  # several: the argmax, though it is no member
        ([0.6, 0.3, 0.1], [0.7, 0.7, 0.7], NO_CLASS),
        ([0.4, 0.4, 0.2], [0.4, 0.4, 0.4], 0),  # lowest index on a tie
        ([0.5, 0.3, 0.2], [0.5 + 9e-7, 0.9, 0.9], 0),  # within the slack
        ([0.5, 0.3, 0.2], [0.5 + 2e-6, 0.9, 0.9], NO_CLASS),
    ],
)
def test_members_of_the_confident_set_decide(
    row: list[float], thresholds: list[float], expected: int
) -> None:
    for kind in (np.float64, np.float32):
        assert choose_confident_class(np.array([row], dtype=kind), np.array(thresholds)).tolist() == [
            expected
        ]


def test_no_rows_have_no_classes() -> None:
    assert choose_confident_class(np.zeros((0, 3)), np.ones(3)).tolist() == []


@settings(max_examples=2000, deadline=None, database=None, derandomize=True)
@given(
    data=st.integers(1, 6).flatmap(
        lambda k: st.tuples(
            st.lists(st.lists(st.floats(-1e6, 1e6, width=32), min_size=k, max_size=k), max_size=6),
            st.lists(st.floats(-1e6, 1e6), min_size=k, max_size=k),
        )
    )
)
def test_any_finite_rows_have_the_class_of_the_definition(data: Any) -> None:
    rows, thresholds = data
    k = len(thresholds)
    probs = np.asarray(rows, dtype=np.float64).reshape(-1, k)
    confident = choose_confident_class(probs, np.asarray(thresholds))
    assert confident.shape == (len(probs),)
    for row, found in zip(probs, confident, strict=True):
        above = [j for j in range(k) if row[j] >= thresholds[j] - 1e-6]
        best = above[0] if len(above) == 1 else int(row.argmax())
        assert found == (best if above else NO_CLASS)
