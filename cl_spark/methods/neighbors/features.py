"""Tables of features: a vector of numbers for each id, and which rows can be used."""

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import Column, DataFrame, Row, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, IntegralType, NumericType, StringType

from cl_spark.errors import ColumnTypeError, ConfigurationError, EmptyTableError
from cl_spark.evidence.ids import MANY_ROWS, find_repeated_ids
from cl_spark.evidence.partitions import partitions_for
from cl_spark.evidence.prob_columns import select_class_columns, select_probs
from cl_spark.evidence.storage import Storage
from cl_spark.evidence.validity import RejectionReason, explain_rejection, join_reasons
from cl_spark.evidence.workers import map_in_arrow
from cl_spark.kernels import features as f
from cl_spark.kernels.arrays import Bools, Floats, Int64s
from cl_spark.kernels.nearest import COSINE, EUCLIDEAN
from cl_spark.tables import columns as c
from cl_spark.tables.columns import quoted, resolve_columns
from cl_spark.tables.pandas_frames import to_spark
from cl_spark.tables.row_json import select_row_json

logger = logging.getLogger(__name__)

ID, FEATURES = "_id", "_features"

NULL_ID, REPEATED_ID = 6, 7
REASONS = {
    NULL_ID: explain_rejection(RejectionReason.NULL_ID),
    REPEATED_ID: explain_rejection(RejectionReason.REPEATED_ID),
    f.MISSING: "null or empty features",
    f.WRONG_LENGTH: "features of another length than d",
    f.HAS_NULL: "null inside features",
    f.NOT_FINITE: "NaN or infinity in features",
    f.ZERO: "features are all 0, which have no direction (metric cosine)",
}
"""Text of each reason why a row cannot be used."""


@dataclass(frozen=True)
class FeatureCounts:
    """How many rows of a table can be used.

    Attributes:
        num_read: rows of the table.
        num_accepted: rows that can be used.
        rejected: the others, by reason.
        dimension: d, the number of features of a row.
    """

    num_read: int
    num_accepted: int
    rejected: Mapping[str, int]
    dimension: int


