"""The limit within which squared distances in single precision lie, if they are of the nearest rows."""

import math
from dataclasses import dataclass

import numpy as np

from cl_spark.kernels.arrays import Float64s

UNIT = float(np.finfo(np.float32).eps)
"""Greatest step between numbers of single precision, relative to them; rounding is wrong by half of it."""

TINY = float(np.finfo(np.float32).tiny)
"""Greatest loss of single precision where a number vanishes."""

FAR = 2.0**50
"""Size to which numbers of rows are cut, so that no product overflows. A row that is cut is not shorter."""

HUGE = 1e307
"""Length from which distances may be infinite."""


@dataclass(frozen=True)
class ProposalLimits:
    """Bounds how far single precision may mislead a search among some references.

    Rows are centered and divided by a width here: q is a query, r a reference, |q| and |r| are their lengths.

    Attributes:
        dimension: d, how many numbers a row has.
        longest: length of the longest reference.
        least: squared distance up to which all are equal.
        width: what rows were divided by.
        rounding: squared distances that differ by this share of them may be equal after rounding.
    """

    dimension: int
    longest: float
    least: float
    width: float
    rounding: float

    def find(self, kth: Float64s, squares: Float64s) -> Float64s:
        """Find limits that no computed squared distance of the k nearest references of a query exceeds.

        Computed distances err. A product of d numbers is wrong by at most d / 2 units of |q||r|, squares
        likewise; rounding both rows and adding costs some units more. Let e be d + 8 units: half of
        e (|q| + |r|)^2 bounds all of it, whatever the order of sums, and the other half is room for what is
        of second order. Numbers that vanish cost less than 8 (d + 8) `TINY`.

        Let k references be computed to lie within V, which is at least `least`, and let R be such that
        R >= |q| + sqrt(V) + sqrt(e) (|q| + R).

        - Each of these has |r| <= |q| + its distance <= |q| + sqrt(V) + sqrt(e) (|q| + |r|), so |r| <= R.
          Their squared distances, and so the k-th lowest, are at most T = V + e (|q| + R)^2.
        - Each of the k nearest has |r| <= |q| + sqrt(T) <= R. So it is computed to lie within
          T + e (|q| + R)^2, which is the limit; distances that are equal after rounding add their share.
        - As no reference is longer than the longest, R need not be either.

        Nothing is asked of other references: whatever is computed of a far one, it can only be a candidate
        too many. So rows may be cut, where |q| + R < `FAR`: neither the query is then, nor a reference that
        is no longer than R. Elsewhere there is no limit (infinity), nor where distances may be infinite:
        these are equal, so all references are to be compared.

        Args:
            kth: (m,) V for each query.
            squares: (m,) squared lengths of the queries.
        """
        error = (self.dimension + 8) * UNIT
        spread = math.sqrt(error)
        if spread > 0.5:
            return np.full(len(kth), np.inf)
        vanished = 16 * (self.dimension + 8) * TINY
        within = np.maximum(kth, self.least)
        lengths = np.sqrt(squares)
        longest = (1 + spread) / (1 - spread) * (lengths + np.sqrt(within + vanished))
        reach = lengths + np.minimum(longest, self.longest)
        limits = within + (2 * error + self.rounding) * reach**2 + vanished
        has_limit = (reach < FAR) & (reach * self.width < HUGE)  # not where one is not a number
        return np.asarray(np.where(has_limit, limits, np.inf))
