"""A sparse K×K table of cells (given class, true class), on the driver or spread over the cluster."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pandas as pd
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import DoubleType

from cl_spark.kernels.arrays import Float64s, Int64s
from cl_spark.tables import columns as c

DRIVER_CELLS = 4_000_000
"""Non-zero cells up to which a table lives on the driver, whatever K is; else it stays on the cluster."""

PART_CELLS = 4_000_000
"""Cells of a table on the cluster that are brought to the driver at a time."""

CELLS_PER_PARTITION = 500_000
"""Cells from the driver per partition: few cells make one, which is grouped and sorted without a shuffle."""

GIVEN_CLASS_GROUPS = 256
"""Groups of whole given classes into which a table on the cluster is cut for a kernel."""

CellKernel = Callable[[pd.DataFrame], pd.DataFrame]
"""Cells of whole given classes, sorted by (given, true) -> the cells made of them."""

CountKernel = Callable[[Int64s, Int64s, Int64s], tuple[Int64s, Int64s, Int64s]]
"""(given, true, count) of cells of whole given classes -> (given, true, value) of the cells made of them."""


@dataclass(frozen=True)
class CellTable:
    """Cells of a K×K table, one row per cell: given class, true class, and value columns.

    A kernel is a function of pandas frames, and the same one wherever the cells are.

    Attributes:
        spark: the session.
        num_classes: K.
        frame: the cells: a pandas frame on the driver, or a Spark DataFrame on the cluster.
    """

    spark: SparkSession
    num_classes: int
    frame: pd.DataFrame | DataFrame

    def map_given_classes(self, kernel: CellKernel, schema: str) -> "CellTable":
        """Apply a kernel to all cells, whole given classes at a time.

        Args:
            kernel: makes cells of cells.
            schema: the columns it makes, as Spark reads them.
        """
        frame = self.frame
        if isinstance(frame, pd.DataFrame):
            return replace(self, frame=apply_to_sorted(frame, kernel=kernel))
        # A partial, because Spark counts the arguments of what it is given: one is the cells, two are (key,
        # cells). Spark also asks it for type hints, which a partial must be given to have.
        sorted_kernel = partial(apply_to_sorted, kernel=kernel)
        sorted_kernel.__annotations__ = {}
        groups = frame.groupBy(F.pmod(c.GIVEN, F.lit(GIVEN_CLASS_GROUPS)))
        return replace(self, frame=groups.applyInPandas(sorted_kernel, schema))

    def map_counts(self, kernel: CountKernel, value: str) -> "CellTable":
        """Apply a kernel of arrays to the counts of all cells; `value` names the column that it makes."""
        schema = f"{c.GIVEN} long, {c.TRUE} long, {value} long"
        return self.map_given_classes(partial(apply_to_counts, kernel=kernel, value=value), schema)

    def merge(self, other: "CellTable", keys: Sequence[str], value: str, how: str = "sum") -> "CellTable":
        """Merge the cells of two tables into one per key.

        Args:
            other: a table with the same columns.
            keys: columns that tell cells apart.
            value: the column whose values are merged.
            how: "sum" or "max".
        """
        ours, theirs = self.frame, other.frame
        if isinstance(ours, pd.DataFrame) and isinstance(theirs, pd.DataFrame):
            parts = [part for part in (ours, theirs) if len(part)] or [ours]
            cells = pd.concat(parts, ignore_index=True)
            return replace(
                self, frame=pd.DataFrame(cells.groupby(list(keys), as_index=False)[value].agg(how))
            )
        first, second = self.to_spark(), other.to_spark()
        merged = first.unionByName(second.select(*first.columns)).groupBy(*keys)
        return replace(self, frame=merged.agg(F.expr(f"{how}({value})").alias(value)))

    def join_columns(self, other: "CellTable", keys: Sequence[str]) -> "CellTable":
        """Add the value columns of another table, null where it lacks the cell."""
        ours, theirs = self.frame, other.frame
        if isinstance(ours, pd.DataFrame) and isinstance(theirs, pd.DataFrame):
            return replace(self, frame=ours.merge(theirs, "left", list(keys)))
        return replace(self, frame=self.to_spark().join(other.to_spark(), list(keys), "left"))

    def where(self, condition: str) -> "CellTable":
        """Select the cells that meet a condition, in the words that pandas' `query` and SQL share."""
        frame = self.frame
        if isinstance(frame, pd.DataFrame):
            return replace(self, frame=frame.query(condition))
        return replace(self, frame=frame.where(condition))

    def rename(self, old: str, new: str) -> "CellTable":
        """Rename a column."""
        frame = self.frame
        if isinstance(frame, pd.DataFrame):
            return replace(self, frame=frame.rename(columns={old: new}))
        return replace(self, frame=frame.withColumnRenamed(old, new))

    def persist(self, persist: Callable[[DataFrame], DataFrame]) -> "CellTable":
        """Persist a table on the cluster, so that what it is made of is computed once."""
        if isinstance(self.frame, pd.DataFrame):
            return self
        return replace(self, frame=persist(self.frame))

    def iter_frames(self) -> Iterator[pd.DataFrame]:
        """Bring the cells to the driver, sorted by (given, true), in parts of whole given classes."""
        frame, keys = self.frame, [c.GIVEN, c.TRUE]
        if isinstance(frame, pd.DataFrame):
            yield frame.sort_values(keys, ignore_index=True)
            return
        num_parts = -(-frame.count() // PART_CELLS)
        for part in range(num_parts):
            cells = frame.where(F.pmod(c.GIVEN, F.lit(num_parts)) == part).toPandas()
            yield cells.sort_values(keys, ignore_index=True)

    def sum_values(self, value: str) -> int:
        """Sum a value column of whole numbers over all cells."""
        frame = self.frame
        if isinstance(frame, pd.DataFrame):
            return int(frame[value].sum())
        return int(frame.agg(F.coalesce(F.sum(value), F.lit(0))).collect()[0][0])

    def sum_by_class(self, by: str, value: str, *, diagonal: bool = False) -> Float64s:
        """Sum a value column by class.

        Args:
            by: the column of the class: given or true.
            value: the column to sum.
            diagonal: sum the diagonal cells only.

        Returns:
            (K,) sums, 0 for a class without cells.
        """
        frame = self.where(f"{c.GIVEN} == {c.TRUE}").frame if diagonal else self.frame
        if isinstance(frame, pd.DataFrame):
            sums = frame.groupby(by)[value].sum()
        else:
            # doubles would add up to other last digits in another order
            is_double = isinstance(frame.schema[value].dataType, DoubleType)
            summed = F.col(value).cast("decimal(38,18)") if is_double else F.col(value)
            sums = frame.groupBy(by).agg(F.sum(summed).alias(value)).toPandas().set_index(by)[value]
        totals = np.zeros(self.num_classes)
        totals[sums.index.to_numpy(dtype=np.int64)] = sums.to_numpy(dtype=np.float64)
        return totals

    def to_spark(self) -> DataFrame:
        """Convert the cells to a Spark DataFrame."""
        frame = self.frame
        if not isinstance(frame, pd.DataFrame):
            return frame
        types = {"f": "double", "b": "boolean"}
        schema = ", ".join(
            f"`{name}` {types.get(dtype.kind, 'long')}" for name, dtype in frame.dtypes.items()
        )
        return self.spark.createDataFrame(frame, schema).coalesce(1 + len(frame) // CELLS_PER_PARTITION)


def apply_to_sorted(cells: pd.DataFrame, *, kernel: CellKernel) -> pd.DataFrame:
    """Apply a kernel to cells sorted by (given, true): its sums must not depend on the order of the cells."""
    return kernel(cells.sort_values([c.GIVEN, c.TRUE], kind="stable", ignore_index=True))


def apply_to_counts(cells: pd.DataFrame, *, kernel: CountKernel, value: str) -> pd.DataFrame:
    """Apply a kernel of arrays to cells with counts; `value` names the column that it makes."""
    given, true, values = kernel(
        *(cells[name].to_numpy(dtype=np.int64) for name in (c.GIVEN, c.TRUE, c.COUNT))
    )
    return pd.DataFrame({c.GIVEN: given, c.TRUE: true, value: values})
