"""One scan of a table: the evidence it keeps, and the confident joint counted from that."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

import numpy as np
import pandas as pd
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

from cl_spark.errors import ConfigurationError
from cl_spark.evidence.blocks import Block, KeptArrays, Source
from cl_spark.evidence.ids import find_repeated_ids, ranges_are_disjoint
from cl_spark.evidence.packing import PACKED_SCHEMA, ddl, map_blocks, pack_blocks
from cl_spark.evidence.partitions import partitions_for
from cl_spark.evidence.predictions import Predictions
from cl_spark.evidence.prob_formats import ProbFormat
from cl_spark.kernels.arrays import Bools, Float64s
from cl_spark.kernels.confident_class import NO_CLASS
from cl_spark.kernels.row_evidence import ListingPolicy
from cl_spark.methods.classification.cells import DRIVER_CELLS, CellTable
from cl_spark.methods.classification.class_aggregates import ClassAggregates, aggregate_classes
from cl_spark.methods.classification.confident_joint import (
    PREDICTIONS,
    SUSPECT,
    UNSETTLED,
    ConfidentJoint,
    OffDiagonal,
    count_cells,
    find_confident_classes,
    find_confident_in_arrays,
    select_cells,
)
from cl_spark.methods.classification.cuts import is_few
from cl_spark.methods.classification.input_warnings import GivenLabels, find_input_warnings
from cl_spark.methods.classification.scores import (
    ArrayScores,
    Score,
    needs_arrays,
    normalized_margins,
    score_rows,
    self_confidences,
)
from cl_spark.methods.classification.sources import (
    ArraySource,
    BlockSource,
    Condition,
    SelectedRows,
    WantedSource,
)
from cl_spark.methods.classification.thresholds import (
    ClassStatistics,
    ClassSummary,
    MarginBounds,
    summarize_classes,
)
from cl_spark.tables import columns as c
from cl_spark.tables.schema import RunWarning
from cl_spark.tables.spark_errors import rows_have_changed
from cl_spark.tables.union import union_rows

logger = logging.getLogger(__name__)

Answer = Literal["statistics", "joint"]

COUNTS_PER_CELL = 64
"""Counts of one cell that a shuffle is laid out for. More make it slower, and change no result."""


@dataclass(frozen=True)
class Evidence:
    """The evidence of all rows, and what is aggregated of it.

    Attributes:
        packed: packed blocks, persisted.
        aggregates: sums by given class.
    """

    packed: DataFrame
    aggregates: ClassAggregates


@dataclass(frozen=True)
class SettledRows:
    """Kernel: packed blocks of the rows that the evidence leaves unsettled, with their confident class.

    Attributes:
        thresholds: (K,) confident thresholds.
        prob_format: of the arrays.
        listing: what the evidence lists.
    """

    thresholds: Float64s
    prob_format: ProbFormat
    listing: ListingPolicy

    def __call__(self, blocks: Iterator[Block]) -> Iterator[pa.RecordBatch]:
        """Settle the blocks of a Spark task."""
        return pack_blocks(map(self._settle, blocks))

    def _settle(self, block: Block) -> Block:
        without_arrays = replace(block, parts=replace(block.parts, kept=None))
        confident = find_confident_classes(without_arrays, self.thresholds, self.prob_format)
        # suspects whose arrays the evidence keeps are settled by these
        is_kept = block.suspects & self.listing.keeps_array(
            block.max_prob, block.unlisted_max_prob, block.num_probs
        )
        unsettled = block.where((confident == UNSETTLED) & ~is_kept)
        arrays = unsettled.kept.arrays
        no_arrays = KeptArrays(np.zeros(0, dtype=np.int64), arrays.slice(0, 0))
        return replace(
            unsettled,
            confident=find_confident_in_arrays(arrays, self.thresholds, self.prob_format),
            parts=replace(unsettled.parts, kept=no_arrays),
        )


@dataclass(frozen=True)
class Scan:
    """A table that is scanned when the first question comes; each answer is computed once.

    Attributes:
        predictions: the table.
        persist: persists what several queries read.
        check_ids: reject rows that share an id.
        given_thresholds: K confident thresholds to use instead of the rows' own.
        answered: what is known so far, and can be shown without a scan.
        warnings: doubts about the input, found and logged when the joint is counted.
    """

    predictions: Predictions
    persist: Callable[[DataFrame], DataFrame]
    check_ids: bool
    given_thresholds: Sequence[float] | None
    answered: set[Answer] = field(default_factory=set, init=False, repr=False, compare=False)
    warnings: list[RunWarning] = field(default_factory=list, init=False, repr=False, compare=False)

    @property
    def spark(self) -> SparkSession:
        """The session."""
        return self.predictions.df.sparkSession

    # Evidence -----------------------------------------------------------------------------------------------

    @cached_property
    def _evidence_by_row(self) -> Evidence:
        """Evidence of each row by itself: ids of several rows are not known yet."""
        return self._read_evidence(None)

    def _read_evidence(self, repeated_ids: DataFrame | None) -> Evidence:
        packed = self.persist(self.predictions.extract_evidence(repeated_ids))
        rows = self.predictions
        return Evidence(packed, aggregate_classes(packed, rows.listing, rows.known_classes))

    @cached_property
    def repeated_ids(self) -> DataFrame | None:
        """Ids of several rows; None if there are none, or they are not looked for."""
        if not self.check_ids:
            return None
        evidence = self._evidence_by_row
        # comparing ranges takes a tenth of the time of grouping ids
        if self.predictions.whole_id is not None and ranges_are_disjoint(evidence.packed):
            return None
        types = self.predictions.id_types
        rows = map_blocks(evidence.packed, SelectedRows(list(types)), ddl(types), ("ids",))
        num_rows = evidence.aggregates.num_rows
        return find_repeated_ids(
            rows, list(types), self.persist, num_partitions=partitions_for(num_rows), few=is_few(num_rows)
        )

    @cached_property
    def evidence(self) -> Evidence:
        """Evidence of all rows; those with an id of several rows are rejected."""
        if self.repeated_ids is None:
            return self._evidence_by_row
        return self._read_evidence(self.repeated_ids)

    @cached_property
    def _summary(self) -> ClassSummary:
        # With given thresholds nothing is learnt of the rows, so there may be none, as in an empty batch.
        may_be_empty = self.given_thresholds is not None
        rows = self.predictions
        summary = summarize_classes(
            self.evidence.aggregates,
            rows.known_classes,
            may_be_empty=may_be_empty,
            options=(rows.label_option, rows.prob_option),
        )
        self.answered.add("statistics")
        return summary

    @property
    def statistics(self) -> ClassStatistics:
        """Counts and exact sums of the self-confidences per class, and rejected rows: a value that merges."""
        return self._summary.statistics

    @property
    def margin_bounds(self) -> MarginBounds:
        """Bounds on the margins of classes that the evidence does not list."""
        return self._summary.margin_bounds

    @property
    def num_classes(self) -> int:
        """K."""
        return self.statistics.num_classes

    @cached_property
    def thresholds(self) -> Float64s:
        """(K,) confident thresholds.

        Raises:
            ConfigurationError: thresholds were given, but not as many as there are classes, or one is NaN.
        """
        if self.given_thresholds is None:
            return self.statistics.thresholds()
        if len(self.given_thresholds) != self.num_classes:
            raise ConfigurationError(
                f"thresholds: {len(self.given_thresholds)} were given for {self.num_classes} classes"
            )
        given = np.asarray(self.given_thresholds, dtype=np.float64)
        if np.isnan(given).any():
            raise ConfigurationError(f"thresholds: that of class {int(np.isnan(given).argmax())} is NaN")
        return given

    # Sources of rows ----------------------------------------------------------------------------------------

    @property
    def blocks(self) -> Source:
        """The accepted rows, from the evidence."""
        return BlockSource(self.evidence.packed, self.num_classes)

    @property
    def suspect_blocks(self) -> Source:
        """The suspects, from the evidence."""
        return BlockSource(self.evidence.packed.where("of_suspects = 1"), self.num_classes)

    def read_arrays(self, of_classes: Bools | None = None) -> Source:
        """Read the accepted rows with the array of every row, by another scan of the data.

        Args:
            of_classes: (K,) given classes whose rows are wanted; None for all.
        """
        return ArraySource(self.predictions, self.repeated_ids, self.num_classes, of_classes)

    def read_wanted(self, wanted: Mapping[int, Sequence[int]]) -> Source:
        """Read the accepted rows of some given classes, with the probabilities of some classes.

        Args:
            wanted: given class -> classes whose probabilities are wanted of its rows.
        """
        if self.predictions.tells_natively:
            return WantedSource(self.predictions, self.repeated_ids, self.num_classes, wanted)
        return self.read_arrays(np.isin(np.arange(self.num_classes), list(wanted)))

    def select_rows(
        self, condition: Condition, sources: Sequence[Source], parts: Sequence[str] = ()
    ) -> DataFrame:
        """Select the rows that meet a condition.

        Args:
            condition: tells which rows of a block are wanted.
            sources: where to look for them.
            parts: parts of blocks that the condition reads.

        Returns:
            Columns of `Predictions.row_types`.
        """
        types = self.predictions.row_types
        kernel = SelectedRows(list(types), condition)
        rows = [source(kernel, ddl(types), ("ids", *parts)) for source in sources]
        return union_rows(rows)

    def score_rows(
        self, method: str, adjust_pred_probs: bool, columns: Sequence[str], *, suspects_only: bool = False
    ) -> DataFrame:
        """Score the labels of the accepted rows; another scan reads their arrays where the score needs them.

        Args:
            method: name of the label quality score.
            adjust_pred_probs: score adjusted probabilities.
            columns: columns of `Predictions.row_types` wanted of each row.
            suspects_only: leave out rows that are no suspects.

        Returns:
            These columns, and `label_quality`.
        """
        types = {name: kind for name, kind in self.predictions.row_types.items() if name in columns}
        if needs_arrays(method, adjust_pred_probs):
            prob_format = self.predictions.prob_format
            score: Score = ArrayScores(method, adjust_pred_probs, self.thresholds, prob_format)
            source = self.read_arrays()
        else:
            score = normalized_margins if method == "normalized_margin" else self_confidences
            source = self.blocks
        return score_rows(source, score, types, suspects_only=suspects_only)

    # Confident classes --------------------------------------------------------------------------------------

    @cached_property
    def _cells_by_listed(self) -> CellTable:
        """Cells of the confident joint from listed classes, and how many rows these leave unsettled."""
        return self._count_cells(self.blocks, ("listed",))

    @cached_property
    def confident_parts(self) -> Sequence[str]:
        """Parts of blocks that confident classes are read from.

        Kept arrays are many bytes, and only suspects have them, so they are read only where suspects are
        unsettled.
        """
        unsettled_suspects = self._cells_by_listed.where(f"{c.CONFIDENT} == {UNSETTLED} and {SUSPECT}")
        return ("listed", "kept") if unsettled_suspects.sum_values(c.COUNT) else ("listed",)

    @cached_property
    def _cells_by_evidence(self) -> CellTable:
        """Cells of the confident joint from all evidence, and how many rows it leaves unsettled."""
        if "kept" not in self.confident_parts:
            return self._cells_by_listed
        if not isinstance(self._cells_by_listed.frame, pd.DataFrame):
            return self._count_cells(self.blocks, self.confident_parts)
        # the arrays of suspects alone are kept, and suspects have blocks of their own
        others = self._cells_by_listed.where(f"not {SUSPECT}")
        suspects = self._count_cells(self.suspect_blocks, self.confident_parts)
        return others.merge(suspects, [c.GIVEN, c.CONFIDENT, SUSPECT], c.COUNT).persist(self.persist)

    def _count_cells(self, source: Source, parts: Sequence[str]) -> CellTable:
        """Count cells once: on the driver unless there are too many."""
        num_examples = self.statistics.num_examples
        most_cells = min(self.num_classes**2, num_examples)
        # a cell comes from each Spark task that has rows of it
        num_partitions = partitions_for(min(num_examples, COUNTS_PER_CELL * most_cells))
        cells = count_cells(source, self.thresholds, self.predictions.prob_format, parts, num_partitions)
        if most_cells > DRIVER_CELLS:
            cells = self.persist(cells)
            if cells.count() > DRIVER_CELLS:
                return CellTable(self.spark, self.num_classes, cells)
        return CellTable(self.spark, self.num_classes, cells.toPandas())

    @cached_property
    def _settled_by_arrays(self) -> DataFrame | None:
        """Packed blocks of the rows that only their arrays settle; None if there are none."""
        unsettled = self._cells_by_evidence.where(f"{c.CONFIDENT} == {UNSETTLED}")
        if not unsettled.sum_values(c.COUNT):
            return None
        kernel = SettledRows(self.thresholds, self.predictions.prob_format, self.predictions.listing)
        return self.persist(self.read_arrays()(kernel, PACKED_SCHEMA, ()))

    @property
    def settled(self) -> list[Source]:
        """Blocks that tell confident classes: of all rows, then of those that only their arrays settle."""
        if self._settled_by_arrays is None:
            return [self.blocks]
        return [self.blocks, BlockSource(self._settled_by_arrays, self.num_classes)]

    @cached_property
    def joint(self) -> ConfidentJoint:
        """Confident joint of the accepted rows."""
        counted = self._cells_by_evidence.where(f"{c.CONFIDENT} >= {NO_CLASS}")
        for source in self.settled[1:]:
            cells = self._count_cells(source, ("listed",))
            counted = counted.merge(cells, [c.GIVEN, c.CONFIDENT, SUSPECT], c.COUNT).persist(self.persist)
        self._check_counted(counted)
        self.answered.add("joint")
        joint = ConfidentJoint(counted, self.statistics.class_counts, self.persist)
        rows, predicted = self.predictions, select_cells(self._cells_by_listed, PREDICTIONS)
        labels = GivenLabels(rows.input_name(rows.label_col), rows.labels_are_names, rows.names)
        self.warnings.extend(find_input_warnings(self.statistics, predicted, joint.cells, labels))
        for warning in self.warnings:
            logger.warning("%s (%s)", warning.message, warning.code)
        return joint

    def _check_counted(self, cells: CellTable) -> None:
        """Check that the examples counted are those of the first scan: what is not kept is computed again.

        Raises:
            SourceChangedError: they are not.
        """
        if isinstance(cells.frame, pd.DataFrame):  # else it would take another query
            counted = cells.sum_by_class(c.GIVEN, c.COUNT)
            if not np.array_equal(counted, self.statistics.class_counts):
                raise rows_have_changed(self.statistics.num_examples, int(counted.sum()))

    def off_diagonal(self, *, suspects_only: bool) -> OffDiagonal:
        """Condition that a row is off the diagonal, and a suspect if only these are wanted."""
        return OffDiagonal(self.thresholds, self.predictions.prob_format, suspects_only)

    @property
    def few_examples(self) -> bool:
        """True if the accepted rows are few enough to be sorted together."""
        return is_few(self.statistics.num_examples)

    @cached_property
    def few_suspects(self) -> bool:
        """True if the suspects, and so the issues of most filters, are few enough to be sorted together."""
        return is_few(self._cells_by_evidence.where(SUSPECT).sum_values(c.COUNT))
