"""Predictions of one or several models for annotated examples, and which of them can be used."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import NumericType

from cl_spark.errors import ColumnTypeError, ConfigurationError, EmptyTableError, SingleClassError
from cl_spark.evidence.prob_columns import (
    field_names,
    is_prob_column,
    is_sparse,
    select_class_columns,
    select_probs,
)
from cl_spark.evidence.validity import PROB_FAULTS, RejectionReason, explain_rejection
from cl_spark.evidence.workers import add_column, map_in_arrow
from cl_spark.kernels import dense_probs
from cl_spark.kernels.arrays import Float64s, Int8s
from cl_spark.tables import columns as c
from cl_spark.tables.columns import is_case_sensitive, quoted, resolve_column
from cl_spark.tables.example_ids import ExampleIds, find_types
from cl_spark.tables.ids import lacks_id
from cl_spark.tables.row_json import select_row_json

PREDICTED = "_is_predicted"
"""Marks rows of the predictions after a join."""


@dataclass(frozen=True)
class ModelProbs:
    """A table of ids and predicted probabilities of one or several models, a row for each example.

    Attributes:
        df: the table.
        ids: the id columns.
        pred_probs_col: column of arrays, ML vectors or structs, or of two classes the probability of the
            second; a list of columns of the first three, one for each model; or of K columns of numbers.
        class_names: names of the classes, in the order of the probabilities.
        argument: what the caller calls the table, for messages.

    Raises:
        ConfigurationError: the arguments contradict each other.
        MissingColumnError: a column is not in the table.
        ColumnTypeError: a column is of a type that cannot be used.
    """

    df: DataFrame
    ids: ExampleIds
    pred_probs_col: str | Sequence[str]
    class_names: Sequence[str] | None
    argument: str = "predictions"

    def __post_init__(self) -> None:
        is_sensitive = is_case_sensitive(self.df.sparkSession)
        if not self._cols:
            raise ConfigurationError("pred_probs_col names no column")
        for col in self._cols:
            resolve_column(
                "pred_probs_col", col, self.df.columns, case_sensitive=is_sensitive, table=self.argument
            )
        if self.is_wide:
            if self.class_names is not None and len(self.class_names) != len(self._cols):
                raise ConfigurationError(
                    f"class_names has {len(self.class_names)} names for {len(self._cols)} pred_probs columns"
                )
            return
        for col, kind in find_types(self.df, self._cols).items():
            if not is_prob_column(kind) or is_sparse(kind):
                raise ColumnTypeError(
                    f"pred_probs_col: column {col!r} of {self.argument} is {kind.simpleString()}; it must "
                    "be an array of numbers, an ML vector or a struct, of one number per class, or for two "
                    "classes a float or double"
                )
            if field_names(kind) and sorted(field_names(kind)) != sorted(self.class_names or ()):
                raise ConfigurationError(
                    f"class_names: column {col!r} has the classes {', '.join(field_names(kind))}: pass "
                    "class_names, which order them"
                )

    @property
    def _cols(self) -> list[str]:
        return [self.pred_probs_col] if isinstance(self.pred_probs_col, str) else list(self.pred_probs_col)

    @cached_property
    def is_wide(self) -> bool:
        """True if each of several columns holds the probability of a class."""
        kinds = find_types(self.df, self._cols).values()
        return len(kinds) > 1 and all(isinstance(kind, NumericType) for kind in kinds)

    @property
    def num_models(self) -> int:
        """M."""
        return 1 if self.is_wide else len(self._cols)

    @property
    def columns(self) -> list[str]:
        """Names of the selected columns of probabilities, one for each model."""
        return [f"{c.PROBS}_{model}" for model in range(self.num_models)]

    def _select_probs(self) -> list[Column]:
        if self.is_wide:
            return [select_class_columns(self._cols).alias(self.columns[0])]
        kinds = find_types(self.df, self._cols)
        selected = [select_probs(col, kinds[col], self.class_names or ()) for col in self._cols]
        return [probs.alias(name) for probs, name in zip(selected, self.columns, strict=True)]

    def select_rows(self) -> DataFrame:
        """Select the ids, and the probabilities of each model under the names of `columns`."""
        return self.df.select(*self.ids.select(self.df), *self._select_probs())

    @cached_property
    def num_rows(self) -> int:
        """Rows of the table."""
        return sum(self._lengths.values())

    @cached_property
    def _lengths(self) -> dict[int, int]:
        """Rows by number of probabilities of the first model; -1 of null."""
        length = F.coalesce(F.size(self._select_probs()[0]), F.lit(-1))
        counts = self.df.groupBy(length.alias("length")).count().collect()
        return {row[0]: row[1] for row in counts}

    @cached_property
    def num_classes(self) -> int:
        """K: the number of names; else of probabilities that most rows have (the greater one on a tie).

        Raises:
            EmptyTableError: no row has probabilities.
            SingleClassError: there is one class only.
        """
        if self.class_names is not None:
            return len(self.class_names)
        if self.is_wide:
            return len(self._cols)
        lengths = {length: rows for length, rows in self._lengths.items() if length > 0}
        if not lengths:
            raise EmptyTableError(f"{self.argument}: no row has probabilities")
        num_classes = max(lengths, key=lambda length: (lengths[length], length))
        if num_classes < 2:
            raise SingleClassError(
                "pred_probs_col: there is 1 probability per row, and there must be one per class, of at "
                "least 2"
            )
        return num_classes

    def num_bytes(self, num_classes: int) -> int:
        """Bytes that the probabilities take."""
        return self.num_rows * num_classes * 8 * self.num_models

    def explain(self, fault: int) -> str:
        """Write a reason of rejection for a fault."""
        return f"{self.argument}: {explain_rejection(PROB_FAULTS[fault])}"

    def rejected(self, num_classes: int, repeated: DataFrame | None) -> DataFrame:
        """Read the rows that cannot be used: the id columns, reason, and the row as JSON.

        Args:
            num_classes: K.
            repeated: ids of several rows, under the names of `ids`; None if there are none.
        """
        ids = [F.col(quoted(col)).alias(f"_of_input_{i}") for i, col in enumerate(self.ids.columns)]
        null_id = lacks_id(self.df, self.ids.columns).alias("_lacks_id")
        rows = self.df.select(
            *self.ids.select(self.df), *ids, null_id, select_row_json().alias(c.ROW), *self._select_probs()
        )
        schema = ", ".join(
            f"`{field.name}` {field.dataType.simpleString()}"
            for field in rows.drop(*self.columns).schema.fields
        )
        found = map_in_arrow(rows, FindFaults(tuple(self.columns), num_classes), f"{schema}, _fault int")
        is_repeated = F.lit(False)
        if repeated is not None:
            found = found.join(repeated.withColumn(c.REPEATED, F.lit(True)), self.ids.names, "left")
            is_repeated = F.coalesce(F.col(c.REPEATED), F.lit(False))
        reason = F.when(F.col("_lacks_id"), self._name(RejectionReason.NULL_ID))
        reason = reason.when(is_repeated, self._name(RejectionReason.REPEATED_ID))
        for fault in PROB_FAULTS:
            reason = reason.when(F.col("_fault") == fault, self.explain(fault))
        original = [F.col(f"_of_input_{i}").alias(col) for i, col in enumerate(self.ids.columns)]
        return found.select(*original, reason.alias(c.REASON), c.ROW).where(F.col(c.REASON).isNotNull())

    def _name(self, reason: RejectionReason) -> str:
        return f"{self.argument}: {explain_rejection(reason)}"


@dataclass(frozen=True)
class FindFaults:
    """Replaces the probabilities of record batches by the fault of each row.

    Attributes:
        columns: columns of the probabilities.
        num_classes: K.
    """

    columns: tuple[str, ...]
    num_classes: int

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Map record batches."""
        for batch in split_batches(batches, self.columns, self.num_classes):
            _, faults = read_models(batch, self.columns, self.num_classes)
            rest = batch.select([name for name in batch.schema.names if name not in self.columns])
            yield add_column(rest, "_fault", pa.array(faults.astype(np.int32)))


def split_batches(
    batches: Iterable[pa.RecordBatch], columns: Sequence[str], num_classes: int
) -> Iterator[pa.RecordBatch]:
    """Split record batches into parts whose matrices are small: K may be 100,000.

    Args:
        batches: the batches.
        columns: columns of the probabilities, one for each model.
        num_classes: K.
    """
    step = max(dense_probs.VALUES_AT_ONCE // (num_classes * max(len(columns), 1)), 1)
    for batch in batches:
        for first in range(0, batch.num_rows, step):
            yield batch.slice(first, step)


def read_models(
    batch: pa.RecordBatch, columns: Sequence[str], num_classes: int
) -> tuple[list[Float64s], Int8s]:
    """Read the probabilities of each model from a record batch.

    Returns:
        A matrix (n, K) for each model, and (n,) the first fault of each row. A row with a fault has zeros in
        all.
    """
    matrices, faults = [], np.zeros(batch.num_rows, dtype=np.int8)
    for name in columns:
        matrix, found = dense_probs.to_matrix(batch.column(name), num_classes)
        matrices.append(matrix)
        faults = np.where(faults > 0, faults, found)
    for matrix in matrices:
        matrix[faults > 0] = 0
    return matrices, faults
