"""A total order of rows without one task that sorts them all."""

from collections.abc import Sequence

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from cl_spark.cuts import bucket


def ranked(rows: DataFrame, score: str, ids: Sequence[str], rank: str, *, few: bool) -> DataFrame:
    """The rows with their place in the order of (score, ids), from 1, whatever their partitioning.

    Few rows are sorted together. Many are sorted within buckets of the score, and the counts of the lower buckets added.
    """
    if few:
        return rows.withColumn(rank, F.row_number().over(Window.orderBy(score, *ids)).cast("long"))
    rows = rows.withColumn("_bucket", bucket(F.col(score)))
    counts = rows.groupBy("_bucket").agg(F.count(F.lit(1)).alias("_rows"))
    below = counts.select("_bucket", (F.sum("_rows").over(Window.orderBy("_bucket")) - F.col("_rows")).alias("_below"))
    place = F.row_number().over(Window.partitionBy("_bucket").orderBy(score, *ids))
    return (
        rows.join(F.broadcast(below), "_bucket")
        .withColumn(rank, (place + F.col("_below")).cast("long"))
        .drop("_bucket", "_below")
    )
