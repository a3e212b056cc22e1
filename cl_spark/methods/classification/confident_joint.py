"""Confident classes, and the confident joint that counts them (JAIR 2021, equation 1)."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import ArrayLike
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from cl_spark.errors import ConfigurationError
from cl_spark.evidence.blocks import Block, Source
from cl_spark.evidence.prob_formats import ProbFormat, map_rows
from cl_spark.kernels import EPS
from cl_spark.kernels.arrays import Bools, Float64s, Int32s, Int64s
from cl_spark.kernels.calibration import DENSE_CLASSES, calibrate, sum_scaled_cells
from cl_spark.kernels.confident_class import NO_CLASS, choose_confident_class
from cl_spark.kernels.key_counts import count_keys
from cl_spark.methods.classification.cells import CellTable
from cl_spark.tables import columns as c

ESTIMATION_METHODS = (
    "off_diagonal",
    "off_diagonal_calibrated",
    "off_diagonal_fraction",
    "off_diagonal_custom",
)
"""How the number of label issues is estimated; the last one needs a joint of the caller."""

UNSETTLED = -2
"""Confident class of a row that the evidence cannot settle: its array must be read."""

SHARE_UNITS = 2**52
"""Counts that stand for the shares of a caller's joint, as fine as a double tells them."""

SUSPECT = "_suspect"
"""Column of cells: whether their rows are suspects."""

PREDICTIONS = "_predictions"
"""Column of cells: how many rows have the class of the cell as predicted, not as confident class."""


def find_confident_classes(block: Block, thresholds: Float64s, prob_format: ProbFormat) -> Int32s:
    """Find the confident class of each row of a block (specification, section 2).

    Why this is exact. If the highest probability reaches the threshold of the predicted class (less the
    slack), that class is in the row's confident set: alone, it is the confident class; among several, the
    rule takes the argmax, which it is. Else it is not in the set. If even the highest probability is below
    every threshold, the set is empty. If the upper bound on unlisted classes is below every threshold, only
    listed classes can be in the set: one that reaches its threshold is the confident class, of several the
    argmax decides. Otherwise the whole array decides, where it is kept. The second highest probability bounds
    all other classes than the predicted one. Rows whose arrays stay in Spark have no other bound, so that it
    counts of all rows: a row that is read again, in Python, is settled or unsettled as it was.

    Args:
        block: with its listed classes; kept arrays are read where they are there.
        thresholds: (K,) confident thresholds.
        prob_format: of the kept arrays.

    Returns:
        (n,) class indices, `NO_CLASS` where the confident set is empty, `UNSETTLED` where the array is
        needed.
    """
    if block.confident is not None:
        return block.confident
    # a class is in the confident set from its floor on
    floors, lowest_floor = thresholds - EPS, float(thresholds.min()) - EPS
    max_prob, unlisted_max_prob = (
        probs.astype(np.float64)
        for probs in (block.max_prob, np.fmin(block.unlisted_max_prob, block.second_max_prob))
    )
    predicted_is_member = max_prob >= floors[block.predicted]
    confident = np.where(predicted_is_member, block.predicted, UNSETTLED).astype(np.int32)
    only_listed = (max_prob < lowest_floor) | (unlisted_max_prob < lowest_floor)
    decided_by_listed = ~predicted_is_member & only_listed
    confident[decided_by_listed] = NO_CLASS
    listed = block.listed
    is_member = decided_by_listed[listed.row] & (listed.prob.astype(np.float64) >= floors[listed.class_index])
    row, class_index = listed.row[is_member], listed.class_index[is_member]
    confident[row] = class_index
    has_several = np.bincount(row, minlength=len(block)) > 1
    confident[has_several] = block.predicted[has_several]
    if block.parts.kept is not None:
        kept = block.parts.kept
        unsettled = np.flatnonzero(confident[kept.rows] == UNSETTLED)
        confident[kept.rows[unsettled]] = find_confident_in_arrays(
            kept.arrays.take(pa.array(unsettled)), thresholds, prob_format
        )
    return confident


def find_confident_in_arrays(arrays: pa.Array, thresholds: Float64s, prob_format: ProbFormat) -> Int32s:
    """Find the confident class of each row from its whole array: (n,) class indices, or `NO_CLASS`."""
    return map_rows(prob_format, arrays, len(thresholds), ConfidentClassesOfRows(thresholds))


@dataclass(frozen=True)
class ConfidentClassesOfRows:
    """Kernel of `map_rows`: confident classes of rows of probabilities."""

    thresholds: Float64s

    def __call__(self, rows: slice, probs: Float64s) -> Int32s:
        """Find the confident classes of (m, K) probabilities."""
        return choose_confident_class(probs, self.thresholds)


