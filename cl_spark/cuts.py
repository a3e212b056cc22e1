"""Where a ranking is cut: the n-th lowest row of each group, found without sorting all rows.

A cut is the pair (score, id) of a group's last chosen row. A row is chosen if its own pair is not above it, so ties go to
the lower id, and choosing is a filter: rows stay where they are.
"""

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from cl_spark import columns as c

QUOTA = "_quota"
CUT = "_cut"
BUCKET = "_bucket"
CHOSEN = "_chosen"

FEW = 1_000_000
"""Up to this many rows, sorting them all is quicker than another pass to learn which to sort."""


def bucket(score: Column) -> Column:
    """A whole number that never falls as the score rises: fine steps near 0 on a log scale, 1/1024 elsewhere.

    Any such function makes the cut exact; this one only decides how few rows share the bucket that has to be sorted.
    """
    size = F.abs(score)
    steps = F.when(size < F.lit(1 / 16), F.floor(16 * F.log2(F.greatest(size, F.lit(2.0**-75)))) + 1300).otherwise(
        F.floor(F.least(size, F.lit(2.0**20)) * 1024) + 1300
    )
    return F.when(score < 0, -steps).otherwise(steps)


def position(score: Column, ids: Sequence[str]) -> Column:
    """A row's place in the order of its group: score, then id."""
    return F.struct(score.alias(c.SCORE), *[F.col(name).alias(name) for name in ids])


def cuts(rows: DataFrame, groups: Sequence[str], ids: Sequence[str], quotas: DataFrame, *, few: bool) -> DataFrame:
    """The cut of each group: the position of its quota-th lowest row, or of its last if there are fewer.

    Args:
        rows: groups, ids and a double score.
        groups: group columns; none for one cut over all rows.
        ids: id columns, which order tied scores.
        quotas: groups and how many rows each may choose (at least 1). A group without a row here has no cut.
        few: sort all rows; else a histogram of the scores tells first in which bucket each cut lies, and only that bucket's
            rows are sorted. The result is the same.

    Returns:
        Groups, cut, quota, and how many rows are chosen.
    """
    keys = list(groups)
    narrow = rows.select(*keys, *ids, c.SCORE)
    place = F.row_number().over(Window.partitionBy(*keys).orderBy(c.SCORE, *ids))
    if few:
        limited = _joined(narrow, quotas, keys)
        before = F.lit(0)
    else:
        narrow = narrow.withColumn(BUCKET, bucket(F.col(c.SCORE)))
        limited = narrow.join(F.broadcast(_edges(narrow, keys, quotas)), [*keys, BUCKET])
        before = F.col("_before")
    return (
        limited.withColumn("_place", place + before)
        .where(F.col("_place") <= F.col(QUOTA))
        .groupBy(*keys, QUOTA)
        .agg(F.max(position(F.col(c.SCORE), ids)).alias(CUT), F.max("_place").alias(CHOSEN))
    )


def _edges(rows: DataFrame, keys: Sequence[str], quotas: DataFrame) -> DataFrame:
    """The bucket each group's cut lies in, with the number of rows in the buckets before it, and the quota."""
    within = Window.partitionBy(*keys)
    histogram = rows.groupBy(*keys, BUCKET).agg(F.count(F.lit(1)).alias("_rows"))
    upto = F.sum("_rows").over(within.orderBy(BUCKET))
    return (
        _joined(histogram, quotas, keys)
        .withColumn("_before", upto - F.col("_rows"))
        .withColumn("_last", F.least(F.col(QUOTA), F.sum("_rows").over(within)))
        .where((F.col("_before") < F.col("_last")) & (F.col("_last") <= F.col("_before") + F.col("_rows")))
        .drop("_rows", "_last")
    )


def _joined(rows: DataFrame, quotas: DataFrame, keys: Sequence[str]) -> DataFrame:
    return rows.join(F.broadcast(quotas), list(keys)) if keys else rows.crossJoin(F.broadcast(quotas))
