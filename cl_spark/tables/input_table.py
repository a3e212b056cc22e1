"""Reading the tables a configuration names (such as `predictions` and `labels`), at one version; and the
sample.
"""

import atexit
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.resources import as_file, files

from pyspark.errors import AnalysisException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from cl_spark.errors import ColumnTypeError, InputError, MissingDependencyError
from cl_spark.tables.columns import find_columns, is_case_sensitive, quoted
from cl_spark.tables.ids import lacks_id
from cl_spark.tables.input_files import NULL_PARTITION, InputFiles, read_files
from cl_spark.tables.location import (
    absolute,
    base_path,
    delta_name,
    escaped,
    has_pattern,
    identifier,
    is_path,
    is_query,
    is_there,
    is_uri,
    locate,
    name_files,
    shorten,
    split_partitions,
)
from cl_spark.tables.spark_errors import (
    NO_DELTA,
    SPARK_ERRORS,
    error_condition,
    error_summary,
    explain_unreadable,
)
from cl_spark.tables.text_files import Roles

NO_ROLES = Roles()
"""Of a table of which nothing is asked."""

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
        files: the files as Spark's readers name them, where it is no table but files.
        format: "delta", "parquet", "csv" or "json"; "table" of one that only the catalog knows.
    """

    df: DataFrame
    name: str
    version: int | None = None
    files: str | None = None
    format: str = "table"

    def state(self) -> str:
        """Describe the state that was read, so that two runs can tell whether they read the same one.

        Returns:
            The Delta version; or, of files, their number and a digest of their paths, sizes and times; of
            views and other tables, which keep no versions, "not pinned" and their number of rows now.
        """
        if self.version is not None:
            return str(self.version)
        if self.files is None:
            return f"not pinned, {self.df.sparkSession.table(identifier(self.name)).count():,} rows"
        # of binary files, Spark looks at contents only where they are asked for
        reader = self.df.sparkSession.read.format("binaryFile").option("recursiveFileLookup", True)
        listed = reader.load(self.files)
        digest = F.bit_xor(F.xxhash64("path", "length", "modificationTime"))
        files, hexed = listed.agg(F.count(F.lit(1)), F.hex(digest)).collect()[0]
        return f"{files} files, {hexed}"


def read_source(
    spark: SparkSession,
    name: str,
    key: str,
    *,
    version: int | None = None,
    timestamp: str | None = None,
    input_format: str = "auto",
    roles: Roles = NO_ROLES,
) -> InputTable:
    """Open the table at a path (Delta, Parquet, CSV or JSON lines) or under a catalog name.

    Args:
        spark: the session.
        name: path, pattern of paths, or table name. Partition directories of a table give its rows of these.
        key: the configuration key, for messages.
        version: the version of a Delta table to read; default the latest.
        timestamp: the time whose version of a Delta table to read.
        input_format: "delta", "parquet", "csv" or "json", of what is at a path; "auto" finds it out.
        roles: what the columns are for.

    Raises:
        InputError: there is no such table or version, or it cannot be read.
        MissingDependencyError: it is a Delta table, and Spark does not know Delta.
    """
    if is_query(name):
        raise InputError(
            f"{key}: takes a path or a table name, not SQL ({shorten(name)!r}): make a view of the query, "
            "or give its DataFrame to LabelAudit"
        )
    try:
        if not is_path(name):
            pinned = _pin(spark, name, identifier(name), version, timestamp)
            if pinned is not None:
                df = spark.sql(f"SELECT * FROM {identifier(name)} VERSION AS OF {pinned}")
                return InputTable(df, name, pinned, format="delta")
            df = spark.table(identifier(name))
            _ = df.schema  # on Spark Connect only this asks whether there is such a table
            return InputTable(df, name)
        whole = absolute(locate(spark, name))
        path, partitions = _split_partitions(spark, whole)
        pinned = _pin(spark, name, delta_name(path), version, timestamp)
        if pinned is not None:
            _check_partitions(whole, path, name, key)
            df = spark.read.format("delta").option("versionAsOf", pinned).load(path)
            return InputTable(_select_partitions(df, partitions), name, pinned, format="delta")
        if _is_delta(spark, path):
            raise MissingDependencyError(NO_DELTA)
        if input_format == "delta":
            raise InputError(f"{key}: {name!r} is no Delta table")
        named = _name_files(spark, whole)
        base = base_path(_name_files(spark, path)) if partitions else None
        found = read_files(spark, named, base, input_format, roles)
        _ = found.df.schema  # on Spark Connect only this looks at the files
        _check_readable(found, name, key, roles)
        return InputTable(found.df, name, files=named, format=found.format)
    except SPARK_ERRORS as error:
        raise explain_unreadable(error, name, key) from error


def read_sample(spark: SparkSession, name: str) -> InputTable:
    """Open a sample that ships with the package; from an archive it is unpacked until the process ends."""
    resource = files("cl_spark") / "sample" / f"{name}.parquet"
    return InputTable(
        spark.read.parquet(escaped(f"file://{_UNPACKED.enter_context(as_file(resource))}")), f"sample {name}"
    )


def read_changes(spark: SparkSession, name: str, since: int, ids: Sequence[str]) -> DataFrame:
    """Read the rows of a Delta table inserted or updated from a version on, each as its last change left it.

    The changes end with the version that is the latest now, however often they are read. Of partition
    directories of a table, they are those of the rows there.

    Rows without an id cannot be followed through their changes: each of them that was written is there.

    Raises:
        InputError: the table is no Delta table with a change data feed, or has no such version; or the path
            is that of a file or a pattern in the table.
    """
    try:
        kept = _keep_last_changes(_open_changes(spark, name, since), ids)
        _ = kept.schema  # on Spark Connect only this reads the table's log
        return kept
    except SPARK_ERRORS as error:
        raise _explain_changes(name, since, error_summary(error)) from error


def read_stream(
    spark: SparkSession, name: str, files_per_batch: int | None = None, *, roles: Roles = NO_ROLES
) -> DataFrame:
    """Stream the rows of a Delta table or of a directory of Parquet files as they are added, with columns of
    the types that `read_source` finds.

    Raises:
        InputError: there is nothing to read, or nothing yet that tells the columns.
    """
    source, reader = read_source(spark, name, "predictions", roles=roles), spark.readStream
    if files_per_batch is not None:
        reader = reader.option("maxFilesPerTrigger", files_per_batch)
    if not is_path(name):
        return reader.table(identifier(name))
    path, partitions = _split_partitions(spark, absolute(locate(spark, name)))
    if source.format == "delta":
        return _select_partitions(reader.format("delta").load(path), partitions)
    if source.format != "parquet":
        raise InputError(f"predictions: a stream reads Delta tables and Parquet files, not {source.format}")
    base = base_path(_name_files(spark, path)) if partitions else None
    reader = reader if base is None else reader.option("basePath", base)
    return reader.schema(source.df.schema).parquet(str(source.files))


def _open_changes(spark: SparkSession, name: str, since: int) -> DataFrame:
    """Open the change data feed of a Delta table, or of partition directories of it, from a version on.

    Raises:
        InputError: the version is beyond the latest; or the path is that of a file or a pattern in the table.
        pyspark.errors.PySparkException: the table has no change data feed.
    """
    whole = absolute(locate(spark, name)) if is_path(name) else None
    path, partitions = (name, {}) if whole is None else _split_partitions(spark, whole)
    table = identifier(name) if whole is None else delta_name(path)
    reader = spark.read.format("delta").option("readChangeFeed", "true").option("startingVersion", since)
    latest = _delta_version(spark, table, None, None)
    if latest is not None:  # else it is no Delta table, which the reader says
        if whole is not None:
            _check_partitions(whole, path, name, "predictions")
        if since > latest:
            reason = f"its latest version is {latest}; name that or an earlier one"
            raise _explain_changes(name, since, reason)
        # without an end, each scan of the rows would go to the version that is then the latest
        reader = reader.option("endingVersion", latest)
    if whole is None:
        return reader.table(table)
    return _select_partitions(reader.load(path), partitions)


def _keep_last_changes(changes: DataFrame, ids: Sequence[str]) -> DataFrame:
    """Keep the rows that are there after the changes of a feed: of each id the last, all without an id."""
    # where an update changes the id, only the row before it tells that the old id is gone
    is_there = F.col("_change_type").isin("insert", "update_postimage")
    # one version may take a row away and write its id again, as any update does: what is written wins
    place = F.struct("_commit_version", is_there).alias("_place")
    changes = changes.withColumn("_place", place)
    last = changes.groupBy(*map(quoted, ids)).agg(F.max("_place").alias("_place"))
    changes = changes.where(is_there)
    has_no_id = lacks_id(changes, ids)
    kept = changes.where(~has_no_id).join(last, [*ids, "_place"], "left_semi")
    return kept.unionByName(changes.where(has_no_id)).drop(
        "_change_type", "_commit_version", "_commit_timestamp", "_place"
    )


def _explain_changes(name: str, since: int, reason: str) -> InputError:
    return InputError(f"changes_since: cannot read the changes of {name!r} since version {since}: {reason}")


def _pin(
    spark: SparkSession, name: str, table: str, version: int | None, timestamp: str | None
) -> int | None:
    """Find the version of a Delta table to read; None where it is no Delta table, nor said to be one.

    Raises:
        InputError: a version is asked for and there is none.
    """
    pinned = _delta_version(spark, table, version, timestamp)
    if pinned is None and (version is not None or timestamp is not None):
        key = "source_version" if version is not None else "source_timestamp"
        raise InputError(f"{key}: {name!r} is no Delta table, and others keep no older states")
    return pinned


def _split_partitions(spark: SparkSession, whole: str) -> tuple[str, Mapping[str, str]]:
    """Split partition directories off a path, unless the last of them is a Delta table itself."""
    path, partitions = split_partitions(whole)
    is_table = bool(partitions) and not has_pattern(whole) and _is_delta(spark, whole)
    return (whole, {}) if is_table else (path, partitions)


def _check_partitions(whole: str, path: str, name: str, key: str) -> None:
    """Check that a path names a Delta table or partition directories of it, as only its log tells which files
    are read.

    Args:
        whole: the path in full.
        path: the directory of the table, with which it begins.
        name: the path as the user wrote it.
        key: the configuration key, for messages.

    Raises:
        InputError: it is a pattern, or names a file in the table.
    """
    rest = whole[len(path) :].rstrip("/")
    if has_pattern(rest):
        raise InputError(f"{key}: {name!r} is a pattern in the Delta table {path!r}: name the table")
    if rest and "=" not in rest.rpartition("/")[2]:  # `split_partitions` leaves out files, which have none
        raise InputError(
            f"{key}: {name!r} is a file in the Delta table {path!r}: name the table or the partition"
        )


def _select_partitions(df: DataFrame, partitions: Mapping[str, str]) -> DataFrame:
    """Select the rows of partition directories, as Delta has no reader of directories."""
    for col, value in partitions.items():
        column = F.col(quoted(col))
        df = df.where(column.isNull() if value == NULL_PARTITION else column.cast("string") == value)
    return df


def _name_files(spark: SparkSession, path: str) -> str:
    """Name files as Spark's readers do: a path that is there is no pattern, whatever characters it holds."""
    if not is_uri(path) or not has_pattern(path):
        return name_files(path)
    try:  # of a store that only Spark reaches
        _ = spark.read.format("binaryFile").load(escaped(path)).schema
        return escaped(path)
    except SPARK_ERRORS:
        return path


