"""Sources of rows: the blocks of the evidence, or blocks with every array from another scan of the data."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame

from cl_spark.evidence.blocks import Block, Kernel
from cl_spark.evidence.packing import map_blocks
from cl_spark.evidence.predictions import Predictions
from cl_spark.evidence.workers import map_in_arrow
from cl_spark.kernels.arrays import Bools

Condition = Callable[[Block], Bools]
"""A block -> (n,) True where a row meets the condition."""


@dataclass(frozen=True)
class BlockSource:
    """Source of the accepted rows of packed blocks.

    Attributes:
        packed: rows of `packing.PACKED_SCHEMA`.
        num_classes: K.
    """

    packed: DataFrame
    num_classes: int

    def __call__(self, kernel: Kernel, schema: str, parts: Sequence[str]) -> DataFrame:
        """Map a kernel over the blocks; see `Source`."""
        return map_blocks(self.packed, kernel, schema, parts, self.num_classes)


@dataclass(frozen=True)
class ArraySource:
    """Source of the accepted rows with the array of every row: another scan of the data.

    Attributes:
        predictions: the table.
        repeated_ids: ids of several rows, whose rows are rejected; None if there are none.
        num_classes: K.
        of_classes: (K,) given classes whose rows are wanted; None for all.
    """

    predictions: Predictions
    repeated_ids: DataFrame | None
    num_classes: int
    of_classes: Bools | None

    def __call__(self, kernel: Kernel, schema: str, parts: Sequence[str]) -> DataFrame:
        """Map a kernel over the rows; see `Source`."""
        make_block = self.predictions.make_block_builder(keeps_all_arrays=True, given_classes=self.of_classes)
        on_batches = KernelOnBatches(make_block, kernel, self.num_classes)
        return map_in_arrow(self.predictions.select_rows(self.repeated_ids), on_batches, schema)


@dataclass(frozen=True)
class WantedSource:
    """Source of the accepted rows of some given classes, with the probabilities of some classes or the array:
    another scan of the data, which hands few arrays to Python.

    Attributes:
        predictions: the table.
        repeated_ids: ids of several rows, whose rows are rejected; None if there are none.
        num_classes: K.
        wanted: given class -> classes whose probabilities are wanted of its rows.
    """

    predictions: Predictions
    repeated_ids: DataFrame | None
    num_classes: int
    wanted: Mapping[int, Sequence[int]]

    def __call__(self, kernel: Kernel, schema: str, parts: Sequence[str]) -> DataFrame:
        """Map a kernel over the rows; see `Source`."""
        rows = self.predictions.select_wanted(self.wanted, self.num_classes, self.repeated_ids)
        make_block = self.predictions.make_block_builder(keeps_all_arrays=True)
        return map_in_arrow(rows, KernelOnBatches(make_block, kernel, self.num_classes), schema)


@dataclass(frozen=True)
class KernelOnBatches:
    """A kernel of blocks as a function of batches of input rows, of which it gets the accepted ones.

    Attributes:
        make_block: makes a block of a batch.
        kernel: the kernel.
        num_classes: K.
    """

    make_block: Callable[[pa.RecordBatch], Block]
    kernel: Kernel
    num_classes: int

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Make blocks of the batches of a Spark task, and apply the kernel."""
        return self.kernel(self.make_block(batch).accepted(self.num_classes) for batch in batches)


@dataclass(frozen=True)
class SelectedRows:
    """Kernel: columns of the rows that meet a condition, or of all rows."""

    columns: Sequence[str]
    condition: Condition | None = None

    def __call__(self, blocks: Iterator[Block]) -> Iterator[pa.RecordBatch]:
        """Select the rows of a Spark task."""
        for block in blocks:
            rows = np.arange(len(block)) if self.condition is None else self.condition(block)
            yield block.to_batch(rows, self.columns)
