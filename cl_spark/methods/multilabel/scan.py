"""One scan of a table of sets of labels: sums of each class, and of each example its suspect memberships."""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from cl_spark.errors import EmptyTableError, SingleClassError
from cl_spark.evidence.blocks import Block, BlockParts, Kernel
from cl_spark.evidence.ids import find_repeated_ids
from cl_spark.evidence.packing import ddl
from cl_spark.evidence.partitions import partitions_for
from cl_spark.evidence.validity import explain_rejection
from cl_spark.evidence.workers import add_column, map_in_arrow
from cl_spark.kernels import EPS
from cl_spark.kernels.arrays import Float64s, Int64s
from cl_spark.kernels.calibration import calibrate, sum_scaled_cells
from cl_spark.kernels.class_score_aggregates import MovingAverage
from cl_spark.kernels.memberships import METHODS, SUMS, ClassSums, Floors, Suspects
from cl_spark.methods.classification.cells import CellTable
from cl_spark.methods.classification.cuts import is_few
from cl_spark.methods.classification.rejection import find_final_reason
from cl_spark.methods.classification.thresholds import ConfidenceSum, find_usual_num_probs
from cl_spark.methods.multilabel.input_warnings import find_input_warnings, refuse_flags
from cl_spark.methods.multilabel.membership_reader import BatchRows, LabelForm, MembershipReader
from cl_spark.methods.multilabel.predictions import CLASS, GIVEN_CLASSES, MultilabelPredictions
from cl_spark.tables import columns as c
from cl_spark.tables.schema import RunWarning
from cl_spark.tables.spark_errors import rows_have_changed

logger = logging.getLogger(__name__)

REJECTION, FORM = "_rejection", "_form"
SUSPECT_CLASSES, SUSPECT_PROBS = "_suspect_classes", "_suspect_probs"
SUSPECT_TYPES = {SUSPECT_CLASSES: "array<int>", SUSPECT_PROBS: "array<double>"}
NUM_ROWS = "_rows"

EVIDENCE_TYPES = {
    c.NUM_PROBS: "int",
    REJECTION: "int",
    FORM: "int",
    GIVEN_CLASSES: "array<int>",
    c.LABEL_QUALITY: "double",
    **SUSPECT_TYPES,
    NUM_ROWS: "bigint",
    **dict.fromkeys(SUMS, "array<bigint>"),
}
"""Columns of the evidence beside the ids: of an example, or, where `NUM_ROWS` is not null, the sums over the
rows that a Spark task read with as many probabilities."""

_ARROW = {
    "int": pa.int32(),
    "bigint": pa.int64(),
    "double": pa.float64(),
    "array<int>": pa.list_(pa.int32()),
    "array<double>": pa.list_(pa.float64()),
    "array<bigint>": pa.list_(pa.int64()),
}

RANKING = MovingAverage()
"""How the scores of the classes rank examples, unless another way is asked for."""


