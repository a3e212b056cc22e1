"""Ranks in a total order of rows, without a single Spark task that sorts them all."""

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from cl_spark.kernels.score_buckets import STEPS
from cl_spark.tables import columns as c
from cl_spark.tables.columns import quoted

_BUCKET, _BELOW, _ROWS = "_cl_spark_bucket", "_cl_spark_below", "_cl_spark_rows"
_PLACE = "_cl_spark_place"

PLACES_AT_ONCE = 100_000
"""Places of each kind that are sorted together."""


def add_rank(
    rows: DataFrame,
    score: str,
    ids: Sequence[str],
    rank: str,
    *,
    few: bool,
    bucket: Column | None = None,
    within: Sequence[str] = (),
) -> DataFrame:
    """Add the place of each row in the ascending order of (score, ids), from 1, whatever their partitioning.

    Args:
        rows: the rows.
        score: the column that orders them.
        ids: id columns, which order tied scores.
        rank: name of the new column.
        few: sort all rows together. Else they are sorted within buckets of the score, and the number of rows
            in lower buckets is added to the place within the bucket. The ranks are the same.
        bucket: whole numbers that never fall as the score rises, where those of `bucket_column` would put
            too many rows together.
        within: columns whose values have places of their own, from 1 each.
    """
    if few:
        place = F.row_number().over(Window.partitionBy(*within).orderBy(score, *ids))
        return rows.withColumn(rank, place.cast("long"))
    columns = [quoted(col) for col in rows.columns]
    rows = rows.withColumn(_BUCKET, bucket_column(F.col(score)) if bucket is None else bucket)
    parts = [*within, _BUCKET]
    counts = rows.groupBy(*parts).agg(F.count(F.lit(1)).alias(_ROWS))
    up_to = F.sum(_ROWS).over(Window.partitionBy(*within).orderBy(_BUCKET))
    below = counts.select(*parts, (up_to - F.col(_ROWS)).alias(_BELOW))
    place = F.row_number().over(Window.partitionBy(*parts).orderBy(score, *ids))
    ranked = (place + F.col(_BELOW)).cast("long").alias(rank)
    return rows.join(F.broadcast(below), parts).select(*columns, ranked)


def rank_kinds(
    rows: DataFrame,
    score: str,
    kind: str,
    ids: Sequence[str],
    *,
    few: bool,
    bucket: Column | None = None,
) -> DataFrame:
    """Add `rank`: the worst of each kind come first, then the second of each, and so on, whatever their
    partitioning. At one place kinds are in their alphabetic order.

    Args:
        rows: the rows.
        score: the column that orders the rows of a kind, the lowest first; ties go to the lower id.
        kind: the column of the kind.
        ids: id columns.
        few: as `add_rank` has it.
        bucket: as `add_rank` has it, for the score.
    """
    placed = add_rank(rows, score, ids, _PLACE, few=few, bucket=bucket, within=[kind])
    bucket = F.floor(F.col(_PLACE) / F.lit(PLACES_AT_ONCE)).cast("long")
    return add_rank(placed, _PLACE, [kind, *ids], c.RANK, few=few, bucket=bucket).drop(_PLACE)


def bucket_column(score: Column) -> Column:
    """Bucket number of a score, as `score_buckets.bucket_scores` has it: it never falls as the score rises.

    Any such function makes the ranks exact; this one only decides how few rows are sorted together.
    """
    return (F.signum(score) * F.floor(F.lit(STEPS) * F.sqrt(F.sqrt(F.sqrt(F.abs(score)))))).cast("long")
