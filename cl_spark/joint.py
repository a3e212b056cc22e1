"""Stage 2: the confident class of each row, and the confident joint that counts them (JAIR 2021, equation 1)."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from cl_spark import columns as c
from cl_spark.arrays import with_array_columns
from cl_spark.cells import CellTable
from cl_spark.kernels import EPS
from cl_spark.kernels.calibration import DENSE_CLASSES, calibrated, scaled_total
from cl_spark.kernels.confident import NO_CLASS, confident_class
from cl_spark.layouts import Layout
from cl_spark.predictions import is_example, suspect

AMBIGUOUS = -2
"""Confident class of a row that the evidence cannot settle: its array must be looked at."""

LISTED = -3
"""Confident class of a row that its runners-up settle: `contenders` tells of which class, if any."""


def with_confident_class(rows: DataFrame, thresholds: NDArray[np.float64]) -> DataFrame:
    """Rows of the evidence with their confident class as far as their own columns tell it: a class, -1 for none, or a code.

    Why that is exact. If ``max_prob`` reaches the threshold of `predicted` (less the slack), `predicted` is in the row's
    confident set: alone, it is the class; among several, the rule takes the row's argmax, which it is. Else `predicted` is
    not in it. If even ``max_prob`` is below every threshold, no class is. If classes below the row's bar are below every
    threshold too, only its runners-up can be (`LISTED`). Otherwise the array tells (`AMBIGUOUS`).
    """
    best, lowest = F.col(c.MAX_PROB).cast("double"), F.lit(float(thresholds.min()) - EPS)
    reached = with_reaches(rows, c.MAX_PROB, c.PREDICTED, thresholds, "_reached")
    return reached.withColumn(
        c.CONFIDENT,
        F.when(F.col("_reached"), F.col(c.PREDICTED))
        .when(best < lowest, F.lit(NO_CLASS))
        .when(F.col(c.BAR).cast("double") < lowest, F.lit(LISTED))
        .otherwise(F.lit(AMBIGUOUS)),
    ).drop("_reached")


def with_reaches(rows: DataFrame, value: str, index: str, thresholds: NDArray[np.float64], name: str) -> DataFrame:
    """The rows with whether a value reaches the confident threshold of a class, less the slack.

    Up to `DENSE_CLASSES` the thresholds are one literal, folded to a constant: no join, and no plan of K nodes. Plans that
    carried more of them would be too large to print.
    """
    least = np.minimum(thresholds - EPS, np.finfo(np.float64).max)  # JSON knows no infinity; no score reaches this
    probability = F.col(value).cast("double")
    if len(thresholds) <= DENSE_CLASSES:
        table = F.from_json(F.lit(json.dumps(least.tolist())), "array<double>")
        return rows.withColumn(name, probability >= F.get(table, F.col(index)))
    frame = pd.DataFrame({index: np.arange(len(least), dtype=np.int32), "_least": least})
    classes = F.broadcast(rows.sparkSession.createDataFrame(frame))
    return rows.join(classes, index).withColumn(name, probability >= F.col("_least")).drop("_least")


def contenders(evidence: DataFrame, thresholds: NDArray[np.float64], ids: Sequence[str]) -> DataFrame:
    """The `LISTED` rows that are confident of a class, with that class, and their second highest probability.

    They are those with runners-up that reach their thresholds: one is the class, of several the argmax decides, `predicted`.
    """
    rows = with_confident_class(evidence.where(~is_example()), thresholds).where(F.col(c.CONFIDENT) == LISTED)
    rows, reached = with_reaches(rows, c.VALUE, c.ENTRY, thresholds, "_member"), F.col("_member")
    keys = [*ids, c.GIVEN, c.PREDICTED, c.SELF, c.MAX_PROB]
    members = F.sum(reached.cast("int"))
    return (
        rows.groupBy(*keys)
        .agg(
            F.when(members == 1, F.max(F.when(reached, F.col(c.ENTRY)))).when(members > 1, F.col(c.PREDICTED)).alias(c.CONFIDENT),
            F.max(c.VALUE).alias(c.SECOND),
        )
        .where(F.col(c.CONFIDENT).isNotNull())
    )


def examined(rows: DataFrame, layout: Layout, thresholds: NDArray[np.float64]) -> DataFrame:
    """The rows with their confident class and second highest probability read from their arrays, which are dropped."""

    def kernel(_: NDArray[np.int32], probs: NDArray[np.float64]) -> list[NDArray[Any]]:
        return [confident_class(probs, thresholds), np.partition(probs, -2, axis=1)[:, -2]]

    columns = {c.CONFIDENT: "int", c.SECOND: layout.element}
    return with_array_columns(rows.drop(c.CONFIDENT), layout, len(thresholds), columns, kernel)


def counted_cells(rows: DataFrame) -> DataFrame:
    """How many rows there are of each given class, confident class, and whether the row is a suspect and has its array."""
    array = F.col(c.PROBS).isNotNull() if c.PROBS in rows.columns else F.lit(False)
    kinds = rows.withColumn("_suspect", suspect()).withColumn("_array", array)
    return kinds.groupBy(c.GIVEN, c.CONFIDENT, "_suspect", "_array").agg(F.count(F.lit(1)).alias(c.COUNT))


def is_off_diagonal() -> Column:
    """Whether a row is confidently of another class than its given label."""
    return (F.col(c.CONFIDENT) >= 0) & (F.col(c.CONFIDENT) != F.col(c.GIVEN))


@dataclass(frozen=True)
class ConfidentJoint:
    """The confident joint as counted, and what follows from it by arithmetic on its cells alone.

    Attributes:
        counted: examples by (given, confident, whether a suspect), as `counted_cells` gives them, none ambiguous.
        class_counts: (K,) examples per given label.
        keep: keeps what tables on the cluster are made of.
    """

    counted: CellTable
    class_counts: NDArray[np.int64]
    keep: Callable[[DataFrame], DataFrame]

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
        return self.cells.merged(ones, [c.GIVEN, c.TRUE], c.COUNT, "max").kept(self.keep)

    @cached_property
    def calibrated(self) -> CellTable:
        """The confident joint scaled so that each given class sums to its number of examples."""
        return calibrated_cells(self.raised, self.class_counts).kept(self.keep)

    @cached_property
    def joint(self) -> CellTable:
        """Calibrated once more, as the estimate of the joint distribution is defined; divide by n for probabilities."""
        return calibrated_cells(self.calibrated, self.class_counts).kept(self.keep)

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
    if isinstance(cells.frame, pd.DataFrame) and cells.num_classes <= DENSE_CLASSES:
        frame = cells.frame
        total = scaled_total(frame[c.GIVEN].to_numpy(), frame[c.TRUE].to_numpy(), frame[c.COUNT].to_numpy(), class_counts)
    else:
        total = float(class_counts.sum())

    return cells.from_counts(partial(calibrated, class_counts=class_counts, total=total), c.COUNT)


def from_dense(spark: SparkSession, joint: NDArray[np.integer]) -> CellTable:
    """A caller's K×K confident joint as cells."""
    given, true = np.nonzero(joint)
    frame = pd.DataFrame({c.GIVEN: given, c.TRUE: true, c.COUNT: joint[given, true].astype(np.int64)})
    return CellTable(spark, len(joint), frame)
