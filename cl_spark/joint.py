"""Stage 2: the confident class of each row, and the confident joint that counts them (JAIR 2021, equation 1)."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from cl_spark import columns as c
from cl_spark.arrays import with_array_column
from cl_spark.cells import DRIVER_CLASSES, CellTable
from cl_spark.kernels import EPS
from cl_spark.kernels.calibration import calibrated, scaled_total
from cl_spark.kernels.confident import NO_CLASS, confident_class
from cl_spark.predictions import suspect

AMBIGUOUS = -2
"""Confident class of a row that its scalars cannot settle: its array must be looked at."""


def with_confident_class(rows: DataFrame, thresholds: NDArray[np.float64]) -> DataFrame:
    """The rows with their confident class as far as scalars tell it: a class, -1 for none, -2 where it is `AMBIGUOUS`.

    Why that is exact. If ``max_prob`` reaches the threshold of `predicted` (less the slack), `predicted` is in the row's
    confident set: alone, it is the class; among several, the rule takes the row's argmax, which it is. Else `predicted` is
    not in it. If the second highest value is below every threshold, no class is. If only the third highest is, the set
    holds at most the second's class, which its own threshold decides. Otherwise the array does.
    """
    table = pd.DataFrame({"_class": np.arange(len(thresholds), dtype=np.int32), "_threshold": thresholds})
    own = rows.sparkSession.createDataFrame(table)
    first = own.withColumnsRenamed({"_class": c.PREDICTED, "_threshold": "_first"})
    other = own.withColumnsRenamed({"_class": "_contender", "_threshold": "_other"})
    best, second, third = (F.col(name).cast("double") for name in (c.MAX_PROB, c.SECOND, c.THIRD))
    lowest = F.lit(float(thresholds.min()) - EPS)
    return (
        rows.join(F.broadcast(first), c.PREDICTED)
        .withColumn("_sure", best >= F.col("_first") - F.lit(EPS))
        .withColumn("_contender", F.when(~F.col("_sure") & (second >= lowest), F.col(c.SECOND_CLASS)))
        .join(F.broadcast(other), "_contender", "left")
        .withColumn(
            c.CONFIDENT,
            F.when(F.col("_sure"), F.col(c.PREDICTED))
            .when(second < lowest, F.lit(NO_CLASS))
            .when(
                F.col("_contender").isNotNull() & (third.isNull() | (third < lowest)),
                F.when(second >= F.col("_other") - F.lit(EPS), F.col("_contender")).otherwise(F.lit(NO_CLASS)),
            )
            .otherwise(F.lit(AMBIGUOUS)),
        )
        .drop("_sure", "_first", "_contender", "_other")
    )


def examined(rows: DataFrame, thresholds: NDArray[np.float64]) -> DataFrame:
    """The rows with their confident class read from their arrays, which are dropped."""
    return with_array_column(
        rows.drop(c.CONFIDENT), c.CONFIDENT, "int", lambda labels, probs: confident_class(probs, thresholds)
    ).drop(c.PROBS)


def counted_cells(rows: DataFrame) -> DataFrame:
    """How many rows there are of each given class, confident class, and whether the row is a suspect."""
    return rows.withColumn("_suspect", suspect()).groupBy(c.GIVEN, c.CONFIDENT, "_suspect").agg(F.count(F.lit(1)).alias(c.COUNT))


def is_off_diagonal() -> Column:
    """Whether a row is confidently of another class than its given label."""
    return (F.col(c.CONFIDENT) != F.lit(NO_CLASS)) & (F.col(c.CONFIDENT) != F.col(c.GIVEN))


@dataclass(frozen=True)
class ConfidentJoint:
    """The confident joint as counted, and what follows from it by arithmetic on its cells alone.

    Attributes:
        counted: examples by (given, confident, whether a suspect), as `counted_cells` gives them, none ambiguous.
        class_counts: (K,) examples per given label.
    """

    counted: CellTable
    class_counts: NDArray[np.int64]

    @cached_property
    def cells(self) -> CellTable:
        """Counts by (given, true) before the diagonal is raised; zero cells are absent."""
        confident = self.counted.where(f"{c.CONFIDENT} >= 0").renamed(c.CONFIDENT, c.TRUE)
        empty = replace(confident, frame=pd.DataFrame({c.GIVEN: [], c.TRUE: [], c.COUNT: []}, dtype=np.int64))
        return empty.merged(confident, [c.GIVEN, c.TRUE], c.COUNT)

    @cached_property
    def raised(self) -> CellTable:
        """The counts with every diagonal cell at least 1, so that no class vanishes."""
        every = np.arange(len(self.class_counts))
        ones = replace(self.cells, frame=pd.DataFrame({c.GIVEN: every, c.TRUE: every, c.COUNT: 1}))
        return self.cells.merged(ones, [c.GIVEN, c.TRUE], c.COUNT, "max")

    @cached_property
    def calibrated(self) -> CellTable:
        """The confident joint scaled so that each given class sums to its number of examples."""
        return calibrated_cells(self.raised, self.class_counts)

    @cached_property
    def joint(self) -> CellTable:
        """Calibrated once more, as the estimate of the joint distribution is defined; divide by n for probabilities."""
        return calibrated_cells(self.calibrated, self.class_counts)

    def num_issues(self, estimation_method: str, custom: CellTable | None = None) -> int:
        """The estimated number of label issues (SEMANTICS 3); `custom` is the joint for "off_diagonal_custom"."""
        examples = int(self.class_counts.sum())
        if estimation_method == "off_diagonal":
            off = f"_suspect and {c.CONFIDENT} >= 0 and {c.CONFIDENT} != {c.GIVEN}"
            return self.counted.where(off).total(c.COUNT)
        if estimation_method == "off_diagonal_fraction":
            total, misplaced = _total_and_off(self.cells)
            return examples * misplaced // total if total else 0
        joint = self.joint if custom is None else calibrated_cells(custom, self.class_counts)
        total, misplaced = _total_and_off(joint)
        return round(misplaced / total * examples)


def _total_and_off(cells: CellTable) -> tuple[int, int]:
    return cells.total(c.COUNT), cells.where(f"{c.GIVEN} != {c.TRUE}").total(c.COUNT)


def calibrated_cells(cells: CellTable, class_counts: NDArray[np.int64]) -> CellTable:
    """A joint of counts, calibrated: each given class's cells scaled to its examples and rounded (SEMANTICS 3)."""
    if isinstance(cells.frame, pd.DataFrame):
        frame = cells.frame
        total = scaled_total(frame[c.GIVEN].to_numpy(), frame[c.TRUE].to_numpy(), frame[c.COUNT].to_numpy(), class_counts)
    else:
        total = float(class_counts.sum())

    def kernel(frame: pd.DataFrame) -> pd.DataFrame:
        given, true, count = calibrated(
            frame[c.GIVEN].to_numpy(dtype=np.int64),
            frame[c.TRUE].to_numpy(dtype=np.int64),
            frame[c.COUNT].to_numpy(dtype=np.int64),
            class_counts,
            total,
        )
        return pd.DataFrame({c.GIVEN: given, c.TRUE: true, c.COUNT: count})

    return cells.per_given_class(kernel, f"{c.GIVEN} long, {c.TRUE} long, {c.COUNT} long")


def from_dense(spark: SparkSession, joint: NDArray[np.integer]) -> CellTable:
    """A caller's K×K confident joint as cells."""
    given, true = np.nonzero(joint)
    frame = pd.DataFrame({c.GIVEN: given, c.TRUE: true, c.COUNT: joint[given, true].astype(np.int64)})
    return CellTable(spark, len(joint), frame if len(joint) <= DRIVER_CLASSES else spark.createDataFrame(frame))
