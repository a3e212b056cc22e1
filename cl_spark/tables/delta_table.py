"""One Delta table of the user's that is changed in place: its versions, and changes of one commit each.

A MERGE takes no metadata of its own but from a setting of the session, which is not ours to write. So each
change carries a mark in its condition, and the history of the table, which records conditions, tells it.
"""

import hashlib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from cl_spark.errors import ConfigurationError, InputError, OutputError
from cl_spark.tables.columns import quoted
from cl_spark.tables.location import absolute, delta_name, escaped, identifier, is_path, is_there, locate
from cl_spark.tables.spark_errors import (
    SPARK_ERRORS,
    error_condition,
    error_summary,
    explain_unreadable,
)
from cl_spark.tables.write_conflicts import retry_conflicts

_MARK = "_mark"
_PROPERTY = "cl_spark.mark"


@dataclass(frozen=True)
class Commit:
    """A commit in the history of a table.

    Attributes:
        version: the version it made.
        mark: the mark it carries, of those that were looked for; else None.
        restored: of a RESTORE to a version, the version whose rows it brought back; else None.
        replaces: whether it replaced rows by others, of which the history does not tell: an overwriting, or a
            RESTORE to a time.
    """

    version: int
    mark: str | None
    restored: int | None
    replaces: bool = False


