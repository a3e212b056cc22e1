"""Arrays of features become a matrix, or a fault that says why not."""

import numpy as np
import pyarrow as pa
import pytest

from cl_spark.kernels.features import (
    HAS_NULL,
    MISSING,
    NOT_FINITE,
    WRONG_LENGTH,
    ZERO,
    find_lengths,
    to_matrix,
)

ROWS: list[tuple[list[float | None] | None, int]] = [
    ([3.0, 4.0], 0),
    ([0.0, -1.0], 0),
    ([0.0, 0.0], ZERO),
    (None, MISSING),
    ([], MISSING),
    ([1.0], WRONG_LENGTH),
    ([1.0, None], HAS_NULL),
    ([None, float("nan")], HAS_NULL),
    ([float("nan"), 1.0], NOT_FINITE),
    ([1.0, float("-inf")], NOT_FINITE),
]


@pytest.mark.parametrize(("kind", "dtype"), [(pa.float64(), np.float64), (pa.float32(), np.float32)])
def test_rows_that_can_be_used_keep_their_precision(kind: pa.DataType, dtype: type) -> None:
    column = pa.array([row for row, _ in ROWS], pa.list_(kind))
    matrix, faults = to_matrix(column, 2)
    assert faults.tolist() == [fault for _, fault in ROWS]
    assert matrix.dtype == dtype
    assert matrix.tolist() == [[3, 4], [0, -1], [0, 0]]  # where no direction is needed, zeros can be used
    assert find_lengths(column).tolist() == [2, 2, 2, 0, 0, 1, 2, 2, 2, 2]


def test_slices_of_a_column_are_read_from_where_they_begin() -> None:
    column = pa.array([[9.0], None, [1.0], [2.0]], pa.list_(pa.float64()))
    matrix, faults = to_matrix(column[1:], 1)
    assert matrix.tolist() == [[1.0], [2.0]]
    assert faults.tolist() == [MISSING, 0, 0]