@dataclass(frozen=True)
class EvidenceOfRows:
    """Function of batches of input rows: their evidence, and the sums of the Spark task at its end.

    Attributes:
        read: reads the memberships of a batch.
        ids: id columns and their types.
    """

    read: MembershipReader
    id_types: dict[str, str]

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Make the evidence of a Spark task."""
        sums: dict[int, ClassSums] = {}
        ids_schema: list[pa.Field] = []
        for batch in batches:
            rows = self.read(batch)
            for _, members in rows.groups:
                length = members.num_classes
                members.add_to(sums.setdefault(length, ClassSums(length)))
            ids = batch.select(list(self.id_types))
            ids_schema = list(ids.schema)
            yield self._make_batch(ids.columns, batch.num_rows, self._describe(rows))
        for length, total in sums.items():
            columns: dict[str, Any] = {c.NUM_PROBS: [length], NUM_ROWS: [total.rows]}
            columns |= {name: [getattr(total, name)] for name in SUMS}
            yield self._make_batch([pa.nulls(1, part.type) for part in ids_schema], 1, columns)

    def _make_batch(self, ids: Sequence[pa.Array], size: int, columns: dict[str, Any]) -> pa.RecordBatch:
        arrays = [
            pa.array(columns[name], _ARROW[kind]) if name in columns else pa.nulls(size, _ARROW[kind])
            for name, kind in EVIDENCE_TYPES.items()
        ]
        return pa.RecordBatch.from_arrays([*ids, *arrays], names=[*self.id_types, *EVIDENCE_TYPES])

    @staticmethod
    def _describe(rows: BatchRows) -> dict[str, Any]:
        """Describe the rows of a batch by the columns of the evidence."""
        size = len(rows.rejection)
        quality = np.full(size, np.nan)
        none = np.zeros(0, dtype=np.int64)
        given, suspects = [(none, none)], []
        for position, members in rows.groups:
            quality[position] = members.score("self_confidence", RANKING)
            row, class_index = members.given_labels()
            given.append((position[row], class_index))
            found = members.find_suspects()
            suspects.append(replace(found, row=position[found.row]))
        of_given, classes = map(np.concatenate, zip(*given, strict=True))
        suspect = Suspects.concat(suspects)
        return {
            c.NUM_PROBS: rows.num_probs.astype(np.int32),
            REJECTION: rows.rejection.astype(np.int32),
            FORM: rows.form.astype(np.int32),
            GIVEN_CLASSES: _make_lists(of_given, classes.astype(np.int32), size),
            c.LABEL_QUALITY: quality,
            SUSPECT_CLASSES: _make_lists(suspect.row, suspect.class_index.astype(np.int32), size),
            SUSPECT_PROBS: _make_lists(suspect.row, suspect.prob, size),
        }


def _make_lists(row: Int64s, values: Any, size: int) -> pa.Array:
    """Make a list of values for each of some rows."""
    offsets = np.zeros(size + 1, dtype=np.int32)
    offsets[1:] = np.cumsum(np.bincount(row, minlength=size))
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values[np.argsort(row, kind="stable")]))


@dataclass(frozen=True)
class TrueCounts:
    """Function of batches of input rows: how many memberships there are of each class, given and true class.

    The number of rows comes as that of the class -1.

    Attributes:
        read: reads the memberships of a batch.
        floors: from which probability on a class is confident.
    """

    read: MembershipReader
    floors: Floors

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Count the memberships of a Spark task."""
        counts = np.zeros((len(self.floors.has), 2, 2), dtype=np.int64)
        num_rows = 0
        for batch in batches:
            for _, members in self.read(batch).groups:
                counts += members.count_true(self.floors)
                num_rows += len(members)
        class_index, given, true = np.nonzero(counts)
        cells = [2 * class_index + given, 2 * class_index + true, counts[class_index, given, true]]
        columns = [np.append(values, more) for values, more in zip(cells, (-1, -1, num_rows), strict=True)]
        yield pa.RecordBatch.from_arrays(list(map(pa.array, columns)), names=[c.GIVEN, c.TRUE, c.COUNT])


BlockOfEvidence = Callable[[pa.RecordBatch], Block]
"""A batch of the evidence of examples -> a block."""


@dataclass(frozen=True)
class MembershipSource:
    """Source of blocks that are made of the evidence of examples.

    Attributes:
        examples: evidence of accepted examples.
        columns: columns of it that are read.
        make_block: makes a block of them.
    """

    examples: DataFrame
    columns: Iterable[str]
    make_block: BlockOfEvidence

    def __call__(self, kernel: Kernel, schema: str, parts: Sequence[str]) -> DataFrame:
        """Map a kernel over the blocks; see `Source`."""
        rows = self.examples.select(*self.columns)
        return map_in_arrow(rows, _KernelOnEvidence(kernel, self.make_block), schema)


@dataclass(frozen=True)
class _KernelOnEvidence:
    """A kernel of blocks as a function of batches of the evidence."""

    kernel: Kernel
    make_block: BlockOfEvidence

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return self.kernel(map(self.make_block, batches))


def make_example_block(batch: pa.RecordBatch) -> Block:
    """Make a block of examples, whose self-confidence is their label quality."""
    quality = batch.column(c.LABEL_QUALITY).to_numpy(zero_copy_only=False)
    zeros, none = np.zeros(batch.num_rows, dtype=np.int32), np.zeros(batch.num_rows)
    return Block(zeros, zeros, quality, quality, none, none, num_probs=1, parts=BlockParts(ids=batch))