@dataclass(frozen=True)
class DeltaTable:
    """A Delta table at a path or in the catalog.

    Attributes:
        spark: the session.
        name: as the user names it.
        key: the argument that names it, for messages.
    """

    spark: SparkSession
    name: str
    key: str

    @staticmethod
    def open(spark: SparkSession, name: str, key: str) -> "DeltaTable":
        """Open a table to change it in place.

        Raises:
            ConfigurationError: it is no Delta table.
            InputError: it cannot be read.
        """
        table = DeltaTable(spark, name, key)
        try:
            table.find_latest()
        except SPARK_ERRORS as error:
            explained = explain_unreadable(error, name, key)
            if not isinstance(explained, InputError):
                raise explained from error
            raise ConfigurationError(
                f"{key}: {name!r} cannot be changed in place, as it is no Delta table: name an output for a "
                f"new table ({error_summary(error)})"
            ) from error
        return table

    @property
    def sql_name(self) -> str:
        """The table as SQL names it."""
        return name_table(self.spark, self.name)

    @property
    def schema(self) -> StructType:
        """The columns of the latest version."""
        return self.spark.sql(f"SELECT * FROM {self.sql_name}").schema

    def find_latest(self) -> int:
        """Find the latest version."""
        history = self.spark.sql(f"DESCRIBE HISTORY {self.sql_name} LIMIT 1")
        return int(history.select("version").collect()[0][0])

    def read(self, version: int) -> DataFrame:
        """Read the rows of one version.

        Raises:
            InputError: the version is no longer there, or its log is not.
        """
        try:
            if is_path(self.name):
                path = absolute(locate(self.spark, self.name))
                rows = self.spark.read.format("delta").option("versionAsOf", version).load(path)
            else:
                rows = self.spark.sql(f"SELECT * FROM {self.sql_name} VERSION AS OF {version}")
            _ = rows.schema  # on Spark Connect only this asks for the version
        except SPARK_ERRORS as error:
            raise InputError(
                f"{self.key}: version {version} of {self.name!r} cannot be read: {error_summary(error)}"
            ) from error
        return rows

    def list_commits(self, *marks: str) -> list[Commit]:
        """List the commits that carry one of some marks, restore a version, or replace rows, in their order.

        The history reaches back as far as the log is kept (`delta.logRetentionDuration`, 30 days).
        """
        operation, parameters = F.col("operation"), F.to_json("operationParameters")
        marked = F.when(F.lit(False), F.lit(""))
        for mark in marks:
            marked = marked.when((operation == "MERGE") & F.contains(parameters, F.lit(mark)), mark)
        version, mode = (F.try_element_at("operationParameters", F.lit(name)) for name in ("version", "mode"))
        restored = F.when((operation == "RESTORE") & version.rlike("^[0-9]+$"), version).cast("long")
        replaces = (
            ((operation == "RESTORE") & restored.isNull())
            | ((operation == "WRITE") & (mode == "Overwrite"))
            | operation.contains("REPLACE TABLE")
        )
        history = self.spark.sql(f"DESCRIBE HISTORY {self.sql_name}")
        columns = {"mark": marked, "restored": restored, "replaces": F.coalesce(replaces, F.lit(False))}
        found = history.select("version", *[column.alias(name) for name, column in columns.items()])
        is_listed = F.col("mark").isNotNull() | F.col("restored").isNotNull() | F.col("replaces")
        rows = found.where(is_listed).orderBy("version").collect()
        return [Commit(row.version, row.mark, row.restored, row.replaces) for row in rows]

    def find_before(self, version: int, column: str) -> int:
        """Find the version before a MERGE; before the commit that added columns for it, if that came first.

        Args:
            version: the version that the MERGE made.
            column: one of the columns.
        """
        history = self.spark.sql(f"DESCRIBE HISTORY {self.sql_name}").where(F.col("version") == version - 1)
        is_added = F.contains(F.to_json("operationParameters"), F.lit(column))
        added = history.where((F.col("operation") == "ADD COLUMNS") & is_added)
        return version - (2 if added.count() else 1)

    def merge(
        self, source: DataFrame, keys: Mapping[str, str], condition: str, values: Mapping[str, str], mark: str
    ) -> None:
        """Change rows in one commit: a MERGE, which adds columns that the table lacks. It is tried again
        where another writer's commit came first.

        Spark 3.5 has no MERGE that adds columns. There, a commit before it adds them, with nulls.

        Args:
            source: one row for each row to change.
            keys: columns of the table that identify the row, with those of the source.
            condition: SQL on the table (`t`) and the source (`s`), checked as the row is changed.
            values: columns to set, with those of the source. Columns that the table lacks must have the same
                name in the source.
            mark: text that the history will tell this commit by; no quotes.

        Raises:
            OutputError: the table cannot be changed.
        """
        view = f"cl_spark_{uuid.uuid4().hex}"
        # never the text of a row, so that the condition says nothing but the mark
        source.withColumn(_MARK, F.lit(mark)).createOrReplaceTempView(view)
        on = [f"t.{quoted(name)} = s.{quoted(key)}" for name, key in keys.items()]
        on.append(f"s.{_MARK} = '{mark}'")
        sets = ", ".join(f"{quoted(name)} = s.{quoted(col)}" for name, col in values.items())
        statement = (
            f"INTO {self.sql_name} AS t USING {view} AS s ON {' AND '.join(on)} "
            f"WHEN MATCHED AND {condition} THEN UPDATE SET {sets}"
        )
        kinds = {field.name: field.dataType.simpleString() for field in source.schema.fields}
        columns = {name: kinds[col] for name, col in values.items()}
        try:
            retry_conflicts(partial(self._merge, statement, columns))
        except SPARK_ERRORS as error:
            raise OutputError(f"{self.key}: cannot change {self.name!r}: {error_summary(error)}") from error
        finally:
            self.spark.catalog.dropTempView(view)

    def _merge(self, statement: str, kinds: Mapping[str, str]) -> None:
        """Run a MERGE that may need columns which the table lacks.

        Args:
            statement: the MERGE, from INTO on.
            kinds: types of the columns that it sets.
        """
        there = {name.casefold() for name in self.schema.names}
        lacking = {name: kind for name, kind in kinds.items() if name.casefold() not in there}
        if lacking:
            try:
                self.spark.sql(f"MERGE WITH SCHEMA EVOLUTION {statement}").collect()
                return
            except SPARK_ERRORS as error:
                if not error_condition(error).startswith("PARSE_SYNTAX_ERROR"):
                    raise
            columns = ", ".join(f"{quoted(name)} {kind}" for name, kind in lacking.items())
            self.spark.sql(f"ALTER TABLE {self.sql_name} ADD COLUMNS ({columns})").collect()
        self.spark.sql(f"MERGE {statement}").collect()

    def restore(self, version: int) -> int:
        """Bring the rows and columns of a version back, and return the version that this makes.

        Raises:
            OutputError: the version cannot be restored.
        """
        try:
            self.spark.sql(f"RESTORE TABLE {self.sql_name} TO VERSION AS OF {version}").collect()
        except SPARK_ERRORS as error:
            raise OutputError(
                f"{self.key}: version {version} of {self.name!r} cannot be restored: {error_summary(error)}"
            ) from error
        return max(commit.version for commit in self.list_commits() if commit.restored == version)


