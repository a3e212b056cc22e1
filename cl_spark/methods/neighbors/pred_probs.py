"""Outlier scores of predicted probabilities, with the rows that cannot be used."""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from cl_spark.errors import ColumnTypeError, EmptyTableError, SingleClassError
from cl_spark.evidence.prob_columns import field_names, is_binary, is_prob_column, is_sparse, select_probs
from cl_spark.evidence.validity import PROB_FAULTS, RejectionReason, explain_rejection, join_reasons
from cl_spark.evidence.workers import map_in_arrow
from cl_spark.kernels import dense_probs
from cl_spark.kernels.arrays import Float64s
from cl_spark.kernels.outlier_scores import PROB_SCORES
from cl_spark.kernels.quality_scores import adjust_probs
from cl_spark.methods.classification.thresholds import find_usual_num_probs
from cl_spark.tables import columns as c
from cl_spark.tables.columns import quoted, resolve_columns
from cl_spark.tables.row_json import select_row_json

logger = logging.getLogger(__name__)

ID, FAULT, SCORE = "_id", "_fault", "score"

NULL_ID, REPEATED_ID = 7, 8

REASONS = {
    **PROB_FAULTS,
    NULL_ID: RejectionReason.NULL_ID,
    REPEATED_ID: RejectionReason.REPEATED_ID,
}
"""Reason of rejection for each fault of a row."""


@dataclass(frozen=True)
class ProbTable:
    """A table of ids and predicted probabilities.

    Attributes:
        df: the table.
        id_col: id column.
        pred_probs_col: column of arrays of K numbers, or ML vectors.
        argument: what the caller calls the table, for messages.
    """

    df: DataFrame
    id_col: str
    pred_probs_col: str
    argument: str = "df"

    def select_probs(self) -> Column:
        """Select the probabilities as arrays.

        Raises:
            MissingColumnError: the column is missing.
            ColumnTypeError: it is of another type.
        """
        found = resolve_columns(self.df, self.argument, {"pred_probs_col": self.pred_probs_col})
        col = found["pred_probs_col"]
        kind = self.df.schema[col].dataType
        if not is_prob_column(kind) or is_sparse(kind) or is_binary(kind) or field_names(kind):
            raise ColumnTypeError(
                f"pred_probs_col: column {col!r} of {self.argument} is {kind.simpleString()}; it must be an "
                "array of K numbers or an ML vector"
            )
        return select_probs(col, kind)

    def find_num_classes(self) -> int:
        """Find K: the number of probabilities that most rows have, of two equally frequent ones the greater.

        Raises:
            EmptyTableError: no row has probabilities.
            SingleClassError: there is one class only.
        """
        length = F.size(self.select_probs()).alias("length")
        counts = {row[0]: row[1] for row in self.df.select(length).groupBy("length").count().collect()}
        num_classes = find_usual_num_probs({size or 0: rows for size, rows in counts.items()})
        if not num_classes:
            raise EmptyTableError(f"{self.argument}: no row has probabilities in {self.pred_probs_col!r}")
        if num_classes < 2:
            raise SingleClassError(
                "pred_probs_col: there is 1 probability a row, and there must be at least 2"
            )
        return num_classes

    def score(
        self, method: str, num_classes: int, thresholds: Float64s | None, *, check_ids: bool = True
    ) -> DataFrame:
        """Score rows: id column, score (null where the row cannot be used), and the fault.

        Args:
            method: one of `PROB_SCORES`.
            num_classes: K.
            thresholds: (K,) confident thresholds to adjust probabilities by; None leaves them as they are.
            check_ids: look for ids of several rows, which costs a shuffle.
        """
        kind = self.df.schema[self.id_col].dataType.simpleString()
        rows = self.df.select(F.col(quoted(self.id_col)).alias(ID), self.select_probs().alias("_probs"))
        function = ScoreProbs(method, num_classes, None if thresholds is None else tuple(thresholds))
        scored = map_in_arrow(rows, function, f"{ID} {kind}, {SCORE} double, {FAULT} int")
        marked = self._mark_repeated(scored) if check_ids else scored
        return marked.select(F.col(ID).alias(self.id_col), SCORE, FAULT)

    def tell_faults(self, scored: DataFrame) -> None:
        """Tell in the log how many rows cannot be used, and why.

        Args:
            scored: what `score` returns.

        Raises:
            EmptyTableError: none can.
        """
        counts = {row[0]: row[1] for row in scored.groupBy(FAULT).count().collect()}
        rejected = {explain_rejection(REASONS[fault]): rows for fault, rows in counts.items() if fault}
        seen = join_reasons(dict(sorted(rejected.items())))
        if not counts.get(0):
            raise EmptyTableError(
                f"{self.argument}: none of {sum(counts.values()):,} rows can be used: {seen}"
            )
        if rejected:
            total = f"{sum(rejected.values()):,}"
            logger.warning("%s rows of %s cannot be used: %s", total, self.argument, seen)

    def _mark_repeated(self, rows: DataFrame) -> DataFrame:
        """Mark rows without another fault whose id several rows have."""
        ids = self.df.select(F.col(quoted(self.id_col)).alias(ID)).groupBy(ID)
        repeated = (
            ids.agg(F.count(F.lit(1)).alias("_rows")).where("_rows > 1").select(ID, F.lit(True).alias("_is"))
        )
        fault = F.when((F.col(FAULT) == 0) & F.col("_is"), REPEATED_ID).otherwise(F.col(FAULT))
        return rows.join(repeated, ID, "left").withColumn(FAULT, fault).drop("_is")

    def rejected(self, num_classes: int) -> DataFrame:
        """Rows that cannot be used: id, reason, and the row as JSON."""
        row = select_row_json().alias(c.ROW)
        rows = self.df.select(F.col(quoted(self.id_col)).alias(ID), self.select_probs().alias("_probs"), row)
        kind = self.df.schema[self.id_col].dataType.simpleString()
        schema = f"{ID} {kind}, {SCORE} double, {FAULT} int, {c.ROW} string"
        found = map_in_arrow(rows, ScoreProbs("least_confidence", num_classes, None), schema)
        reason = F.lit(None).cast("string")
        for fault, code in REASONS.items():
            reason = F.when(F.col(FAULT) == fault, explain_rejection(code)).otherwise(reason)
        shown = self._mark_repeated(found).where(F.col(FAULT) > 0)
        return shown.select(F.col(ID).alias(self.id_col), reason.alias(c.REASON), c.ROW)


@dataclass(frozen=True)
class ScoreProbs:
    """Scores record batches of ids and probabilities; further columns stay.

    Attributes:
        method: one of `PROB_SCORES`.
        num_classes: K.
        thresholds: K confident thresholds to adjust by, or None.
    """

    method: str
    num_classes: int
    thresholds: tuple[float, ...] | None

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Score batches."""
        for batch in batches:
            ids, column, *others = batch.columns
            names = batch.schema.names[2:]
            probs, faults = dense_probs.to_matrix(column, self.num_classes)
            faults[ids.is_null().to_numpy(zero_copy_only=False)] = NULL_ID
            can_use = faults == 0
            scores = np.full(len(faults), np.nan)
            used = probs[can_use]
            if self.thresholds is not None:
                used = adjust_probs(used, np.array(self.thresholds))
            scores[can_use] = PROB_SCORES[self.method](used)
            columns = [ids, pa.array(scores, mask=~can_use), pa.array(faults.astype(np.int32)), *others]
            yield pa.RecordBatch.from_arrays(columns, names=[ID, SCORE, FAULT, *names])
