"""Parquet files read by the tasks themselves: no value passes through the JVM."""

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

MOST_FILES = 10_000
"""The footers of more files are not read here to learn whether they are alike."""

SPLIT_BYTES = 2**28
"""Bytes a task reads, of as many files as that takes, where there are enough for two tasks a core of this machine."""

BATCH_VALUES = 2**20
"""Values a batch holds about."""

_ARROW: dict[type[DataType], pa.DataType] = {
    ByteType: pa.int8(),
    ShortType: pa.int16(),
    IntegerType: pa.int32(),
    LongType: pa.int64(),
    StringType: pa.string(),
    FloatType: pa.float32(),
    DoubleType: pa.float64(),
}


Split = tuple[tuple[str, tuple[int, ...]], ...]
"""Paths, each with some of its row groups."""


@dataclass(frozen=True)
class Files:
    """Files that hold the rows of a DataFrame, cut into what a task reads at a time.

    Attributes:
        splits: the row groups of each task.
        columns: name of each column in the files, by the name kernels know it under.
        types: types kernels expect, by the same names.
        rows: how many rows there are.
        batch_rows: how many of them are read at a time.
    """

    splits: tuple[Split, ...]
    columns: Mapping[str, str]
    types: Mapping[str, pa.DataType]
    rows: int
    batch_rows: int

    @staticmethod
    def of(df: DataFrame, columns: Mapping[str, str], cast: Mapping[str, pa.DataType]) -> "Files | None":
        """The files of a DataFrame that is a table of Parquet files as they are; None where Spark had better read them.

        That is where the files are not of this machine's file system, do not all have the columns in just the types of the
        DataFrame, or hold types whose meaning Spark and Arrow might not share.

        Args:
            df: the DataFrame, without any condition or computed column.
            columns: its columns to read, by the names kernels know them under.
            cast: types to give some of them.
        """
        fields = {field.name: field.dataType for field in df.schema.fields}
        types = {name: _arrow(fields[col]) for name, col in columns.items()}
        if None in types.values() or any("." in col for col in columns.values()):
            return None
        uris = [urlparse(uri) for uri in df.inputFiles()]
        if not uris or len(uris) > MOST_FILES or {uri.scheme for uri in uris} - {"file", ""}:
            return None
        rows, values = 0, 1
        try:
            footers = [(path, pq.read_metadata(path)) for path in sorted(unquote(uri.path) for uri in uris)]
        except (OSError, pa.ArrowException):
            return None
        total = sum(
            footer.row_group(i).total_byte_size for _, footer in footers for i in range(footer.num_row_groups)
        )
        share, before = max(min(SPLIT_BYTES, total // (2 * (os.cpu_count() or 1))), 1), 0
        splits: dict[int, dict[str, tuple[int, ...]]] = {}
        for path, footer in footers:
            schema = footer.schema.to_arrow_schema()
            for name, col in columns.items():
                places = schema.get_all_field_indices(col)
                if len(places) != 1 or not _alike(schema.field(places[0]).type, types[name]):
                    return None
            rows += footer.num_rows
            for i in range(footer.num_row_groups):
                group = footer.row_group(i)
                values = max(
                    values,
                    max(group.column(j).num_values for j in range(group.num_columns))
                    // max(group.num_rows, 1),
                )
                split = splits.setdefault((before + group.total_byte_size // 2) // share, {})
                split[path] = (*split.get(path, ()), i)
                before += group.total_byte_size
        tasks = tuple(tuple(split.items()) for split in splits.values())
        return Files(
            tasks, dict(columns), {**types, **cast}, rows, min(max(BATCH_VALUES // values, 64), 2**16)
        )

    def scanned(self, spark: SparkSession, kernel: ArrowFunction, schema: str) -> DataFrame:
        """What a kernel makes of the rows, a task for each split."""
        splits, columns, types, batch_rows = self.splits, self.columns, self.types, self.batch_rows

        def batches(numbers: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            yield from kernel(
                rows_of(
                    [part for batch in numbers for i in batch.column(0).to_pylist() for part in splits[i]]
                )
            )

        def rows_of(wanted: Sequence[tuple[str, tuple[int, ...]]]) -> Iterator[pa.RecordBatch]:
            for path, groups in wanted:
                for batch in _read(path, groups, list(columns.values()), batch_rows):
                    read = [_as(batch.column(col), types[name]) for name, col in columns.items()]
                    yield pa.RecordBatch.from_arrays(read, names=list(columns))

        return map_in_arrow(spark.range(0, len(splits), 1, max(len(splits), 1)), batches, schema)


def _read(path: str, groups: Sequence[int], columns: list[str], batch_rows: int) -> Iterator[pa.RecordBatch]:
    try:
        file = pq.ParquetFile(path, pre_buffer=False, buffer_size=2**22)
        yield from file.iter_batches(batch_rows, row_groups=groups, columns=columns, use_threads=False)
    except (OSError, pa.ArrowException) as error:
        raise RuntimeError(f"{path} cannot be read: {error}") from error


def _as(column: pa.Array, kind: pa.DataType) -> pa.Array:
    return column if column.type == kind or not pa.types.is_primitive(column.type) else column.cast(kind)


def _arrow(kind: DataType) -> pa.DataType | None:
    """The type files must have for what Spark calls a type; None where they might differ in meaning."""
    if type(kind) in _ARROW and kind.simpleString() in (
        kind.typeName(),
        "tinyint",
        "smallint",
        "int",
        "bigint",
    ):
        return _ARROW[type(kind)]
    if isinstance(kind, ArrayType):
        value = _arrow(kind.elementType)
        return None if value is None else pa.list_(value)
    if isinstance(kind, StructType):
        parts = [(field.name, _arrow(field.dataType)) for field in kind.fields]
        return None if any(part is None for _, part in parts) else pa.struct(parts)
    if isinstance(kind, MapType):
        key, value = _arrow(kind.keyType), _arrow(kind.valueType)
        return None if key is None or value is None else pa.map_(key, value)
    return None


def _alike(found: pa.DataType, wanted: pa.DataType) -> bool:
    """Whether a column of a file holds just what is wanted, whatever its parts are called."""
    if pa.types.is_map(wanted) and pa.types.is_map(found):
        return _alike(found.key_type, wanted.key_type) and _alike(found.item_type, wanted.item_type)
    if pa.types.is_list(wanted) and pa.types.is_list(found):
        return _alike(found.value_type, wanted.value_type)
    if pa.types.is_struct(wanted) and pa.types.is_struct(found):
        names = [field.name for field in found] == [field.name for field in wanted]
        return names and all(
            _alike(ours.type, theirs.type) for ours, theirs in zip(found, wanted, strict=True)
        )
    return bool(found == wanted)
