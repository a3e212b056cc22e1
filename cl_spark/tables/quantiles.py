"""Exact quantiles of a column, without sorting all of it in one Spark task."""

from collections.abc import Sequence
from typing import NamedTuple

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

ACCURACY = 10_000
"""Approximate quantiles are at most a share of 1 / ACCURACY of the rows away."""


def find_quantiles(df: DataFrame, col: str, shares: Sequence[float]) -> list[float]:
    """Find quantiles of a column of numbers, interpolated between the two nearest values, as numpy does.

    Approximate quantiles bound each value that is sought. Rows below each bound, and equal to it, are
    counted, and only those between two bounds are sorted.

    Args:
        df: the rows, at least one; none is null.
        col: the column.
        shares: of each quantile, in [0, 1].

    Example:
        >>> find_quantiles(spark.createDataFrame([(1.0,), (2.0,), (4.0,), (9.0,)], "x double"), "x", [0.5])
        [3.0]
    """
    column, margin = F.col(col), 2 / ACCURACY
    ends = [end for share in shares for end in (max(share - margin, 0.0), min(share + margin, 1.0))]
    rows, bounds = df.agg(F.count(F.lit(1)), F.percentile_approx(column, ends, ACCURACY)).collect()[0]
    tests = [test for bound in bounds for test in (column < bound, column <= bound)]
    counted = df.agg(*map(F.count_if, tests)).collect()[0]
    counts = zip(bounds, counted[::2], counted[1::2], strict=True)
    known = sorted({_Bound(*count) for count in counts})
    found = []
    for share in shares:
        place = share * (rows - 1)
        first, rest = int(place), place % 1
        value = _find_value(df, col, first, known)
        found.append(value if not rest else value + (_find_value(df, col, first + 1, known) - value) * rest)
    return found


class _Bound(NamedTuple):
    """A value, how many rows are below it, and how many are not above it."""

    value: float
    below: int
    up_to: int


def _find_value(df: DataFrame, col: str, place: int, bounds: Sequence[_Bound]) -> float:
    """Find the value at a place of the ascending order, from 0: a bound, or one between two bounds."""
    lower = max((bound for bound in bounds if bound.up_to <= place), default=None)
    upper = min((bound for bound in bounds if bound.up_to > place), default=None)
    if upper is not None and upper.below <= place:
        return upper.value
    between = df.select(col)
    if lower is not None:
        between = between.where(F.col(col) > lower.value)
    if upper is not None:
        between = between.where(F.col(col) < upper.value)
    skipped = place - (0 if lower is None else lower.up_to)
    return float(between.orderBy(col).offset(skipped).limit(1).collect()[0][0])
