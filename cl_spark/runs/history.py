"""Runs beside each other: how health changed, and which issues came, went and stayed."""

from dataclasses import dataclass
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from cl_spark.errors import InputError
from cl_spark.runs.task import Task
from cl_spark.tables import columns as c
from cl_spark.tables.finished_run import Run, finished_run, finished_runs
from cl_spark.tables.results import ResultTables
from cl_spark.tables.schema import RUNS


@dataclass(frozen=True)
class Change:
    """The difference between two runs, by id.

    Attributes:
        new: issues of the later run that the earlier did not have.
        resolved: issues of the earlier run that the later no longer has.
        persisting: issues of both, as the later has them.
        health: change of the overall health; None where a run has none.
    """

    new: DataFrame
    resolved: DataFrame
    persisting: DataFrame
    health: float | None

    def summary(self) -> dict[str, Any]:
        """Return its key numbers as plain values: the output of `cl-spark compare --json`."""
        parts = {
            "issues_new": self.new,
            "issues_resolved": self.resolved,
            "issues_persisting": self.persisting,
        }
        return {"health_change": self.health, **{name: part.count() for name, part in parts.items()}}


def compare(earlier: Run, later: Run, task: Task[Any]) -> Change:
    """Compare two finished runs of a task.

    Raises:
        InputError: they are of several tasks, or their issues have other id columns.
    """
    if earlier.task != later.task:
        raise InputError(
            f"run {earlier.run_id!r} is of the task {earlier.task!r}, run {later.run_id!r} "
            f"of {later.task!r}: they do not compare"
        )
    old, new = (run.table(task.issues.name) for run in (earlier, later))
    ids = later.id_columns
    if earlier.id_columns != ids:
        raise InputError(
            f"run {earlier.run_id!r} has ids {earlier.id_columns}, run {later.run_id!r} {ids}: "
            "they do not compare"
        )
    return Change(
        new.join(old.select(*map(c.quoted, ids)), ids, "left_anti"),
        old.join(new.select(*map(c.quoted, ids)), ids, "left_anti"),
        new.join(old.select(*map(c.quoted, ids)), ids, "left_semi"),
        _health_change(earlier, later),
    )


def _health_change(earlier: Run, later: Run) -> float | None:
    before, now = earlier.record[c.OVERALL_HEALTH], later.record[c.OVERALL_HEALTH]
    return None if before is None or now is None else now - before


@dataclass(frozen=True)
class PastRun:
    """A finished run beside the one before.

    Attributes:
        run: the run.
        change: change of the overall health since the run before, of the same task and source; None for the
            first.
        worst: the worst part of the data (of a label audit the class of lowest quality), with its quality.
    """

    run: Run
    change: float | None
    worst: tuple[Any, float] | None

    def summary(self) -> dict[str, Any]:
        """Return its key numbers as plain values: the output of `cl-spark history --json`."""
        record = self.run.record
        names = (
            "run_id",
            "source",
            "source_version",
            "num_read",
            "num_examples",
            "num_rejected",
            "num_issues",
            c.OVERALL_HEALTH,
        )
        return {
            **{name: record[name] for name in names},
            c.TASK: self.run.task,
            "finished": record.finished.isoformat(),
            "change": self.change,
            "worst_class": None if self.worst is None else self.worst[0],
            "failed_gates": self.run.failed_gates,
            c.WARNINGS: [warning._asdict() for warning in self.run.warnings],
            "baseline": record.baseline is not False,
        }


def past_runs(tables: ResultTables, last: int = 10) -> list[PastRun]:
    """Read the last finished runs of any task, latest first. Their worst parts are left open."""
    runs = [Run(row[c.RUN_ID], row, tables) for row in finished_runs(tables).limit(last + 1).collect()]
    past = []
    for i, run in enumerate(runs[:last]):
        before = next((other for other in runs[i + 1 :] if _compares(other, run)), None)
        past.append(PastRun(run, None if before is None else _health_change(before, run), None))
    return past


def _compares(other: Run, run: Run) -> bool:
    return (other.task, other.record.source) == (run.task, run.record.source)


def find_baseline(tables: ResultTables, run: Run) -> Run | None:
    """Find the latest other finished run of the same task and source that is not excluded; None if there is
    none.
    """
    try:
        runs = finished_runs(tables)
    except InputError:
        return None
    same = runs.where((F.col("source") == run.record["source"]) & (F.col(c.RUN_ID) != run.run_id))
    kept = same.where((F.col(c.TASK) == run.task) & F.coalesce("baseline", F.lit(True)))
    found = kept.first()
    return None if found is None else Run(found[c.RUN_ID], found, tables)


def set_baseline(tables: ResultTables, run_id: str, included: bool) -> None:
    """Let later runs be compared with a run, or no longer.

    Raises:
        InputError: there is no such finished run.
    """
    run = finished_run(tables, run_id)
    row = tables.spark.createDataFrame([run.record], finished_runs(tables).schema)
    tables.write(RUNS, row.drop(c.RUN_ID).withColumn("baseline", F.lit(included)), run_id)
