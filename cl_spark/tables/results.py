"""Writing the tables of a run, and reading those of finished runs.

A run's rows go into each table, and its row in `runs` is written last. Readers start from `runs`, so they
never see a run that broke off. Rows carry the attempt at the run that wrote them. Attempts stand beside each
other until one is recorded in `runs`; then only its rows count, and those of earlier ones are removed.
"""

import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, partial
from typing import Any

from pyspark.sql import DataFrame, DataFrameWriterV2, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, DataType, MapType, StringType, StructField, StructType

from cl_spark.errors import (
    ConfigurationError,
    InputError,
    MissingDependencyError,
    OutputError,
    SourceChangedError,
)
from cl_spark.tables import columns as c
from cl_spark.tables.columns import quoted
from cl_spark.tables.location import (
    absolute,
    check_reachable,
    delta_name,
    escaped,
    find_existing,
    full_path,
    identifier,
    is_path,
    is_there,
    is_uri,
    is_writable,
    local_path,
    locate,
)
from cl_spark.tables.names import check_name
from cl_spark.tables.schema import RUNS, Table
from cl_spark.tables.spark_errors import (
    NOT_FOUND,
    SPARK_ERRORS,
    error_condition,
    error_summary,
    explain_unreadable,
    find_source_change,
)
from cl_spark.tables.write_conflicts import retry_conflicts
from cl_spark.version import __version__


def new_attempt(moment: datetime, after: str | None = None) -> str:
    """Name an attempt at a run, greater than those that began before.

    Args:
        moment: when it began.
        after: an attempt that was recorded before: where its clock was ahead, the name still is greater.

    Example:
        >>> first = new_attempt(datetime(2026, 1, 31))
        >>> first[:22], new_attempt(datetime(2026, 1, 30), first) > first
        ('20260131T000000.000000', True)
    """
    attempt = f"{moment:%Y%m%dT%H%M%S.%f}-{uuid.uuid4().hex[:6]}"
    names = [attempt] if after is None else [attempt, f"{after[:22]}~{attempt}", f"{after}-{attempt}"]
    return next(name for name in names if after is None or name > after)


