"""Reading input: what a configuration's `predictions` and `labels` name, at one version."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from cl_spark.errors import ConfigurationError, InputError, MissingDependencyError
from cl_spark.tables.columns import quoted

SPARK_ERRORS = (PySparkException, Py4JError)
"""What reading and writing raise: errors Spark explains, and Java errors it passes on."""

_TABLE_NAME = re.compile(r"^[^/\\:]+$")
_NAME_PART = re.compile(r"`((?:[^`]|``)+)`|([^.`]+)")


@dataclass(frozen=True)
class InputTable:
    """An input table and where it came from.

    Attributes:
        df: its rows. Those of a Delta table are of one version, however often they are read.
        name: the path or table name.
        version: the Delta version read, or None.
    """

    df: DataFrame
    name: str
    version: int | None = None

    def is_of_plain_files(self) -> bool:
        """Whether the rows are those of Parquet files as they are: no catalog's table or view, and of Delta tables those that
        the first readers of Delta could read, before files had deleted rows or columns of other names."""
        if not is_path(self.name) or self.version is None:
            return is_path(self.name)
        detail = self.df.sparkSession.sql(f"DESCRIBE DETAIL delta.{quoted(_absolute(self.name))}")
        return bool(detail.select("minReaderVersion").collect()[0][0] == 1)

    def counted(self, rows: int | None = None) -> tuple[int, str | None]:
        """How many rows it has, and what tells its state from others.

        That is the Delta version; or, of files, their number and a digest of their paths, sizes and times; of others, None.

        Args:
            rows: how many there are, where it is known.
        """
        if rows is None:
            rows = self.df.count()
        if self.version is not None or not is_path(self.name):
            return rows, None if self.version is None else str(self.version)
        # of binary files, Spark looks at contents only where they are asked for
        listed = (
            self.df.sparkSession.read.format("binaryFile")
            .option("recursiveFileLookup", True)
            .load(_absolute(self.name))
        )
        digest = F.bit_xor(F.xxhash64("path", "length", "modificationTime"))
        found = listed.agg(F.count(F.lit(1)), F.hex(digest)).collect()[0]
        return rows, f"{found[0]} files, {found[1]}"


def is_path(name: str) -> bool:
    """Whether a location is a path or URI (it holds a slash, backslash or colon) rather than a catalog name."""
    return _TABLE_NAME.match(name) is None


def identifier(name: str) -> str:
    """A catalog name as SQL takes it literally: each part in backticks, whatever spaces or quotes it holds."""
    parts, rest = [], name
    while match := _NAME_PART.match(rest):
        part, rest = (match[1] or "").replace("``", "`") or match[2], rest[match.end() :]
        parts.append(quoted(part))
        if not rest:
            return ".".join(parts)
        rest = rest.removeprefix(".")
    raise ConfigurationError(
        f"{name!r} is no table name: write catalog.schema.table, with backticks round parts that hold dots"
    )


def read_source(
    spark: SparkSession, name: str, key: str, *, version: int | None = None, timestamp: str | None = None
) -> InputTable:
    """The table at a path (Delta, or Parquet) or under a catalog name.

    Args:
        spark: the session.
        name: path or table name. A name that is no table but a file or directory here is told so.
        key: the configuration key, for messages.
        version: the version of a Delta table to read; default the latest.
        timestamp: the time whose version of a Delta table to read.

    Raises:
        InputError: there is no such table or version, or it cannot be read.
        MissingDependencyError: it is a Delta table, and Spark does not know Delta.
    """
    try:
        path = _absolute(name)
        table = f"delta.{quoted(path)}" if is_path(name) else identifier(name)
        found = _version(spark, table, version, timestamp)
        if found is not None:
            if is_path(name):
                return InputTable(
                    spark.read.format("delta").option("versionAsOf", found).load(path), name, found
                )
            return InputTable(spark.sql(f"SELECT * FROM {table} VERSION AS OF {found}"), name, found)
        if version is not None or timestamp is not None:
            wanted = "source_version" if version is not None else "source_timestamp"
            raise InputError(f"{wanted}: {name!r} is no Delta table, and others keep no older states")
        if is_path(name) and _is_delta(spark, path):
            raise no_delta()
        df = spark.read.parquet(path) if is_path(name) else spark.table(identifier(name))
        _ = df.schema  # on Spark Connect only this asks whether there is such a table
        return InputTable(df, name)
    except SPARK_ERRORS as error:
        raise unreadable(error, name, key) from error


def read_changes(spark: SparkSession, name: str, since: int, ids: Sequence[str]) -> DataFrame:
    """The rows of a Delta table that were inserted or updated from a version on, each as its last change left it.

    Raises:
        InputError: the table is no Delta table with a change data feed, or has no such version.
    """
    reader = spark.read.format("delta").option("readChangeFeed", "true").option("startingVersion", since)
    try:
        changes = reader.load(_absolute(name)) if is_path(name) else reader.table(identifier(name))
        changes = changes.where("_change_type <> 'update_preimage'")
        is_there = F.col("_change_type") != "delete"
        place = F.struct("_commit_version", is_there).alias(
            "_place"
        )  # a merge may delete and insert in one version
        changes = changes.withColumn("_place", place)
        last = changes.groupBy(*map(quoted, ids)).agg(F.max("_place").alias("_place"))
        kept = changes.where(is_there).join(last, [*ids, "_place"], "left_semi")
        kept = kept.drop("_change_type", "_commit_version", "_commit_timestamp", "_place")
        _ = kept.schema  # on Spark Connect only this reads the table's log
        return kept
    except SPARK_ERRORS as error:
        raise InputError(
            f"changes_since: cannot read the changes of {name!r} since version {since}: {reason(error)}"
        ) from error


def read_stream(spark: SparkSession, name: str, files_per_batch: int | None = None) -> DataFrame:
    """The rows of a Delta table or of a directory of Parquet files as they are added.

    Raises:
        InputError: there is nothing to read, or nothing yet that tells the columns.
    """
    source, reader = read_source(spark, name, "predictions"), spark.readStream
    if files_per_batch is not None:
        reader = reader.option("maxFilesPerTrigger", files_per_batch)
    if not is_path(name):
        return reader.table(identifier(name))
    if source.version is None:
        return reader.schema(source.df.schema).parquet(name)
    return reader.format("delta").load(_absolute(name))


def unreadable(error: Exception, name: str, key: str) -> Exception:
    """What a failed read means to the user."""
    text, found = str(error), condition(error)
    if found == "DATA_SOURCE_NOT_FOUND" or "DeltaCatalog" in text:
        return no_delta()
    if found in ("PATH_NOT_FOUND", "TABLE_OR_VIEW_NOT_FOUND", "PARSE_SYNTAX_ERROR", "SCHEMA_NOT_FOUND"):
        what = "path" if is_path(name) else "catalog table (a path must hold a slash, as in ./predictions)"
        return InputError(f"{key}: there is no {what} {name!r}")
    return InputError(f"{key}: cannot read {name!r}: {reason(error)}")


def reason(error: Exception) -> str:
    """The line of an error of Spark's that tells a person what happened."""
    lines = str(error).splitlines() or [type(error).__name__]
    if "Traceback (most recent call last):" in lines:  # of Python within a task
        after = lines[lines.index("Traceback (most recent call last):") + 1 :]
        return next((line for line in after if line and not line[0].isspace()), lines[0])
    return next((line.lstrip(": ") for line in lines if line.startswith(":")), lines[0])