def create_table(rows: DataFrame, output: str, table_format: str, mark: str, key: str = "output") -> None:
    """Write a new table: Delta in one commit, Parquet into a directory, in the place of what is there.

    Args:
        rows: its rows.
        output: path, or for Delta also a catalog name.
        table_format: "delta" or "parquet".
        mark: text that tells who has written the table; see `find_table_mark`.
        key: the argument that names the output, for messages.

    Raises:
        OutputError: it cannot be written.
    """
    spark = rows.sparkSession
    try:
        if table_format == "parquet":
            path = absolute(locate(spark, output))
            _mark_rows(rows, _place_mark(mark, path)).write.mode("overwrite").parquet(path)
        elif is_path(output):
            path = absolute(locate(spark, output))
            # of a writer that was killed, an empty log may be there: create() would take it for a table
            if _holds_files(spark, path) and not is_there(spark, f"{escaped(path.rstrip('/'))}/_delta_log"):
                raise OutputError(
                    f"{key}: {output!r} holds files, and is no Delta table: choose another place; or remove "
                    "them, if a writer that was killed has left them"
                )
            writer = rows.write.format("delta").mode("error").option("userMetadata", mark)
            writer.save(path)
        else:
            rows.writeTo(identifier(output)).using("delta").tableProperty(_PROPERTY, mark).create()
    except SPARK_ERRORS as error:
        raise OutputError(f"{key}: cannot write {output!r}: {error_summary(error)}") from error


def _holds_files(spark: SparkSession, path: str) -> bool:
    """Tell whether a directory holds files, at any depth; those that begin with _ or . do not count."""
    if not is_there(spark, escaped(path)):
        return False
    reader = spark.read.format("binaryFile").option("recursiveFileLookup", True)
    return reader.load(escaped(path)).select("path").limit(1).count() > 0


def _mark_rows(rows: DataFrame, mark: str) -> DataFrame:
    """Put a mark into the metadata of the last column, which Spark keeps in the footer of each Parquet file:
    so the mark is there with the first file, in any store, and in tables without rows.
    """
    field = rows.schema.fields[-1]
    return rows.withMetadata(field.name, {**field.metadata, _PROPERTY: mark})


def _place_mark(mark: str, path: str) -> str:
    """Add the place to a mark, as a digest: metadata goes along where rows are written to another one."""
    return f"{mark} at {hashlib.sha256(path.encode()).hexdigest()[:16]}"


def find_table_mark(spark: SparkSession, name: str, table_format: str = "delta") -> str | None:
    """Find the mark that a table was written with by `create_table`.

    Args:
        spark: the session.
        name: path, or for Delta also a catalog name.
        table_format: "delta" or "parquet".

    Returns:
        None where there is no table, or no more of it than the empty start of a writer that was killed; empty
        where something without such a mark is there.
    """
    if table_format == "parquet":
        return _find_parquet_mark(spark, absolute(locate(spark, name)))
    try:
        if is_path(name):
            history = spark.sql(f"DESCRIBE HISTORY {name_table(spark, name)}")
            written = F.max(F.when(F.col("version") == 0, F.col("userMetadata")))
            return history.agg(F.coalesce(written, F.lit(""))).collect()[0][0]  # type: ignore[no-any-return]
        properties = spark.sql(f"SHOW TBLPROPERTIES {name_table(spark, name)}").collect()
    except SPARK_ERRORS:
        return None
    return str({row[0]: row[1] for row in properties}.get(_PROPERTY, ""))


def _find_parquet_mark(spark: SparkSession, path: str) -> str | None:
    """Find the mark of a directory of Parquet files; see `find_table_mark`."""
    try:
        fields = spark.read.parquet(escaped(path)).schema.fields
    except SPARK_ERRORS as error:
        condition = error_condition(error)
        # an empty directory has no schema, and neither has one of directories that hold tables of their own
        is_empty = condition == "UNABLE_TO_INFER_SCHEMA" and not (
            _holds_files(spark, path) or is_there(spark, f"{escaped(path.rstrip('/'))}/_delta_log")
        )
        return None if condition == "PATH_NOT_FOUND" or is_empty else ""
    mark, place = str(fields[-1].metadata.get(_PROPERTY, "")), _place_mark("", path)
    return mark.removesuffix(place) if mark.endswith(place) else ""


def was_finished(spark: SparkSession, path: str) -> bool:
    """Tell whether the writer of a directory of Parquet files has marked its end, as Spark's committers do
    unless a setting forbids it.
    """
    return is_there(spark, f"{escaped(absolute(locate(spark, path)).rstrip('/'))}/_SUCCESS")


def read_created(spark: SparkSession, name: str, table_format: str) -> DataFrame:
    """Read the rows that `create_table` has written, whatever was done to a Delta table since.

    Raises:
        InputError: the first version of the Delta table is no longer there.
    """
    if table_format == "parquet":
        return spark.read.parquet(escaped(absolute(locate(spark, name))))
    return DeltaTable(spark, name, "output").read(0)


def name_table(spark: SparkSession, name: str) -> str:
    """Name a Delta table as SQL does."""
    return delta_name(absolute(locate(spark, name))) if is_path(name) else identifier(name)
