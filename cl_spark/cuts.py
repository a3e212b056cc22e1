"""The rows before a cut: the n lowest of each group by (score, id), found without sorting all rows."""

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from cl_spark import columns as c

QUOTA = "_quota"
BUCKET = "_bucket"
LAST, LAST_ID, CHOSEN = "_last", "_last_id", "_chosen"

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


def lowest(rows: DataFrame, groups: Sequence[str], ids: Sequence[str], quotas: DataFrame, *, few: bool) -> DataFrame:
    """The rows of lowest score of each group, as many as its quota or all if there are fewer; ties go to the lower id.

    Args:
        rows: groups, ids, a double `SCORE`, and any other columns.
        groups: group columns; none for one choice among all rows.
        ids: id columns, which order tied scores.
        quotas: groups and how many rows each may choose (at least 1). Of a group without a row here none is chosen.
        few: sort all rows; else only those `cuts` sorts, and no other row is shuffled. The result is the same.
    """
    if not few:
        return chosen(rows, cuts(rows, groups, ids, quotas), groups, ids)
    placed = _joined(rows, quotas, groups).withColumn("_place", _place(groups, ids))
    return placed.where(F.col("_place") <= F.col(QUOTA)).select(*rows.columns)


def cuts(rows: DataFrame, groups: Sequence[str], ids: Sequence[str], quotas: DataFrame) -> DataFrame:
    """`last` of what `lowest` chooses: a histogram of the scores tells in which bucket each cut lies, and only that is sorted."""
    rows = rows.withColumn(BUCKET, bucket(F.col(c.SCORE)))
    at_edge = _joined(rows, _edges(rows, groups, quotas), groups).where(F.col(BUCKET) == F.col("_edge"))
    placed = at_edge.withColumn("_place", _place(groups, ids) + F.col("_before")).where(F.col("_place") <= F.col(QUOTA))
    return last(placed, groups, ids, F.max("_place").cast("long"))


def last(rows: DataFrame, groups: Sequence[str], ids: Sequence[str], number: Column) -> DataFrame:
    """Of rows chosen: score and ids of the last of each group, and their number as an aggregate tells it."""
    cut = F.max(F.struct(c.SCORE, F.struct(*ids).alias(LAST_ID))).alias("_cut")
    found = rows.groupBy(*groups).agg(cut, number.alias(CHOSEN))
    return found.select(*groups, F.col("_cut")[c.SCORE].alias(LAST), F.col("_cut")[LAST_ID].alias(LAST_ID), CHOSEN)


def chosen(rows: DataFrame, cuts: DataFrame, groups: Sequence[str], ids: Sequence[str]) -> DataFrame:
    """The rows of each group up to its cut; none of a group without one."""
    up_to_id = (F.col(c.SCORE) == F.col(LAST)) & (F.struct(*ids) <= F.col(LAST_ID))
    return _joined(rows, cuts, groups).where((F.col(c.SCORE) < F.col(LAST)) | up_to_id).select(*rows.columns)


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
        .select(*keys, F.col(BUCKET).alias("_edge"), "_before", QUOTA)
    )


def _place(groups: Sequence[str], ids: Sequence[str]) -> Column:
    return F.row_number().over(Window.partitionBy(*groups).orderBy(c.SCORE, *ids))


def _joined(rows: DataFrame, quotas: DataFrame, keys: Sequence[str]) -> DataFrame:
    return rows.join(F.broadcast(quotas), list(keys)) if keys else rows.crossJoin(F.broadcast(quotas))
