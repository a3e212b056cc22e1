"""The schema of Parquet files that Spark's own inference cannot tell, from the footers of all of them."""

import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import reduce
from itertools import chain
from operator import attrgetter
from pathlib import Path
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import DataFrameReader, SparkSession
from pyspark.sql.pandas.types import from_arrow_type, to_arrow_type
from pyspark.sql.types import StructField, StructType

from cl_spark.tables.columns import is_case_sensitive
from cl_spark.tables.location import escaped, local_file
from cl_spark.tables.spark_errors import SPARK_ERRORS, error_summary

MAX_FILES = 10_000
"""Of more files the footers are not read."""

MAX_ASKED = 1_000
"""Of more files in another store, Spark is not asked about each."""

ASKED_AT_ONCE = 8
"""Files in another store about which Spark is asked at the same time."""

_WORDS = {
    "FLOAT16": "half precision; write it as float32",
    "NANOS": "nanoseconds; write it in microseconds",
}
"""Types of Parquet that Spark does not read, in words, with the way out."""

_STORED_AS = {
    "large_string": pa.string(),
    "string_view": pa.string(),
    "large_binary": pa.binary(),
    "binary_view": pa.binary(),
}
"""Types of Arrow that Parquet stores as another one; by name, as older versions of pyarrow lack the views."""

Columns = tuple[tuple[str, pa.DataType], ...]
"""Names and types of the columns of a file."""


@dataclass(frozen=True)
class FilesSchema:
    """The columns of Parquet files.

    Attributes:
        schema: the columns that Spark can read, each with a type that holds the values of all files.
        unreadable: the others, each with a clause that says why.
    """

    schema: StructType
    unreadable: Mapping[str, str] = field(default_factory=dict)


def find_files_schema(
    spark: SparkSession, uris: Sequence[str], inferred: StructType | None
) -> FilesSchema | None:
    """Find the schema of files of this machine that differ, or that hold a type Spark cannot read.

    Args:
        spark: the session.
        uris: the files.
        inferred: the schema that Spark infers; None where it fails.

    Returns:
        The schema; None where Spark's own is right, or the files cannot be read here.
    """
    paths = [path for path in map(local_file, uris) if path is not None]
    if not paths or len(paths) < len(uris) or len(paths) > MAX_FILES:
        return None
    try:
        found = list({_read_columns(path): None for path in paths})
    except (OSError, pa.ArrowException):
        return None
    if inferred is not None and len(found) == 1:
        return None
    is_sensitive = is_case_sensitive(spark)
    known = {} if inferred is None else {each.name: each for each in inferred.fields}
    kinds, unreadable = _collect_types(found, known, is_sensitive)
    widened = {name: reduce(_widen, several) for name, several in kinds.items()}
    for name, several in kinds.items():
        if widened[name] is None or (len(several) > 1 and int(spark.version[0]) < 4):
            unreadable[name] = _explain_drift(several)
    asked = [
        pa.field(name, widened[name])
        for name, several in kinds.items()
        if name not in unreadable and (len(several) > 1 or name not in known)
    ]
    fields = known | {each.name: each for each in _infer(spark, asked, unreadable)}
    return FilesSchema(
        StructType([each for each in fields.values() if each.name not in unreadable]), unreadable
    )


def find_store_schema(
    spark: SparkSession, reader: DataFrameReader, files: str, uris: Sequence[str], inferred: StructType
) -> FilesSchema | None:
    """Find the schema of files in a store that only Spark reaches.

    Spark merges the columns of all files. Where their types differ it does not, and is asked about each file.

    Args:
        spark: the session.
        reader: one with the options that the files need.
        files: path or pattern, as Spark's readers take it.
        uris: each file.
        inferred: the schema that Spark infers of one of them.

    Returns:
        The schema; None where the inferred one is right, or there are too many files to ask about each.
    """
    try:
        merged = reader.option("mergeSchema", True).parquet(files).schema
        return None if merged == inferred else FilesSchema(merged)
    except SPARK_ERRORS:
        if not 0 < len(uris) <= MAX_ASKED:
            return None
    paths = [escaped(unquote(uri)) for uri in uris]
    with ThreadPoolExecutor(ASKED_AT_ONCE) as pool:
        schemas = list(pool.map(lambda path: spark.read.parquet(path).schema, paths))
    fields, unreadable = {each.name: each for each in inferred}, {}
    kinds: dict[str, dict[str, StructField]] = {}
    for each in chain.from_iterable(schemas):
        kinds.setdefault(each.name, {})[each.dataType.json()] = each
    for name, by_type in kinds.items():
        fields.setdefault(name, next(iter(by_type.values())))
        if len(by_type) > 1:
            several = [to_arrow_type(each.dataType) for each in by_type.values()]
            widened = reduce(_widen, several)
            if widened is None or int(spark.version[0]) < 4:
                unreadable[name] = _explain_drift(several)
            else:
                fields[name] = StructField(name, from_arrow_type(widened))
    readable = [each for each in fields.values() if each.name not in unreadable]
    return FilesSchema(StructType(readable), unreadable)