@dataclass(frozen=True)
class OffDiagonal:
    """Condition on the rows of a block: their confident class is another one than their given label.

    Attributes:
        thresholds: (K,) confident thresholds.
        prob_format: of kept arrays.
        suspects_only: the row must be a suspect, too.
    """

    thresholds: Float64s
    prob_format: ProbFormat
    suspects_only: bool

    def __call__(self, block: Block) -> Bools:
        """Tell which rows of a block meet the condition."""
        confident = find_confident_classes(block, self.thresholds, self.prob_format)
        off_diagonal = (confident >= 0) & (confident != block.given)
        return np.asarray(off_diagonal & block.suspects if self.suspects_only else off_diagonal)


@dataclass(frozen=True)
class ConfidentCells:
    """Kernel: how many rows there are of each given class, confident class, and whether they are suspects.

    The rows are counted once more with their predicted class in the place of the confident one.
    """

    thresholds: Float64s
    prob_format: ProbFormat

    def __call__(self, blocks: Iterator[Block]) -> Iterator[pa.RecordBatch]:
        """Count the rows of a Spark task."""
        keys, counts = count_keys(map(self._key_rows, blocks))
        cells, kinds = np.divmod(keys, 8)
        given, confident = np.divmod(cells, self._num_confident)
        is_suspect, is_predicted, is_confident = ((kinds & bit) > 0 for bit in (1, 2, 4))
        columns = [given, confident + UNSETTLED, is_suspect, counts * is_confident, counts * is_predicted]
        yield pa.RecordBatch.from_arrays(
            list(map(pa.array, columns)), names=[c.GIVEN, c.CONFIDENT, SUSPECT, c.COUNT, PREDICTIONS]
        )

    @property
    def _num_confident(self) -> int:
        return len(self.thresholds) - UNSETTLED  # K classes, none, and unsettled

    def _key_rows(self, block: Block) -> Int64s:
        """Make a key of each row, and another of rows whose predicted class is not their confident class."""
        confident = find_confident_classes(block, self.thresholds, self.prob_format)
        is_both = confident == block.predicted
        keys = self._key_cells(block, confident) + np.where(is_both, 6, 4)
        others = self._key_cells(block, block.predicted)[~is_both] + 2
        return np.concatenate([keys, others])

    def _key_cells(self, block: Block, classes: Int32s) -> Int64s:
        place = classes.astype(np.int64) - UNSETTLED
        return np.asarray((block.given.astype(np.int64) * self._num_confident + place) * 8 + block.suspects)


def count_cells(
    source: Source,
    thresholds: Float64s,
    prob_format: ProbFormat,
    parts: Sequence[str],
    num_partitions: int,
) -> DataFrame:
    """Count the rows by given class, confident class, and whether they are suspects.

    Args:
        source: the blocks.
        thresholds: (K,) confident thresholds.
        prob_format: of kept arrays.
        parts: parts of the blocks to read: "listed", and "kept" to settle more rows.
        num_partitions: of the cells while they are added up.

    Returns:
        Columns `_given`, `_confident` (a class, `NO_CLASS` or `UNSETTLED`), `_suspect`, `count`, and
        `_predictions`: the count where `_confident` stands for the predicted class.
    """
    schema = (
        f"{c.GIVEN} bigint, {c.CONFIDENT} bigint, {SUSPECT} boolean, {c.COUNT} bigint, {PREDICTIONS} bigint"
    )
    keys = (c.GIVEN, c.CONFIDENT, SUSPECT)
    cells = source(ConfidentCells(thresholds, prob_format), schema, parts).repartition(num_partitions, *keys)
    return cells.groupBy(*keys).agg(*[F.sum(name).alias(name) for name in (c.COUNT, PREDICTIONS)])


def select_cells(counted: CellTable, count: str) -> CellTable:
    """Select one of the counts of `count_cells`, by (given, true); zero cells are absent."""
    cells = counted.where(f"{c.CONFIDENT} >= 0 and {count} > 0").rename(c.CONFIDENT, c.TRUE)
    empty = replace(cells, frame=pd.DataFrame({c.GIVEN: [], c.TRUE: [], count: []}, dtype=np.int64))
    return empty.merge(cells, [c.GIVEN, c.TRUE], count).rename(count, c.COUNT)


