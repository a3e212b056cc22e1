"""Where arrays cross to Python: numpy kernels over Arrow batches, for the few rows or scores that truly need them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame

from cl_spark import columns as c
from cl_spark.layouts import Layout

VALUES_AT_ONCE = 2**21
"""Probabilities a kernel is given at once: 16 MiB as doubles, so memory is bounded whatever K and the batch size are."""

ArrayKernel = Callable[[NDArray[np.int32], NDArray[np.float64]], Sequence[NDArray[Any]]]
"""(labels (n,), pred_probs (n, K) as doubles) -> (n,) values of each new column."""


def with_array_columns(
    rows: DataFrame, layout: Layout, num_classes: int, columns: Mapping[str, str], kernel: ArrayKernel
) -> DataFrame:
    """The rows with more columns (names and types), computed from given class and array by a kernel, and without the array.

    The rows must be accepted ones that carry their array: all of length K, without nulls.
    """
    arrow_types = [{"int": pa.int32(), "float": pa.float32(), "double": pa.float64()}[ddl] for ddl in columns.values()]
    step = max(VALUES_AT_ONCE // num_classes, 1)
    kept = [field for field in rows.schema.fields if field.name != c.PROBS]
    names, new = [field.name for field in kept], list(columns)

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
            made = [
                pa.array(np.concatenate(part), type=kind)
                for part, kind in zip(zip(*parts, strict=True), arrow_types, strict=True)
            ]
            yield pa.RecordBatch.from_arrays([*map(batch.column, names), *made], names=[*names, *new])

    types = {field.name: field.dataType.simpleString() for field in kept} | dict(columns)
    return rows.mapInArrow(batches, ", ".join(f"`{name}` {ddl}" for name, ddl in types.items()))
