"""Exact quantiles of a column, without sorting all of it in one Spark task."""

from collections.abc import Sequence

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

ACCURACY = 10_000
"""Approximate quantiles are at most a share of 1 / ACCURACY of the rows away."""


def find_quantiles(df: DataFrame, col: str, shares: Sequence[float]) -> list[float]:
    """Find quantiles of a column of numbers, interpolated between the two nearest values, as numpy does.

    Approximate quantiles bound each value that is sought. Rows below the bound are counted, and only those
    between the bounds are sorted.

    Args:
        df: the rows, at least one; none is null.
        col: the column.
        shares: of each quantile, in [0, 1].

    Example:
        >>> find_quantiles(spark.createDataFrame([(1.0,), (2.0,), (4.0,), (9.0,)], "x double"), "x", [0.5])
        [3.0]
    """
    column = F.col(col)
    margin = 2 / ACCURACY
    ends = [end for share in shares for end in (max(share - margin, 0.0), min(share + margin, 1.0))]
    found = df.agg(
        F.count(F.lit(1)), F.min(column), F.max(column), F.percentile_approx(column, ends, ACCURACY)
    ).collect()[0]
    num_rows, least, greatest, bounds = found
    counts = df.agg(*[F.count_if(column < bound) for bound in bounds]).collect()[0] if num_rows else []
    return [
        _interpolate(
            df,
            col,
            share * (num_rows - 1),
            (bounds[2 * i], counts[2 * i]),
            bounds[2 * i + 1],
            (least, greatest, num_rows),
        )
        for i, share in enumerate(shares)
    ]


def _interpolate(
    df: DataFrame,
    col: str,
    place: float,
    low: tuple[float, int],
    high: float,
    whole: tuple[float, float, int],
) -> float:
    """Interpolate between the values at the places around one, from 0.

    Args:
        df: the rows.
        col: the column.
        place: from 0.
        low: a bound, and how many rows are below it.
        high: a bound.
        whole: the least and the greatest value, and the number of rows.
    """
    first, (least, greatest, num_rows) = int(place), whole
    number = 1 if first + 1 >= num_rows else 2
    lower, below = low if low[1] <= first else (least, 0)
    for upper in (high, greatest):
        between = df.select(col).where(F.col(col).between(lower, upper))
        values = [row[0] for row in between.orderBy(col).offset(first - below).limit(number).collect()]
        if len(values) == number:
            break
    rest = place - first
    return float(values[0] + (values[-1] - values[0]) * rest if rest else values[0])
