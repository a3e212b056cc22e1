"""Where arrays cross to Python: numpy kernels over Arrow batches, for the few rows or scores that truly need them."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame

from cl_spark import columns as c
from cl_spark.layouts import Layout

VALUES_AT_ONCE = 2**21
"""Probabilities a kernel is given at once: 16 MiB as doubles, so memory is bounded whatever K and the batch size are."""

ArrayKernel = Callable[[NDArray[np.int32], NDArray[np.float64]], NDArray[Any]]
"""(labels (n,), pred_probs (n, K) as doubles) -> (n,) values."""


def with_array_column(rows: DataFrame, layout: Layout, num_classes: int, name: str, ddl: str, kernel: ArrayKernel) -> DataFrame:
    """The rows with one more column, computed from given class and array by a numpy kernel, and without the array.

    The rows must be accepted ones that carry their array: all of length K, without nulls.
    """
    arrow_type = {"int": pa.int32(), "double": pa.float64()}[ddl]

    step = max(VALUES_AT_ONCE // num_classes, 1)
    kept = [field for field in rows.schema.fields if field.name != c.PROBS]
    names = [field.name for field in kept]

    def batches(source: Iterable[pa.RecordBatch]) -> Iterable[pa.RecordBatch]:
        for batch in source:
            if batch.num_rows == 0:
                continue
            probs = batch.column(c.PROBS)
            labels = batch.column(c.GIVEN).to_numpy(zero_copy_only=False)
            parts = [
                kernel(labels[start : start + step], layout.matrix(probs.slice(start, step), num_classes).astype(np.float64))
                for start in range(0, batch.num_rows, step)
            ]
            column = pa.array(np.concatenate(parts), type=arrow_type)
            yield pa.RecordBatch.from_arrays([*map(batch.column, names), column], names=[*names, name])

    schema = ", ".join(f"`{field.name}` {field.dataType.simpleString()}" for field in kept)
    return rows.mapInArrow(batches, f"{schema}, `{name}` {ddl}")
