"""Ranks in the order of score and ids, with and without sorting all rows together."""

import math
import random

import pytest
from pyspark.sql import SparkSession

from cl_spark.methods.classification.ranking import add_rank, bucket_column


@pytest.mark.parametrize("few", [True, False])
def test_ranks_follow_the_score_and_ties_follow_the_ids(few: bool, spark: SparkSession) -> None:
    scores = [0.0, 1e-9, 0.25, 0.25, 0.2500001, 0.99, 1.0, -0.5, -1e-9, 0.25]
    rows = [(float(score), number % 3, number) for number, score in enumerate(scores)]
    random.Random(0).shuffle(rows)
    frame = spark.createDataFrame(rows, "score double, a int, b int").repartition(3)
    ranked = add_rank(frame, "score", ["a", "b"], "rank", few=few)
    assert ranked.columns == ["score", "a", "b", "rank"]
    assert dict(ranked.dtypes)["rank"] == "bigint"
    found = [tuple(row)[:3] for row in sorted(ranked.collect(), key=lambda row: row.rank)]
    assert found == sorted(rows)
    assert sorted(row.rank for row in ranked.collect()) == list(range(1, len(rows) + 1))


def test_buckets_never_fall_as_the_score_rises(spark: SparkSession) -> None:
    scores = [-1.0, -0.3, -1e-12, 0.0, 1e-300, 1e-12, 1e-6, 0.1, 0.5, math.nextafter(1, 0), 1.0]
    frame = spark.createDataFrame([(score,) for score in scores], "score double")
    rows = frame.select("score", bucket_column(frame.score).alias("bucket")).collect()
    buckets = [bucket for _, bucket in sorted(map(tuple, rows))]
    assert buckets == sorted(buckets)
    assert len(set(buckets)) > 6, "else all rows were sorted together"
