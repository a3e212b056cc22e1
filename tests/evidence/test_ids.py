"""Ranges of ids are those of their values, nulls aside, and tell where no id can be repeated."""

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from cl_spark.evidence.ids import ID_RANGE_SCHEMA, IdRange, find_id_range, ranges_are_disjoint

LEAST, GREATEST = -(2**63), 2**63 - 1


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        ([3, 1, 2], IdRange(1, 3, differ=True)),
        ([1, 2, 2], IdRange(1, 2, differ=False)),
        ([7], IdRange(7, 7, differ=True)),
        ([None, 5, None, 4], IdRange(4, 5, differ=True)),
        ([GREATEST, LEAST, 0], IdRange(LEAST, GREATEST, differ=True)),
        ([None], None),
        ([], None),
    ],
)
def test_ranges_are_those_of_the_ids(ids: list[int | None], expected: IdRange | None) -> None:
    assert find_id_range(pa.array(ids, pa.int64())) == expected


@pytest.mark.parametrize("kind", [pa.int8(), pa.int16(), pa.int32()])
def test_narrow_ids_have_ranges_too(kind: pa.DataType) -> None:
    assert find_id_range(pa.array([-5, 5], kind)) == IdRange(-5, 5, differ=True)


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
    assert ranges_are_disjoint(spark.createDataFrame(ranges, ID_RANGE_SCHEMA).repartition(2)) is expected