class FeatureTable:
    """A table of ids and features. Rows are read once, and persisted.

    Args:
        df: the table.
        id_col: id column: whole numbers or text.
        features_col: column of vectors: an array of numbers or an ML vector; or several columns of numbers.
        storage: where rows are persisted.
        metric: "cosine", "euclidean", or "auto".
        dimension: d, where another table has set it; default: the length that most rows have, of two equally
            frequent ones the greater.
        argument: what the caller calls the table, for messages.

    Raises:
        MissingColumnError: a column is missing.
        ColumnTypeError: a column is of a type that cannot be used.
    """

    def __init__(
        self,
        df: DataFrame | pd.DataFrame,
        id_col: str,
        features_col: str | Sequence[str],
        storage: Storage,
        *,
        metric: str = "auto",
        dimension: int | None = None,
        argument: str = "df",
        spark: SparkSession | None = None,
    ) -> None:
        self.df = to_spark(df, spark, argument=argument)
        self.id_col = resolve_columns(self.df, argument, {"id_col": id_col})["id_col"]
        self._argument, self._metric, self._dimension, self._storage = argument, metric, dimension, storage
        kind = self.df.schema[self.id_col].dataType
        if not isinstance(kind, IntegralType | StringType):
            raise ColumnTypeError(
                f"id_col: column {id_col!r} of {argument} is {kind.simpleString()}; it must be whole numbers "
                "or text: cast it"
            )
        self.id_type = kind.simpleString()
        self.long_id = isinstance(kind, IntegralType)
        self.select_features = select_features(self.df, features_col, argument)
        self.element = _find_element(self.df, self.select_features)

    @property
    def key_type(self) -> str:
        """Type of the ids in the work: long or text."""
        return "bigint" if self.long_id else "string"

    @cached_property
    def rows(self) -> DataFrame:
        """All rows: id and features. Persisted, where the session can."""
        key = F.col(quoted(self.id_col)).cast(self.key_type).alias(ID)
        return self._storage.persist(self.df.select(key, self.select_features.alias(FEATURES)))

    @cached_property
    def _fault_counts(self) -> list[Row]:
        """Rows by length, fault, and whether the id is missing."""
        schema = "length bigint, fault int, lacks_id boolean, rows bigint"
        counted = map_in_arrow(self.rows, count_faults, schema)
        return counted.groupBy("length", "fault", "lacks_id").agg(F.sum("rows").alias("rows")).collect()

    @cached_property
    def counts(self) -> FeatureCounts:
        """Numbers of rows, by a scan.

        Raises:
            EmptyTableError: there is no row that can be used.
        """
        found = self._fault_counts
        num_read = sum(row.rows for row in found)
        lengths: Counter[int] = Counter()
        for row in found:
            if row.length:
                lengths[row.length] += row.rows
        if not lengths:
            raise EmptyTableError(
                f"{self._argument}: there are no rows"
                if not num_read
                else f"{self._argument}: no row of {num_read:,} has features"
            )
        dimension = self._dimension or max(lengths, key=lambda length: (lengths[length], length))
        rejected: Counter[str] = Counter()
        for row in found:
            fault = NULL_ID if row.lacks_id else row.fault
            if not row.lacks_id and row.length not in (0, dimension):
                fault = f.WRONG_LENGTH
            if fault == f.ZERO and self._choose_metric(dimension) != COSINE:
                fault = 0
            if fault:
                rejected[REASONS[fault]] += row.rows
        if self.repeated is not None:
            for reason, rows in self._count_repeated(dimension).items():
                rejected[reason] += rows
        accepted = num_read - sum(rejected.values())
        told = f"(d = {dimension}) {join_reasons(dict(sorted(rejected.items())))}"
        if not accepted:
            raise EmptyTableError(f"{self._argument}: none of {num_read:,} rows can be used: {told}")
        if rejected:
            total = f"{sum(rejected.values()):,}"
            logger.warning("%s rows of %s cannot be used: %s", total, self._argument, told)
        return FeatureCounts(num_read, accepted, dict(sorted(rejected.items())), dimension)

    def _choose_metric(self, dimension: int) -> str:
        if self._metric != "auto":
            return self._metric
        return COSINE if dimension > 3 else EUCLIDEAN

    @property
    def metric(self) -> str:
        """The metric: that of the caller, else cosine above 3 dimensions."""
        return self._choose_metric(self.counts.dimension)

    @cached_property
    def repeated(self) -> DataFrame | None:
        """Ids of several rows; None if there are none."""
        num_read = sum(row.rows for row in self._fault_counts)
        return find_repeated_ids(
            self.rows,
            [ID],
            self._storage.persist,
            num_partitions=partitions_for(num_read),
            few=num_read < MANY_ROWS,
        )

    def _count_repeated(self, dimension: int) -> dict[str, int]:
        """Count the rows of repeated ids that have no other fault."""
        assert self.repeated is not None
        rows = self.rows.join(self.repeated, ID, "left_semi").select(ID, FEATURES)
        pick = PickRows(dimension, self._choose_metric(dimension) == COSINE)
        number = map_in_arrow(rows, pick, self.schema).count()
        return {REASONS[REPEATED_ID]: number} if number else {}

    @property
    def schema(self) -> str:
        """Columns of accepted rows."""
        return f"{ID} {self.key_type}, {FEATURES} binary"

    @property
    def candidates(self) -> DataFrame:
        """Rows whose id is theirs alone; others are checked where they are read (`read_rows`)."""
        rows = self.rows.where(F.col(ID).isNotNull())
        return (
            rows if self.repeated is None else rows.join(self.repeated, ID, "left_anti").select(ID, FEATURES)
        )

    def rejected(self) -> DataFrame:
        """Rows that cannot be used: id, reason, and the row as JSON. Reads the table again."""
        key = F.col(quoted(self.id_col)).cast(self.key_type).alias(ID)
        rows = self.df.select(key, self.select_features.alias(FEATURES), select_row_json().alias(c.ROW))
        find = FindFaults(self.counts.dimension, self.metric == COSINE)
        found = map_in_arrow(rows, find, f"{ID} {self.key_type}, {c.ROW} string, _fault int")
        fault = F.col("_fault")
        if self.repeated is not None:
            found = found.join(self.repeated.withColumn("_repeated", F.lit(True)), ID, "left")
            fault = F.when((fault == 0) & F.col("_repeated"), REPEATED_ID).otherwise(fault)
        reason = F.lit(None).cast("string")
        for code, text in REASONS.items():
            reason = F.when(fault == code, text).otherwise(reason)
        shown = found.select(F.col(ID).cast(self.id_type).alias(self.id_col), reason.alias(c.REASON), c.ROW)
        return shown.where(F.col(c.REASON).isNotNull())


