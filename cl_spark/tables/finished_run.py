"""Finished runs: every reader of the result tables starts here."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pyspark.sql import DataFrame, Row, SparkSession, Window
from pyspark.sql import functions as F

from cl_spark.errors import ConfigurationError, InputError
from cl_spark.tables import columns as c
from cl_spark.tables.card import card, worst_classes
from cl_spark.tables.results import ResultTables
from cl_spark.tables.schema import FIRST_TASK, RUNS, RunWarning
from cl_spark.tables.times import in_utc

TRUSTED_SECONDS = 10
"""How long a run that was opened is taken for the latest attempt without another look."""


@dataclass(frozen=True)
class Run:
    """A finished run and its tables.

    Attributes:
        run_id: the run.
        record: its row in `runs`.
        tables: where its tables are.
        opened: when its record was read, in seconds of `time.monotonic`.
    """

    run_id: str
    record: Row
    tables: ResultTables
    opened: float = field(default_factory=time.monotonic, repr=False, compare=False)

    def table(self, name: str) -> DataFrame:
        """Read the run's rows of a table by its name, such as "issues", "class_health" or "rejected".

        Raises:
            InputError: there is no such table, or the run has been run again since it was opened.
        """
        attempt = getattr(self.record, c.ATTEMPT, None)
        # looking costs a query, and who reads several tables of a run does so at once
        is_old = time.monotonic() - self.opened > TRUSTED_SECONDS
        if is_old and (self.tables.recorded_attempt(self.run_id) or "") > (attempt or ""):
            raise InputError(
                f"run {self.run_id!r} has been run again since it was opened, and these rows are gone: "
                "open it again with read_run"
            )
        return self.tables.read_run(name, self.run_id, attempt)

    @property
    def task(self) -> str:
        """Name of the task, the kind of run it is."""
        return str(self.record[c.TASK])

    @property
    def parameters(self) -> dict[str, Any]:
        """The configuration it ran with."""
        return dict(json.loads(self.record["parameters"]))

    @property
    def id_columns(self) -> list[str]:
        """The columns that tell examples apart."""
        parameters = self.parameters
        return list(parameters.get("example_ids", parameters["id_col"]))

    def check_id_columns(self, id_col: Sequence[str], id_columns: Sequence[str] | None = None) -> None:
        """Check that a configuration names the id columns of the run.

        Args:
            id_col: the columns that it names.
            id_columns: the id columns of the table that is read; default those of the examples.

        Raises:
            ConfigurationError: it names others.
        """
        wanted = self.id_columns if id_columns is None else list(id_columns)
        if list(id_col) != wanted:
            own = ", ".join(wanted)
            raise ConfigurationError(
                f"id_col: run {self.run_id!r} has the id columns {own}, not {', '.join(id_col)}: say "
                f"id_col: [{own}]"
            )

    @property
    def failed_gates(self) -> list[str]:
        """The gates it did not pass, each with the value seen."""
        return (self.record["failed_gates"] or "").splitlines()

    @property
    def warnings(self) -> list[RunWarning]:
        """Doubts about the run, mostly about its input, each with what to do."""
        return [RunWarning(*warning) for warning in self.record[c.WARNINGS] or ()]

    @property
    def issues(self) -> DataFrame:
        """The examples whose label is probably wrong, with their rank (of a label audit)."""
        return self.table("issues")

    def _repr_html_(self) -> str:
        record = self.record
        numbers: dict[str, object] = (
            {} if record.overall_health is None else {"overall health": f"{record.overall_health:.2%}"}
        )
        numbers |= {
            "issues": record.num_issues,
            "examples": record.num_examples,
            "rejected rows": record.num_rejected,
        }
        try:
            bars = worst_classes(self.table("class_health"))
        except InputError:  # a task without classes
            bars = []
        return card(
            f"Run {self.run_id}",
            numbers,
            heading="label noise of the worst classes",
            bars=bars,
            notes=[
                *(f"warning: {warning.message}" for warning in self.warnings),
                f"{record.source}, finished {in_utc(record.finished):%Y-%m-%d %H:%M} UTC; "
                f"tables: {self.tables.location}",
            ],
        )


def finished_runs(tables: ResultTables) -> DataFrame:
    """Read the rows of finished runs, latest first. Columns that later versions added are null in rows of
    earlier ones, but for `task`, which is the label audit.

    Raises:
        InputError: there is no `runs` table.
    """
    runs = tables.read(RUNS)
    missing = [column for column in RUNS.columns if column.name not in runs.columns]
    runs = (
        runs.withColumns({column.name: F.lit(None).cast(column.type) for column in missing})
        if missing
        else runs
    )
    runs = runs.withColumn(c.TASK, F.coalesce(c.TASK, F.lit(FIRST_TASK))).where("status = 'finished'")
    # an earlier attempt at a run may be recorded after a later one: it never counts
    place = F.row_number().over(Window.partitionBy(c.RUN_ID).orderBy(F.desc_nulls_last(c.ATTEMPT)))
    latest = runs.withColumn("_place", place).where("_place = 1").drop("_place")
    return latest.orderBy(F.desc("finished"), c.RUN_ID)


def read_run(location: str, run_id: str | None = None, *, spark: SparkSession | None = None) -> Run:
    """Open a finished run: the latest, or the one that is named.

    Args:
        location: where the results are: the `output` of the run.
        run_id: the run; default the one that finished last.
        spark: the session; default the active one.

    Raises:
        InputError: there are no results, or no such finished run.

    Example:
        >>> read_run(results).issues.orderBy("rank").select("id", "rank").first().rank
        1
    """
    spark = spark or SparkSession.getActiveSession()
    if spark is None:
        raise InputError("there is no active Spark session: pass spark=")
    return finished_run(ResultTables.at(spark, location), run_id)


def finished_run(tables: ResultTables, run_id: str | None = None, *, task: str | None = None) -> Run:
    """Open the latest finished run of some tables, or the one that is named.

    Args:
        tables: where the results are.
        run_id: the run; default the one that finished last.
        task: only runs of this task; default of any.

    Raises:
        InputError: there are no results, or no such finished run.
    """
    runs = finished_runs(tables)
    for name, value in ((c.RUN_ID, run_id), (c.TASK, task)):
        runs = runs if value is None else runs.where(F.col(name) == value)
    found = runs.first()
    if found is None:
        named = "" if run_id is None else f" {run_id!r}"
        kind = "" if task is None else f" of the task {task!r}"
        raise InputError(f"there is no finished run{named}{kind} in {tables.location!r}")
    return Run(found[c.RUN_ID], found, tables)
