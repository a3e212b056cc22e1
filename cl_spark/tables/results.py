"""Writing the tables of a run, and reading those of finished runs.

A run's rows go into each table, and its row in `runs` is written last. Readers start from `runs`, so they
never see a run that broke off. A run_id that is run again replaces its own rows and no others.
"""

import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from pyspark.sql import DataFrame, DataFrameWriterV2, SparkSession
from pyspark.sql import functions as F

from cl_spark.errors import InputError, MissingDependencyError, OutputError, SourceChangedError
from cl_spark.tables import columns as c
from cl_spark.tables.columns import quoted
from cl_spark.tables.location import absolute, delta_name, escaped, identifier, is_path, is_uri
from cl_spark.tables.schema import RUNS, Table
from cl_spark.tables.spark_errors import (
    NOT_FOUND,
    SPARK_ERRORS,
    error_condition,
    error_summary,
    explain_unreadable,
    find_source_change,
)
from cl_spark.version import __version__

ATTEMPTS = 8
"""How often a write is tried that other writers of the same Delta table got ahead of."""


@dataclass(frozen=True)
class ResultTables:
    """The tables of results at one place: below a directory, or in a schema of the catalog.

    Args:
        spark: the session.
        location: a path or URI, or catalog.schema.
        format: "delta" or "parquet".
        source: the input of the run, for the properties of tables that are created.

    Raises:
        OutputError: the location is a schema of the catalog and the format Parquet, which cannot replace the
            rows of a run atomically there.
    """

    spark: SparkSession
    location: str
    format: str
    source: str = ""

    def __post_init__(self) -> None:
        if self.format == "parquet" and not is_path(self.location):
            raise OutputError(
                f"output: {self.location!r} is a catalog schema, which takes format delta; "
                "parquet goes to a directory (a path must hold a slash, as in ./audit)"
            )

    @staticmethod
    def at(spark: SparkSession, location: str) -> "ResultTables":
        """Find the tables at a place, in whichever format they are. Nothing is read but whether `runs` is
        Delta.
        """
        delta = ResultTables(spark, location, "delta")
        if not is_path(location) or delta.has(RUNS):
            return delta
        return ResultTables(spark, location, "parquet")

    def check_writable(self) -> None:
        """Look, without writing, whether tables can go here: a local directory, or a schema that exists.

        Raises:
            OutputError: they cannot.
        """
        if not is_path(self.location):
            try:
                self.spark.sql(f"DESCRIBE SCHEMA {identifier(self.location)}").collect()
            except SPARK_ERRORS as error:
                raise OutputError(
                    f"output: there is no schema {self.location!r}: {error_summary(error)}"
                ) from error
        elif not is_uri(self.location):
            path = Path(self.location).absolute()
            there = next(parent for parent in (path, *path.parents) if parent.exists())
            if not there.is_dir() or not os.access(there, os.W_OK):
                raise OutputError(f"output: {str(there)!r} is no directory this user may write to")

    def remove_rows(self, tables: Sequence[Table], run_id: str) -> None:
        """Remove the rows that an earlier attempt at a run left in some tables.

        Raises:
            OutputError: a table cannot be written.
        """
        for table in tables:
            if self.has(table):
                old = self.read_run(table, run_id)
                if not old.isEmpty():
                    self.write(table, old.limit(0), run_id)

    def write_all(self, tables: Mapping[Table, DataFrame], run_id: str) -> None:
        """Write several tables, two at a time: most are small, and writing a small one is mostly waiting.

        Raises:
            OutputError: a table cannot be written; the others are, or fail for the same reason.
        """
        with ThreadPoolExecutor(2) as pool:
            written = [pool.submit(self.write, table, rows, run_id) for table, rows in tables.items()]
        for table in written:
            table.result()

    def write(self, table: Table, rows: DataFrame, run_id: str) -> None:
        """Write the rows of a run into a table, in place of those the run had there.

        Delta replaces them in one transaction, and tries again where another writer's came first. Parquet has
        a directory per run and table.

        Raises:
            OutputError: the table cannot be written.
        """
        named = _with_run_id(rows, run_id)
        if self.format == "parquet":
            target = f"{self._path(table)}/{c.RUN_ID}={run_id}"
            self._retry(table, lambda: named.drop(c.RUN_ID).write.mode("overwrite").parquet(target))
        else:
            self._retry(
                table, lambda: self._writer(table, named, run_id).overwrite(F.col(c.RUN_ID) == run_id)
            )

    def append_once(self, table: Table, rows: DataFrame, run_id: str, application: str, version: int) -> None:
        """Append rows to those of a run in a Delta table, unless the application has appended this version
        before.

        Raises:
            OutputError: the table cannot be written.
        """
        named = _with_run_id(rows, run_id)
        transaction = {"txnAppId": application, "txnVersion": str(version)}
        self._retry(table, lambda: self._writer(table, named, run_id).options(**transaction).append())

    def read(self, table: Table | str) -> DataFrame:
        """Read all rows of a table (or of the table of a name), of every run, finished or not.

        Raises:
            InputError: there is no such table.
        """
        try:
            if self.format == "parquet":
                reader = self.spark.read.option("mergeSchema", "true")  # later versions add columns
                path = escaped(self._path(table))
                fields = reader.parquet(path).schema.fields
                # a run_id is text, whatever it looks like
                types = {field.name: field.dataType.simpleString() for field in fields} | {c.RUN_ID: "string"}
                schema = ", ".join(f"{quoted(name)} {kind}" for name, kind in types.items())
                return self.spark.read.schema(schema).parquet(path)
            frame = self.spark.table(self._sql_name(table))
            _ = frame.schema  # on Spark Connect only this asks whether there is such a table
            return frame
        except SPARK_ERRORS as error:
            if error_condition(error) in NOT_FOUND:
                name = table if isinstance(table, str) else table.name
                raise InputError(f"output: there is no table {name!r} in {self.location!r}") from error
            raise explain_unreadable(error, self.location, "output") from error

    def read_run(self, table: Table | str, run_id: str) -> DataFrame:
        """Read the rows of one run, without their run_id."""
        return self.read(table).where(F.col(c.RUN_ID) == run_id).drop(c.RUN_ID)

    def has(self, table: Table) -> bool:
        """Tell whether there is such a table; a Delta table that is just being created has no columns yet."""
        return c.RUN_ID in self._columns(table)

    def _columns(self, table: Table) -> list[str]:
        """List the columns of a table; none where there is no such table."""
        try:
            return self.read(table).columns
        except InputError:
            return []

    def _retry(self, table: Table, write: Callable[[], None]) -> None:
        """Write, again after a conflict with another writer of the table."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return write()
            except SPARK_ERRORS as error:
                if attempt == ATTEMPTS or not _is_write_conflict(error):
                    raise self._explain_unwritable(table, error) from error
                time.sleep(random.uniform(0.1, 0.3) * attempt)

    def _writer(self, table: Table, named: DataFrame, run_id: str) -> DataFrameWriterV2:
        """Create the Delta table unless it is there, and make a writer to it."""
        there = self._columns(table)
        if c.RUN_ID not in there:
            self.spark.sql(self._definition(table, named))
        elif _names_to_map(named.columns) - _names_to_map(there):  # columns that came later
            self.spark.sql(f"ALTER TABLE {self._sql_name(table)} SET TBLPROPERTIES ({_COLUMN_MAPPING})")
        writer = named.writeTo(self._sql_name(table)).option("mergeSchema", "true")
        return writer.option("userMetadata", f"cl_spark run {run_id}")

    def _definition(self, table: Table, rows: DataFrame) -> str:
        """Compose the SQL that creates a table, each column with its meaning."""
        meanings = {column.name: column.meaning for column in table.columns}
        # columns of the input: ids come first, those for review last
        of_input = [column.meaning for column in table.columns if column.name.startswith("<")]
        columns, meaning = [], of_input[0] if of_input else ""
        for field in rows.schema.fields:
            if field.name in meanings and field.name != c.RUN_ID:
                meaning = of_input[-1] if of_input else ""
            comment = _sql_text(meanings.get(field.name, meaning))
            columns.append(f"{quoted(field.name)} {field.dataType.simpleString()} COMMENT {comment}")
        properties = (
            f"'cl_spark.version' = {_sql_text(__version__)}, 'cl_spark.source' = {_sql_text(self.source)}"
        )
        properties += f", {_COLUMN_MAPPING}" if _names_to_map(rows.columns) else ""
        return (
            f"CREATE TABLE IF NOT EXISTS {self._sql_name(table)} ({', '.join(columns)}) "
            f"USING DELTA PARTITIONED BY ({c.RUN_ID}) "
            f"COMMENT {_sql_text('One row per ' + table.row)} TBLPROPERTIES ({properties})"
        )

    def _path(self, table: Table | str) -> str:
        name = table if isinstance(table, str) else table.name
        return f"{absolute(self.location).rstrip('/')}/{name}"

    def _sql_name(self, table: Table | str) -> str:
        """Name a Delta table as SQL does."""
        if is_path(self.location):
            return delta_name(self._path(table))
        name = table if isinstance(table, str) else table.name
        return f"{identifier(self.location)}.{quoted(name)}"

    def _explain_unwritable(self, table: Table, error: Exception) -> Exception:
        explained = find_source_change(error) or explain_unreadable(error, self.location, "output")
        if isinstance(explained, MissingDependencyError | SourceChangedError):
            return explained
        return OutputError(
            f"output: cannot write table {table.name!r} in {self.location!r}: {error_summary(error)}"
        )


_COLUMN_MAPPING = (
    "'delta.columnMapping.mode' = 'name', 'delta.minReaderVersion' = '2', 'delta.minWriterVersion' = '5'"
)
"""Lets a Delta table hold columns of any name; older readers of Delta cannot read it."""


def _names_to_map(columns: Sequence[str]) -> set[str]:
    """Pick the columns whose names Parquet does not take, which Delta has to map."""
    return {name for name in columns if set(name) & set(" ,;{}()\n\t=")}


def _with_run_id(rows: DataFrame, run_id: str) -> DataFrame:
    return rows.select(F.lit(run_id).alias(c.RUN_ID), *[F.col(quoted(col)) for col in rows.columns])


def _sql_text(value: str) -> str:
    """Write a text as a SQL literal."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


_CONFLICTS = (
    "DELTA_CONCURRENT",
    "DELTA_METADATA_CHANGED",
    "DELTA_PROTOCOL_CHANGED",
    "DELTA_CREATE_TABLE_SCHEME_MISMATCH",
    "DELTA_CREATE_TABLE_WITH_NON_EMPTY_LOCATION",
    "DELTA_SCHEMA_CHANGE_SINCE_ANALYSIS",
    "UNRESOLVED_COLUMN",
)
_CONFLICT_CLASSES = (
    "ConcurrentAppendException",
    "ConcurrentDeleteReadException",
    "ConcurrentWriteException",
    "MetadataChangedException",
    "ProtocolChangedException",
)


def _is_write_conflict(error: Exception) -> bool:
    """Tell whether a Delta write lost to another one, which has committed or is just creating the table."""
    text = str(error)
    return error_condition(error).startswith(_CONFLICTS) or any(
        name in text for name in (*_CONFLICTS, *_CONFLICT_CLASSES)
    )