def choose_features_col(df: DataFrame, cols: Sequence[str], argument: str) -> str | list[str]:
    """Choose how a configuration's list of columns names features: one column of vectors, or numbers.

    Args:
        df: the table.
        cols: one column of vectors, or columns of numbers.
        argument: what the caller calls the table, for messages.

    Raises:
        MissingColumnError: there is no such column.
    """
    if len(cols) > 1:
        return list(cols)
    found = resolve_columns(df, argument, {"features_col": cols[0]})["features_col"]
    return [found] if isinstance(df.schema[found].dataType, NumericType) else found


def select_features(df: DataFrame, features_col: str | Sequence[str], argument: str) -> Column:
    """Select features as arrays of float or double."""
    if not isinstance(features_col, str):
        if not features_col:
            raise ConfigurationError("features_col names no column")
        found = [resolve_columns(df, argument, {"features_col": col})["features_col"] for col in features_col]
        for col in found:
            if not isinstance(kind := df.schema[col].dataType, NumericType):
                raise ColumnTypeError(
                    f"features_col: column {col!r} of {argument} is {kind.simpleString()}; of several "
                    "columns each must be a number"
                )
        return select_class_columns(found)
    col = resolve_columns(df, argument, {"features_col": features_col})["features_col"]
    kind = df.schema[col].dataType
    is_numbers = isinstance(kind, ArrayType) and isinstance(kind.elementType, NumericType)
    is_vector = type(kind).__name__ == "VectorUDT"
    if not is_numbers and not is_vector:
        raise ColumnTypeError(
            f"features_col: column {col!r} of {argument} is {kind.simpleString()}; it must be an array of "
            "numbers or an ML vector; of plain columns pass a list"
        )
    return select_probs(col, kind)


def _find_element(df: DataFrame, features: Column) -> str:
    kind = df.select(features.alias(FEATURES)).schema[FEATURES].dataType
    return "<f4" if kind.simpleString() == "array<float>" else "<f8"


