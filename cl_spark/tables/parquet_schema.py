"""The schema of Parquet files that Spark's own inference cannot tell, from the footers of all of them."""

import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import reduce
from operator import attrgetter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession
from pyspark.sql.pandas.types import from_arrow_type, to_arrow_type
from pyspark.sql.types import StructField, StructType

from cl_spark.tables.columns import is_case_sensitive
from cl_spark.tables.location import local_file
from cl_spark.tables.spark_errors import SPARK_ERRORS, error_summary

MAX_FILES = 10_000
"""Of more files the footers are not read."""

ASKED_AT_ONCE = 8
"""Files of another store whose columns Spark is asked for at the same time."""

_WORDS = {
    "FLOAT16": "half precision; write it as float32",
    "NANOS": "nanoseconds; write it in microseconds",
}
"""Types of Parquet that Spark does not read, in words, with the way out."""

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
    """Find the schema of files that differ, or on this machine also of those with a type Spark cannot read.

    Args:
        spark: the session.
        uris: the files.
        inferred: the schema that Spark infers; None where it fails.

    Returns:
        The schema; None where Spark's own is right, or the files cannot be read.
    """
    if not uris or len(uris) > MAX_FILES:
        return None
    paths = [path for path in map(local_file, uris) if path is not None]
    is_here, is_sensitive = len(paths) == len(uris), is_case_sensitive(spark)
    known = {} if inferred is None else {each.name: each for each in inferred.fields}
    try:
        columns = map(_read_columns, paths) if is_here else _ask_columns(spark, uris, known)
        found = list(dict.fromkeys(columns))
    except (OSError, pa.ArrowException, *SPARK_ERRORS):
        return None
    if not found or (inferred is not None and is_here and len(found) == 1):
        return None
    kinds, unreadable = _collect_types(found, known, is_sensitive)
    widened = {name: reduce(_widen, several) for name, several in kinds.items()}
    for name, several in kinds.items():
        if widened[name] is None or (len(several) > 1 and int(spark.version[0]) < 4):
            listed = " and ".join(str(kind) for kind in several)
            unreadable[name] = (
                f"is {listed} in different files, which Spark cannot read together; rewrite them"
            )
    asked = [
        pa.field(name, widened[name])
        for name, several in kinds.items()
        if name not in unreadable and (len(several) > 1 or name not in known)
    ]
    of_files = _infer(spark, asked, unreadable) if is_here else map(_as_field, asked)
    fields = known | {each.name: each for each in of_files}
    return FilesSchema(
        StructType([each for each in fields.values() if each.name not in unreadable]), unreadable
    )


def _read_columns(path: str) -> Columns:
    schema = pq.read_metadata(path).schema
    int96 = {schema.column(i).path for i in range(len(schema)) if schema.column(i).physical_type == "INT96"}
    # Spark reads this old form of a timestamp, though Arrow takes it for one of nanoseconds
    return tuple(
        (each.name, pa.timestamp("us", "UTC") if each.name in int96 else each.type)
        for each in schema.to_arrow_schema()
    )


def _ask_columns(spark: SparkSession, uris: Sequence[str], known: Mapping[str, StructField]) -> list[Columns]:
    """Ask Spark for the columns of files of another store: of each where their types do not merge; of none
    where they are as Spark inferred them.

    Raises:
        PySparkException: Spark cannot read one, or it has a column of a type that Arrow does not know.
    """
    try:
        merged = spark.read.option("mergeSchema", True).parquet(*uris).schema
        if all(each.name in known and known[each.name].dataType == each.dataType for each in merged):
            return []
        schemas = [merged]
    except PySparkException:
        with ThreadPoolExecutor(ASKED_AT_ONCE) as pool:
            schemas = list(pool.map(lambda uri: spark.read.parquet(uri).schema, uris))
    return [tuple((each.name, to_arrow_type(each.dataType)) for each in schema.fields) for schema in schemas]


def _as_field(column: pa.Field) -> StructField:
    return StructField(column.name, from_arrow_type(column.type))


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
