"""A sparse table over (given class, true class), small enough for the driver or spread over the cluster."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from cl_spark.kernels.arrays import Float64s, Int64s
from cl_spark.tables import columns as c

DRIVER_CELLS = 4_000_000
"""Up to so many non-zero cells a table lives on the driver, whatever K is; larger ones stay on the cluster."""

PART_CELLS = 4_000_000
"""So many cells of a larger table are worked on at a time."""

TASK_CELLS = 500_000
"""Cells from the driver that one task takes: of few, grouping and sorting shuffle nothing, and one file is written."""

GROUPS = 256
"""Into how many groups of whole given classes a table on the cluster is cut for a kernel."""

CellKernel = Callable[[pd.DataFrame], pd.DataFrame]


CountKernel = Callable[[Int64s, Int64s, Int64s], tuple[Int64s, Int64s, Int64s]]
"""(given, true, count) of the cells of whole given classes -> (given, true, value) of the cells that come of them."""


@dataclass(frozen=True)
class CellTable:
    """Cells of a K×K table, one row per cell: given class, true class, and value columns.

    A kernel is a function of pandas frames and is the same wherever the cells are.
    """

    spark: SparkSession
    num_classes: int
    frame: pd.DataFrame | DataFrame

    def per_given_class(self, kernel: CellKernel, schema: str) -> "CellTable":
        """The cells the kernel makes of all cells of whole given classes, sorted by (given, true)."""

        def sorted_kernel(cells: pd.DataFrame) -> pd.DataFrame:
            return kernel(cells.sort_values([c.GIVEN, c.TRUE], kind="stable", ignore_index=True))

        frame = self.frame
        if isinstance(frame, pd.DataFrame):
            return replace(self, frame=sorted_kernel(frame))
        return replace(
            self, frame=frame.groupBy(F.pmod(c.GIVEN, F.lit(GROUPS))).applyInPandas(sorted_kernel, schema)
        )

    def from_counts(self, kernel: CountKernel, value: str) -> "CellTable":
        """The cells, with a value, that a kernel of arrays makes of the counts."""

        def frames(cells: pd.DataFrame) -> pd.DataFrame:
            given, true, made = kernel(
                *[cells[name].to_numpy(dtype=np.int64) for name in (c.GIVEN, c.TRUE, c.COUNT)]
            )
            return pd.DataFrame({c.GIVEN: given, c.TRUE: true, value: made})

        return self.per_given_class(frames, f"{c.GIVEN} long, {c.TRUE} long, {value} long")

    def merged(self, others: "CellTable", keys: Sequence[str], value: str, how: str = "sum") -> "CellTable":
        """The cells of both tables, one per key, their values added up (or the largest taken)."""
        ours, theirs = self.frame, others.frame
        if isinstance(ours, pd.DataFrame) and isinstance(theirs, pd.DataFrame):
            both = pd.concat([part for part in (ours, theirs) if len(part)] or [ours], ignore_index=True)
            return replace(self, frame=pd.DataFrame(both.groupby(list(keys), as_index=False)[value].agg(how)))
        both_frames = self.dataframe().unionByName(others.dataframe().select(*self.dataframe().columns))
        return replace(self, frame=both_frames.groupBy(*keys).agg(F.expr(f"{how}({value})").alias(value)))

    def with_columns_of(self, others: "CellTable", keys: Sequence[str]) -> "CellTable":
        """The cells with the columns another table has for them, null where it lacks the cell."""
        ours, theirs = self.frame, others.frame
        if isinstance(ours, pd.DataFrame) and isinstance(theirs, pd.DataFrame):
            return replace(self, frame=ours.merge(theirs, "left", list(keys)))
        return replace(self, frame=self.dataframe().join(others.dataframe(), list(keys), "left"))

    def where(self, condition: str) -> "CellTable":
        """The cells that meet a condition, in the words pandas and SQL share."""
        frame = self.frame
        return replace(
            self, frame=frame.query(condition) if isinstance(frame, pd.DataFrame) else frame.where(condition)
        )

    def persisted(self, persist: Callable[[DataFrame], DataFrame]) -> "CellTable":
        """The table, computed once: where it is on the cluster, what it was made of is not asked for again."""
        return self if isinstance(self.frame, pd.DataFrame) else replace(self, frame=persist(self.frame))

    def frames(self) -> Iterator[pd.DataFrame]:
        """The cells on the driver, sorted by (given, true), in parts of whole given classes that fit there."""
        frame, keys = self.frame, [c.GIVEN, c.TRUE]
        if isinstance(frame, pd.DataFrame):
            yield frame.sort_values(keys, ignore_index=True)
            return
        parts = -(-frame.count() // PART_CELLS)
        for part in range(parts):
            yield (
                frame.where(F.pmod(c.GIVEN, F.lit(parts)) == part)
                .toPandas()
                .sort_values(keys, ignore_index=True)
            )

    def renamed(self, old: str, new: str) -> "CellTable":
        """The table with a column renamed."""
        frame = self.frame
        if isinstance(frame, pd.DataFrame):
            return replace(self, frame=frame.rename(columns={old: new}))
        return replace(self, frame=frame.withColumnRenamed(old, new))

    def total(self, value: str) -> int:
        """The sum of a value column of whole numbers over all cells."""
        frame = self.frame
        if isinstance(frame, pd.DataFrame):
            return int(frame[value].sum())
        return int(frame.agg(F.coalesce(F.sum(value), F.lit(0))).collect()[0][0])

    def totals(self, by: str, value: str, *, diagonal: bool = False) -> Float64s:
        """(K,) sums of a value column by given or true class, over all cells or the diagonal only."""
        frame = self.where(f"{c.GIVEN} == {c.TRUE}").frame if diagonal else self.frame
        if isinstance(frame, pd.DataFrame):
            sums = frame.groupby(by)[value].sum()
        else:
            sums = frame.groupBy(by).agg(F.sum(value).alias(value)).toPandas().set_index(by)[value]
        totals = np.zeros(self.num_classes)
        totals[sums.index.to_numpy(dtype=np.int64)] = sums.to_numpy(dtype=np.float64)
        return totals

    def dataframe(self) -> DataFrame:
        """The cells as a Spark DataFrame."""
        frame = self.frame
        if not isinstance(frame, pd.DataFrame):
            return frame
        kinds = {"f": "double", "b": "boolean"}
        ddl = ", ".join(f"`{name}` {kinds.get(dtype.kind, 'long')}" for name, dtype in frame.dtypes.items())
        return self.spark.createDataFrame(frame, ddl).coalesce(1 + len(frame) // TASK_CELLS)
