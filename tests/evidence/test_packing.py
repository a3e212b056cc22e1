"""Packed blocks give back the evidence of every row, whatever the sizes of blocks."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest

from cl_spark.evidence import packing
from cl_spark.evidence.blocks import Block, PartNotReadError
from cl_spark.evidence.packing import PACKED_SCHEMA, ddl, pack, pack_blocks, unpack_blocks
from tests.evidence.builders import block
from tests.evidence.test_blocks import ROWS, describe

RNG = np.random.default_rng(3)
MANY = [
    (i, int(label), row)
    for i, (label, row) in enumerate(
        zip(RNG.integers(-1, 4, 200), RNG.dirichlet(np.ones(4), 200).round(3).tolist(), strict=True)
    )
]


def unpacked(batches: Sequence[pa.RecordBatch], *parts: str) -> list[Block]:
    columns = ["rows", *(parts or ("ids", "listed", "kept"))]
    return list(unpack_blocks(batch.select(columns) for batch in batches))


@pytest.mark.parametrize("rows", [ROWS, ROWS[:2], MANY])
def test_a_block_comes_back_as_it_was(rows: list[tuple[int, int | None, list[float]]]) -> None:
    whole = block(rows)
    (found,) = unpacked([pack(whole, of_suspects=False)])
    assert describe(found) == describe(whole)
    for name in ("given", "predicted", "self_confidence", "max_prob", "second_max_prob", "unlisted_max_prob"):
        ours, theirs = getattr(found, name), getattr(whole, name)
        assert ours.dtype == theirs.dtype
        assert np.array_equal(ours, theirs, equal_nan=ours.dtype.kind == "f"), name
    assert found.num_probs is whole.num_probs or np.array_equal(found.num_probs, whole.num_probs)


def test_confident_classes_come_back() -> None:
    settled = Block(**{**vars(block(ROWS[:2])), "confident": np.array([-1, 0], dtype=np.int32)})
    (found,) = unpacked([pack(settled, of_suspects=True)])
    assert found.confident is not None
    assert found.confident.tolist() == [-1, 0]


def test_a_packed_block_has_the_declared_columns() -> None:
    batch = pack(block(ROWS), of_suspects=True)
    assert batch.schema.names == [column.split()[0] for column in PACKED_SCHEMA.split(", ")]
    assert batch.column("of_suspects").to_pylist() == [1]
    assert batch.column("id_ranges").to_pylist() == batch.column("ids_differ").to_pylist() == [None]


def test_only_the_parts_asked_for_are_read() -> None:
    (found,) = unpacked([pack(block(ROWS), of_suspects=False)], "listed")
    assert found.listed.row.tolist()
    with pytest.raises(PartNotReadError, match="'kept'"):
        _ = found.kept


@pytest.mark.parametrize("block_rows", [1, 10, 64, 2**16])
@pytest.mark.parametrize("size", [1, 7, 200])
def test_every_row_is_packed_once_apart_from_or_among_suspects(
    monkeypatch: pytest.MonkeyPatch, block_rows: int, size: int
) -> None:
    monkeypatch.setattr(packing, "BLOCK_ROWS", block_rows)
    blocks = [block(MANY[start : start + size]) for start in range(0, len(MANY), size)]
    batches = list(pack_blocks([block([]), *blocks], "_id_0"))
    found = []
    for batch in batches:
        (one,) = unpacked([batch])
        assert (one.suspects == bool(batch.column("of_suspects")[0].as_py())).all()
        found += describe(one)
    assert sorted(found, key=lambda row: row[0]) == describe(block(MANY))
    told = [found for batch in batches for found in batch.column("id_ranges").to_pylist()[0] or []]
    assert all(batch.column("ids_differ").to_pylist()[0] is not False for batch in batches)
    assert told[0]["first"] == 0
    assert told[-1]["last"] == 199
    assert all(ours["last"] < theirs["first"] for ours, theirs in pairwise(told))


def test_blocks_of_long_arrays_are_filled_by_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "BLOCK_BYTES", 1)
    suspects = [block([(i, 1, [0.6, 0.3, 0.1])]) for i in range(3)]
    assert len(list(pack_blocks(suspects))) == 3


def test_more_than_spark_can_hand_on_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "TASK_BYTES", 1000)
    with pytest.raises(ValueError, match="repartition the input"):
        list(pack_blocks([block(ROWS)]))


def test_no_rows_are_no_blocks() -> None:
    assert list(pack_blocks([])) == []
    assert list(pack_blocks([block([])])) == []


def test_odd_names_are_quoted() -> None:
    assert ddl({"a": "int", "b c": "string"}) == "`a` int, `b c` string"
