"""Votes of all annotators for each example, beside the models' probabilities: one row per example, kept."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from cl_spark.errors import InputError
from cl_spark.evidence.ids import MANY_ROWS, find_repeated_ids
from cl_spark.evidence.partitions import partitions_for
from cl_spark.evidence.storage import Storage
from cl_spark.evidence.workers import ArrowFunction, map_in_arrow
from cl_spark.kernels.candidates import find_candidates, find_kept_votes
from cl_spark.kernels.temperature import scale
from cl_spark.kernels.votes import NO_CLASS, VoteBlock
from cl_spark.methods.annotators.annotations import ANNOTATOR, CODE, Annotations, explain_no_rows
from cl_spark.methods.annotators.calibration import find_temperatures
from cl_spark.methods.annotators.columns import (
    ANNOTATORS,
    BLOCK_COLUMNS,
    CANDIDATES,
    FAULT,
    GOLD,
    HAS_PREDICTION,
    LABELS,
    NUM_REPEATED,
)
from cl_spark.methods.annotators.predictions import PREDICTED, ModelProbs, read_models, split_batches
from cl_spark.tables import columns as c
from cl_spark.tables.columns import quoted
from cl_spark.tables.example_ids import find_types, show_id
from cl_spark.tables.ids import lacks_id

BYTES_PER_PARTITION = 64 * 2**20
"""Bytes of probabilities that a partition holds."""


@dataclass(frozen=True)
class VoteCounts:
    """Numbers of rows of the two input tables.

    Attributes:
        num_annotations: annotations that count.
        num_examples: examples with such annotations.
        num_shared: those with several.
        num_predicted: such examples with a prediction.
        num_unlabeled: examples with a prediction only.
        num_repeated: annotations that repeat or contradict one by the same annotator for the same example.
        faults: predictions that cannot be used, by fault of `cl_spark.kernels.dense_probs`.
        rejected_annotations: annotations that cannot be used by themselves, by reason.
        num_repeated_predictions: predictions whose id several have.
        num_predictions_without_id: predictions without an id.
        num_gold: gold answers of examples with annotations.
    """

    num_annotations: int
    num_examples: int
    num_shared: int
    num_predicted: int
    num_unlabeled: int
    num_repeated: int
    faults: Mapping[int, int]
    rejected_annotations: Mapping[str, int]
    num_repeated_predictions: int
    num_predictions_without_id: int
    num_gold: int


@dataclass(frozen=True)
class Votes:
    """Annotations and predictions, joined by example.

    Attributes:
        annotations: the annotations.
        predictions: the predictions, if there are some.
        gold: a table of the id columns and the right labels, under the names of the annotations' columns, of
            some examples.
        num_classes: K.
        storage: persists what is read several times.
        calibrate: scale the probabilities of each model by the temperature that fits the votes best.
    """

    annotations: Annotations
    predictions: ModelProbs | None
    gold: DataFrame | None
    num_classes: int
    storage: Storage
    calibrate: bool = False

    @property
    def num_models(self) -> int:
        """M."""
        return 0 if self.predictions is None else self.predictions.num_models

    @cached_property
    def num_annotators(self) -> int:
        """Number of annotators that the table names."""
        return self.annotations.annotators.count()

    @cached_property
    def _reasons(self) -> Mapping[str | None, int]:
        """Annotations by the reason why they cannot be used by themselves; None where they can."""
        rows = self.annotations.select_rows(self.num_classes)
        return {row[0]: row[1] for row in rows.groupBy(c.REASON).count().collect()}

    @property
    def num_read(self) -> int:
        """Annotations in the table."""
        return sum(self._reasons.values())

    @cached_property
    def repeated_predictions(self) -> DataFrame | None:
        """Ids of several predictions; None if there are none."""
        if self.predictions is None:
            return None
        ids = self.annotations.ids
        rows, count = self.predictions.df.select(*ids.select(self.predictions.df)), self.predictions.num_rows
        return find_repeated_ids(
            rows,
            ids.names,
            self.storage.persist,
            num_partitions=partitions_for(count),
            few=count < MANY_ROWS,
        )

    @cached_property
    def num_partitions(self) -> int:
        """Partitions by size."""
        of_probs = 0 if self.predictions is None else self.predictions.num_bytes(self.num_classes)
        return max(partitions_for(self.num_read), of_probs // BYTES_PER_PARTITION)

    def _group(self) -> DataFrame:
        """Group the annotations by example: ids, annotators and labels, ascending."""
        ids = self.annotations.ids.names
        rows = self.annotations.select_rows(self.num_classes).where(F.col(c.REASON).isNull())
        coded = rows.join(self.annotations.annotators, ANNOTATOR).select(*ids, CODE, c.LABEL)
        votes = F.sort_array(F.collect_list(F.struct(CODE, c.LABEL))).alias("votes")
        grouped = coded.repartition(self.num_partitions, *ids).groupBy(*ids).agg(votes)
        return grouped.select(
            *ids,
            F.col(f"votes.{CODE}").alias(ANNOTATORS),
            F.col(f"votes.{c.LABEL}").alias(LABELS),
        )

    def select_gold(self) -> DataFrame | None:
        """Select the ids and the class of gold answers.

        Raises:
            InputError: some cannot be used.
        """
        if self.gold is None:
            return None
        ids, label_col = self.annotations.ids, self.annotations.label_col
        label = self.annotations.select_class(self.gold, label_col)
        rows = self.gold.select(*ids.select(self.gold), label.alias(GOLD))
        is_class = F.coalesce(F.col(GOLD).between(0, self.num_classes - 1), F.lit(False))
        unusable = rows.where(lacks_id(rows, ids.names) | ~is_class)
        if (found := unusable.first()) is not None:
            raise InputError(
                f"gold: {unusable.count():,} answers have no id, or a label that is no class"
                f"{show_id(found[:-1] and type(found)(*found[:-1]))}: correct them, or leave them out"
            )
        repeated = rows.groupBy(*ids.names).count().where("count > 1")
        if (found := repeated.first()) is not None:
            raise InputError(
                f"gold: {repeated.count():,} examples have several answers"
                f"{show_id(type(found)(*found[:-1]))}: give one of each"
            )
        return rows

    @cached_property
    def temperatures(self) -> list[float]:
        """The temperature of each model; empty unless `calibrate`."""
        if self.predictions is None or not self.calibrate:
            return []
        return find_temperatures(self._joined, self.predictions.columns, self.num_classes)

    @cached_property
    def _joined(self) -> DataFrame:
        """Votes, gold answer and arrays of probabilities of each example; kept where temperatures are looked
        for, which reads them twice more.
        """
        # Spark shuffles what stands in one partition once more, into as many as the session's default
        joined = self._join().coalesce(self.num_partitions)
        return self.storage.persist(joined) if self.calibrate else joined

    def _join(self) -> DataFrame:
        """Join votes, gold answers and arrays of probabilities by example."""
        ids, grouped, gold = self.annotations.ids.names, self._group(), self.select_gold()
        if gold is None:
            grouped = grouped.withColumn(GOLD, F.lit(None).cast("int"))
        else:
            grouped = grouped.join(gold.repartition(self.num_partitions, *ids), ids, "left")
        if self.predictions is None:
            return grouped.withColumn(PREDICTED, F.lit(False))
        rows = self.predictions.select_rows().dropna(subset=ids)
        if self.repeated_predictions is not None:
            rows = rows.join(self.repeated_predictions, ids, "left_anti")
        predicted = rows.repartition(self.num_partitions, *ids).withColumn(PREDICTED, F.lit(True))
        return grouped.join(predicted, ids, "full")

    @cached_property
    def rows(self) -> DataFrame:
        """A row per example, kept: ids, `BLOCK_COLUMNS`, repeated votes and the fault of the prediction."""
        return self.reduce(self._joined)

    def reduce(self, joined: DataFrame) -> DataFrame:
        """Reduce joined rows to `rows`, and keep them."""
        ids = self.annotations.ids.names
        names = tuple([] if self.predictions is None else self.predictions.columns)
        kernel = ReduceRows(tuple(ids), names, self.num_classes, tuple(self.temperatures))
        schema = (
            f"{_ids_schema(joined, ids)}{ANNOTATORS} array<int>, {LABELS} array<int>, "
            f"{CANDIDATES} array<int>, {c.PROBS} array<double>, "
            f"{HAS_PREDICTION} boolean, {GOLD} int, {NUM_REPEATED} int, {FAULT} int"
        )
        return self.storage.persist(map_in_arrow(joined, kernel, schema))

    @property
    def labeled(self) -> DataFrame:
        """The rows of examples with annotations."""
        return self.rows.where(F.size(LABELS) > 0)

    @property
    def unlabeled(self) -> DataFrame:
        """The rows of examples with a prediction only."""
        return self.rows.where((F.size(LABELS) == 0) & F.col(HAS_PREDICTION))

    @cached_property
    def counts(self) -> VoteCounts:
        """Numbers of rows, by the first scan.

        Raises:
            EmptyTableError: no annotation can be used.
        """
        labeled = F.size(LABELS) > 0
        found = (
            self.rows.groupBy(FAULT)
            .agg(
                F.sum(F.size(LABELS)).alias("annotations"),
                F.sum(NUM_REPEATED).alias("repeated"),
                F.count(F.when(labeled, 1)).alias("examples"),
                F.count(F.when(F.size(LABELS) > 1, 1)).alias("shared"),
                F.count(F.when(labeled & F.col(HAS_PREDICTION), 1)).alias("predicted"),
                F.count(F.when(~labeled & F.col(HAS_PREDICTION), 1)).alias("unlabeled"),
                F.count(F.when(labeled & (F.col(GOLD) >= 0), 1)).alias("gold"),
                F.count(F.lit(1)).alias("rows"),
            )
            .collect()
        )
        rejected = {reason: rows for reason, rows in self._reasons.items() if reason is not None}
        if not sum(row.annotations for row in found):
            raise explain_no_rows(self._reasons)
        without_id, repeated = 0, 0
        if self.predictions is not None:
            ids = self.annotations.ids
            rows = self.predictions.df.select(*ids.select(self.predictions.df))
            without_id = rows.where(lacks_id(rows, ids.names)).count()
            if self.repeated_predictions is not None:
                repeated = rows.join(self.repeated_predictions, ids.names, "left_semi").count()
        return VoteCounts(
            num_annotations=sum(row.annotations for row in found),
            num_examples=sum(row.examples for row in found),
            num_shared=sum(row.shared for row in found),
            num_predicted=sum(row.predicted for row in found),
            num_unlabeled=sum(row.unlabeled for row in found),
            num_repeated=sum(row.repeated for row in found),
            faults={row[FAULT]: row.rows for row in found if row[FAULT]},
            rejected_annotations=rejected,
            num_repeated_predictions=repeated,
            num_predictions_without_id=without_id,
            num_gold=sum(row.gold for row in found),
        )


@dataclass(frozen=True)
class ReduceRows:
    """Reduces joined rows to votes that count and candidate classes.

    Attributes:
        ids: id columns.
        prob_columns: columns of the probabilities, one for each model.
        num_classes: K.
        temperatures: of each model; empty: probabilities stay as they are.
    """

    ids: tuple[str, ...]
    prob_columns: tuple[str, ...]
    num_classes: int
    temperatures: tuple[float, ...]

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Map record batches."""
        for part in split_batches(batches, self.prob_columns, self.num_classes):
            yield self._reduce(part)

    def _reduce(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        size = batch.num_rows
        is_predicted = batch.column(PREDICTED).fill_null(False).to_numpy(zero_copy_only=False)
        matrices, faults = read_models(batch, self.prob_columns, self.num_classes)
        faults = np.where(is_predicted, faults, 0)
        has_prediction = is_predicted & (faults == 0)
        if self.temperatures:
            for matrix, temperature in zip(matrices, self.temperatures, strict=True):
                matrix[has_prediction] = scale(matrix[has_prediction], temperature)
        num_votes = batch.column(LABELS).value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
        rows = np.repeat(np.arange(size), num_votes)
        annotators, labels = (
            batch.column(name).flatten().to_numpy(zero_copy_only=False).astype(np.int64)
            for name in (ANNOTATORS, LABELS)
        )
        kept = find_kept_votes(rows, annotators, labels)
        repeated = np.bincount(rows, weights=~kept, minlength=size).astype(np.int32)
        rows, annotators, labels = rows[kept], annotators[kept], labels[kept]
        gold = batch.column(GOLD).fill_null(NO_CLASS).to_numpy(zero_copy_only=False).astype(np.int64)
        if len(matrices) > 1:  # which class comes first depends on the weights of the models
            candidate_rows, candidates = (
                part.ravel() for part in np.indices((size, self.num_classes), dtype=np.int64)
            )
        else:
            probs = matrices[0] if matrices else np.zeros((size, self.num_classes))
            candidate_rows, candidates = find_candidates(probs, rows, labels, gold)
        probs = np.stack(
            [matrix[candidate_rows, candidates] for matrix in matrices] or [np.zeros((len(candidates), 0))],
            axis=1,
        ).reshape(len(candidates), len(matrices))
        vote_offsets = _offsets(rows, size)
        candidate_offsets = _offsets(candidate_rows, size)
        columns = {name: batch.column(name) for name in self.ids} | {
            ANNOTATORS: _lists(vote_offsets, annotators),
            LABELS: _lists(vote_offsets, labels),
            CANDIDATES: _lists(candidate_offsets, candidates),
            c.PROBS: pa.ListArray.from_arrays(
                pa.array(candidate_offsets * len(matrices), pa.int32()), pa.array(probs.ravel())
            ),
            HAS_PREDICTION: pa.array(has_prediction),
            GOLD: pa.array(gold, pa.int32()),
            NUM_REPEATED: pa.array(repeated, pa.int32()),
            FAULT: pa.array(faults, pa.int32()),
        }
        return pa.RecordBatch.from_pydict(columns)


def _offsets(rows: np.ndarray, size: int) -> np.ndarray:
    return np.append(0, np.cumsum(np.bincount(rows, minlength=size)))


def _lists(offsets: np.ndarray, values: np.ndarray) -> pa.ListArray:
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(values, pa.int32()))