@dataclass(frozen=True)
class ResultTables:
    """The tables of results at one place: below a directory, or in a schema of the catalog.

    Args:
        spark: the session.
        location: a path or URI, or catalog.schema.
        format: "delta" or "parquet".
        source: the input of the run, for the properties of tables that are created.

    Raises:
        ConfigurationError: the location is a schema of the catalog and the format Parquet, which cannot
            replace the rows of a run atomically there.
    """

    spark: SparkSession
    location: str
    format: str
    source: str = ""

    def __post_init__(self) -> None:
        if self.format == "parquet" and not is_path(self.location):
            raise ConfigurationError(
                f"output: {self.location!r} is a catalog schema, which takes format delta; "
                "parquet goes to a directory (a path must hold a slash, as in ./audit)"
            )

    @cached_property
    def path(self) -> str:
        """The location in full, where it is a path: of Spark's default file system if it says no other."""
        return locate(self.spark, self.location)

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
            ConfigurationError: they cannot.
        """
        if not is_path(self.location):
            try:
                self.spark.sql(f"DESCRIBE SCHEMA {identifier(self.location)}").collect()
            except SPARK_ERRORS as error:
                raise ConfigurationError(
                    f"output: there is no schema {self.location!r}: make it (CREATE SCHEMA), or name a "
                    f"directory, which holds a slash, as in ./{self.location}"
                ) from error
            return
        path = local_path(self.path)
        if is_uri(path):
            check_reachable(self.spark, path, "output")
        elif not is_writable(path):
            there = find_existing(full_path(path))
            raise ConfigurationError(f"output: {there!r} is no directory this user may write to")

    def check_format(self, tables: Sequence[Table]) -> None:
        """Check that what is here already is of this format, without reading it: rows in two formats at one
        place would be written, and found by no reader.

        Args:
            tables: the tables to look for. `runs` alone does not tell, as it is written last.

        Raises:
            ConfigurationError: some of the tables are of the other format.
        """
        if not is_path(self.location):
            return
        names = f"{escaped(self._path(''))}{{{','.join(table.name for table in tables)}}}"
        # a Delta table that is just being created has files of rows, but neither of these beside them
        of_parquet = f"{names}/{c.RUN_ID}=*/{{_SUCCESS,*/*.parquet}}"
        if is_there(self.spark, f"{names}/_delta_log"):
            found = "delta"
        else:
            found = "parquet" if self.format == "delta" and is_there(self.spark, of_parquet) else self.format
        if found != self.format:
            raise ConfigurationError(
                f"format: {self.location!r} holds {found} tables, and format is {self.format!r}: say "
                f"format: {found} (--format {found}), or choose another output"
            )

    def find_types(self, table: Table) -> dict[str, str]:
        """Find the Spark types of the columns of a table, by name; none where there is no such table."""
        try:
            fields = self._read_anyhow(table).schema.fields
        except InputError:
            return {}
        return {field.name: field.dataType.simpleString() for field in fields}

    def check_types(
        self, there: Mapping[str, str], types: Mapping[str, str], what: str, *, widens: bool = False
    ) -> None:
        """Check that columns that follow the input are of the types that a table holds.

        Delta would turn them into the types of its table, and in Parquet the table could not be read as one.

        Args:
            there: the types of the table's columns, by name; columns that it lacks may have any.
            types: the types of the columns to write.
            what: has these columns, with its verb, for the message: "this run has".
            widens: let pass whole numbers of another width into Delta, which changes no value or fails; on
                Spark 3.5 it takes none.

        Raises:
            ConfigurationError: a type differs.
        """
        widens = widens and self.format == "delta" and int(self.spark.version[0]) >= 4
        for name, kind in types.items():
            found = there.get(name, kind)
            if found != kind and not (widens and {found, kind} <= _WHOLE_NUMBERS):
                raise ConfigurationError(
                    f"output: the tables in {self.location!r} hold {name!r} as {found}, and {what} {kind}: "
                    "choose another output, or cast the column"
                )

    def was_begun(self, run_id: str) -> bool:
        """Tell whether an attempt at a run, finished or not, may have left rows.

        One listing of directories tells it, in a tenth of the time of one deletion. A schema of the catalog
        cannot be listed.
        """
        if not is_path(self.location):
            return True
        pattern = f"{escaped(self._path(''))}*/*={run_id}"
        try:
            _ = self.spark.read.format("binaryFile").load(pattern).schema
        except SPARK_ERRORS as error:
            return error_condition(error) not in NOT_FOUND
        return True

    def remove_earlier(self, tables: Sequence[Table], run_id: str, attempt: str) -> None:
        """Remove the rows that earlier attempts at a run left in some tables.

        Raises:
            OutputError: a table cannot be written.
        """
        for table in tables:
            if self.format == "parquet":
                self._empty_earlier(table, run_id, attempt)
                continue
            there = self._columns(table)
            earlier = f"{c.RUN_ID} = {_sql_text(run_id)}"
            if c.ATTEMPT in there:
                earlier += f" AND ({c.ATTEMPT} IS NULL OR {c.ATTEMPT} < {_sql_text(attempt)})"
            if c.RUN_ID in there:
                statement = f"DELETE FROM {self._sql_name(table)} WHERE {earlier}"
                self._retry(table, partial(self.spark.sql, statement))

    def _empty_earlier(self, table: Table, run_id: str, attempt: str) -> None:
        """Leave an empty file where an earlier attempt at a run wrote Parquet."""
        directory = self._run_path(table, run_id)
        try:
            rows = self.spark.read.option("recursiveFileLookup", "true").parquet(escaped(directory))
            _ = rows.schema  # on Spark Connect only this looks at the files
        except SPARK_ERRORS:  # nothing is there
            return
        if c.ATTEMPT in rows.columns:
            for row in rows.where(F.col(c.ATTEMPT) < attempt).select(c.ATTEMPT).distinct().collect():
                empty = rows.limit(0).write.mode("overwrite")
                self._retry(table, partial(empty.parquet, f"{directory}/{row[0]}"))

    def write_all(self, tables: Mapping[Table, DataFrame], run_id: str, attempt: str | None = None) -> None:
        """Write several tables, two at a time: most are small, and writing a small one is mostly waiting.

        Raises:
            OutputError: a table cannot be written; the others are, or fail for the same reason.
        """
        with ThreadPoolExecutor(2) as pool:
            written = [
                pool.submit(self.write, table, rows, run_id, attempt) for table, rows in tables.items()
            ]
        for table in written:
            table.result()

    def write(self, table: Table, rows: DataFrame, run_id: str, attempt: str | None = None) -> None:
        """Write the rows of a run into a table.

        Delta takes them in one transaction, which also creates the table where there is none, and tries
        again where another writer's came first. Parquet has a directory per run and attempt.

        Args:
            table: the table.
            rows: its rows.
            run_id: the run.
            attempt: the attempt at the run: its rows stand beside those of others. None, as for a batch of
                scored rows, replaces all that the table holds under the run_id.

        Raises:
            ConfigurationError: the run_id is no name.
            OutputError: the table cannot be written.
        """
        check_name(c.RUN_ID, run_id)
        named = _with_run_id(rows, run_id, attempt)
        if self.format == "parquet":
            writer = named.drop(c.RUN_ID).write.mode("overwrite")
            self._retry(table, partial(writer.parquet, self._run_path(table, run_id, attempt)))
        else:
            self._retry(table, partial(self._write_delta, table, named, run_id, replaces=attempt is None))

    def _write_delta(self, table: Table, named: DataFrame, run_id: str, *, replaces: bool) -> None:
        """Write into a Delta table, or create it with these rows."""
        if not self.has(table):
            self._create(table, named)
        elif replaces:
            self._writer(table, named, run_id).overwrite(F.col(c.RUN_ID) == run_id)
        else:
            self._writer(table, named, run_id).append()

    def append_once(self, table: Table, rows: DataFrame, run_id: str, application: str, version: int) -> None:
        """Append rows to those of a run in a Delta table, unless the application has appended this version
        before.

        Raises:
            ConfigurationError: the run_id is no name.
            OutputError: the table cannot be written.
        """
        check_name(c.RUN_ID, run_id)
        named = _with_run_id(rows, run_id)
        transaction = {"txnAppId": application, "txnVersion": str(version)}
        self._retry(table, lambda: self._append(table, named, run_id, transaction))

    def read(self, table: Table | str) -> DataFrame:
        """Read all rows of a table (or of the table of a name), of every run and attempt, finished or not.

        Raises:
            InputError: there is no such table; or in Parquet, runs wrote columns of types that do not merge.
        """
        return self._read(table, merges=True)

    def _read_anyhow(self, table: Table | str) -> DataFrame:
        """Read a table for its columns, of whichever run: those of several may not merge."""
        return self._read(table, merges=False)

    def _read(self, table: Table | str, *, merges: bool) -> DataFrame:
        try:
            if self.format == "parquet":
                reader = self.spark.read.option("mergeSchema", merges)  # later versions add columns
                path = escaped(self._path(table))
                fields = reader.parquet(path).schema.fields
                # a run_id is text, whatever it looks like
                types = {field.name: field.dataType for field in fields} | {c.RUN_ID: StringType()}
                schema = StructType([StructField(name, kind) for name, kind in types.items()])
                return self.spark.read.schema(schema).parquet(path)
            frame = self.spark.table(self._sql_name(table))
            _ = frame.schema  # on Spark Connect only this asks whether there is such a table
            return frame
        except SPARK_ERRORS as error:
            if error_condition(error) in NOT_FOUND:
                name = table if isinstance(table, str) else table.name
                raise InputError(f"output: there is no table {name!r} in {self.location!r}") from error
            raise explain_unreadable(error, self.location, "output") from error

    def read_run(self, table: Table | str, run_id: str, attempt: str | None = None) -> DataFrame:
        """Read the rows of one run, without their run_id and attempt.

        In Parquet they have the schema that the run wrote, whatever those of other runs are.

        Args:
            table: the table, or its name.
            run_id: the run, or the batch of scored rows.
            attempt: the attempt at the run whose rows are wanted; default the one that `runs` records.

        Raises:
            ConfigurationError: the run_id is no name.
            InputError: there is no such table.
        """
        check_name(c.RUN_ID, run_id)
        attempt = attempt or self.recorded_attempt(run_id)
        if self.format == "parquet":
            return self._read_parquet_run(table, run_id, attempt).drop(c.ATTEMPT)
        rows = self.read(table).where(F.col(c.RUN_ID) == run_id)
        if c.ATTEMPT in rows.columns:
            rows = rows.where(F.col(c.ATTEMPT).eqNullSafe(F.lit(attempt)))
        return rows.drop(c.RUN_ID, c.ATTEMPT)

    def _read_parquet_run(self, table: Table | str, run_id: str, attempt: str | None) -> DataFrame:
        """Read the directory of an attempt; batches, and versions before attempts, have but the run's."""
        for directory in dict.fromkeys(self._run_path(table, run_id, one) for one in (attempt, None)):
            try:
                rows = self.spark.read.parquet(escaped(directory))
                _ = rows.schema  # on Spark Connect only this looks at the files
                return rows
            except SPARK_ERRORS as error:
                if error_condition(error) not in (*NOT_FOUND, "UNABLE_TO_INFER_SCHEMA"):
                    raise explain_unreadable(error, self.location, "output") from error
        return self._read_anyhow(table).where(F.lit(False)).drop(c.RUN_ID)

    def recorded_attempt(self, run_id: str) -> str | None:
        """Find the latest attempt at a run that `runs` records; None if there is none, or it has no name."""
        try:
            runs = self.read(RUNS).where(F.col(c.RUN_ID) == run_id)
        except InputError:
            return None
        if c.ATTEMPT not in runs.columns:
            return None
        found: str | None = runs.agg(F.max(c.ATTEMPT)).collect()[0][0]
        return found

    def has(self, table: Table) -> bool:
        """Tell whether there is such a table; a Delta table that is just being created has no columns yet."""
        return c.RUN_ID in self._columns(table)

    def _columns(self, table: Table) -> list[str]:
        """List the columns of a table; none where there is no such table."""
        try:
            return self._read_anyhow(table).columns
        except InputError:
            return []

    def _retry(self, table: Table, write: Callable[[], Any]) -> None:
        """Write, again after a conflict with another writer of the table."""
        try:
            retry_conflicts(write)
        except SPARK_ERRORS as error:
            raise self._explain_unwritable(table, error) from error

    def _append(self, table: Table, named: DataFrame, run_id: str, transaction: Mapping[str, str]) -> None:
        """Append rows to a Delta table as part of a transaction of an application."""
        if not self.has(table):
            self._create(table, named.limit(0))  # which is no part of the transaction
        self._writer(table, named, run_id).options(**transaction).append()

    def _create(self, table: Table, named: DataFrame) -> None:
        """Create a Delta table with its first rows, each column with its meaning."""
        meanings = {column.name: column.meaning for column in table.columns}
        # columns of the input: ids come first, those for review last
        of_input = [column.meaning for column in table.columns if column.name.startswith("<")]
        columns, meaning = [], of_input[0] if of_input else ""
        for name in named.columns:
            if name in meanings and name not in (c.RUN_ID, c.ATTEMPT):
                meaning = of_input[-1] if of_input else ""
            comment = {"comment": meanings.get(name, meaning)}
            columns.append(F.col(quoted(name)).alias(name, metadata=comment))
        writer = named.select(*columns).writeTo(self._sql_name(table)).using("delta")
        properties = {
            "comment": f"One row per {table.row}",
            "cl_spark.version": __version__,
            "cl_spark.source": self.source,
            **(_COLUMN_MAPPING if _needs_mapping(named.schema) else {}),
        }
        for key, value in properties.items():
            writer = writer.tableProperty(key, value)
        writer.partitionedBy(F.col(c.RUN_ID)).create()

    def _writer(self, table: Table, named: DataFrame, run_id: str) -> DataFrameWriterV2:
        """Make a writer to a Delta table that is there; columns that it lacks are added."""
        if _needs_mapping(named.schema) and not self._is_mapped(table):  # columns that came later
            properties = ", ".join(f"'{key}' = '{value}'" for key, value in _COLUMN_MAPPING.items())
            self.spark.sql(f"ALTER TABLE {self._sql_name(table)} SET TBLPROPERTIES ({properties})")
        writer = named.writeTo(self._sql_name(table)).option("mergeSchema", "true")
        return writer.option("userMetadata", f"cl_spark run {run_id}")

    def _is_mapped(self, table: Table) -> bool:
        """Tell whether a Delta table can hold columns of any name."""
        properties = self.spark.sql(
            f"SHOW TBLPROPERTIES {self._sql_name(table)} ('delta.columnMapping.mode')"
        )
        return str(properties.collect()[0][1]) == "name"

    def _run_path(self, table: Table | str, run_id: str, attempt: str | None = None) -> str:
        """Name the directory of a run's rows in Parquet."""
        directory = f"{self._path(table)}/{c.RUN_ID}={run_id}"
        return directory if attempt is None else f"{directory}/{attempt}"

    def _path(self, table: Table | str) -> str:
        name = table if isinstance(table, str) else table.name
        return f"{absolute(self.path).rstrip('/')}/{name}"

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


