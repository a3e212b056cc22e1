"""Arrays of features as a matrix, with the reason why a row cannot be used."""

import numpy as np
import pyarrow as pa

from cl_spark.kernels.arrays import Floats, Int8s, Int64s

MISSING, HAS_NULL, NOT_FINITE, WRONG_LENGTH, ZERO = range(1, 6)
"""Faults of a row; 0 is a row that can be used. Zero vectors are a fault where a direction is needed."""


def find_lengths(column: pa.Array) -> Int64s:
    """Find the number of features of each row; 0 of null.

    Example:
        >>> find_lengths(pa.array([[1.0, 2.0], None, []])).tolist()
        [2, 0, 0]
    """
    return np.asarray(column.value_lengths().fill_null(0).to_numpy(zero_copy_only=False), dtype=np.int64)


def to_matrix(column: pa.Array, dimension: int) -> tuple[Floats, Int8s]:
    """Turn arrays of features into a matrix.

    Args:
        column: n arrays of float or double, or null.
        dimension: d.

    Returns:
        (m, d) features of the m rows that can be used, and zero vectors, in the precision of the input; and
        (n,) faults.

    Example:
        >>> matrix, faults = to_matrix(pa.array([[3.0, 4.0], None, [1.0], [0.0, 0.0]]), 2)
        >>> matrix.tolist(), faults.tolist()
        ([[3.0, 4.0], [0.0, 0.0]], [0, 1, 4, 5])
    """
    lengths = find_lengths(column)
    has_length = lengths == dimension
    faults = np.where(lengths == 0, MISSING, np.where(has_length, 0, WRONG_LENGTH)).astype(np.int8)
    found = column.filter(pa.array(has_length)).flatten()
    matrix = found.to_numpy(zero_copy_only=False).reshape(-1, dimension)
    of_rows = np.zeros(len(matrix), dtype=np.int8)
    of_rows[~matrix.any(axis=1)] = ZERO
    of_rows[~np.isfinite(matrix).all(axis=1)] = NOT_FINITE
    if found.null_count:
        nulls = found.is_null().to_numpy(zero_copy_only=False).reshape(-1, dimension)
        of_rows[nulls.any(axis=1)] = HAS_NULL
    faults[has_length] = of_rows
    return matrix[(of_rows == 0) | (of_rows == ZERO)], faults
