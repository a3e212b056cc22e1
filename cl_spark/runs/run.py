"""One run of a task, from its configuration to its written tables; it knows nothing of the task itself."""

import json
import platform
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timezone
from functools import partial
from typing import Any

import pyspark
from pyspark.sql import Row, SparkSession
from pyspark.sql import functions as F

from cl_spark.errors import (
    ConfigurationError,
    DoubtfulInputError,
    RejectedRowsError,
    RunError,
    SourceChangedError,
)
from cl_spark.report.page import check_installed, default_path, write_page
from cl_spark.runs.config import ConfigT, RunConfig
from cl_spark.runs.facts import first_reasons
from cl_spark.runs.gates import Gate, find_failed_gates, parse_gates, warn_of_untested_gates
from cl_spark.runs.history import find_baseline
from cl_spark.runs.report import render_report
from cl_spark.runs.result import RunResult
from cl_spark.runs.steps import Steps
from cl_spark.runs.task import Execution, RowCounts, Task
from cl_spark.tables import columns as c
from cl_spark.tables.finished_run import Run, finished_runs
from cl_spark.tables.results import ResultTables
from cl_spark.tables.schema import REJECTED, RUNS, RunWarning, Table, runs_table
from cl_spark.tables.spark_errors import SPARK_ERRORS, error_summary, find_source_change
from cl_spark.version import __version__


def run_task(
    spark: SparkSession, task: Task[ConfigT], config: ConfigT, steps: Steps | None = None
) -> RunResult:
    """Run a task: open its input, compute, write its tables, and last its row in `runs`.

    Args:
        spark: the session.
        task: the kind of run.
        config: its configuration.
        steps: told of each step as it begins.

    Raises:
        ClSparkError: the configuration, the input or the output cannot be used. Nothing is recorded then.
    """
    steps = steps or Steps()
    started = datetime.now(timezone.utc)
    run_id = steps.run_id = config.run_id or new_run_id(started)
    gates = parse_gates(config.gates, task)
    with steps("opening the input"):
        report_path = plan_report(config, run_id)
        tables = ResultTables(spark, str(config.output), config.format)
        if config.run_id is not None:
            _check_free(task, tables, run_id)
        execution = task.open(spark, config)
        tables = replace(tables, source=execution.source)
    with explain_failures(run_id, steps), execution:
        with steps("scanning the data"):
            counts = execution.count_rows()
            check_counts(execution, counts, config, steps)
        warnings = execution.warnings(steps)
        check_warnings(warnings, config)
        _write_tables(execution, task, tables, run_id, steps, is_rerun=config.run_id is not None)
        with steps("recording the run"):
            record = _reconcile(execution, task, tables, run_id, counts)
            record |= {"started": started, "parameters": config.model_dump_json(), c.WARNINGS: warnings}
            run = _record(task, gates, Run(run_id, Row(**record), tables))
        report = None
        if report_path is not None:
            with steps("writing the report"):
                report = write_page(report_path, render_report(task, run))
        finished = run.record
        result = task.result(
            run=run,
            num_examples=counts.num_examples,
            rejected=dict(counts.rejected),
            num_issues=finished.num_issues,
            overall_health=finished.overall_health,
            failed_gates=run.failed_gates,
            seconds=(finished.finished - started).total_seconds(),
            report=report,
            numbers={column.name: finished[column.name] for column in task.numbers},
        )
        health = "" if result.overall_health is None else f"overall health {result.overall_health:.2%}, "
        steps.log(
            f"finished in {result.seconds:.1f} s: {health}{result.num_issues:,} issues in "
            f"{result.num_examples:,} examples, {counts.num_rejected:,} rows rejected"
        )
        return result


def new_run_id(moment: datetime) -> str:
    """Make a name that no other run has."""
    return f"{moment:%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:6]}"


def plan_report(config: RunConfig, run_id: str) -> str | None:
    """Decide where the report goes, and check what it needs, before the run begins. None if none was asked
    for.

    Raises:
        InputError: the output is no directory of this machine, and no path is given.
        MissingDependencyError: the extra `report` is not installed.
    """
    if not config.report:
        return None
    check_installed()
    return config.report if isinstance(config.report, str) else default_path(str(config.output), run_id)


@contextmanager
def explain_failures(run_id: str, steps: Steps) -> Iterator[None]:
    """Turn failures inside Spark into failures of the run that say during which step they came.

    Raises:
        SourceChangedError: a query found that the input had changed.
        RunError: Spark failed.
    """
    try:
        yield
    except SPARK_ERRORS as error:
        step = next(reversed(steps.seconds), "starting")
        changed = find_source_change(error)
        raise changed or RunError(f"run {run_id!r} failed while {step}: {error_summary(error)}") from error


def check_counts(execution: Execution, counts: RowCounts, config: RunConfig, steps: Steps) -> None:
    """Refuse to go on with rows that do not add up, or with more rejected rows than allowed.

    Raises:
        SourceChangedError: the rows accepted and rejected are not the rows read.
        RejectedRowsError: too many rows are rejected.
    """
    read, rejected = execution.num_read, counts.num_rejected
    if counts.num_examples + rejected != read:
        raise _source_changed(read, counts.num_examples, rejected)
    if rejected > find_allowed_fraction(config) * read:
        reasons = first_reasons(execution.rejected(), config.id_col).collect()
        hints = [warning.message for warning in execution.warnings(steps)]
        raise too_many_rejected(reasons, read, config, hints)


def find_allowed_fraction(config: RunConfig) -> float:
    """Find the share of rows that may be rejected."""
    return 0.0 if config.on_bad_rows == "fail" else config.max_rejected_fraction


