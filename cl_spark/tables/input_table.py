"""Reading the tables a configuration names (such as `predictions` and `labels`), at one version; and the
sample.
"""

import atexit
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.resources import as_file, files

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from cl_spark.errors import InputError, MissingDependencyError
from cl_spark.tables.columns import quoted
from cl_spark.tables.ids import lacks_id
from cl_spark.tables.location import absolute, identifier, is_path
from cl_spark.tables.spark_errors import NO_DELTA, SPARK_ERRORS, error_summary, explain_unreadable

_UNPACKED = ExitStack()
"""Samples that were unpacked."""
atexit.register(_UNPACKED.close)


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

    def state(self) -> str | None:
        """Describe the state that was read, so that two runs can tell whether they read the same one.

        Returns:
            The Delta version; or, of files, their number and a digest of their paths, sizes and times; of
            other tables None.
        """
        if self.version is not None or not is_path(self.name):
            return None if self.version is None else str(self.version)
        # of binary files, Spark looks at contents only where they are asked for
        listed = (
            self.df.sparkSession.read.format("binaryFile")
            .option("recursiveFileLookup", True)
            .load(absolute(self.name))
        )
        digest = F.bit_xor(F.xxhash64("path", "length", "modificationTime"))
        files, hexed = listed.agg(F.count(F.lit(1)), F.hex(digest)).collect()[0]
        return f"{files} files, {hexed}"


def read_source(
    spark: SparkSession, name: str, key: str, *, version: int | None = None, timestamp: str | None = None
) -> InputTable:
    """Open the table at a path (Delta, or Parquet) or under a catalog name.

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
        path = absolute(name)
        table = f"delta.{quoted(path)}" if is_path(name) else identifier(name)
        pinned = _delta_version(spark, table, version, timestamp)
        if pinned is not None:
            if is_path(name):
                df = spark.read.format("delta").option("versionAsOf", pinned).load(path)
            else:
                df = spark.sql(f"SELECT * FROM {table} VERSION AS OF {pinned}")
            return InputTable(df, name, pinned)
        if version is not None or timestamp is not None:
            key = "source_version" if version is not None else "source_timestamp"
            raise InputError(f"{key}: {name!r} is no Delta table, and others keep no older states")
        if is_path(name) and _is_delta(spark, path):
            raise MissingDependencyError(NO_DELTA)
        df = spark.read.parquet(path) if is_path(name) else spark.table(identifier(name))
        _ = df.schema  # on Spark Connect only this asks whether there is such a table
        return InputTable(df, name)
    except SPARK_ERRORS as error:
        raise explain_unreadable(error, name, key) from error


def read_sample(spark: SparkSession, name: str) -> InputTable:
    """Open a sample that ships with the package; from an archive it is unpacked until the process ends."""
    resource = files("cl_spark") / "sample" / f"{name}.parquet"
    return InputTable(spark.read.parquet(str(_UNPACKED.enter_context(as_file(resource)))), f"sample {name}")


def read_changes(spark: SparkSession, name: str, since: int, ids: Sequence[str]) -> DataFrame:
    """Read the rows of a Delta table inserted or updated from a version on, each as its last change left it.

    Rows without an id cannot be followed through their changes: each of them that was written is there.

    Raises:
        InputError: the table is no Delta table with a change data feed, or has no such version.
    """
    reader = spark.read.format("delta").option("readChangeFeed", "true").option("startingVersion", since)
    try:
        changes = reader.load(absolute(name)) if is_path(name) else reader.table(identifier(name))
        changes = changes.where("_change_type <> 'update_preimage'")
        is_there = F.col("_change_type") != "delete"
        # a merge may delete and insert in one version: the insert is the later of the two
        place = F.struct("_commit_version", is_there).alias("_place")
        changes = changes.withColumn("_place", place)
        last = changes.groupBy(*map(quoted, ids)).agg(F.max("_place").alias("_place"))
        changes = changes.where(is_there)
        has_no_id = lacks_id(changes, ids)
        kept = changes.where(~has_no_id).join(last, [*ids, "_place"], "left_semi")
        kept = kept.unionByName(changes.where(has_no_id)).drop(
            "_change_type", "_commit_version", "_commit_timestamp", "_place"
        )
        _ = kept.schema  # on Spark Connect only this reads the table's log
        return kept
    except SPARK_ERRORS as error:
        raise InputError(
            f"changes_since: cannot read the changes of {name!r} since version {since}: "
            f"{error_summary(error)}"
        ) from error


def read_stream(spark: SparkSession, name: str, files_per_batch: int | None = None) -> DataFrame:
    """Stream the rows of a Delta table or of a directory of Parquet files as they are added.

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
    return reader.format("delta").load(absolute(name))


def _delta_version(spark: SparkSession, table: str, version: int | None, timestamp: str | None) -> int | None:
    """Find the version of a Delta table that is asked for, by default the latest; None where it is no Delta
    table.

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
            f"source_timestamp: the history of {table} begins after {timestamp!r}, or that is no time "
            "(2026-01-31 02:00:00)"
        )
    if version is not None and (latest is None or version > latest):
        raise InputError(f"source_version: {table} has no version {version}; its latest is {latest}")
    return latest if version is None else version


def _is_delta(spark: SparkSession, path: str) -> bool:
    """Tell whether a directory holds the log of a Delta table."""
    try:
        _ = spark.read.format("binaryFile").load(f"{path.rstrip('/')}/_delta_log/*.json").schema
    except SPARK_ERRORS:
        return False
    return True
