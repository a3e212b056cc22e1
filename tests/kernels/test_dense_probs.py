"""Arrays of probabilities become a matrix, or a fault that says why not."""

import numpy as np
import pyarrow as pa
import pytest

from cl_spark.kernels.dense_probs import (
    ABOVE_ONE,
    EPS,
    HAS_NULL,
    MISSING,
    NEGATIVE,
    NO_DISTRIBUTION,
    NOT_FINITE,
    SUM_TOLERANCE,
    WRONG_LENGTH,
    to_matrix,
)

ROWS: list[tuple[list[float | None] | None, int]] = [
    ([0.25, 0.75], 0),
    ([0.0, 1.0], 0),
    ([-EPS / 2, 1 + EPS / 2], 0),
    ([0.5, 0.5 + SUM_TOLERANCE * 0.9], 0),
    (None, MISSING),
    ([], MISSING),
    ([1.0], WRONG_LENGTH),
    ([0.2, 0.3, 0.5], WRONG_LENGTH),
    ([None, 1.0], HAS_NULL),
    ([None, float("nan")], HAS_NULL),
    ([float("nan"), 1.0], NOT_FINITE),
    ([float("inf"), 0.0], NOT_FINITE),
    ([-0.1, 1.1], NEGATIVE),
    ([0.5, 0.5 + SUM_TOLERANCE * 1.1], NO_DISTRIBUTION),
    ([3.0, 4.0], NO_DISTRIBUTION),
    ([0.0, 1 + SUM_TOLERANCE / 2], ABOVE_ONE),
]


@pytest.mark.parametrize("kind", [pa.float64(), pa.float32()])
def test_every_row_has_its_fault(kind: pa.DataType) -> None:
    probs, faults = to_matrix(pa.array([row for row, _ in ROWS], pa.list_(kind)), 2)
    assert faults.tolist() == [fault for _, fault in ROWS]
    assert probs.shape == (len(ROWS), 2)
    assert not probs[faults > 0].any()
    assert probs.min() == 0
    assert probs.max() == 1  # clipped
    np.testing.assert_allclose(probs[0], [0.25, 0.75])


def test_slices_of_a_column_are_read_from_where_they_begin() -> None:
    column = pa.array([[9.0, 9.0], [0.1, 0.9], None, [1.0, 0.0]], pa.list_(pa.float64()))
    probs, faults = to_matrix(column[1:], 2)
    assert probs.tolist() == [[0.1, 0.9], [0.0, 0.0], [1.0, 0.0]]
    assert faults.tolist() == [0, MISSING, 0]


def test_no_rows_are_no_matrix() -> None:
    probs, faults = to_matrix(pa.array([], pa.list_(pa.float32())), 3)
    assert (probs.shape, faults.shape) == ((0, 3), (0,))
