"""Ranks in a total order of rows, without a single Spark task that sorts them all."""

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from cl_spark.kernels.score_buckets import STEPS


def add_rank(
    rows: DataFrame, score: str, ids: Sequence[str], rank: str, *, few: bool, bucket: Column | None = None
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
    """
    if few:
        return rows.withColumn(rank, F.row_number().over(Window.orderBy(score, *ids)).cast("long"))
    rows = rows.withColumn("_bucket", bucket_column(F.col(score)) if bucket is None else bucket)
    counts = rows.groupBy("_bucket").agg(F.count(F.lit(1)).alias("_rows"))
    below = counts.select(
        "_bucket", (F.sum("_rows").over(Window.orderBy("_bucket")) - F.col("_rows")).alias("_below")
    )
    place = F.row_number().over(Window.partitionBy("_bucket").orderBy(score, *ids))
    return (
        rows.join(F.broadcast(below), "_bucket")
        .withColumn(rank, (place + F.col("_below")).cast("long"))
        .drop("_bucket", "_below")
    )


def bucket_column(score: Column) -> Column:
    """Bucket number of a score, as `score_buckets.bucket_scores` has it: it never falls as the score rises.

    Any such function makes the ranks exact; this one only decides how few rows are sorted together.
    """
    return (F.signum(score) * F.floor(F.lit(STEPS) * F.sqrt(F.sqrt(F.sqrt(F.abs(score)))))).cast("long")
