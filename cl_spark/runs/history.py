"""Runs beside each other: how health changed, and which issues came, went and stayed."""

from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from pyspark.sql import DataFrame, Row, Window
from pyspark.sql import functions as F

from cl_spark.errors import InputError
from cl_spark.runs.task import Task
from cl_spark.tables import columns as c
from cl_spark.tables.finished_run import Run, finished_run, finished_runs
from cl_spark.tables.results import ResultTables, new_attempt
from cl_spark.tables.schema import BASELINES
from cl_spark.tables.times import in_utc


@dataclass(frozen=True)
class Change:
    """The difference between two runs, by id.

    Attributes:
        new: issues of the later run that the earlier did not have.
        resolved: issues of the earlier run that the later no longer has.
        persisting: issues of both, as the later has them.
        health: change of the overall health; None where a run has none.
        keys: the columns by which issues are compared.
    """

    new: DataFrame
    resolved: DataFrame
    persisting: DataFrame
    health: float | None
    keys: tuple[str, ...] = ()

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
    keys = [*ids, *task.issue_keys]
    of_old, of_new = (rows.select(*map(c.quoted, keys)) for rows in (old, new))
    return Change(
        new.join(of_old, keys, "left_anti"),
        old.join(of_new, keys, "left_anti"),
        new.join(of_old, keys, "left_semi"),
        _health_change(earlier, later),
        tuple(keys),
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
            "finished": in_utc(record.finished).isoformat(),
            "change": self.change,
            "worst_class": None if self.worst is None else self.worst[0],
            "failed_gates": self.run.failed_gates,
            c.WARNINGS: [warning._asdict() for warning in self.run.warnings],
            "baseline": record.baseline is not False,
        }


def past_runs(tables: ResultTables, last: int = 10) -> list[PastRun]:
    """Read the last finished runs of any task, latest first. Their worst parts are left open."""
    of_source = Window.partitionBy(c.TASK, "source").orderBy(F.desc("finished"), c.RUN_ID)
    before = F.lead(c.OVERALL_HEALTH).over(of_source)
    runs = _marked_runs(tables).withColumn("_change", F.col(c.OVERALL_HEALTH) - before)
    past = []
    for row in runs.orderBy(F.desc("finished"), c.RUN_ID).limit(last).collect():
        values = row.asDict()
        change = values.pop("_change")
        past.append(PastRun(Run(row[c.RUN_ID], Row(**values), tables), change, None))
    return past


def _marked_runs(tables: ResultTables) -> DataFrame:
    """Read the finished runs, latest first; whether one is a baseline is what its latest mark says."""
    runs = finished_runs(tables)
    if not tables.has(BASELINES):
        return runs
    marks = tables.read(BASELINES).groupBy(c.RUN_ID, c.OF_ATTEMPT)
    latest = marks.agg(F.max_by(c.BASELINE, c.ATTEMPT).alias("_mark")).withColumnRenamed(c.RUN_ID, "_run_id")
    is_meant = (F.col(c.RUN_ID) == F.col("_run_id")) & F.col(c.ATTEMPT).eqNullSafe(F.col(c.OF_ATTEMPT))
    marked = runs.join(F.broadcast(latest), is_meant, "left")
    marked = marked.withColumn(c.BASELINE, F.coalesce("_mark", c.BASELINE))
    return marked.drop("_run_id", c.OF_ATTEMPT, "_mark").orderBy(F.desc("finished"), c.RUN_ID)


def find_baseline(tables: ResultTables, run: Run) -> Run | None:
    """Find the latest other finished run of the same task and source that is not excluded; None if there is
    none.
    """
    try:
        runs = _marked_runs(tables)
    except InputError:
        return None
    same = runs.where((F.col("source") == run.record["source"]) & (F.col(c.RUN_ID) != run.run_id))
    kept = same.where((F.col(c.TASK) == run.task) & F.coalesce(c.BASELINE, F.lit(True)))
    found = kept.first()
    return None if found is None else Run(found[c.RUN_ID], found, tables)


def set_baseline(tables: ResultTables, run_id: str, included: bool) -> None:
    """Let later runs be compared with a run, or no longer. The mark goes into a table of its own, so that
    `runs` stays as it was written; running the run again takes it off.

    Raises:
        InputError: there is no such finished run.
    """
    of_attempt = finished_run(tables, run_id).record[c.ATTEMPT]
    schema = f"{c.OF_ATTEMPT} string, {c.BASELINE} boolean"
    mark = tables.spark.createDataFrame([(of_attempt, included)], schema)
    tables.write(BASELINES, mark, run_id, new_attempt(datetime.now(timezone.utc)))