@dataclass(frozen=True)
class SuspectBlock:
    """Makes a block of the suspect memberships of some examples: a row for each, of 2K classes (see
    `kernels.memberships`).

    Attributes:
        method: label quality score that each gets.
    """

    method: str

    def __call__(self, batch: pa.RecordBatch) -> Block:
        """Make the block of a batch."""
        classes, probs = batch.column(SUSPECT_CLASSES), batch.column(SUSPECT_PROBS)
        lengths = classes.value_lengths().to_numpy(zero_copy_only=False)
        row = np.repeat(np.arange(batch.num_rows), lengths)
        class_index = classes.flatten().to_numpy(zero_copy_only=False)
        prob = probs.flatten().to_numpy(zero_copy_only=False)
        # a given label is a suspect where it is improbable, and any other where it is probable: none is at
        # 1/2 but a given one, of which "has not" is the more probable by the order of the two
        is_given = prob <= 0.5
        other = 1 - prob
        names = [name for name in batch.schema.names if name not in SUSPECT_TYPES]
        ids = add_column(batch.select(names).take(pa.array(row)), CLASS, pa.array(class_index, pa.int32()))
        given = (2 * class_index + is_given).astype(np.int32)
        of_given, of_other = np.where(is_given, prob, other), np.where(is_given, other, prob)
        ids = add_column(ids, c.LABEL_QUALITY, pa.array(METHODS[self.method](of_given, of_other)))
        return Block(
            given,
            (2 * class_index + ~is_given).astype(np.int32),
            of_given,
            of_other,
            of_given,
            np.zeros(len(row)),
            num_probs=2,
            parts=BlockParts(ids=ids),
        )


@dataclass(frozen=True)
class ClassTotals:
    """Exact sums over the accepted examples, and rejected rows.

    Attributes:
        num_classes: K.
        num_examples: n.
        given_counts: (K,) examples that have each class.
        sums: number and sum of self-confidences of each of the 2K classes of memberships.
        rejected: rejected rows by the code of their reason.
    """

    num_classes: int
    num_examples: int
    given_counts: Int64s
    sums: tuple[ConfidenceSum, ...]
    rejected: Counter[int]

    @cached_property
    def membership_counts(self) -> Int64s:
        """(2K,) examples that have not, and that have, each class."""
        return np.stack([self.num_examples - self.given_counts, self.given_counts], axis=1).ravel()

    def thresholds(self) -> Float64s:
        """(K, 2) confident thresholds of "has not" and "has"; 2, which nothing reaches, where no example is.

        They are the mean probability of what is given (JAIR 2021, equation 2), at least 2e-6.
        """
        means = [max(part.mean, 2 * EPS) if part.examples else 2.0 for part in self.sums]
        return np.array(means).reshape(-1, 2)