def count_faults(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Count the rows of record batches by length, fault, and whether the id is missing."""
    counts: Counter[tuple[int, int, bool]] = Counter()
    for batch in batches:
        column, lacks_id = batch.column(1), _find_nulls(batch.column(0))
        lengths = f.find_lengths(column)
        for length in np.unique(lengths).tolist():
            of_length = lengths == length
            if length:
                _, faults = f.to_matrix(column.filter(pa.array(of_length)), length)
            else:
                faults = np.full(of_length.sum(), f.MISSING, dtype=np.int8)
            kinds, rows = np.unique(np.stack([faults, lacks_id[of_length]]), axis=1, return_counts=True)
            for (fault, lacks), number in zip(kinds.T.tolist(), rows.tolist(), strict=True):
                counts[length, fault, bool(lacks)] += number
    names = ("length", "fault", "lacks_id", "rows")
    types = (pa.int64(), pa.int32(), pa.bool_(), pa.int64())
    columns = list(zip(*((*key, number) for key, number in counts.items()), strict=True)) or [()] * 4
    arrays = [pa.array(list(values), kind) for values, kind in zip(columns, types, strict=True)]
    yield pa.RecordBatch.from_arrays(arrays, names=list(names))


@dataclass(frozen=True)
class FeatureRows:
    """Rows that can be used.

    Attributes:
        ids: (n,) ids.
        features: (n, d) features.
        others: the other columns of the batch.
    """

    ids: pa.Array
    features: Floats
    others: list[pa.Array]


def read_rows(
    batches: Iterable[pa.RecordBatch], dimension: int, *, needs_direction: bool
) -> Iterator[FeatureRows]:
    """Read the rows that can be used.

    Args:
        batches: batches of `ID`, `FEATURES`, and other columns.
        dimension: d.
        needs_direction: whether zero vectors are left out.
    """
    for batch in batches:
        matrix, faults = f.to_matrix(batch.column(1), dimension)
        if needs_direction:
            matrix = matrix[matrix.any(axis=1)]
        can_use = pa.array((faults == 0) if needs_direction else (faults == 0) | (faults == f.ZERO))
        ids, _, *others = [column.filter(can_use) for column in batch.columns]
        yield FeatureRows(ids, matrix, others)


def to_binaries(matrix: Floats) -> pa.Array:
    """Turn each row of a matrix into the bytes of its numbers."""
    rows, width = len(matrix), matrix.shape[1] * matrix.itemsize
    buffer = pa.py_buffer(np.ascontiguousarray(matrix))
    fixed = pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), rows, [None, buffer])
    return fixed.cast(pa.binary())


def from_binaries(column: pa.Array, dimension: int, element: str) -> Floats:
    """Read a matrix from the bytes of its rows."""
    width = dimension * np.dtype(element).itemsize
    offsets = np.frombuffer(column.buffers()[1], dtype=np.int32)
    start = offsets[column.offset] if len(column) else 0
    values = np.frombuffer(column.buffers()[2], dtype=np.uint8, count=len(column) * width, offset=start)
    return values.view(element).reshape(-1, dimension)


@dataclass(frozen=True)
class PickRows:
    """Picks the rows that can be used: id, and the bytes of the features.

    Attributes:
        dimension: d.
        needs_direction: whether zero vectors are left out.
    """

    dimension: int
    needs_direction: bool

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Pick rows of record batches."""
        for rows in read_rows(batches, self.dimension, needs_direction=self.needs_direction):
            yield pa.RecordBatch.from_arrays([rows.ids, to_binaries(rows.features)], names=[ID, FEATURES])


@dataclass(frozen=True)
class FindFaults:
    """Finds the fault of each row: id, row, fault.

    Attributes:
        dimension: d.
        needs_direction: whether a zero vector is a fault.
    """

    dimension: int
    needs_direction: bool

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Find faults of record batches."""
        for batch in batches:
            _, faults = f.to_matrix(batch.column(1), self.dimension)
            if not self.needs_direction:
                faults[faults == f.ZERO] = 0
            faults[_find_nulls(batch.column(0))] = NULL_ID
            columns = [batch.column(0), batch.column(2), pa.array(faults.astype(np.int32))]
            yield pa.RecordBatch.from_arrays(columns, names=[ID, c.ROW, "_fault"])


def _find_nulls(column: pa.Array) -> Bools:
    return np.asarray(column.is_null().to_numpy(zero_copy_only=False))


def rank_ids(ids: pa.Array) -> Int64s:
    """Rank ids in their order; whole numbers are their own ranks."""
    if pa.types.is_integer(ids.type):
        return np.asarray(ids.to_numpy(), dtype=np.int64)
    coded = ids.dictionary_encode()
    order = pc.sort_indices(coded.dictionary).to_numpy()
    ranks = np.empty(len(order), dtype=np.int64)
    ranks[order] = np.arange(len(order))
    return np.asarray(ranks[coded.indices.to_numpy()])
