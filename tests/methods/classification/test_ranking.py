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


@pytest.mark.parametrize("few", [True, False])
def test_rows_have_places_of_their_own_within_others(few: bool, spark: SparkSession) -> None:
    rows = [(score, kind, number) for number, score in enumerate([0.7, 0.2, 0.2, 0.9]) for kind in "ab"][:-1]
    frame = spark.createDataFrame(rows, "score double, kind string, id int")
    ranked = add_rank(frame, "score", ["id"], "rank", few=few, within=["kind"])
    assert ranked.columns == ["score", "kind", "id", "rank"]
    found = {kind: [row.id for row in sorted(ranked.collect(), key=lambda row: row.rank) if row.kind == kind]
             for kind in "ab"}  # fmt: skip
    assert found == {"a": [1, 2, 0, 3], "b": [1, 2, 0]}
    assert {row["rank"] for row in ranked.where("kind = 'b'").collect()} == {1, 2, 3}


def test_ids_may_have_any_name(spark: SparkSession) -> None:
    frame = spark.createDataFrame([(0.5, 7), (0.25, 3)], "score double, _bucket int")
    ranked = add_rank(frame, "score", ["_bucket"], "rank", few=False)
    assert sorted(map(tuple, ranked.collect())) == [(0.25, 3, 1), (0.5, 7, 2)]


def test_buckets_never_fall_as_the_score_rises(spark: SparkSession) -> None:
    scores = [-1.0, -0.3, -1e-12, 0.0, 1e-300, 1e-12, 1e-6, 0.1, 0.5, math.nextafter(1, 0), 1.0]
    frame = spark.createDataFrame([(score,) for score in scores], "score double")
    rows = frame.select("score", bucket_column(frame.score).alias("bucket")).collect()
    buckets = [bucket for _, bucket in sorted(map(tuple, rows))]
    assert buckets == sorted(buckets)
    assert len(set(buckets)) > 6, "else all rows were sorted together"
