"""A total order of rows without one task that sorts them all."""

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from cl_spark.kernels.score_buckets import STEPS


def add_rank(rows: DataFrame, score: str, ids: Sequence[str], rank: str, *, few: bool) -> DataFrame:
    """The rows with their place in the order of (score, ids), from 1, whatever their partitioning.

    Few rows are sorted together. Many are sorted within buckets of the score, and the counts of the lower buckets added.
    """
    if few:
        return rows.withColumn(rank, F.row_number().over(Window.orderBy(score, *ids)).cast("long"))
    rows = rows.withColumn("_bucket", bucket(F.col(score)))
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


def bucket(score: Column) -> Column:
    """A whole number that never falls as the score rises, as `score_buckets.bucket_scores` gives it: fine steps near 0.

    Any such function makes the ranks exact; this one only decides how few rows are sorted together.
    """
    return (F.signum(score) * F.floor(F.lit(STEPS) * F.sqrt(F.sqrt(F.sqrt(F.abs(score)))))).cast("long")