def _check_readable(found: InputFiles, name: str, key: str, roles: Roles) -> None:
    """Say of a column that is asked for why it cannot be read.

    Raises:
        ColumnTypeError: there is one.
    """
    sensitive = is_case_sensitive(found.df.sparkSession)
    for col in roles.columns:
        for spelled in find_columns(col, found.unreadable, case_sensitive=sensitive):
            raise ColumnTypeError(f"{key}: column {spelled!r} of {name!r} {found.unreadable[spelled]}")


_NO_DELTA_TABLE = (
    "DELTA_TABLE_ONLY_OPERATION",
    "DELTA_ONLY_OPERATION",
    "DELTA_MISSING_DELTA_TABLE",
    "DELTA_TABLE_NOT_FOUND",
    "DELTA_PATH_DOES_NOT_EXIST",
)
"""Errors by which Delta says that a table is none of its own."""


def _delta_version(spark: SparkSession, table: str, version: int | None, timestamp: str | None) -> int | None:
    """Find the version of a Delta table that is asked for, by default the latest; None where it is no Delta
    table.

    Raises:
        InputError: the table has no such version, or its history cannot be read.
    """
    try:
        history = spark.sql(f"DESCRIBE HISTORY {table}{'' if timestamp else ' LIMIT 1'}")
        if timestamp is not None:
            history = history.where(F.col("timestamp") <= F.try_to_timestamp(F.lit(timestamp)))
        latest: int | None = history.agg(F.max("version")).collect()[0][0]
    except AnalysisException as error:  # any other says nothing of what the table is
        if error_condition(error).startswith("DELTA_") and error_condition(error) not in _NO_DELTA_TABLE:
            raise
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
    return is_there(spark, f"{escaped(path.rstrip('/'))}/_delta_log/*.json")
