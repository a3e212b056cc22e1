"""The confident class of an example (JAIR 2021, equation 1)."""

import numpy as np

from cl_spark.kernels import EPS
from cl_spark.kernels.arrays import Float64s, Floats, Int32s

NO_CLASS = -1
"""Stands for no confident class: the example is not counted."""


def choose_confident_class(pred_probs: Floats, thresholds: Float64s) -> Int32s:
    """Choose the confident class of each example (specification, section 2).

    The confident set of an example holds the classes whose probability reaches their confident threshold,
    less a slack of 1e-6. A single member is the confident class. Of several, the argmax over all classes
    decides, lowest index on a tie.

    Args:
        pred_probs: (n, K) predicted probabilities or scores.
        thresholds: (K,) confident thresholds.

    Returns:
        (n,) class indices, `NO_CLASS` where the confident set is empty.

    Example:
        >>> probs = np.array([[0.9, 0.1], [0.45, 0.55], [0.3, 0.5]])
        >>> choose_confident_class(probs, np.array([0.4, 0.6])).tolist()
        [0, 0, -1]
    """
    # Single precision is compared as the doubles it equals (specification, section 8).
    is_member = pred_probs.astype(np.float64) >= thresholds - EPS
    members = is_member.sum(axis=1)
    chosen = np.where(members == 1, is_member.argmax(axis=1), pred_probs.argmax(axis=1))
    return np.where(members == 0, NO_CLASS, chosen).astype(np.int32)
