"""Splits of files hold every row once, with the names and types kernels know."""

import os
import pickle
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cl_spark.evidence import parquet_files
from cl_spark.evidence.parquet_files import ParquetFiles, _cut_splits


@pytest.fixture
def footers(tmp_path: Path) -> list[parquet_files.Footer]:
    found = []
    for number, rows in enumerate((7, 0, 25)):
        path = str(tmp_path / f"part {number}.parquet")
        ids = [100 * number + i for i in range(rows)]
        pq.write_table(
            pa.table({"id": pa.array(ids, pa.int32()), "x": [[0.5, 0.5]] * rows}), path, row_group_size=5
        )
        found.append((path, pq.read_metadata(path)))
    return found


def files(footers: list[parquet_files.Footer]) -> ParquetFiles:
    return ParquetFiles(_cut_splits(footers), {"_id_0": "id"}, {"_id_0": pa.int64()}, 32, 4)


@pytest.mark.parametrize("split_bytes", [1, 200, 2**28])
def test_splits_hold_every_row_once(
    footers: list[parquet_files.Footer], monkeypatch: pytest.MonkeyPatch, split_bytes: int
) -> None:
    monkeypatch.setattr(parquet_files, "SPLIT_BYTES", split_bytes)
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    cut = files(footers)
    assert len(cut.splits) >= (7 if split_bytes == 1 else 1)
    shipped = pickle.loads(pickle.dumps(cut))
    batches = [batch for i in range(len(cut.splits)) for batch in shipped.read_split(i)]
    assert all(batch.schema == pa.schema([("_id_0", pa.int64())]) for batch in batches)
    assert all(batch.num_rows <= 4 for batch in batches)
    ids = [number for batch in batches for number in batch.column(0).to_pylist()]
    assert sorted(ids) == [*range(7), *range(200, 225)]


def test_a_file_that_cannot_be_read_is_named(footers: list[parquet_files.Footer]) -> None:
    cut = files(footers)
    Path(footers[2][0]).unlink()
    splits = [i for i, split in enumerate(cut.splits) if any(path == footers[2][0] for path, _ in split)]
    with pytest.raises(RuntimeError, match=r"part 2\.parquet cannot be read"):
        list(cut.read_split(splits[0]))
