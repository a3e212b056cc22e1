"""Hashes of rows, and the cuts of their order, against a sort of all rows."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from cl_spark.errors import ConfigurationError, SourceChangedError
from cl_spark.methods.learning.hash_cuts import (
    HASH,
    STRATUM,
    WEIGHT,
    count_cuts_below,
    count_parts,
    find_hash_cuts,
    hash_of,
)

pytestmark = pytest.mark.matrix


def elements_of(spark: SparkSession, stratum: object, hash_: object, weight: object = 1) -> DataFrame:
    frame = pd.DataFrame({STRATUM: stratum, HASH: hash_, WEIGHT: weight})
    return spark.createDataFrame(frame, f"{STRATUM} int, {HASH} long, {WEIGHT} long").repartition(3)


def sorted_cuts(elements: pd.DataFrame, ranks: Mapping[int, Sequence[int]]) -> dict[int, list[int]]:
    """The cuts as a sort of all units tells them."""
    units = elements.loc[elements.index.repeat(elements[WEIGHT])].sort_values(HASH)
    hashes = {stratum: of_stratum[HASH].tolist() for stratum, of_stratum in units.groupby(STRATUM)}
    return {stratum: [hashes[stratum][rank - 1] for rank in of] for stratum, of in ranks.items()}


def single(spark: SparkSession, value: Column) -> int:
    return spark.range(1).select(value.alias("value")).collect()[0].value


# Cuts -------------------------------------------------------------------------------------------------------


def test_cuts_are_those_of_a_sort_of_all_units(spark: SparkSession) -> None:
    random = np.random.default_rng(5)
    frame = pd.DataFrame(
        {
            STRATUM: random.integers(0, 4, 3000),
            # the whole range, some of one bucket, and some that are equal
            HASH: np.concatenate(
                [
                    random.integers(-(2**63), 2**63 - 1, 1000),
                    random.integers(0, 2**40, 1000),
                    np.arange(1000) % 50,
                ]
            ),
            WEIGHT: random.integers(1, 9, 3000),
        }
    )
    total = frame.groupby(STRATUM)[WEIGHT].sum()
    ranks = {
        0: [1, int(total[0])],
        1: sorted(random.integers(1, total[1], 40).tolist()),
        2: [7, 7, 7, 8],
        3: [int(total[3]) // 2],
    }
    elements = elements_of(spark, frame[STRATUM], frame[HASH], frame[WEIGHT])
    assert find_hash_cuts(elements, ranks) == sorted_cuts(frame, ranks)


def test_every_unit_of_an_element_has_its_hash(spark: SparkSession) -> None:
    elements = elements_of(spark, 3, [-(2**63), 0, 2**63 - 1], [2, 1, 3])
    cuts = find_hash_cuts(elements, {3: [1, 2, 3, 4, 6]})
    assert cuts == {3: [-(2**63), -(2**63), 0, 2**63 - 1, 2**63 - 1]}


def test_units_of_equal_hashes_come_together(spark: SparkSession) -> None:
    elements = elements_of(spark, 0, [5, 5, 5, 9])
    assert find_hash_cuts(elements, {0: [1, 2, 3, 4]}) == {0: [5, 5, 5, 9]}


def test_many_elements_of_one_bucket_are_cut_exactly(spark: SparkSession) -> None:
    elements = spark.range(20_000).selectExpr(
        f"int(id % 2) AS {STRATUM}", f"id * 3 AS {HASH}", f"1L AS {WEIGHT}"
    )
    cuts = find_hash_cuts(elements.repartition(5), {0: [1, 5_000], 1: [10_000]})
    assert cuts == {0: [0, 2 * 4_999 * 3], 1: [19_999 * 3]}


def test_strata_without_ranks_have_no_cuts(spark: SparkSession) -> None:
    elements = elements_of(spark, [0, 1], [5, 6])
    assert find_hash_cuts(elements, {}) == {}
    assert find_hash_cuts(elements, {0: [], 1: [1], 7: []}) == {0: [], 1: [6], 7: []}


def test_ranks_beyond_the_weights_are_named(spark: SparkSession) -> None:
    elements = elements_of(spark, [0, 1, 1], [5, 6, 7])
    with pytest.raises(SourceChangedError, match="stratum 1 has no unit 3"):
        find_hash_cuts(elements, {0: [1], 1: [2, 3]})
    with pytest.raises(SourceChangedError, match="stratum 2 has no unit 1"):
        find_hash_cuts(elements, {2: [1]})


@pytest.mark.parametrize("wrong", [[0, 1], [3, 2], [-1]])
def test_ranks_ascend_from_one(spark: SparkSession, wrong: list[int]) -> None:
    with pytest.raises(ConfigurationError, match="stratum 4 must ascend from 1"):
        find_hash_cuts(elements_of(spark, 4, [5, 6, 7]), {4: wrong})


def test_parts_end_with_their_cut(spark: SparkSession) -> None:
    part = count_cuts_below(F.col("id"), F.array(F.lit(1), F.lit(3), F.lit(3)))
    assert [row.part for row in spark.range(6).select(part.alias("part")).collect()] == [0, 0, 1, 1, 3, 3]
    no_cuts = F.expr("cast(array() AS array<long>)")
    assert single(spark, count_cuts_below(F.lit(5), no_cuts)) == 0


def test_parts_between_cuts_have_the_sizes_that_the_ranks_ask_for(spark: SparkSession) -> None:
    rows = spark.range(1000).select(hash_of(["id"], 3).alias(HASH))
    elements = rows.selectExpr(f"0 AS {STRATUM}", HASH, f"1L AS {WEIGHT}")
    cuts = find_hash_cuts(elements, {0: [100, 350, 350]})[0]
    part = count_cuts_below(F.col(HASH), F.array(*map(F.lit, cuts)))
    sizes = {row.part: row["count"] for row in rows.groupBy(part.alias("part")).count().collect()}
    assert sizes == {0: 100, 1: 250, 3: 650}


# Sizes of parts ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("num_units", "shares", "counts"),
    [
        (10, [0.25, 0.75], [3, 7]),  # a tie goes to the lower index
        (5, [0.5, 0.5, 0.0], [3, 2, 0]),
        (100, [0.29, 0.57, 0.14], [29, 57, 14]),  # 0.29 * 100 is below 29 as floating point
        (30, [0.35, 0.65], [11, 19]),
        (3, [0.1, 0.2, 0.7], [0, 1, 2]),
        (0, [0.5, 0.5], [0, 0]),
    ],
)
def test_largest_remainders_are_rounded_up(num_units: int, shares: list[float], counts: list[int]) -> None:
    assert count_parts(num_units, np.array(shares)).tolist() == counts


@pytest.mark.parametrize("seed", range(20))
def test_parts_sum_to_the_whole_and_are_off_by_less_than_one(seed: int) -> None:
    random = np.random.default_rng(seed)
    shares = random.dirichlet(np.ones(random.integers(2, 200)))
    num_units = int(random.integers(0, 10 ** random.integers(1, 9)))
    counts = count_parts(num_units, shares)
    assert counts.sum() == num_units
    assert np.abs(counts - num_units * shares).max() < 1


# Hashes -----------------------------------------------------------------------------------------------------


def test_whole_numbers_of_any_width_have_the_same_hash(spark: SparkSession) -> None:
    row = spark.range(7, 8).selectExpr("id", "int(id) AS i", "smallint(id) AS s", "string(id) AS t")
    hashes = row.select(*[hash_of([col], 1).alias(col) for col in row.columns]).collect()[0]
    assert len({*hashes}) == 1


def test_nulls_are_told_apart(spark: SparkSession) -> None:
    rows = [(None, None), (None, "a"), ("a", None), ("", "a"), ("a", ""), ("", ""), ("a", "a"), ("aa", "")]
    df = spark.createDataFrame(rows, "x string, `y.z` string")
    assert df.select(hash_of(["x", "y.z"]).alias("hash")).distinct().count() == len(rows)


def test_every_salt_gives_an_order_of_its_own(spark: SparkSession) -> None:
    salts = [(), (0,), (1,), (0, 0), (0, 1), (1, 0), (2**63 - 1,), (-1,)]
    df = spark.range(500).select(*[hash_of(["id"], *salt).alias(f"h{i}") for i, salt in enumerate(salts)])
    hashes = df.toPandas()
    assert len(np.unique(hashes)) == hashes.size
    orders = hashes.rank().corr().to_numpy()[~np.eye(len(salts), dtype=bool)]
    assert np.abs(orders).max() < 0.2
