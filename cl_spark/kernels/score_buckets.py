"""Buckets of scores, so that only the scores of few buckets have to be sorted."""

import numpy as np

from cl_spark.kernels.arrays import Float64s, Int64s

STEPS = 2048.0
"""Buckets from 0 to 1."""

BUCKETS = 2**16
"""Exceeds the number of buckets, whose numbers are below 2^15 in magnitude."""

_LAST = BUCKETS // 2 - 1


def bucket_scores(score: Float64s) -> Int64s:
    """Map scores to whole numbers that never fall as the score rises, with fine steps near 0.

    Any such function makes a cut exact; this one only decides how many scores share the bucket that has to be
    sorted. Scores beyond about 2^32, such as those of masked logits, share the first and the last one.

    Args:
        score: (n,) scores.

    Returns:
        (n,) bucket numbers of magnitude below 2^15.

    Example:
        >>> bucket_scores(np.array([-1.0, 0.0, 1e-6, 1.0])).tolist()
        [-2048, 0, 364, 2048]
    """
    eighth_root = np.sqrt(np.sqrt(np.sqrt(np.abs(score))))
    return np.asarray(np.sign(score) * np.minimum(np.floor(STEPS * eighth_root), _LAST)).astype(np.int64)


def bucket_upper_bounds(bucket: Int64s) -> Float64s:
    """Compute an upper bound on the scores in each bucket.

    The bound lies above the end of the bucket by a share of 1e-9, so that roundings of roots and powers do
    not matter.

    Args:
        bucket: (n,) bucket numbers.

    Returns:
        (n,) scores.
    """
    ends = np.where(bucket < 0, bucket, bucket + 1) / STEPS
    bounds = np.sign(ends) * ends**8 * np.where(bucket < 0, 1 - 1e-9, 1 + 1e-9)
    return np.where(bucket == _LAST, np.inf, bounds)
