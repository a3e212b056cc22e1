"""Parquet files that Spark tasks read themselves: no array passes through the JVM."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import unquote, urlparse

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import (
    ArrayType,
    ByteType,
    DataType,
    DoubleType,
    FloatType,
    IntegerType,
    LongType,
    MapType,
    ShortType,
    StringType,
    StructType,
)

from cl_spark.evidence.workers import ArrowFunction, map_in_arrow

MAX_FILES = 10_000
"""Of more files the footers are not read to learn whether all have the same columns."""

SPLIT_BYTES = 2**28
"""Bytes that a Spark task reads, of as many files as that takes, where there are enough for two Spark tasks
per core of this machine."""

BATCH_VALUES = 2**20
"""Values that a record batch holds, about."""

_ARROW_TYPES: dict[type[DataType], pa.DataType] = {
    ByteType: pa.int8(),
    ShortType: pa.int16(),
    IntegerType: pa.int32(),
    LongType: pa.int64(),
    StringType: pa.string(),
    FloatType: pa.float32(),
    DoubleType: pa.float64(),
}

Split = tuple[tuple[str, tuple[int, ...]], ...]
"""The files of one Spark task: paths, each with some of its row groups."""

Footer = tuple[str, pq.FileMetaData]
"""Path of a file, and its metadata."""


@dataclass(frozen=True)
class ParquetFiles:
    """Files that hold the rows of a DataFrame, cut into splits.

    Attributes:
        splits: what each Spark task reads.
        columns: name of each column in the files, by the name kernels know it under.
        types: Arrow types that kernels expect, by the same names.
        num_rows: how many rows the files have.
        batch_rows: how many of them are read at a time.
    """

    splits: tuple[Split, ...]
    columns: Mapping[str, str]
    types: Mapping[str, pa.DataType]
    num_rows: int
    batch_rows: int

    @staticmethod
    def find(
        df: DataFrame, columns: Mapping[str, str], cast: Mapping[str, pa.DataType]
    ) -> "ParquetFiles | None":
        """Find the files of a DataFrame that is a table of Parquet files as they are.

        Args:
            df: the DataFrame, without any condition or computed column.
            columns: its columns to read, by the names kernels know them under.
            cast: types to give some of them.

        Returns:
            The files, or None where Spark had better read them: the files are not of this machine's file
            system, do not all have the columns in just the types of the DataFrame, or hold types whose
            meaning Spark and Arrow might not share.
        """
        fields = {field.name: field.dataType for field in df.schema.fields}
        types = {name: _to_arrow_type(fields[col]) for name, col in columns.items()}
        if None in types.values() or any("." in col for col in columns.values()):
            return None
        footers = _read_footers(df)
        if footers is None or not all(_has_columns(footer, columns, types) for _, footer in footers):
            return None
        row_values = max([1, *(_most_values_per_row(footer) for _, footer in footers)])
        batch_rows = min(max(BATCH_VALUES // row_values, 64), 2**16)
        return ParquetFiles(
            splits=_cut_splits(footers),
            columns=dict(columns),
            types={**types, **cast},
            num_rows=sum(footer.num_rows for _, footer in footers),
            batch_rows=batch_rows,
        )

    def scan(self, spark: SparkSession, function: ArrowFunction, schema: str) -> DataFrame:
        """Run a function over the rows, with a Spark task for each split.

        Args:
            spark: the session.
            function: makes record batches of those of the rows.
            schema: columns of what it makes, as Spark reads them.
        """
        numbers = spark.range(0, len(self.splits), 1, max(len(self.splits), 1))
        return map_in_arrow(numbers, _SplitFunction(self, function), schema)

    def read_split(self, number: int) -> Iterator[pa.RecordBatch]:
        """Read the rows of a split, with the names and types that kernels know.

        Raises:
            RuntimeError: a file cannot be read.
        """
        names = list(self.columns)
        for path, row_groups in self.splits[number]:
            for batch in _read_batches(path, row_groups, list(self.columns.values()), self.batch_rows):
                columns = [_cast(batch.column(self.columns[name]), self.types[name]) for name in names]
                yield pa.RecordBatch.from_arrays(columns, names=names)


@dataclass(frozen=True)
class _SplitFunction:
    """A function of the rows of files as a function of the numbers of their splits."""

    files: ParquetFiles
    function: ArrowFunction

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return self.function(self._read(batches))

    def _read(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for number in batch.column(0).to_pylist():
                yield from self.files.read_split(number)


def _read_footers(df: DataFrame) -> list[Footer] | None:
    """Read the footers of the files of a DataFrame; None where this process cannot."""
    uris = [urlparse(uri) for uri in df.inputFiles()]
    if not uris or len(uris) > MAX_FILES or {uri.scheme for uri in uris} - {"file", ""}:
        return None
    try:
        return [(path, pq.read_metadata(path)) for path in sorted(unquote(uri.path) for uri in uris)]
    except (OSError, pa.ArrowException):
        return None


def _has_columns(
    footer: pq.FileMetaData, columns: Mapping[str, str], types: Mapping[str, pa.DataType]
) -> bool:
    """Tell whether a file has each column once, in just the type wanted."""
    schema = footer.schema.to_arrow_schema()
    for name, col in columns.items():
        found = schema.get_all_field_indices(col)
        if len(found) != 1 or not _is_type(schema.field(found[0]).type, types[name]):
            return False
    return True


def _most_values_per_row(footer: pq.FileMetaData) -> int:
    """Count the values per row of the largest column, such as one of arrays; 0 of an empty file."""
    row_groups = [footer.row_group(i) for i in range(footer.num_row_groups)]
    return max(
        (
            max(group.column(j).num_values for j in range(group.num_columns)) // max(group.num_rows, 1)
            for group in row_groups
        ),
        default=0,
    )


def _cut_splits(footers: Sequence[Footer]) -> tuple[Split, ...]:
    """Cut the row groups of all files, one after the other, into splits of about as many bytes."""
    groups = [
        (path, i, footer.row_group(i).total_byte_size)
        for path, footer in footers
        for i in range(footer.num_row_groups)
    ]
    total = sum(size for *_, size in groups)
    share = max(min(SPLIT_BYTES, total // (2 * (os.cpu_count() or 1))), 1)
    before = 0
    splits: dict[int, dict[str, tuple[int, ...]]] = {}
    for path, i, size in groups:
        # a row group belongs to the split its middle lies in
        split = splits.setdefault((before + size // 2) // share, {})
        split[path] = (*split.get(path, ()), i)
        before += size
    return tuple(tuple(split.items()) for split in splits.values())


def _read_batches(
    path: str, row_groups: Sequence[int], columns: list[str], batch_rows: int
) -> Iterator[pa.RecordBatch]:
    try:
        file = pq.ParquetFile(path, pre_buffer=False, buffer_size=2**22)
        yield from file.iter_batches(batch_rows, row_groups=row_groups, columns=columns, use_threads=False)
    except (OSError, pa.ArrowException) as error:
        raise RuntimeError(f"{path} cannot be read: {error}") from error


def _cast(column: pa.Array, kind: pa.DataType) -> pa.Array:
    return column if column.type == kind or not pa.types.is_primitive(column.type) else column.cast(kind)


def _to_arrow_type(kind: DataType) -> pa.DataType | None:
    """Find the type that files must have for a Spark type; None where the two might differ in meaning."""
    if type(kind) in _ARROW_TYPES and kind.simpleString() in (
        kind.typeName(),
        "tinyint",
        "smallint",
        "int",
        "bigint",
    ):
        return _ARROW_TYPES[type(kind)]
    if isinstance(kind, ArrayType):
        value = _to_arrow_type(kind.elementType)
        return None if value is None else pa.list_(value)
    if isinstance(kind, StructType):
        parts = [(field.name, _to_arrow_type(field.dataType)) for field in kind.fields]
        return None if any(part is None for _, part in parts) else pa.struct(parts)
    if isinstance(kind, MapType):
        key, value = _to_arrow_type(kind.keyType), _to_arrow_type(kind.valueType)
        return None if key is None or value is None else pa.map_(key, value)
    return None


def _is_type(found: pa.DataType, wanted: pa.DataType) -> bool:
    """Tell whether a column of a file has the type wanted, whatever the parts of lists are called."""
    if pa.types.is_map(wanted) and pa.types.is_map(found):
        return _is_type(found.key_type, wanted.key_type) and _is_type(found.item_type, wanted.item_type)
    if pa.types.is_list(wanted) and pa.types.is_list(found):
        return _is_type(found.value_type, wanted.value_type)
    if pa.types.is_struct(wanted) and pa.types.is_struct(found):
        names = [field.name for field in found] == [field.name for field in wanted]
        return names and all(
            _is_type(ours.type, theirs.type) for ours, theirs in zip(found, wanted, strict=True)
        )
    return bool(found == wanted)
