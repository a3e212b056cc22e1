"""Ranges of ids are those of their values, nulls aside, and tell where no id can be repeated."""

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from cl_spark.evidence.ids import (
    ID_RANGES_SCHEMA,
    MAX_RANGES,
    IdRanges,
    find_id_ranges,
    find_repeated_ids,
    ranges_are_disjoint,
)

LEAST, GREATEST = -(2**63), 2**63 - 1


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        ([3, 1, 2], IdRanges([(1, 3)], differ=True)),
        ([1, 2, 2], IdRanges([(1, 2)], differ=False)),
        ([7], IdRanges([(7, 7)], differ=True)),
        ([None, 5, None, 4], IdRanges([(4, 5)], differ=True)),
        ([12, 4, 11, 5, 90], IdRanges([(4, 5), (11, 12), (90, 90)], differ=True)),
        ([GREATEST, LEAST, 0], IdRanges([(LEAST, LEAST), (0, 0), (GREATEST, GREATEST)], differ=True)),
        ([None], None),
        ([], None),
    ],
)
def test_ranges_are_those_of_the_ids(ids: list[int | None], expected: IdRanges | None) -> None:
    assert find_id_ranges(pa.array(ids, pa.int64())) == expected


@pytest.mark.parametrize("kind", [pa.int8(), pa.int16(), pa.int32()])
def test_narrow_ids_have_ranges_too(kind: pa.DataType) -> None:
    assert find_id_ranges(pa.array([-5, 5], kind)) == IdRanges([(-5, -5), (5, 5)], differ=True)


@pytest.mark.parametrize(
    ("ranges", "expected"),
    [
        ([(1, 3, True), (4, 9, True)], True),
        ([(4, 9, True), (1, 3, True), (None, None, None)], True),
        ([(1, 4, True), (4, 9, True)], False),  # touching
        ([(1, 9, True), (4, 5, True), (10, 11, True)], False),
        ([(1, 1, True), (1, 1, True)], False),
        ([(1, 3, False), (4, 9, True)], False),
        ([(LEAST, -1, True), (0, GREATEST, True)], True),
        ([(LEAST, GREATEST, True), (GREATEST, GREATEST, True)], False),
        ([(7, 7, True)], True),
        ([(None, None, None)], True),
        ([], True),
    ],
)
def test_ranges_are_disjoint_if_none_overlap_or_touch(
    spark: SparkSession, ranges: list[tuple[int | None, int | None, bool | None]], expected: bool
) -> None:
    told = [(None if first is None else [(first, last)], differ) for first, last, differ in ranges]
    assert ranges_are_disjoint(spark.createDataFrame(told, ID_RANGES_SCHEMA).repartition(2)) is expected


def test_of_many_gaps_the_widest_cut_the_ids() -> None:
    ids = [1_000 * part + 2 * number for part in range(MAX_RANGES) for number in range(50)]
    found = find_id_ranges(pa.array(ids, pa.int64()))
    assert found == IdRanges([(1_000 * part, 1_000 * part + 98) for part in range(MAX_RANGES)], differ=True)


@pytest.mark.parametrize("few", [True, False])
def test_repeated_ids_may_have_any_name_and_lack_no_part(spark: SparkSession, few: bool) -> None:
    parts = [(1, 0.5), (1, 0.5), (2, 0.5), (None, 2.0), (None, 2.0), (3, float("nan")), (3, float("nan"))]
    rows = spark.createDataFrame(parts, "i int, f double").toDF("doc.id", "a` b")
    ids = ["`doc.id`", "`a`` b`"]
    found = find_repeated_ids(rows, ids, lambda df: df, num_partitions=2, few=few)
    assert found is not None
    assert list(map(tuple, found.collect())) == [(1, 0.5)]
    once = rows.where("`doc.id` = 2 OR `doc.id` IS NULL")
    assert find_repeated_ids(once, ids, lambda df: df, num_partitions=2, few=few) is None
