"""Finished runs: what readers of the result tables start from."""

import json
from dataclasses import dataclass
from typing import Any

from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from cl_spark.classification.health import worst_classes
from cl_spark.errors import InputError
from cl_spark.tables import columns as c
from cl_spark.tables.card import card
from cl_spark.tables.results import ResultTables


@dataclass(frozen=True)
class Run:
    """A finished run and its tables.

    Attributes:
        run_id: the run.
        record: its row in `runs`.
        tables: where its tables are.
    """

    run_id: str
    record: Row
    tables: ResultTables

    def table(self, name: str) -> DataFrame:
        """The run's rows of a table by name: "issues", "class_health", "overlapping_classes", "confident_joint", "rejected", ...

        Raises:
            InputError: there is no such table.
        """
        found = {table.name: table for table in c.TABLES}
        if name not in found:
            raise InputError(f"no table is called {name!r}; choose one of {', '.join(found)}")
        return self.tables.read_run(found[name], self.run_id)

    @property
    def parameters(self) -> dict[str, Any]:
        """The configuration it ran with."""
        return dict(json.loads(self.record["parameters"]))

    @property
    def id_columns(self) -> list[str]:
        """The columns that tell examples apart."""
        return list(self.parameters["id_col"])

    @property
    def issues(self) -> DataFrame:
        """The examples whose label is probably wrong, with their rank."""
        return self.table(c.ISSUES.name)

    def between(
        self, *, either: str | None = None, given: str | None = None, suggested: str | None = None
    ) -> DataFrame:
        """Its issues of some class, worst first.

        Args:
            either: the given or the suggested label.
            given: the given label.
            suggested: the suggested label.

        Raises:
            InputError: no class is called so.
        """
        issues = self.issues
        for name in (either, given, suggested):
            if (
                name is not None
                and self.table(c.CLASS_HEALTH.name).where(F.col(c.CLASS).cast("string") == name).isEmpty()
            ):
                raise InputError(
                    f"run {self.run_id!r} has no class {name!r}; its classes are those of table class_health"
                )
        of_given, of_suggested = (F.col(col).cast("string") for col in (c.GIVEN_LABEL, c.SUGGESTED_LABEL))
        if either is not None:
            issues = issues.where((of_given == either) | (of_suggested == either))
        if given is not None:
            issues = issues.where(of_given == given)
        if suggested is not None:
            issues = issues.where(of_suggested == suggested)
        return issues.orderBy(c.RANK)

    def _repr_html_(self) -> str:
        record = self.record
        return card(
            f"Run {self.run_id}",
            {
                "overall health": f"{record.overall_health:.2%}",
                "label issues": record.num_issues,
                "examples": record.num_examples,
                "classes": record.num_classes,
                "rejected rows": record.num_rejected,
            },
            heading="label noise of the worst classes",
            bars=worst_classes(self.table(c.CLASS_HEALTH.name)),
            notes=[
                f"{record.source}, finished {record.finished:%Y-%m-%d %H:%M}; tables: {self.tables.location}"
            ],
        )


def finished_runs(tables: ResultTables) -> DataFrame:
    """The rows of finished runs, latest first. Columns that later versions added are null in rows of earlier ones.

    Raises:
        InputError: there is no `runs` table.
    """
    runs = tables.read(c.RUNS)
    missing = [column for column in c.RUNS.columns if column.name not in runs.columns]
    runs = (
        runs.withColumns({column.name: F.lit(None).cast(column.type) for column in missing})
        if missing
        else runs
    )
    return runs.where("status = 'finished'").orderBy(F.desc("finished"), c.RUN_ID)


def read_run(location: str, run_id: str | None = None, *, spark: SparkSession | None = None) -> Run:
    """A finished run: the latest, or the one that is named.

    Args:
        location: where the results are: the `output` of the audit.
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


def finished_run(tables: ResultTables, run_id: str | None = None) -> Run:
    """The latest finished run of tables, or the one that is named.

    Raises:
        InputError: there are no results, or no such finished run.
    """
    runs = finished_runs(tables)
    found = runs.where(F.lit(True) if run_id is None else F.col(c.RUN_ID) == run_id).first()
    if found is None:
        raise InputError(
            f"there is no finished run{'' if run_id is None else f' {run_id!r}'} in {tables.location!r}"
        )
    return Run(found[c.RUN_ID], found, tables)