@dataclass(frozen=True)
class MultilabelScan:
    """A table of sets of labels that is scanned when the first question comes.

    Attributes:
        predictions: the table.
        persist: persists what several queries read.
        check_ids: reject rows that share an id.
        answered: what is known so far, and can be shown without a scan.
        warnings: doubts about the input, once "totals" are known; logged then.
    """

    predictions: MultilabelPredictions
    persist: Callable[[DataFrame], DataFrame]
    check_ids: bool
    answered: set[str] = field(default_factory=set, init=False, repr=False, compare=False)
    warnings: list[RunWarning] = field(default_factory=list, init=False, repr=False, compare=False)

    @property
    def spark(self) -> SparkSession:
        """The session."""
        return self.predictions.df.sparkSession

    def make_reader(self, num_classes: int | None) -> MembershipReader:
        """Make a reader of batches of the input."""
        rows = self.predictions
        return MembershipReader(rows.prob_format, rows.class_set, tuple(rows.ids), num_classes)

    # Evidence -----------------------------------------------------------------------------------------------

    @cached_property
    def _evidence_by_row(self) -> DataFrame:
        return self._read_evidence(None)

    def _read_evidence(self, repeated_ids: DataFrame | None) -> DataFrame:
        rows = self.predictions
        function = EvidenceOfRows(self.make_reader(rows.known_classes), dict(rows.id_types))
        schema = ddl({**rows.id_types, **EVIDENCE_TYPES})
        return self.persist(map_in_arrow(rows.select_rows(repeated_ids), function, schema))

    @cached_property
    def repeated_ids(self) -> DataFrame | None:
        """Ids of several rows; None if there are none, or they are not looked for."""
        if not self.check_ids:
            return None
        rows = self._evidence_by_row.where(F.col(NUM_ROWS).isNull())
        num_rows = rows.count()
        return find_repeated_ids(
            rows,
            self.predictions.ids,
            self.persist,
            num_partitions=partitions_for(num_rows),
            few=is_few(num_rows),
        )

    @cached_property
    def evidence(self) -> DataFrame:
        """Evidence of all rows, and the sums of Spark tasks."""
        return self._evidence_by_row if self.repeated_ids is None else self._read_evidence(self.repeated_ids)

    @cached_property
    def totals(self) -> ClassTotals:
        """Sums over the accepted examples.

        Raises:
            EmptyTableError: no row can be used.
            SingleClassError: rows have no probabilities of several classes.
            ConfigurationError: most sets of class indices are flags of classes.
        """
        rows = self.evidence.where(F.col(NUM_ROWS).isNull())
        kinds = rows.groupBy(REJECTION, c.NUM_PROBS, FORM).agg(F.count(F.lit(1)).alias(c.COUNT)).collect()
        counts = {(row[REJECTION], row[c.NUM_PROBS], row[FORM]): row[c.COUNT] for row in kinds}
        if not counts:
            raise EmptyTableError("the input has no rows")
        rows_by_length: Counter[int] = Counter()
        for (_, length, _), times in counts.items():
            rows_by_length[length] += times
        num_classes = self.predictions.known_classes or find_usual_num_probs(rows_by_length)
        rejected: Counter[int] = Counter()
        accepted: Counter[int] = Counter()
        forms: Counter[int] = Counter()
        for (reason, length, form), times in counts.items():
            if final := find_final_reason(reason, length, num_classes):
                rejected[final] += times
            else:
                accepted[form] += times
            # a label 0 tells of any row; K and beyond, only where the row has K probabilities
            if length == num_classes or form == LabelForm.HAS_FIRST:
                forms[form] += times
        num_examples = accepted.total()
        if not num_examples:
            seen = ", ".join(f"{explain_rejection(code)}: {n:,}" for code, n in rejected.most_common())
            raise EmptyTableError(
                f"no row of the input can be used ({seen}); check labels_col, pred_probs_col and class_names"
            )
        if num_classes < 2:
            raise SingleClassError(
                f"pred_probs hold {num_classes} class per row; a set of labels is of at least 2 classes"
            )
        refuse_flags(self.predictions, num_classes, num_examples, accepted[LabelForm.FLAGS])
        sums = self._sum_classes(num_classes)
        if sums.rows != num_examples:
            raise rows_have_changed(num_examples, sums.rows)
        self.answered.add("totals")
        self.warnings.extend(find_input_warnings(self.predictions, num_classes, forms))
        for warning in self.warnings:
            logger.warning("%s (%s)", warning.message, warning.code)
        return ClassTotals(num_classes, num_examples, sums.given, _sum_confidences(sums), rejected)

    def _sum_classes(self, num_classes: int) -> ClassSums:
        of_tasks = self.evidence.where(F.col(NUM_ROWS).isNotNull() & (F.col(c.NUM_PROBS) == num_classes))
        total = ClassSums(num_classes)
        parts = of_tasks.select(NUM_ROWS, F.posexplode(F.arrays_zip(*SUMS)).alias("k", "sums"))
        sums = [F.sum(f"sums.{name}").alias(name) for name in SUMS]
        frame = parts.groupBy("k").agg(*sums, F.sum(NUM_ROWS).alias(NUM_ROWS)).toPandas()
        for name in SUMS:
            getattr(total, name)[frame["k"]] = frame[name]
        total.rows = int(frame[NUM_ROWS].max()) if len(frame) else 0
        return total

    @cached_property
    def floors(self) -> Floors:
        """From which probability on classes are confident."""
        return Floors(*(self.totals.thresholds() - EPS).T)

    @property
    def examples(self) -> DataFrame:
        """Evidence of the accepted examples."""
        is_accepted = (F.col(REJECTION) == 0) & (F.col(c.NUM_PROBS) == self.totals.num_classes)
        return self.evidence.where(is_accepted)

    def read_memberships(self, method: str = "self_confidence") -> MembershipSource:
        """Read the suspect memberships, with a label quality score."""
        columns = {**self.predictions.id_types, **SUSPECT_TYPES}
        examples = self.examples.where(F.size(SUSPECT_CLASSES) > 0)
        return MembershipSource(examples, columns, SuspectBlock(method))

    @cached_property
    def num_suspects(self) -> int:
        """Number of suspect memberships."""
        return int(self.examples.agg(F.sum(F.size(SUSPECT_CLASSES))).collect()[0][0] or 0)

    @cached_property
    def calibrated(self) -> CellTable:
        """Calibrated confident joints of all classes, as one of 2K: another scan of the data counts them.

        Raises:
            SourceChangedError: that scan finds other rows.
        """
        rows, totals = self.predictions, self.totals
        function = TrueCounts(self.make_reader(totals.num_classes), self.floors)
        counts = map_in_arrow(
            rows.select_rows(self.repeated_ids), function, f"{c.GIVEN} long, {c.TRUE} long, {c.COUNT} long"
        )
        frame = counts.groupBy(c.GIVEN, c.TRUE).agg(F.sum(c.COUNT).alias(c.COUNT)).toPandas()
        is_cell = frame[c.GIVEN] >= 0
        num_rows = int(frame.loc[~is_cell, c.COUNT].sum())
        if num_rows != totals.num_examples:
            raise rows_have_changed(totals.num_examples, num_rows)
        joints = np.zeros((totals.num_classes, 2, 2), dtype=np.int64)
        cells = frame[is_cell]
        joints[cells[c.GIVEN] // 2, cells[c.GIVEN] % 2, cells[c.TRUE] % 2] = cells[c.COUNT]
        return CellTable(self.spark, 2 * totals.num_classes, calibrate_joints(joints, totals))


def calibrate_joints(joints: Int64s, totals: ClassTotals) -> pd.DataFrame:
    """Calibrate the confident joint of each class by itself, its diagonal raised to 1.

    Args:
        joints: (K, 2, 2) counts by class, given and true class.
        totals: of the examples.

    Returns:
        Cells of the 2K classes: `_given`, `_true`, `count`.
    """
    zeros, ones = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
    parts = []
    for k, joint in enumerate(joints):
        raised = np.maximum(joint, np.eye(2, dtype=np.int64)).ravel()
        counts = totals.membership_counts[2 * k : 2 * k + 2]
        total = sum_scaled_cells(zeros, ones, raised, counts)
        given, true, count = calibrate(zeros, ones, raised, counts, total)
        parts.append((2 * k + given, 2 * k + true, count))
    columns = [np.concatenate(values) for values in zip(*parts, strict=True)]
    return pd.DataFrame(dict(zip((c.GIVEN, c.TRUE, c.COUNT), columns, strict=True)))


def _sum_confidences(sums: ClassSums) -> tuple[ConfidenceSum, ...]:
    """Sum the probabilities of what is given: ``1 - p`` where an example has not the class, else ``p``.

    Sums of limbs are whole numbers, so ``n - sum p`` is exact.
    """
    found = []
    for k in range(sums.num_classes):
        has = ConfidenceSum(int(sums.given[k]), 0, int(sums.given_high[k]), int(sums.given_low[k]))
        num_others = sums.rows - has.examples
        high, low = int(sums.high[k]) - has.high, int(sums.low[k]) - has.low
        found += [ConfidenceSum(num_others, num_others, -high, -low), has]
    return tuple(found)
