"""Arrays of predicted probabilities as a matrix, with the reason why a row cannot be used."""

import numpy as np
import pyarrow as pa

from cl_spark.kernels.arrays import Float64s, Int8s

EPS = 1e-6
"""Slack of probabilities at 0 and 1, which are clipped."""

SUM_TOLERANCE = 0.01
"""How far the sum of probabilities may be from 1: more than half precision and rounding to three digits
lose."""

VALUES_AT_ONCE = 4_000_000
"""Values of matrices that are worked on together: 32 MB."""

MISSING, WRONG_LENGTH, HAS_NULL, NOT_FINITE, NEGATIVE, NO_DISTRIBUTION, ABOVE_ONE = range(1, 8)
"""Faults of a row; 0 is a row that can be used."""


def to_matrix(column: pa.Array, num_classes: int) -> tuple[Float64s, Int8s]:
    """Turn arrays of probabilities into a matrix.

    Args:
        column: n arrays of float or double, or null.
        num_classes: K.

    Returns:
        (n, K) probabilities between 0 and 1, zeros in rows that cannot be used; and (n,) faults.

    Example:
        >>> to_matrix(pa.array([[0.5, 0.5], None, [1.0]]), 2)[1].tolist()
        [0, 1, 2]
    """
    size = len(column)
    lengths = column.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    is_null = column.is_null().to_numpy(zero_copy_only=False)
    has_length = ~is_null & (lengths == num_classes)
    faults = np.where(is_null | (lengths == 0), MISSING, np.where(has_length, 0, WRONG_LENGTH)).astype(
        np.int8
    )
    found = column.filter(pa.array(has_length)).flatten()
    values = found.to_numpy(zero_copy_only=False).astype(np.float64).reshape(-1, num_classes)
    nulls = found.is_null().to_numpy(zero_copy_only=False).reshape(-1, num_classes)
    with np.errstate(invalid="ignore"):
        of_rows = np.select(
            [
                nulls.any(axis=1),
                ~np.isfinite(values).all(axis=1),
                (values < -EPS).any(axis=1),
                np.abs(values.sum(axis=1) - 1) > SUM_TOLERANCE,
                (values > 1 + EPS).any(axis=1),
            ],
            [HAS_NULL, NOT_FINITE, NEGATIVE, NO_DISTRIBUTION, ABOVE_ONE],
            0,
        )
    faults[has_length] = of_rows
    probs = np.zeros((size, num_classes))
    probs[faults == 0] = np.clip(values[of_rows == 0], 0, 1)
    return probs, faults
