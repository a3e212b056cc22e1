"""Sources of rows: which rows and columns kernels get and return."""

import pickle
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from cl_spark.evidence.blocks import Block
from cl_spark.methods.classification.sources import KernelOnBatches, SelectedRows
from cl_spark.tables import columns as c
from tests.evidence.builders import BUILDER, batch, block

ROWS = [(10, 0, [0.7, 0.3]), (11, 1, [0.9, 0.1]), (12, 0, [0.2, 0.8])]
MIXED = [*ROWS, (13, None, [0.5, 0.5]), (14, 1, [0.1, 0.2, 0.7]), (None, 1, [0.5, 0.5])]


def is_beaten(one: Block) -> np.ndarray:
    return np.asarray(one.predicted != one.given)


def count_rows(blocks: Iterator[Block]) -> Iterator[pa.RecordBatch]:
    for one in blocks:
        yield pa.RecordBatch.from_pydict({"rows": [len(one)], "rejected": [one.rejection is not None]})


def test_columns_of_the_rows_that_meet_a_condition_are_selected() -> None:
    kernel = SelectedRows(["_id_0", c.GIVEN, c.MAX_PROB], is_beaten)
    first, second = kernel(iter([block(ROWS), block(ROWS[:1])]))
    assert first.to_pydict() == {"_id_0": [11, 12], c.GIVEN: [1, 0], c.MAX_PROB: [0.9, 0.8]}
    assert second.num_rows == 0


def test_without_a_condition_all_rows_are_selected() -> None:
    (selected,) = SelectedRows([c.PREDICTED])(iter([block(ROWS)]))
    assert selected.to_pydict() == {c.PREDICTED: [0, 0, 1]}


def test_a_kernel_on_batches_gets_the_accepted_rows_only() -> None:
    kernel = KernelOnBatches(BUILDER, count_rows, 2)
    counts = list(pickle.loads(pickle.dumps(kernel))([batch(MIXED), batch(ROWS)]))
    assert [one.to_pydict() for one in counts] == [{"rows": [3], "rejected": [False]}] * 2
