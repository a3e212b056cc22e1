"""Batches of input rows, and the blocks that are built of them, without Spark."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from cl_spark.evidence.block_builder import BlockBuilder
from cl_spark.evidence.blocks import Block
from cl_spark.evidence.prob_formats import DenseProbs
from cl_spark.kernels.row_evidence import ListingPolicy
from cl_spark.tables import columns as c

BUILDER = BlockBuilder(
    prob_format=DenseProbs("double"), class_names=None, ids=("_id_0",), slices=(), policy=ListingPolicy()
)


def batch(
    rows: Sequence[tuple[Any, Any, Any]], probs_type: pa.DataType | None = None, **more: pa.Array
) -> pa.RecordBatch:
    """A batch of (id, label, probabilities), with further columns."""
    ids, labels, probs = zip(*rows, strict=True) if rows else ((), (), ())
    label_type = pa.string() if any(isinstance(label, str) for label in labels) else pa.int64()
    columns = {
        "_id_0": pa.array(ids, pa.int64()),
        c.LABEL: pa.array(labels, label_type),
        c.PROBS: pa.array(probs, probs_type or pa.list_(pa.float64())),
    }
    return pa.RecordBatch.from_pydict(columns | more)


def block(rows: Sequence[tuple[Any, Any, Any]], builder: BlockBuilder = BUILDER) -> Block:
    """The block of some rows."""
    return builder(batch(rows))
