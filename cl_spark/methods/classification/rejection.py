"""Rejected rows, and the final reasons for their rejection, which need K (specification, section 7)."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame

from cl_spark.evidence.blocks import Block
from cl_spark.evidence.packing import ddl
from cl_spark.evidence.predictions import Predictions
from cl_spark.evidence.validity import RejectionReason, explain_rejection
from cl_spark.evidence.workers import ArrowFunction, map_in_arrow
from cl_spark.kernels.arrays import Int8s
from cl_spark.tables import columns as c

EXPLAINED_BY_LENGTH = (
    RejectionReason.NONE,
    RejectionReason.LABEL_OUT_OF_RANGE,
    RejectionReason.TOO_LARGE,
    RejectionReason.NEGATIVE,
    RejectionReason.NO_DISTRIBUTION,
    RejectionReason.NO_PROBABILITY,
)
"""Reasons that give way to `WRONG_LENGTH`: an array of another length than K explains them."""


def find_final_reason(rejection: int, num_probs: int, num_classes: int) -> int:
    """Find why a row is rejected once K is known: a code as `explain_rejection` takes it.

    Args:
        rejection: code of the reason found in the row by itself.
        num_probs: how many probabilities it has.
        num_classes: K.
    """
    if rejection in EXPLAINED_BY_LENGTH and num_probs != num_classes:
        return RejectionReason.WRONG_LENGTH
    return rejection


def find_final_reasons(block: Block, num_classes: int) -> Int8s:
    """Find why each row of a block is rejected once K is known: (n,) codes, 0 for an accepted row."""
    codes = np.zeros(len(block), dtype=np.int8) if block.rejection is None else block.rejection.copy()
    has_wrong_length = np.isin(codes, EXPLAINED_BY_LENGTH) & (block.num_probs != num_classes)
    codes[has_wrong_length] = RejectionReason.WRONG_LENGTH
    return codes


@dataclass(frozen=True)
class RejectedRows:
    """Function of batches of input rows: those that are rejected, with the reason and the row as JSON.

    Attributes:
        make_block: makes a block of a batch.
        num_classes: K.
        columns: id columns, reason and row.
        id_columns: names of the id columns in the input.
    """

    make_block: Callable[[pa.RecordBatch], Block]
    num_classes: int
    columns: Sequence[str]
    id_columns: Sequence[str]

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Find the rejected rows of a Spark task."""
        for batch in batches:
            block = self.make_block(batch)
            codes = find_final_reasons(block, self.num_classes)
            is_rejected = codes > 0
            further = {
                c.REASON: explain_codes(codes[is_rejected], self.id_columns),
                c.ROW: batch.column(c.ROW).filter(pa.array(is_rejected)),
            }
            yield block.to_batch(is_rejected, self.columns, further)


def explain_codes(codes: Int8s, id_columns: Sequence[str]) -> pa.Array:
    """Write the reasons of rejected rows as results show them.

    Args:
        codes: (m,) codes, as `explain_rejection` takes them.
        id_columns: names of the id columns in the input.
    """
    found, of_row = np.unique(codes, return_inverse=True)
    texts = [explain_rejection(code, id_columns) for code in found.tolist()]
    return pa.array(texts, pa.string()).take(pa.array(of_row))


def read_rejected_rows(
    predictions: Predictions, find: ArrowFunction | None, repeated_ids: DataFrame | None
) -> DataFrame:
    """Read the rejected rows of a table, by a scan.

    Args:
        predictions: the table.
        find: makes id columns, reason and row of the rejected rows among batches of input rows; None if there
            are none.
        repeated_ids: ids of several rows; None if there are none.

    Returns:
        Id columns, reason, and the row as JSON.
    """
    schema = ddl({**predictions.id_types, c.REASON: "string", c.ROW: "string"})
    if find is None:
        rows = predictions.df.sparkSession.createDataFrame([], schema)
    else:
        rows = map_in_arrow(predictions.select_rows(repeated_ids, with_json=True), find, schema)
    return rows.select(*predictions.restore_ids(), c.REASON, c.ROW)
