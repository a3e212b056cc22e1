"""Gates: conditions that a run has to pass, on its own numbers or on the change since the run before."""

import logging
import operator
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pyspark.sql import Column as SparkColumn
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from cl_spark.errors import ConfigurationError, one_line
from cl_spark.runs.history import Change, compare
from cl_spark.runs.task import Task
from cl_spark.tables import columns as c
from cl_spark.tables.finished_run import Run
from cl_spark.tables.schema import RUNS, Column, RunWarning

logger = logging.getLogger(__name__)

CHANGE_METRICS = ("health_drop", "issues_new", "issues_resolved")
"""Metrics that compare a run with the baseline; they pass where there is none."""

_MOST_NAMED = 5
"""Rows of a table that a message names."""

_GATE = re.compile(r"^\s*([a-z_.]+)\s*(>=|<=|>|<)\s*([-+.0-9eE]+)\s*$")
_OPERATORS = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}


@dataclass(frozen=True)
class Gate:
    """A condition on a run: a number, and what it must not exceed or fall below.

    Attributes:
        metric: a number of the run (a column of `runs`), of every row of a small table ("class_health." and a
            column), or of the change since the baseline: "health_drop", "issues_new", "issues_resolved".
        comparison: ">=", "<=", ">" or "<".
        bound: the number.
    """

    metric: str
    comparison: str
    bound: float

    @staticmethod
    def parse(text: str) -> "Gate":
        """Read a gate as configurations write it, as in "overall_health >= 0.97".

        Raises:
            ConfigurationError: it is no comparison.

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
        return Gate(match[1], match[2], bound)

    @property
    def is_of_rows(self) -> bool:
        """Whether every row of a small table has to pass it."""
        return "." in self.metric

    def holds(self, value: float) -> bool:
        """Tell whether a value passes; NaN never does."""
        return bool(_OPERATORS[self.comparison](value, self.bound))

    def __str__(self) -> str:
        return f"{self.metric} {self.comparison} {self.bound:g}"


def parse_gates(texts: Sequence[str], task: Task[Any]) -> list[Gate]:
    """Read the gates of a configuration.

    Raises:
        ConfigurationError: one is no comparison, or names a metric that the task does not have.
    """
    gates = [Gate.parse(text) for text in texts]
    known = (*_run_metrics(task), *_table_metrics(task), *CHANGE_METRICS)
    for gate in gates:
        if gate.metric not in known:
            raise ConfigurationError(f"gates: {gate.metric!r} is no metric; choose one of {', '.join(known)}")
    return gates


def find_failed_gates(gates: Sequence[Gate], task: Task[Any], run: Run, before: Run | None) -> list[str]:
    """Return the gates that a run does not pass, each with the value seen.

    Args:
        gates: the conditions.
        task: the kind of run.
        run: the run; its tables are written.
        before: the run to compare it with; where there is none, gates of change pass.
    """
    changed = before is not None and any(gate.metric in CHANGE_METRICS for gate in gates)
    change = compare(before, run, task) if before is not None and changed else None
    failed = []
    for gate in gates:
        if gate.is_of_rows:
            failed += _find_failed_rows(gate, task, run)
            continue
        is_of_change = gate.metric in CHANGE_METRICS
        value = _change_metric(gate.metric, change) if is_of_change else run.record[gate.metric]
        if value is None:
            if not is_of_change:  # without a run to compare with, gates of change pass
                failed.append(f"{gate}: the run has no such number")
        elif not gate.holds(value):
            since = f", since run {before.run_id}" if before is not None and is_of_change else ""
            failed.append(f"{gate}: it is {value:.6g}{since}")
    return failed


def warn_of_untested_gates(gates: Sequence[Gate], run: Run, before: Run | None) -> list[RunWarning]:
    """Warn of gates of change that pass because there is nothing to compare with, and of rows that pass a
    gate on a table because they lack the number.
    """
    messages = [*_explain_untested_changes(gates, run, before), *_explain_untested_rows(gates, run)]
    for message in messages:
        logger.warning("run %s: %s", run.run_id, message, extra={"run_id": run.run_id})
    return [RunWarning("gates_untested", message) for message in messages]


def _explain_untested_changes(gates: Sequence[Gate], run: Run, before: Run | None) -> list[str]:
    has_health = before is not None and None not in (
        run.record[c.OVERALL_HEALTH],
        before.record[c.OVERALL_HEALTH],
    )
    untested = [
        str(gate)
        for gate in gates
        if gate.metric in CHANGE_METRICS
        and (before is None or (gate.metric == "health_drop" and not has_health))
    ]
    if not untested:
        return []
    lacks = "an earlier run of this source that is a baseline" if before is None else "an overall health"
    return [
        f"gates passed untested, for lack of {lacks}: {', '.join(untested)}. They compare with the run "
        "before: look at this run yourself"
    ]


def _explain_untested_rows(gates: Sequence[Gate], run: Run) -> list[str]:
    untested = []
    for gate in gates:
        if not gate.is_of_rows:
            continue
        rows, column = _read_rows(gate, run)
        num_rows, num_known = rows.agg(F.count(F.lit(1)), F.count(column)).collect()[0]
        if 0 < num_known < num_rows:  # where all rows lack the number, the gate has failed
            key = rows.columns[0]
            lacking = rows.where(column.isNull()).orderBy(key).limit(_MOST_NAMED).select(key).collect()
            named = ", ".join(one_line(row[0]) for row in lacking)
            untested.append(f"{gate} for {named}{' ...' if num_rows - num_known > _MOST_NAMED else ''}")
    if not untested:
        return []
    return [
        f"gates passed untested for rows of their tables that lack the number: {'; '.join(untested)}. Look "
        "at these rows yourself"
    ]


def _numeric(columns: Sequence[Column]) -> list[str]:
    return [column.name for column in columns if column.type in ("long", "int", "double")]


def _run_metrics(task: Task[Any]) -> list[str]:
    return _numeric((*RUNS.columns, *task.numbers))


def _table_metrics(task: Task[Any]) -> list[str]:
    return [f"{table.name}.{name}" for table in task.gated_tables for name in _numeric(table.columns)]


def _change_metric(metric: str, change: Change | None) -> float | None:
    """Evaluate a metric of the change; None where there is nothing to compare with."""
    if change is None:
        return None
    if metric == "health_drop":
        return None if change.health is None else -change.health
    return (change.new if metric == "issues_new" else change.resolved).count()


def _find_failed_rows(gate: Gate, task: Task[Any], run: Run) -> list[str]:
    """Check a gate that every row of a small table has to pass; its first column names the row."""
    table, _ = gate.metric.split(".")
    called = next(plural for gated, plural in task.gated_tables.items() if gated.name == table)
    rows, column = _read_rows(gate, run)
    key = rows.columns[0]
    # Spark takes NaN for the greatest number, which would pass ">="
    is_failed = F.isnan(column) | ~_OPERATORS[gate.comparison](column, gate.bound)
    counted = rows.agg(F.count(F.lit(1)), F.count(column), F.count_if(is_failed)).collect()[0]
    num_rows, num_known, number = counted
    if not number:
        return [f"{gate}: no row has such a number"] if num_rows and not num_known else []
    order = column.asc() if ">" in gate.comparison else column.desc()
    worst = rows.where(is_failed).orderBy(F.isnan(column).desc(), order, key).limit(_MOST_NAMED)
    shown = ", ".join(f"{one_line(row[0])} ({row[1]:.6g})" for row in worst.select(key, column).collect())
    return [f"{gate}: not so for {number} {called}: {shown}{' ...' if number > _MOST_NAMED else ''}"]


def _read_rows(gate: Gate, run: Run) -> tuple[DataFrame, SparkColumn]:
    """Read the rows that a gate is about, and choose their number."""
    table, name = gate.metric.split(".")
    return run.table(table), F.col(name)
