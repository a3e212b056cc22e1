"""Stage 2: the confident class of each row, and the confident joint that counts them (JAIR 2021, equation 1)."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np
import pandas as pd
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from cl_spark.classification.cells import CellTable
from cl_spark.evidence.blocks import Block, Source
from cl_spark.evidence.prob_formats import ProbFormat, map_rows
from cl_spark.kernels import EPS
from cl_spark.kernels.arrays import Float64s, Int32s, Int64s, Ints
from cl_spark.kernels.calibration import DENSE_CLASSES, calibrated, scaled_total
from cl_spark.kernels.confident_class import NO_CLASS, confident_class
from cl_spark.kernels.key_counts import count_keys
from cl_spark.tables import columns as c

UNSETTLED = -2
"""Confident class of a row that the evidence cannot settle: its array must be looked at."""


def find_confident_classes(block: Block, thresholds: Float64s, prob_format: ProbFormat) -> Int32s:
    """The confident class of each row of the evidence, -1 for none, or `UNSETTLED`.

    Why that is exact. If the highest probability reaches the threshold of the predicted class (less the slack), that is in the
    row's confident set: alone, it is the class; among several, the rule takes the row's argmax, which it is. Else it is
    not in it. If even the highest is below every threshold, no class is. If classes below the row's bar are below every
    threshold too, only those listed can be: one that reaches its threshold is the class, of several the argmax decides.
    Otherwise the array tells, where it is at hand.
    """
    if block.confident is not None:
        return block.confident
    least, lowest = thresholds - EPS, float(thresholds.min()) - EPS
    max_prob = block.max_prob.astype(np.float64)
    found = np.where(max_prob >= least[block.predicted], block.predicted, UNSETTLED).astype(np.int32)
    open_rows = found == UNSETTLED
    settled = open_rows & ((max_prob < lowest) | (block.unlisted_max_prob.astype(np.float64) < lowest))
    found[settled] = NO_CLASS
    entries = block.listed
    member = settled[entries.row] & (entries.prob.astype(np.float64) >= least[entries.class_index])
    row, of_class = entries.row[member], entries.class_index[member]
    found[row] = of_class
    several = np.bincount(row, minlength=len(block)) > 1
    found[several] = block.predicted[several]
    if (kept := block.parts.kept) is not None:
        asked = np.flatnonzero(found[kept.rows] == UNSETTLED)
        found[kept.rows[asked]] = find_confident_in_arrays(
            kept.arrays.take(pa.array(asked)), thresholds, prob_format
        )
    return found


def find_confident_in_arrays(arrays: pa.Array, thresholds: Float64s, prob_format: ProbFormat) -> Int32s:
    """The confident class of each row whose array is given."""
    return map_rows(prob_format, arrays, len(thresholds), lambda _, probs: confident_class(probs, thresholds))


def count_cells(
    source: Source, thresholds: Float64s, prob_format: ProbFormat, parts: Sequence[str]
) -> DataFrame:
    """How many rows of the evidence there are of each given class, confident class, and whether the row is a suspect."""
    kinds = len(thresholds) - UNSETTLED

    def keys(block: Block) -> Int64s:
        confident = find_confident_classes(block, thresholds, prob_format).astype(np.int64) - UNSETTLED
        return np.asarray((block.given.astype(np.int64) * kinds + confident) * 2 + block.suspects)

    def kernel(blocks: Iterator[Block]) -> Iterator[pa.RecordBatch]:
        key, rows = count_keys(map(keys, blocks))
        pair, is_suspect = np.divmod(key, 2)
        given, confident = np.divmod(pair, kinds)
        columns = [given, confident + UNSETTLED, is_suspect.astype(bool), rows]
        yield pa.RecordBatch.from_arrays(
            list(map(pa.array, columns)), names=[c.GIVEN, c.CONFIDENT, "_suspect", c.COUNT]
        )

    schema = f"{c.GIVEN} bigint, {c.CONFIDENT} bigint, _suspect boolean, {c.COUNT} bigint"
    found = source(kernel, schema, parts)
    return found.groupBy(c.GIVEN, c.CONFIDENT, "_suspect").agg(F.sum(c.COUNT).alias(c.COUNT))


@dataclass(frozen=True)
class ConfidentJoint:
    """The confident joint as counted, and what follows from it by arithmetic on its cells alone.

    Attributes:
        counted: examples by (given, confident, whether a suspect), as `counted_cells` gives them, none ambiguous.
        class_counts: (K,) examples per given label.
        persist: persists what tables on the cluster are made of.
    """

    counted: CellTable
    class_counts: Int64s
    persist: Callable[[DataFrame], DataFrame]

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
        return self.cells.merged(ones, [c.GIVEN, c.TRUE], c.COUNT, "max").persisted(self.persist)

    @cached_property
    def calibrated(self) -> CellTable:
        """The confident joint scaled so that each given class sums to its number of examples."""
        return calibrate_cells(self.raised, self.class_counts).persisted(self.persist)

    @cached_property
    def joint(self) -> CellTable:
        """Calibrated once more, as the estimate of the joint distribution is defined; divide by n for probabilities."""
        return calibrate_cells(self.calibrated, self.class_counts).persisted(self.persist)

    def num_issues(self, estimation_method: str, custom: CellTable | None = None) -> int:
        """The estimated number of label issues (SEMANTICS 3); `custom` is the joint for "off_diagonal_custom"."""
        examples = int(self.class_counts.sum())
        if estimation_method == "off_diagonal":
            off = f"_suspect and {c.CONFIDENT} >= 0 and {c.CONFIDENT} != {c.GIVEN}"
            return self.counted.where(off).total(c.COUNT)
        if estimation_method == "off_diagonal_fraction":
            total, misplaced = _total_and_off(self.cells)
            return examples * misplaced // total if total else 0
        joint = self.joint if custom is None else calibrate_cells(custom, self.class_counts)
        total, misplaced = _total_and_off(joint)
        return round(misplaced / total * examples)


def _total_and_off(cells: CellTable) -> tuple[int, int]:
    return cells.total(c.COUNT), cells.where(f"{c.GIVEN} != {c.TRUE}").total(c.COUNT)


def calibrate_cells(cells: CellTable, class_counts: Int64s) -> CellTable:
    """A joint of counts, calibrated: each given class's cells scaled to its examples and rounded (SEMANTICS 3)."""
    if isinstance(cells.frame, pd.DataFrame) and cells.num_classes <= DENSE_CLASSES:
        frame = cells.frame
        total = scaled_total(
            frame[c.GIVEN].to_numpy(), frame[c.TRUE].to_numpy(), frame[c.COUNT].to_numpy(), class_counts
        )
    else:
        total = float(class_counts.sum())

    return cells.from_counts(partial(calibrated, class_counts=class_counts, total=total), c.COUNT)


def from_dense(spark: SparkSession, joint: Ints) -> CellTable:
    """A caller's K×K confident joint as cells."""
    given, true = np.nonzero(joint)
    frame = pd.DataFrame({c.GIVEN: given, c.TRUE: true, c.COUNT: joint[given, true].astype(np.int64)})
    return CellTable(spark, len(joint), frame)
