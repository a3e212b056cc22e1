"""Which class a row is confidently of (JAIR 2021, equation 1)."""

import numpy as np

from cl_spark.kernels import EPS
from cl_spark.kernels.arrays import Float64s, Floats, Int32s

NO_CLASS = -1
"""Confident class of a row that no class is confident of: it is not counted."""


def confident_class(pred_probs: Floats, thresholds: Float64s) -> Int32s:
    """The confident class of each row, or `NO_CLASS`.

    A row's confident set holds the classes whose probability reaches their confident threshold, less a slack of 1e-6.
    One member is the class; of several, the row's argmax over all classes decides, first index on a tie.

    Args:
        pred_probs: (n, K) predicted probabilities or scores.
        thresholds: (K,) confident thresholds.

    Returns:
        (n,) class indices, -1 where the confident set is empty.

    Example:
        >>> confident_class(np.array([[0.9, 0.1], [0.45, 0.55], [0.3, 0.7]]), np.array([0.4, 0.6])).tolist()
        [0, 0, 1]
    """
    confident = pred_probs.astype(np.float64) >= thresholds - EPS
    members = confident.sum(axis=1)
    chosen = np.where(members == 1, confident.argmax(axis=1), pred_probs.argmax(axis=1))
    return np.where(members == 0, NO_CLASS, chosen).astype(np.int32)
