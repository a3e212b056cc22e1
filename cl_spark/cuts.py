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
FOUND = "_found"
LEFT = "_left"


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


def edges(rows: DataFrame, groups: Sequence[str], quotas: DataFrame) -> DataFrame:
    """In which bucket of each group the cut lies: groups, bucket, how many of its rows are chosen, rows found and quota.

    Args:
        rows: groups and a double score.
        groups: group columns; none for one cut over all rows.
        quotas: groups and how many rows each may choose (at least 1). A group without a row here has no cut.
    """
    keys, within = list(groups), Window.partitionBy(*groups)
    histogram = rows.groupBy(*keys, bucket(F.col(c.SCORE)).alias(BUCKET)).agg(F.count(F.lit(1)).alias("_rows"))
    histogram = histogram.join(F.broadcast(quotas), keys) if keys else histogram.crossJoin(F.broadcast(quotas))
    total, upto = F.sum("_rows").over(within), F.sum("_rows").over(within.orderBy(BUCKET))
    left = F.least(F.col(QUOTA), F.col(FOUND)) - (upto - F.col("_rows"))
    return (
        histogram.withColumn(FOUND, total)
        .withColumn(LEFT, left)
        .where((F.col(LEFT) > 0) & (F.col(LEFT) <= F.col("_rows")))
        .drop("_rows")
    )


def cuts(rows: DataFrame, groups: Sequence[str], ids: Sequence[str], edge: DataFrame) -> DataFrame:
    """The cut of each group: ``groups`` and the position of the quota-th lowest row, or of the last if there are fewer.

    Args:
        rows: groups, ids and a double score.
        groups: group columns, as given to `edges`.
        ids: id columns, which order tied scores.
        edge: the buckets the cuts lie in, from `edges`: only their rows are sorted.
    """
    keys = list(groups)
    within = Window.partitionBy(*keys).orderBy(c.SCORE, *ids)
    return (
        rows.select(*keys, *ids, c.SCORE, bucket(F.col(c.SCORE)).alias(BUCKET))
        .join(F.broadcast(edge), [*keys, BUCKET])
        .withColumn("_place", F.row_number().over(within))
        .where(F.col("_place") == F.col(LEFT))
        .select(*keys, position(F.col(c.SCORE), ids).alias(CUT))
    )
