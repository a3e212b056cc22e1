"""Writing the result tables of a run, and reading those of finished runs.

A run's rows go into each table; its row in `runs` is written last. Readers join on `runs`, so a run that broke off before
has never happened. Running a run_id again replaces its rows and no others.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from cl_spark import columns as c
from cl_spark.columns import quoted
from cl_spark.errors import MissingDependencyError, OutputError
from cl_spark.tables.source import SPARK_ERRORS, is_path, reason, unreadable


@dataclass(frozen=True)
class ResultTables:
    """Where results live: tables below one directory, or in one schema of the catalog.

    Args:
        spark: the session.
        location: a path or URI, or catalog.schema.
        format: "delta" or "parquet".

    Raises:
        OutputError: a Parquet location in the catalog, which cannot replace a run's rows atomically.
    """

    spark: SparkSession
    location: str
    format: str

    def __post_init__(self) -> None:
        if self.format == "parquet" and not is_path(self.location):
            raise OutputError(
                f"output: {self.location!r} is a catalog schema, which takes format delta; "
                "parquet goes to a directory (a path must hold a slash, as in ./audit)"
            )

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

        Delta replaces them in one transaction (`replaceWhere`). Parquet has a directory per run and table.

        Raises:
            OutputError: the table cannot be written.
        """
        named = rows.select(F.lit(run_id).alias(c.RUN_ID), *[F.col(quoted(col)) for col in rows.columns])
        try:
            if self.format == "parquet":
                target = f"{self.location.rstrip('/')}/{table.name}/{c.RUN_ID}={run_id}"
                named.drop(c.RUN_ID).write.mode("overwrite").parquet(target)
                return
            writer = (
                named.write.format("delta")
                .mode("overwrite")
                .option("replaceWhere", f"{c.RUN_ID} = '{run_id}'")
                .option("mergeSchema", "true")
                .option("userMetadata", f"cl_spark run {run_id}")
                .partitionBy(c.RUN_ID)
            )
            if is_path(self.location):
                writer.save(f"{self.location.rstrip('/')}/{table.name}")
            else:
                writer.saveAsTable(self._name(table))
        except SPARK_ERRORS as error:
            raise self._unwritable(table, error) from error

    def read(self, table: c.Table) -> DataFrame:
        """All rows of a table, of every run.

        Raises:
            InputError: there is no such table.
        """
        try:
            if not is_path(self.location):
                return self.spark.table(self._name(table))
            reader = self.spark.read.format(self.format)
            if self.format == "parquet":
                # a run_id is text, whatever it looks like
                path = f"{self.location.rstrip('/')}/{table.name}"
                fields = reader.load(path).schema.fields
                ddl = ", ".join(
                    f"{quoted(field.name)} {'string' if field.name == c.RUN_ID else field.dataType.simpleString()}"
                    for field in fields
                )
                return reader.schema(ddl).load(path)
            return reader.load(f"{self.location.rstrip('/')}/{table.name}")
        except SPARK_ERRORS as error:
            raise unreadable(error, self.location, "output") from error

    def read_run(self, table: c.Table, run_id: str) -> DataFrame:
        """The rows of one run, without their run_id."""
        return self.read(table).where(F.col(c.RUN_ID) == run_id).drop(c.RUN_ID)

    def _name(self, table: c.Table) -> str:
        return ".".join(quoted(part) for part in (*self.location.split("."), table.name))

    def _unwritable(self, table: c.Table, error: Exception) -> Exception:
        told = unreadable(error, self.location, "output")
        if isinstance(told, MissingDependencyError):
            return told
        return OutputError(f"output: cannot write table {table.name!r} in {self.location!r}: {reason(error)}")