_WHOLE_NUMBERS = {"tinyint", "smallint", "int", "bigint"}

_COLUMN_MAPPING = {
    "delta.columnMapping.mode": "name",
    "delta.minReaderVersion": "2",
    "delta.minWriterVersion": "5",
}
"""Lets a Delta table hold columns of any name; older readers of Delta cannot read it."""


def _needs_mapping(kind: DataType) -> bool:
    """Tell whether fields have names, at any depth, that Delta stores in Parquet only under other names."""
    if isinstance(kind, ArrayType):
        return _needs_mapping(kind.elementType)
    if isinstance(kind, MapType):
        return _needs_mapping(kind.keyType) or _needs_mapping(kind.valueType)
    fields = kind.fields if isinstance(kind, StructType) else []
    return any(set(field.name) & set(" ,;{}()\n\t=") or _needs_mapping(field.dataType) for field in fields)


def _with_run_id(rows: DataFrame, run_id: str, attempt: str | None = None) -> DataFrame:
    of_attempt = [] if attempt is None else [F.lit(attempt).alias(c.ATTEMPT)]
    named = [F.lit(run_id).alias(c.RUN_ID), *of_attempt]
    return rows.select(*named, *[F.col(quoted(col)) for col in rows.columns])


def _sql_text(value: str) -> str:
    """Write a text as a SQL literal."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
