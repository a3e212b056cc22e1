"""Buckets of scores, so that few have to be sorted together."""

import numpy as np

from cl_spark.kernels.arrays import Float64s, Int64s

STEPS = 2048.0
"""Buckets from 0 to 1."""

BUCKETS = 2**16
"""More than there are buckets: scores are below 2^30, so theirs below 2^15."""


def bucket_scores(score: Float64s) -> Int64s:
    """Whole numbers that never fall as the score rises: fine steps near 0.

    Any such function makes the cut exact; this one only decides how few entries share the bucket that has to be sorted.
    """
    return np.asarray(np.sign(score) * np.floor(STEPS * np.sqrt(np.sqrt(np.sqrt(np.abs(score)))))).astype(
        np.int64
    )


def bucket_upper_bounds(bucket: Int64s) -> Float64s:
    """A bound of the scores in each bucket, above them by a share of 1e-9 so that roundings do not matter."""
    ends = np.where(bucket < 0, bucket, bucket + 1) / STEPS
    return np.asarray(np.sign(ends) * ends**8 * np.where(bucket < 0, 1 - 1e-9, 1 + 1e-9))
