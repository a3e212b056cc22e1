"""Rows of several DataFrames put together."""

from collections.abc import Iterable
from functools import reduce

from pyspark.sql import DataFrame


def union_rows(frames: Iterable[DataFrame]) -> DataFrame:
    """Put the rows of DataFrames with the same columns together; equal rows stay.

    Args:
        frames: at least one.

    Example:
        >>> union_rows([spark.range(2), spark.range(3)]).count()
        5
    """
    return reduce(_union, frames)


def _union(one: DataFrame, other: DataFrame) -> DataFrame:
    """Call the method of the first: `DataFrame.unionByName` is the classic one on Spark 3.5."""
    return one.unionByName(other)
