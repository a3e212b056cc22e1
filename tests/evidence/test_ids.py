"""Ranges of ids are those of their values, nulls aside."""

import pyarrow as pa
import pytest

from cl_spark.evidence.ids import IdRange, find_id_range

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
