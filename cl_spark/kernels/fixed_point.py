"""Sums of doubles that do not depend on the order of addition.

A sum of doubles changes in its last digits with the order of its terms, and so with the partitioning of a table. Here a
value is cut into three integers, ``x = whole + high / 2**29 + low / 2**58`` with ``0 <= high < 2**29`` and
``0 <= low <= 2**29``. Integers add exactly in any order; 64 bits hold the sums of 10^10 rows
(``10**10 * 2**29 < 2**63``). Every step is exact in double arithmetic but the last rounding, so a value is off by at most
``2**-59``, far below the rounding of an ordinary sum.
"""

from fractions import Fraction

LIMB = 2.0**29
"""Weight of one limb; also the largest magnitude a value may have."""


def exact_mean(whole: int, high: int, low: int, count: int) -> float:
    """The mean of ``count`` values from the sums of their three limbs, rounded once.

    Example:
        >>> exact_mean(1, 2**28, 0, 3)
        0.5
    """
    limb = int(LIMB)
    return float(Fraction((whole * limb + high) * limb + low, limb * limb * count))