def too_many_rejected(
    reasons: Sequence[Row], read: int, config: RunConfig, hints: Sequence[str]
) -> RejectedRowsError:
    """Make the error for more rejected rows than allowed.

    Args:
        reasons: as `first_reasons` counts them.
        read: rows of the input.
        config: says how many may be rejected.
        hints: sentences that may explain them.
    """
    rejected, allowed = sum(row.rows for row in reasons), find_allowed_fraction(config)
    seen = "; ".join(f"{row[c.REASON]}: {row.rows:,} (such as id {row.id!r})" for row in reasons)
    limit = "on_bad_rows is fail" if config.on_bad_rows == "fail" else f"max_rejected_fraction is {allowed:g}"
    return RejectedRowsError(
        f"{rejected:,} of {read:,} rows ({rejected / read:.2%}) cannot be used, and {limit}: {seen}. "
        "Nothing was written. Mend these rows, or raise the limit (--max-rejected-fraction)"
        + "".join(f". {hint[:1].upper()}{hint[1:]}" for hint in hints)
    )


def check_warnings(warnings: Sequence[RunWarning], config: RunConfig) -> None:
    """Refuse to go on with a doubtful input where the configuration says so.

    Raises:
        DoubtfulInputError: there are warnings, and `on_warning` is fail.
    """
    if warnings and config.on_warning == "fail":
        seen = "; ".join(f"{warning.message} ({warning.code})" for warning in warnings)
        raise DoubtfulInputError(
            f"the input is doubtful, and on_warning is fail: {seen}. Nothing was written. Mend the input, or "
            "say on_warning: report (--on-warning report)"
        )


def _check_free(task: Task[Any], tables: ResultTables, run_id: str) -> None:
    """Refuse the name of a run of another task.

    Its rows in `rejected` would be replaced, and those in its other tables would stay.

    Raises:
        ConfigurationError: there is such a run.
    """
    if tables.has(RUNS):
        other = (
            finished_runs(tables).where((F.col(c.RUN_ID) == run_id) & (F.col(c.TASK) != task.name)).first()
        )
        if other is not None:
            raise ConfigurationError(
                f"run_id: {run_id!r} is a run of the task {other[c.TASK]!r} in {tables.location!r} already; "
                "choose another run_id or another output"
            )


def _write_tables(
    execution: Execution, task: Task[Any], tables: ResultTables, run_id: str, steps: Steps, *, is_rerun: bool
) -> None:
    """Write the stages of an execution. Until the run is recorded, no reader sees any of it.

    The row in `runs` of an earlier attempt goes first, so that its tables are not read half replaced; rows it
    left in tables that are not written this time go last.
    """
    seen: set[Table] = set()
    for stage in execution.stages(steps, partial(tables.read_run, run_id=run_id)):
        with steps(stage.step):
            frames = dict(stage.tables)
            if not seen:
                frames[REJECTED] = execution.rejected()
                if is_rerun:  # a new name has no earlier attempt
                    tables.remove_rows([RUNS], run_id)
            tables.write_all(frames, run_id)
            seen |= frames.keys()
    if is_rerun:
        tables.remove_rows([table for table in task.tables if table not in seen], run_id)


def _reconcile(
    execution: Execution, task: Task[Any], tables: ResultTables, run_id: str, counts: RowCounts
) -> dict[str, Any]:
    """Count what was written once more, and put the numbers of the run together.

    Raises:
        SourceChangedError: other rows were rejected than counted.
    """
    num_rejected = tables.read_run(REJECTED, run_id).count() if counts.num_rejected else 0
    if num_rejected != counts.num_rejected:
        raise _source_changed(execution.num_read, counts.num_examples, num_rejected)
    versions = {
        "cl_spark": __version__,
        "spark": tables.spark.version,
        "pyspark": pyspark.__version__,
        "python": platform.python_version(),
    }
    return {
        "run_id": run_id,
        c.TASK: task.name,
        "finished": datetime.now(timezone.utc),
        "status": "finished",
        "source": execution.source,
        "source_version": execution.source_version,
        "library_versions": json.dumps(versions),
        "num_read": execution.num_read,
        "num_examples": counts.num_examples,
        "num_rejected": num_rejected,
        "num_issues": tables.read_run(task.issues, run_id).count(),
        **execution.numbers(),
    }


def _record(task: Task[Any], gates: list[Gate], run: Run) -> Run:
    """Check the gates, and write the row in `runs`: from here on it is a finished run."""
    tables = run.tables
    before = find_baseline(tables, run) if gates else None
    failed = find_failed_gates(gates, task, run, before)
    warnings = [*run.warnings, *warn_of_untested_gates(gates, run, before)]
    gated = {c.WARNINGS: warnings, "failed_gates": "\n".join(failed), "baseline": True}
    row = {**run.record.asDict(), **gated}
    columns = runs_table(task.numbers).columns
    schema = ", ".join(f"{column.name} {column.type}" for column in columns)
    record = tables.spark.createDataFrame([tuple(row[column.name] for column in columns)], schema)
    tables.write(RUNS, record.drop(c.RUN_ID), run.run_id)
    return Run(run.run_id, Row(**row), tables)


def _source_changed(num_read: int, accepted: int, rejected: int) -> SourceChangedError:
    return SourceChangedError(
        f"the input changed while it was read: {num_read:,} rows at first, later {accepted:,} accepted and "
        f"{rejected:,} rejected; the run was not recorded. Run it again when nobody writes, or read a Delta "
        "table, which keeps its versions"
    )
