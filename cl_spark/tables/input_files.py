"""Reading files that are no table: Parquet, CSV and JSON lines, told apart by what they are called."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from urllib.parse import unquote, urlparse

from pyspark.sql import DataFrame, DataFrameReader, SparkSession
from pyspark.sql.types import StringType, StructField, StructType

from cl_spark.tables.columns import find_columns, is_case_sensitive
from cl_spark.tables.location import local_file
from cl_spark.tables.parquet_schema import find_files_schema, find_store_schema
from cl_spark.tables.spark_errors import SPARK_ERRORS
from cl_spark.tables.text_files import WHOLE, Roles, read_csv, read_json

NULL_PARTITION = "__HIVE_DEFAULT_PARTITION__"
"""Value of a partition directory whose rows have a null there."""

_FORMATS = {".csv": "csv", ".tsv": "csv", ".json": "json", ".jsonl": "json", ".ndjson": "json"}
_COMPRESSED = (".gz", ".bz2", ".zst", ".lz4", ".snappy", ".deflate")


@dataclass(frozen=True)
class InputFiles:
    """The rows of files.

    Attributes:
        df: the rows.
        format: "parquet", "csv" or "json".
        unreadable: columns that Spark cannot read, each with a clause that says why.
    """

    df: DataFrame
    format: str
    unreadable: Mapping[str, str] = field(default_factory=dict)


def read_files(
    spark: SparkSession, files: str, base_path: str | None, input_format: str, roles: Roles
) -> InputFiles:
    """Read files.

    Args:
        spark: the session.
        files: path or pattern, as Spark's readers take it.
        base_path: directory of the table, where `files` are partition directories of one: so their values
            become columns.
        input_format: "parquet", "csv" or "json"; or "auto": as the files are called, and Parquet where that
            tells nothing.
        roles: what the columns are for.

    Raises:
        pyspark.errors.PySparkException: the files cannot be read.
    """
    suffix, inferred = _find_suffix(files), None
    if input_format == "auto" and suffix not in _FORMATS:
        try:
            inferred = _open(spark, base_path).parquet(files)
            _ = inferred.schema  # on Spark Connect only this looks at the files
        except SPARK_ERRORS:  # perhaps a directory of other files
            inferred, suffix = None, _find_suffix(_find_any_file(spark, files))
    found = _FORMATS.get(suffix, "parquet") if input_format == "auto" else input_format
    if found == "csv":
        separator = "\t" if suffix == ".tsv" else ","
        return InputFiles(read_csv(_open(spark, base_path), files, separator, roles), found)
    if found == "json":
        return InputFiles(read_json(_open(spark, base_path), files, roles), found)
    return _read_parquet(spark, files, base_path, inferred, roles)


def _open(spark: SparkSession, base_path: str | None) -> DataFrameReader:
    return spark.read if base_path is None else spark.read.option("basePath", base_path)


def _find_suffix(path: str) -> str:
    """Find the end of a file's name that tells its format, whether or not the file is compressed."""
    suffixes = [suffix.lower() for suffix in PurePosixPath(path).suffixes[-2:]]
    while suffixes and suffixes[-1] in _COMPRESSED:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def _find_any_file(spark: SparkSession, files: str) -> str:
    """Find the path of one of some files; empty where there is none."""
    listed = spark.read.format("binaryFile").option("recursiveFileLookup", True)
    try:
        first = listed.load(files).select("path").first()
    except SPARK_ERRORS:
        return ""
    return "" if first is None else str(first[0])


def _read_parquet(
    spark: SparkSession, files: str, base_path: str | None, inferred: DataFrame | None, roles: Roles
) -> InputFiles:
    # of a schema given, however small, Spark lists the files and opens none
    listed = _open(spark, base_path).schema("_ int").parquet(files)
    uris = listed.inputFiles()
    if inferred is not None and None in map(local_file, uris):
        found = find_store_schema(spark, _open(spark, base_path), files, uris, inferred.schema)
    else:
        found = find_files_schema(spark, uris, None if inferred is None else inferred.schema)
    if found is not None:
        df = _open(spark, base_path).schema(found.schema).parquet(files)
    else:
        df = _open(spark, base_path).parquet(files) if inferred is None else inferred
    if label := _find_respelled_label(df, listed.columns[1:], uris, roles):
        text = StructField(label, StringType())
        fields = [text if each.name == label else each for each in df.schema]
        df = _open(spark, base_path).schema(StructType(fields)).parquet(files)
    return InputFiles(df, "parquet", {} if found is None else found.unreadable)


def _find_respelled_label(
    df: DataFrame, partition_columns: Sequence[str], uris: Sequence[str], roles: Roles
) -> str | None:
    """Find the label column, if it is one of directories such as label=01 whose values are names of classes.

    Spark takes such values for numbers, and reads 1.
    """
    sensitive = is_case_sensitive(df.sparkSession)
    found = find_columns(roles.label, partition_columns, case_sensitive=sensitive)
    if not roles.class_names or not found or isinstance(df.schema[found[0]].dataType, StringType):
        return None
    parts = {part for uri in uris for part in unquote(urlparse(uri).path).split("/")[:-1]}
    values = {unquote(part.split("=", 1)[1]) for part in parts if part.startswith(f"{found[0]}=")}
    values -= {NULL_PARTITION}
    are_names = values <= {*roles.class_names}
    return found[0] if are_names or not all(re.match(WHOLE, value) for value in values) else None
