"""Writing the result tables of a run, and reading those of finished runs.

A run's rows go into each table; its row in `runs` is written last, and taken back first where a run is repeated. Readers start
from `runs`, so a run that broke off has never happened. Running a run_id again replaces its rows and no others.
"""

import os
import random
import time
from collections.abc import Callable, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from pyspark.sql import DataFrame, DataFrameWriterV2, SparkSession
from pyspark.sql import functions as F

from cl_spark.errors import InputError, MissingDependencyError, OutputError
from cl_spark.tables import columns as c
from cl_spark.tables.columns import quoted
from cl_spark.tables.input_table import SPARK_ERRORS, condition, identifier, is_path, reason, unreadable
from cl_spark.version import __version__

ATTEMPTS = 8
"""How often a write is tried that other writers of the same Delta table got ahead of."""


@dataclass(frozen=True)
class ResultTables:
    """Where results live: tables below one directory, or in one schema of the catalog.

    Args:
        spark: the session.
        location: a path or URI, or catalog.schema.
        format: "delta" or "parquet".
        source: what is audited, for the properties of tables that are made.

    Raises:
        OutputError: a Parquet location in the catalog, which cannot replace a run's rows atomically.
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
        """The tables that are there, in whichever format.

        Raises:
            InputError: there are none.
        """
        delta = ResultTables(spark, location, "delta")
        if not is_path(location) or delta._readable(c.RUNS):
            return delta
        return ResultTables(spark, location, "parquet")

    def check(self) -> None:
        """Look, without writing, whether tables can go here: a local directory, or a schema that exists.

        Raises:
            OutputError: they cannot.
        """
        if not is_path(self.location):
            try:
                self.spark.sql(f"DESCRIBE SCHEMA {identifier(self.location)}").collect()
            except SPARK_ERRORS as error:
                raise OutputError(f"output: there is no schema {self.location!r}: {reason(error)}") from error
        elif ":" not in self.location:
            path = Path(self.location).absolute()
            there = next(parent for parent in (path, *path.parents) if parent.exists())
            if not there.is_dir() or not os.access(there, os.W_OK):
                raise OutputError(f"output: {str(there)!r} is no directory this user may write to")

    def begin(self, run_id: str, tables: Set[c.Table]) -> None:
        """Take back what an earlier attempt at the run left: its row in `runs`, then rows of tables not written this time.

        Raises:
            OutputError: a table cannot be written.
        """
        for table in (c.RUNS, *(other for other in c.TABLES if other is not c.RUNS and other not in tables)):
            if self._readable(table):
                old = self.read_run(table, run_id)
                if not old.isEmpty():
                    self.write(table, old.limit(0), run_id)

    def write_all(self, tables: Mapping[c.Table, DataFrame], run_id: str) -> None:
        """Several tables, two at a time: most of them are small, and writing one is mostly waiting.

        Raises:
            OutputError: a table cannot be written; the others are, or fail for the same reason.
        """
        with ThreadPoolExecutor(2) as pool:
            written = [pool.submit(self.write, table, rows, run_id) for table, rows in tables.items()]
        for table in written:
            table.result()

    def write(self, table: c.Table, rows: DataFrame, run_id: str) -> None:
        """The rows as those of the run in a table, replacing what the run had there.

        Delta replaces them in one transaction, again where another writer's came first. Parquet has a
        directory per run and table.

        Raises:
            OutputError: the table cannot be written.
        """
        named = _named(rows, run_id)
        if self.format == "parquet":
            target = f"{self._path(table)}/{c.RUN_ID}={run_id}"
            self._tried(table, lambda: named.drop(c.RUN_ID).write.mode("overwrite").parquet(target))
        else:
            self._tried(table, lambda: self._made(table, named, run_id).overwrite(F.col(c.RUN_ID) == run_id))

    def append_once(
        self, table: c.Table, rows: DataFrame, run_id: str, application: str, version: int
    ) -> None:
        """Rows added to those of the run in a Delta table, unless that batch of the application has been added already.

        Raises:
            OutputError: the table cannot be written.
        """
        named = _named(rows, run_id)
        transaction = {"txnAppId": application, "txnVersion": str(version)}
        self._tried(table, lambda: self._made(table, named, run_id).options(**transaction).append())

    def read(self, table: c.Table) -> DataFrame:
        """All rows of a table, of every run, finished or not.

        Raises:
            InputError: there is no such table.
        """
        try:
            if self.format == "parquet":
                reader = self.spark.read.option("mergeSchema", "true")  # later versions add columns
                fields = reader.parquet(self._path(table)).schema.fields
                # a run_id is text, whatever it looks like
                types = {field.name: field.dataType.simpleString() for field in fields} | {c.RUN_ID: "string"}
                schema = ", ".join(f"{quoted(name)} {kind}" for name, kind in types.items())
                return self.spark.read.schema(schema).parquet(self._path(table))
            frame = self.spark.table(self._name(table))
            _ = frame.schema  # on Spark Connect only this asks whether there is such a table
            return frame
        except SPARK_ERRORS as error:
            raise unreadable(error, self.location, "output") from error

    def read_run(self, table: c.Table, run_id: str) -> DataFrame:
        """The rows of one run, without their run_id."""
        return self.read(table).where(F.col(c.RUN_ID) == run_id).drop(c.RUN_ID)

    def _readable(self, table: c.Table) -> bool:
        return c.RUN_ID in self._columns(table)  # a Delta table in the making has no columns yet

    def _columns(self, table: c.Table) -> list[str]:
        """The columns of a table; none where there is no such table."""
        try:
            return self.read(table).columns
        except InputError:
            return []

    def _tried(self, table: c.Table, write: Callable[[], None]) -> None:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return write()
            except SPARK_ERRORS as error:
                if attempt == ATTEMPTS or not _came_second(error):
                    raise self._unwritable(table, error) from error
                time.sleep(random.uniform(0.1, 0.3) * attempt)

    def _made(self, table: c.Table, named: DataFrame, run_id: str) -> DataFrameWriterV2:
        """What writes rows to a Delta table, which is there then."""
        there = self._columns(table)
        if c.RUN_ID not in there:
            self.spark.sql(self._definition(table, named))
        elif _odd(named.columns) - _odd(there):  # columns that came later
            self.spark.sql(f"ALTER TABLE {self._name(table)} SET TBLPROPERTIES ({_ODD_NAMES})")
        writer = named.writeTo(self._name(table)).option("mergeSchema", "true")
        return writer.option("userMetadata", f"cl_spark run {run_id}")

    def _definition(self, table: c.Table, rows: DataFrame) -> str:
        """SQL that makes a table, each column with its meaning."""
        meanings = {column.name: column.meaning for column in table.columns}
        users = [
            column.meaning for column in table.columns if column.name.startswith("<")
        ]  # ids come first, others last
        columns, meaning = [], users[0] if users else ""
        for field in rows.schema.fields:
            if field.name in meanings and field.name != c.RUN_ID:
                meaning = users[-1] if users else ""
            told = meanings.get(field.name, meaning)
            columns.append(f"{quoted(field.name)} {field.dataType.simpleString()} COMMENT {_text(told)}")
        properties = f"'cl_spark.version' = {_text(__version__)}, 'cl_spark.source' = {_text(self.source)}"
        properties += f", {_ODD_NAMES}" if _odd(rows.columns) else ""
        return (
            f"CREATE TABLE IF NOT EXISTS {self._name(table)} ({', '.join(columns)}) USING DELTA PARTITIONED BY ({c.RUN_ID}) "
            f"COMMENT {_text('One row per ' + table.row)} TBLPROPERTIES ({properties})"
        )

    def _path(self, table: c.Table) -> str:
        return f"{self.location.rstrip('/')}/{table.name}"

    def _name(self, table: c.Table) -> str:
        """What SQL calls a Delta table."""
        if is_path(self.location):
            path = self._path(table)
            return f"delta.{quoted(path if ':' in path else str(Path(path).absolute()))}"  # a relative one is no name
        return f"{identifier(self.location)}.{quoted(table.name)}"

    def _unwritable(self, table: c.Table, error: Exception) -> Exception:
        told = unreadable(error, self.location, "output")
        if isinstance(told, MissingDependencyError):
            return told
        return OutputError(f"output: cannot write table {table.name!r} in {self.location!r}: {reason(error)}")


_ODD_NAMES = (
    "'delta.columnMapping.mode' = 'name', 'delta.minReaderVersion' = '2', 'delta.minWriterVersion' = '5'"
)
"""What lets a Delta table hold columns of any name; older readers of Delta cannot read it."""


def _odd(columns: Sequence[str]) -> set[str]:
    """Columns whose names Parquet does not take."""
    return {name for name in columns if set(name) & set(" ,;{}()\n\t=")}


def _named(rows: DataFrame, run_id: str) -> DataFrame:
    return rows.select(F.lit(run_id).alias(c.RUN_ID), *[F.col(quoted(col)) for col in rows.columns])


def _text(value: str) -> str:
    """A SQL literal."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _came_second(error: Exception) -> bool:
    """Whether a Delta write lost to another that was committed meanwhile, or is just making the table."""
    kinds = ("DELTA_CONCURRENT", "DELTA_METADATA_CHANGED", "DELTA_PROTOCOL_CHANGED", "DELTA_CREATE_TABLE_SCHEME_MISMATCH",
             "DELTA_CREATE_TABLE_WITH_NON_EMPTY_LOCATION", "DELTA_SCHEMA_CHANGE_SINCE_ANALYSIS", "UNRESOLVED_COLUMN")  # fmt: skip
    classes = ("ConcurrentAppendException", "ConcurrentDeleteReadException", "ConcurrentWriteException",
               "MetadataChangedException", "ProtocolChangedException")  # fmt: skip
    return condition(error).startswith(kinds) or any(name in str(error) for name in (*kinds, *classes))
