"""Reduction of joined rows to votes and candidates, without Spark."""

import pyarrow as pa
import pytest

from cl_spark.kernels import dense_probs
from cl_spark.methods.annotators.columns import ANNOTATORS, GOLD, LABELS
from cl_spark.methods.annotators.predictions import PREDICTED
from cl_spark.methods.annotators.votes import ReduceRows
from tests.methods.annotators.frames import make


@pytest.mark.parametrize("models", [0, 1, 2])
def test_rows_are_reduced_in_parts_that_many_classes_keep_small(
    monkeypatch: pytest.MonkeyPatch, models: int
) -> None:
    made = make(21, examples=50, classes=5)
    grouped = made.annotations.sort_values(["annotator", "label"]).groupby("id")["label"].agg(list)
    columns = {
        "_id_0": pa.array(grouped.index),
        ANNOTATORS: pa.array([list(range(len(labels))) for labels in grouped], pa.list_(pa.int32())),
        LABELS: pa.array(grouped.tolist(), pa.list_(pa.int32())),
        GOLD: pa.array([None] * 50, pa.int32()),
        PREDICTED: pa.array([i % 3 > 0 for i in range(50)]),
    }
    names = tuple(f"probs_{model}" for model in range(models))
    for name in names:
        columns[name] = pa.array([row.tolist() if i % 3 else None for i, row in enumerate(made.probs)])
    batch = pa.RecordBatch.from_pydict(columns)
    reduce = ReduceRows(("_id_0",), names, 5, ())
    (whole,) = reduce([batch])
    monkeypatch.setattr(dense_probs, "VALUES_AT_ONCE", 40)
    parts = list(reduce([batch]))
    assert len(parts) == {0: 7, 1: 7, 2: 13}[models]
    assert pa.Table.from_batches(parts).to_pydict() == pa.Table.from_batches([whole]).to_pydict()
