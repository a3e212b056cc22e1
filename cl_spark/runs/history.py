"""Runs beside each other: how health changed, which issues came and went, and the gates a run has to pass."""

import operator
import re
from dataclasses import dataclass
from typing import Any

from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from cl_spark.errors import ConfigurationError, InputError, one_line
from cl_spark.tables import columns as c
from cl_spark.tables.finished_run import Run, finished_run, finished_runs
from cl_spark.tables.results import ResultTables

OF_RUN = tuple(
    column.name
    for column in c.RUNS.columns
    if column.type in ("long", "int", "double") and column.name != c.RUN_ID
)
OF_CLASS = tuple(
    f"{c.CLASS_HEALTH.name}.{column.name}"
    for column in c.CLASS_HEALTH.columns
    if column.type in ("long", "double")
)
OF_CHANGE = ("health_drop", "issues_new", "issues_resolved")
_GATE = re.compile(r"^\s*([a-z_.]+)\s*(>=|<=|>|<)\s*([-+.0-9eE]+)\s*$")
_OPERATORS = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}


@dataclass(frozen=True)
class Gate:
    """A condition on a run: a number, and what it must not exceed or fall below.

    Attributes:
        metric: a number of the run (`runs`), of every class ("class_health." and a column), or of the change since the
            baseline: "health_drop", "issues_new", "issues_resolved".
        comparison: ">=", "<=", ">" or "<".
        bound: the number.
    """

    metric: str
    comparison: str
    bound: float

    @staticmethod
    def parse(text: str) -> "Gate":
        """A gate as configurations write it, as in "overall_health >= 0.97".

        Raises:
            ConfigurationError: it is no comparison, or its metric is unknown.

        Example:
            >>> Gate.parse("issues_new <= 500")
            Gate(metric='issues_new', comparison='<=', bound=500.0)
        """
        match = _GATE.match(text)
        try:
            bound = float(match[3]) if match else None
        except ValueError:
            bound = None
        if match is None or bound is None:
            raise ConfigurationError(
                f"gates: {text!r} is no comparison; write one as in overall_health >= 0.97"
            )
        if match[1] not in (*OF_RUN, *OF_CLASS, *OF_CHANGE):
            known = ", ".join((*OF_RUN, *OF_CLASS, *OF_CHANGE))
            raise ConfigurationError(f"gates: {match[1]!r} is no metric; choose one of {known}")
        return Gate(match[1], match[2], bound)

    def holds(self, value: float) -> bool:
        """Whether a value passes."""
        return bool(_OPERATORS[self.comparison](value, self.bound))

    def __str__(self) -> str:
        return f"{self.metric} {self.comparison} {self.bound:g}"


@dataclass(frozen=True)
class Change:
    """What changed between two runs, by id.

    Attributes:
        new: issues of the later run that the earlier did not have.
        resolved: issues of the earlier run that the later no longer has.
        persisting: issues of both, as the later has them.
        health: change of the overall health.
    """

    new: DataFrame
    resolved: DataFrame
    persisting: DataFrame
    health: float

    def summary(self) -> dict[str, Any]:
        """Its key numbers as plain values: what `cl-spark compare --json` prints."""
        parts = {
            "issues_new": self.new,
            "issues_resolved": self.resolved,
            "issues_persisting": self.persisting,
        }
        return {"health_change": self.health, **{name: part.count() for name, part in parts.items()}}


def compare(earlier: Run, later: Run) -> Change:
    """The change from one finished run to another.

    Raises:
        InputError: their issues have other id columns.
    """
    old, new = earlier.issues, later.issues
    ids = later.id_columns
    if earlier.id_columns != ids:
        raise InputError(
            f"run {earlier.run_id!r} has ids {earlier.id_columns}, run {later.run_id!r} {ids}: they do not compare"
        )
    return Change(
        new.join(old.select(*map(c.quoted, ids)), ids, "left_anti"),
        old.join(new.select(*map(c.quoted, ids)), ids, "left_anti"),
        new.join(old.select(*map(c.quoted, ids)), ids, "left_semi"),
        later.record["overall_health"] - earlier.record["overall_health"],
    )