def no_delta() -> MissingDependencyError:
    """What to do where Spark does not know Delta."""
    return MissingDependencyError(
        "Delta Lake is not on Spark's classpath: start Spark with --packages io.delta:delta-spark_<spark>_<scala>:<version> "
        "and Delta's extension and catalog settings, or use format: parquet"
    )


def condition(error: Exception) -> str:
    """The name Spark gives the kind of an error; empty where it has none."""
    getter = getattr(error, "getCondition", None) or getattr(error, "getErrorClass", None)
    return (getter() if getter is not None else None) or ""


def _absolute(path: str) -> str:
    """A local path as Delta names tables: absolute. URIs and paths that are not on this machine stay."""
    return str(Path(path).absolute()) if Path(path).exists() else path


def _version(spark: SparkSession, table: str, version: int | None, timestamp: str | None) -> int | None:
    """The version of a Delta table that is asked for, the latest by default; None where it is no Delta table.

    Raises:
        InputError: the table has no such version.
    """
    try:
        history = spark.sql(f"DESCRIBE HISTORY {table}{'' if timestamp else ' LIMIT 1'}")
        if timestamp is not None:
            history = history.where(F.col("timestamp") <= F.try_to_timestamp(F.lit(timestamp)))
        latest: int | None = history.agg(F.max("version")).collect()[0][0]
    except SPARK_ERRORS:
        return None
    if timestamp is not None and latest is None:
        raise InputError(
            f"source_timestamp: the history of {table} begins after {timestamp!r}, or that is no time (2026-01-31 02:00:00)"
        )
    if version is not None and (latest is None or version > latest):
        raise InputError(f"source_version: {table} has no version {version}; its latest is {latest}")
    return latest if version is None else version


def _is_delta(spark: SparkSession, path: str) -> bool:
    """Whether a directory holds the log of a Delta table."""
    try:
        _ = spark.read.format("binaryFile").load(f"{path.rstrip('/')}/_delta_log/*.json").schema
    except SPARK_ERRORS:
        return False
    return True