@dataclass(frozen=True)
class ConfidentJoint:
    """The confident joint as counted, and what follows from it by arithmetic on its cells alone.

    Attributes:
        counted: examples by (given, confident, whether a suspect), as `count_cells` counts them, none
            unsettled.
        class_counts: (K,) examples per given label.
        persist: persists what tables on the cluster are made of.
    """

    counted: CellTable
    class_counts: Int64s
    persist: Callable[[DataFrame], DataFrame]

    @cached_property
    def cells(self) -> CellTable:
        """Counts by (given, true) before the diagonal is raised; zero cells are absent."""
        return select_cells(self.counted, c.COUNT)

    @cached_property
    def raised(self) -> CellTable:
        """Counts with every diagonal cell at least 1, so that no class vanishes."""
        classes = np.arange(len(self.class_counts))
        ones = replace(self.cells, frame=pd.DataFrame({c.GIVEN: classes, c.TRUE: classes, c.COUNT: 1}))
        return self.cells.merge(ones, [c.GIVEN, c.TRUE], c.COUNT, "max").persist(self.persist)

    @cached_property
    def calibrated(self) -> CellTable:
        """Confident joint scaled so that each given class sums to its number of examples."""
        return calibrate_cells(self.raised, self.class_counts).persist(self.persist)

    @cached_property
    def joint(self) -> CellTable:
        """Estimated joint distribution as counts: calibrated once more, and n times the probabilities."""
        return calibrate_cells(self.calibrated, self.class_counts).persist(self.persist)

    def estimate_num_issues(self, method: str, custom: CellTable | None = None) -> int:
        """Estimate the number of label issues (specification, section 3).

        Args:
            method: one of `ESTIMATION_METHODS`.
            custom: the caller's joint, for "off_diagonal_custom" only.
        """
        num_examples = int(self.class_counts.sum())
        if method == "off_diagonal":
            off_diagonal = f"{SUSPECT} and {c.CONFIDENT} >= 0 and {c.CONFIDENT} != {c.GIVEN}"
            return self.counted.where(off_diagonal).sum_values(c.COUNT)
        if method == "off_diagonal_fraction":
            total, off_diagonal_total = sum_all_and_off_diagonal(self.cells)
            return num_examples * off_diagonal_total // total if total else 0
        joint = self.joint if custom is None else calibrate_cells(custom, self.class_counts)
        total, off_diagonal_total = sum_all_and_off_diagonal(joint)
        return round(off_diagonal_total / total * num_examples)


def sum_all_and_off_diagonal(cells: CellTable) -> tuple[int, int]:
    """Sum the counts of all cells, and of those off the diagonal."""
    return cells.sum_values(c.COUNT), cells.where(f"{c.GIVEN} != {c.TRUE}").sum_values(c.COUNT)


def calibrate_cells(cells: CellTable, class_counts: Int64s) -> CellTable:
    """Scale each given class of a joint of counts to its examples, and round (specification, section 3)."""
    if isinstance(cells.frame, pd.DataFrame) and cells.num_classes <= DENSE_CLASSES:
        frame = cells.frame
        total = sum_scaled_cells(
            frame[c.GIVEN].to_numpy(), frame[c.TRUE].to_numpy(), frame[c.COUNT].to_numpy(), class_counts
        )
    else:
        total = float(class_counts.sum())
    return cells.map_counts(partial(calibrate, class_counts=class_counts, total=total), c.COUNT)


def check_estimation_method(method: str, *, has_joint: bool) -> None:
    """Check that an estimation method exists, and has a joint of the caller if it needs one.

    Raises:
        ConfigurationError: unknown method, or a joint missing or superfluous.
    """
    if method not in ESTIMATION_METHODS:
        raise ConfigurationError(
            f"estimation_method={method!r} is unknown; choose one of {', '.join(ESTIMATION_METHODS)}"
        )
    if has_joint != (method == "off_diagonal_custom"):
        raise ConfigurationError(
            "confident_joint goes with estimation_method='off_diagonal_custom', and only with it"
        )


def convert_custom_joint(spark: SparkSession, joint: ArrayLike, num_classes: int) -> CellTable:
    """Convert a caller's (K, K) joint, of counts or of shares, to cells of counts.

    Raises:
        ConfigurationError: the joint is of another shape, or holds something that is no count or share.
    """
    try:
        dense = np.asarray(joint, dtype=np.float64)
    except (TypeError, ValueError) as error:  # texts, or rows of different lengths
        raise ConfigurationError(f"confident_joint is no matrix of numbers: {error}") from error
    if dense.shape != (num_classes, num_classes):
        raise ConfigurationError(f"confident_joint has shape {dense.shape}; it must be {(num_classes,) * 2}")
    if not np.isfinite(dense).all() or (dense < 0).any() or not dense.any():
        wrong = dense[~(np.isfinite(dense) & (dense >= 0))]
        seen = f"it holds {wrong[0]:g}" if len(wrong) else "all are 0"
        raise ConfigurationError(
            f"confident_joint must hold counts or shares, none negative and some above 0: {seen}"
        )
    if (dense % 1).any() or dense.sum() > SHARE_UNITS:
        dense = np.rint(dense / dense.sum() * SHARE_UNITS)
    given, true = np.nonzero(dense)
    frame = pd.DataFrame({c.GIVEN: given, c.TRUE: true, c.COUNT: dense[given, true].astype(np.int64)})
    return CellTable(spark, num_classes, frame)