def read_block(batch: pa.RecordBatch) -> VoteBlock:
    """Read a record batch of `BLOCK_COLUMNS`."""
    offsets, flat = {}, {}
    for name in (LABELS, CANDIDATES):
        lengths = batch.column(name).value_lengths().to_numpy(zero_copy_only=False)
        offsets[name] = np.append(0, np.cumsum(lengths)).astype(np.int64)
    for name in (ANNOTATORS, LABELS, CANDIDATES):
        flat[name] = batch.column(name).flatten().to_numpy(zero_copy_only=False).astype(np.int64)
    probs = batch.column(c.PROBS).flatten().to_numpy(zero_copy_only=False)
    num_candidates = len(flat[CANDIDATES])
    num_models = len(probs) // max(num_candidates, 1)
    return VoteBlock(
        vote_offsets=offsets[LABELS],
        annotators=flat[ANNOTATORS],
        labels=flat[LABELS],
        candidate_offsets=offsets[CANDIDATES],
        candidates=flat[CANDIDATES],
        probs=probs.reshape(num_candidates, num_models),
        has_prediction=batch.column(HAS_PREDICTION).to_numpy(zero_copy_only=False),
        gold=batch.column(GOLD).to_numpy(zero_copy_only=False).astype(np.int64),
    )


def map_blocks(rows: DataFrame, function: ArrowFunction, schema: str, ids: Sequence[str] = ()) -> DataFrame:
    """Run a function on record batches of `BLOCK_COLUMNS` and of id columns, which it keeps.

    Args:
        rows: rows of votes.
        function: what to run.
        schema: columns that it makes beside the ids.
        ids: the id columns.
    """
    return map_in_arrow(
        rows.select(*map(quoted, ids), *BLOCK_COLUMNS), function, _ids_schema(rows, ids) + schema
    )


def _ids_schema(rows: DataFrame, ids: Sequence[str]) -> str:
    return "".join(f"{name} {kind.simpleString()}, " for name, kind in find_types(rows, ids).items())