def _explain_drift(several: Sequence[pa.DataType]) -> str:
    listed = " and ".join(str(kind) for kind in several)
    return f"is {listed} in different files, which Spark cannot read together; rewrite them"


def _read_columns(path: str) -> Columns:
    """Read the columns of a file from its footer, with types that differ only where Spark sees a difference.

    Raises:
        OSError: the file cannot be read.
        pyarrow.ArrowException: it is no Parquet.
    """
    schema = pq.read_metadata(path).schema
    int96 = {schema.column(i).path for i in range(len(schema)) if schema.column(i).physical_type == "INT96"}
    # Spark reads this old form of a timestamp, though Arrow takes it for one of nanoseconds
    return tuple(
        (each.name, pa.timestamp("us", "UTC") if each.name in int96 else _find_stored_type(each.type))
        for each in schema.to_arrow_schema()
    )


def _find_stored_type(kind: pa.DataType) -> pa.DataType:
    """Find the type of Arrow that stands for a column as Parquet stores it.

    Arrow adds its own types to the footer, such as the large_string of pandas 3, and reads them back. Spark
    looks at the columns of Parquet only, so types with the same result here are one to it.
    """
    if pa.types.is_dictionary(kind):
        return _find_stored_type(kind.value_type)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return pa.list_(_find_stored_type(kind.value_type))
    if pa.types.is_map(kind):
        return pa.map_(_find_stored_type(kind.key_type), _find_stored_type(kind.item_type))
    if pa.types.is_struct(kind):
        children = map(kind.field, range(kind.num_fields))
        return pa.struct([(each.name, _find_stored_type(each.type)) for each in children])
    if pa.types.is_timestamp(kind) and kind.tz is not None:  # stored as an instant, without the zone's name
        return pa.timestamp(kind.unit, "UTC")
    return _STORED_AS.get(str(kind), kind)


def _collect_types(
    found: Sequence[Columns], known: Iterable[str], is_sensitive: bool
) -> tuple[dict[str, list[pa.DataType]], dict[str, str]]:
    """Collect the types that each column has in some file, and the columns that Spark cannot tell apart.

    Args:
        found: columns of the files.
        known: columns that Spark infers, whose spelling is kept.
        is_sensitive: Spark tells columns apart by upper and lower case.
    """
    kinds: dict[str, list[pa.DataType]] = {}
    twins: dict[str, str] = {}
    spellings = {name if is_sensitive else name.casefold(): name for name in known}
    for columns in found:
        times = Counter(name if is_sensitive else name.casefold() for name, _ in columns)
        for name, kind in columns:
            key = name if is_sensitive else name.casefold()
            if times[key] > 1:
                twins[name] = "differs from another one in upper and lower case only; rename it"
                continue
            several = kinds.setdefault(spellings.setdefault(key, name), [])
            if kind not in several:
                several.append(kind)
    return {name: several for name, several in kinds.items() if name not in twins}, twins


def _widen(one: pa.DataType | None, other: pa.DataType | None) -> pa.DataType | None:
    """Find a type that holds the values of both, and as which Spark reads both; None if there is none."""
    if one is None or other is None or one == other:
        return one if one == other else None
    if pa.float16() in (one, other):  # which Spark does not read at all
        return None
    if pa.types.is_list(one) and pa.types.is_list(other):
        value = _widen(one.value_type, other.value_type)
        return None if value is None else pa.list_(value)
    for is_kind in (pa.types.is_signed_integer, pa.types.is_floating):
        if is_kind(one) and is_kind(other):
            return max(one, other, key=attrgetter("bit_width"))
    return None


def _infer(spark: SparkSession, columns: Sequence[pa.Field], unreadable: dict[str, str]) -> list[StructField]:
    """Ask Spark what it makes of columns of Parquet files, with a file that has no rows."""
    if not columns:
        return []
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "columns.parquet")
        pq.write_table(pa.schema(columns).empty_table(), path)
        try:
            return list(spark.read.parquet(f"file://{path}").schema.fields)
        except SPARK_ERRORS as error:
            if len(columns) == 1:
                unreadable[columns[0].name] = _explain_type(error_summary(error))
                return []
    return reduce(list.__add__, (_infer(spark, [column], unreadable) for column in columns))


def _explain_type(summary: str) -> str:
    words = next((words for sign, words in _WORDS.items() if sign in summary), "write it as another type")
    return f"is of a type that Spark cannot read ({summary}): {words}"
