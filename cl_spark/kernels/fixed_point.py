"""Sums of doubles that do not depend on the order of addition (specification, section 8).

A sum of doubles changes in its last digits with the order of its terms, and so with the partitioning of a
table. Here a value is cut into three whole numbers, its limbs: ``x = whole + high / 2**29 + low / 2**58``
with ``high`` and ``low`` from 0 to ``2**29``. Whole numbers add exactly in any order; 64 bits hold the sums
of 10^10 values (``10**10 * 2**29 < 2**63``). Every step is exact in double arithmetic but the last rounding,
so a value is off by at most ``2**-59``. Only scores between -1 and 0 are off by up to ``2**-54``, because
``x - floor(x)`` is rounded. Both are below the rounding of an ordinary sum, and the result stays the same for
any order.
"""

from fractions import Fraction

import numpy as np

from cl_spark.kernels.arrays import Float64s

LIMB = 2.0**29
"""Weight of one limb, and the bound on the magnitude of a value."""


def split_limbs(values: Float64s) -> tuple[Float64s, Float64s, Float64s]:
    """Cut values into their limbs.

    Args:
        values: (n,) doubles of magnitude below `LIMB`.

    Returns:
        ``whole, high, low``, (n,) whole numbers each, as doubles.

    Example:
        >>> [limb.tolist() for limb in split_limbs(np.array([1.5, -0.25]))]
        [[1.0, -1.0], [268435456.0, 402653184.0], [0.0, 0.0]]
    """
    whole = np.floor(values)
    scaled = (values - whole) * LIMB
    high = np.floor(scaled)
    return whole, high, np.rint((scaled - high) * LIMB)


def exact_mean(whole: int, high: int, low: int, count: int) -> float:
    """Compute a mean from the sums of the limbs of ``count`` values, rounded once.

    Example:
        >>> exact_mean(1, 2**28, 0, 3)
        0.5
    """
    limb = int(LIMB)
    return float(Fraction((whole * limb + high) * limb + low, limb * limb * count))