@dataclass(frozen=True)
class Past:
    """A finished run beside the one before.

    Attributes:
        record: its row in `runs`.
        change: of the overall health since the run before of its source; None for the first.
        worst_class: the class of lowest label quality, with it; None where the tables hold none.
    """

    record: Row
    change: float | None
    worst_class: tuple[Any, float] | None

    @property
    def failed_gates(self) -> list[str]:
        """The gates it did not pass."""
        return (self.record.failed_gates or "").splitlines()

    def summary(self) -> dict[str, Any]:
        """Its key numbers as plain values: what `cl-spark history --json` prints."""
        names = (
            "run_id",
            "source",
            "source_version",
            "num_read",
            "num_examples",
            "num_rejected",
            "num_issues",
            "overall_health",
        )
        return {
            **{name: self.record[name] for name in names},
            "finished": self.record.finished.isoformat(),
            "change": self.change,
            "worst_class": None if self.worst_class is None else self.worst_class[0],
            "failed_gates": self.failed_gates,
            "baseline": self.record.baseline is not False,
        }


def past_runs(tables: ResultTables, last: int = 10) -> list[Past]:
    """The last finished runs, latest first."""
    runs = finished_runs(tables).limit(last + 1).collect()
    past = []
    for i, run in enumerate(runs[:last]):
        before = next((other for other in runs[i + 1 :] if other.source == run.source), None)
        worst = (
            Run(run.run_id, run, tables).table(c.CLASS_HEALTH.name).orderBy(c.LABEL_QUALITY, c.CLASS).first()
        )
        past.append(
            Past(
                run,
                None if before is None else run.overall_health - before.overall_health,
                None if worst is None else (worst[c.CLASS], worst[c.LABEL_QUALITY]),
            )
        )
    return past


def baseline(tables: ResultTables, source: str, run_id: str) -> Run | None:
    """The latest other finished run of a source that is not excluded; None if there is none."""
    try:
        runs = finished_runs(tables)
    except InputError:
        return None
    kept = runs.where(
        (F.col("source") == source) & (F.col(c.RUN_ID) != run_id) & F.coalesce("baseline", F.lit(True))
    )
    found = kept.first()
    return None if found is None else Run(found[c.RUN_ID], found, tables)


def failed_gates(gates: list[Gate], run: Run, before: Run | None) -> list[str]:
    """The gates a run does not pass, each with the value seen. Those of change pass where there is no run to compare with.

    Args:
        gates: what to check.
        run: the run; its tables are written.
        before: the run to compare it with.
    """
    change = (
        compare(before, run)
        if before is not None and any(gate.metric in OF_CHANGE for gate in gates)
        else None
    )
    failed = []
    for gate in gates:
        if gate.metric in OF_CLASS:
            failed += _failed_classes(gate, run)
            continue
        if gate.metric in OF_RUN:
            value = run.record[gate.metric]
        elif change is None:
            continue
        elif gate.metric == "health_drop":
            value = -change.health
        else:
            value = (change.new if gate.metric == "issues_new" else change.resolved).count()
        if not gate.holds(value):
            since = f", since run {before.run_id}" if before is not None and gate.metric in OF_CHANGE else ""
            failed.append(f"{gate}: it is {value:.6g}{since}")
    return failed


def _failed_classes(gate: Gate, run: Run) -> list[str]:
    column = F.col(gate.metric.split(".")[1])
    rows = run.table(c.CLASS_HEALTH.name).where(~_OPERATORS[gate.comparison](column, gate.bound))
    number = rows.count()
    if not number:
        return []
    worst = (
        rows.orderBy(column.asc() if ">" in gate.comparison else column.desc(), c.CLASS)
        .limit(5)
        .select(c.CLASS, column)
    )
    shown = ", ".join(f"{one_line(row[0])} ({row[1]:.6g})" for row in worst.collect())
    return [f"{gate}: not so for {number} classes: {shown}{' ...' if number > 5 else ''}"]


def set_baseline(tables: ResultTables, run_id: str, included: bool) -> None:
    """Let later runs be compared with a run, or no longer.

    Raises:
        InputError: there is no such finished run.
    """
    run = finished_run(tables, run_id)
    row = tables.spark.createDataFrame([run.record], finished_runs(tables).schema)
    tables.write(c.RUNS, row.drop(c.RUN_ID).withColumn("baseline", F.lit(included)), run_id)
