"""Isotonic regression: the non-decreasing values that are closest to some means.

Source: Ayer, Brunk, Ewing, Reid, Silverman, "An Empirical Distribution Function for Sampling with Incomplete
Information", Annals of Mathematical Statistics, 1955 (pool adjacent violators).
"""

import numpy as np

from cl_spark.kernels.arrays import Float64s


def fit_non_decreasing(means: Float64s, weights: Float64s) -> Float64s:
    """Fit non-decreasing values to means, so that the weighted sum of squared differences is least.

    Neighbours that fall are pooled into one block with their common mean, until none falls. Blocks on the
    stack rise, so each new one is pooled with those before it at most once: the time is linear.

    Args:
        means: (n,) means, in the order in which values must not fall.
        weights: (n,) number of observations behind each mean, above 0.

    Returns:
        (n,) fitted values.

    Example:
        >>> fitted = fit_non_decreasing(np.array([0.0, 0.6, 0.3, 1.0]), np.array([1.0, 1.0, 2.0, 1.0]))
        >>> fitted.round(6).tolist()
        [0.0, 0.4, 0.4, 1.0]
    """
    totals: list[float] = []
    masses: list[float] = []
    lengths: list[int] = []
    for mean, mass in zip(means.tolist(), weights.tolist(), strict=True):
        total, length = mean * mass, 1
        # products instead of quotients: equal means are pooled too, which changes no value
        while totals and totals[-1] * mass >= total * masses[-1]:
            total, mass, length = total + totals.pop(), mass + masses.pop(), length + lengths.pop()
        totals.append(total)
        masses.append(mass)
        lengths.append(length)
    fitted = np.repeat(np.array(totals) / np.array(masses), lengths) if totals else np.empty(0)
    # quotients of blocks that rise by less than a rounding could fall by one
    return np.asarray(np.maximum.accumulate(fitted), dtype=np.float64)
