"""One run of a task, from its configuration to its written tables; it knows nothing of the task itself."""

import json
import logging
import platform
import shlex
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any

import pyspark
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from cl_spark.errors import (
    ConfigurationError,
    DoubtfulInputError,
    InputError,
    OutputError,
    RejectedRowsError,
    RunError,
    SourceChangedError,
    one_line,
)
from cl_spark.report.page import check_installed, check_page, default_path, write_page
from cl_spark.runs.config import ConfigT, RunConfig
from cl_spark.runs.facts import first_reasons
from cl_spark.runs.gates import Gate, find_failed_gates, parse_gates, warn_of_untested_gates
from cl_spark.runs.history import find_baseline
from cl_spark.runs.report import render_report
from cl_spark.runs.result import RunResult
from cl_spark.runs.steps import Steps
from cl_spark.runs.task import Execution, RowCounts, Task
from cl_spark.tables import columns as c
from cl_spark.tables.finished_run import Run, finished_run, finished_runs
from cl_spark.tables.location import is_path, locate
from cl_spark.tables.overlap import check_apart
from cl_spark.tables.results import ResultTables, new_attempt
from cl_spark.tables.schema import BASELINES, REJECTED, RUNS, RunWarning, Table, runs_table
from cl_spark.tables.spark_errors import SOURCE_CHANGED, SPARK_ERRORS, error_summary, find_source_change
from cl_spark.version import __version__

logger = logging.getLogger(__name__)


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
    plan = plan_run(spark, task, config, started)
    steps.run_id = plan.run_id
    with steps("opening the input"):
        execution = task.open(spark, config)
        plan = plan.settle(execution)
        steps.attempt = plan.attempt
    if "not pinned" in (execution.source_version or ""):
        steps.log(
            f"{execution.source} keeps no versions: of rows that change meanwhile, only the number tells"
        )
    with explain_failures(plan.run_id, steps), execution:
        with steps("scanning the data"):
            counts = execution.count_rows()
            check_counts(execution, counts, config, steps)
        warnings = execution.warnings(steps)
        check_warnings(warnings, config)
        _write_tables(execution, plan, counts, steps)
        with steps("recording the run"):
            record = _reconcile(execution, plan, counts)
            record |= {"started": started, "parameters": config.model_dump_json(), c.WARNINGS: warnings}
            run = _record(execution, plan, record)
        report, failed_report = None, None
        if plan.report_path is not None:
            with steps("writing the report"):
                report, failed_report = _write_report(plan, run, remote_images=config.remote_images)
                steps.log(failed_report or f"report: {report}")
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
            failed_report=failed_report,
            numbers={column.name: finished[column.name] for column in task.numbers},
        )
        health = "" if result.overall_health is None else f"overall health {result.overall_health:.2%}, "
        steps.log(
            f"finished in {result.seconds:.1f} s: {health}{result.num_issues:,} {task.counted[0]} in "
            f"{result.num_examples:,} {task.counted[1]}, {counts.num_rejected:,} rows rejected"
        )
        return result


def new_run_id(moment: datetime) -> str:
    """Make a name that no other run has."""
    return f"{moment:%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:6]}"


@dataclass(frozen=True)
class Plan:
    """Decisions taken before a run begins: everything that can be checked without a scan has been.

    Attributes:
        task: the kind of run.
        run_id: its name.
        started: when it began.
        attempt: the attempt at it; later attempts are greater.
        is_named: whether a person named it, so that there may be other attempts.
        gates: conditions that it has to pass.
        report_path: where the report goes; None if none was asked for.
        tables: where its tables go.
        was_begun: whether earlier attempts may have left rows.
        id_columns: the columns that tell examples apart.
    """

    task: Task[Any]
    run_id: str
    started: datetime
    attempt: str
    is_named: bool
    gates: Sequence[Gate]
    report_path: str | None
    tables: ResultTables
    was_begun: bool = False
    id_columns: Sequence[str] = ()

    def settle(self, execution: Execution) -> "Plan":
        """Compare the input, once it is open, with what is at the output already.

        Returns:
            The plan, whose attempt is greater than the one that is recorded.

        Raises:
            ConfigurationError: the run_id is that of another task's or source's run, or the tables hold ids
                or labels of another type.
        """
        tables = replace(self.tables, source=execution.source)
        plan = replace(self, tables=tables)
        _check_types(plan, execution.types)
        if not self.is_named:
            return plan
        plan = replace(plan, was_begun=tables.was_begun(self.run_id))
        if not tables.has(RUNS):
            return plan
        other = finished_runs(tables).where(F.col(c.RUN_ID) == self.run_id).first()
        if other is None:
            return plan
        _check_is_rerun(other, plan)
        return replace(plan, attempt=new_attempt(self.started, other[c.ATTEMPT]), was_begun=True)

    def read_written(self, table: Table) -> DataFrame:
        """Read the rows that this attempt has written to a table."""
        return self.tables.read_run(table, self.run_id, self.attempt)


def plan_run(spark: SparkSession, task: Task[ConfigT], config: ConfigT, moment: datetime) -> Plan:
    """Check all that can be before the input is opened, and decide where the run goes.

    Args:
        spark: the session.
        task: the kind of run.
        config: its configuration.
        moment: when it began.

    Raises:
        ConfigurationError: a gate, the output or a place overlapping an input cannot be used; or the output
            holds tables of the other format.
        InputError: the report has no place.
        MissingDependencyError: the extra `report` is not installed.
    """
    run_id = config.run_id or new_run_id(moment)
    gates, of_run = parse_gates(config.gates, task), (RUNS, REJECTED, BASELINES, *task.tables)
    for key, source in config.sources.items():
        for other, place in config.places.items():
            # a schema may hold the input beside the results, unless one of them is called so
            names = [place] if is_path(place) else [f"{place}.{table.name}" for table in of_run]
            for name in names:
                where = name if other == "report" else locate(spark, name)  # a file of this machine
                check_apart(key, locate(spark, source), other, where)
    tables = ResultTables(spark, str(config.output), config.format)
    report_path = _plan_report(config, tables, run_id)
    tables.check_writable()
    tables.check_format((RUNS, task.issues))
    return Plan(
        task,
        run_id,
        moment,
        new_attempt(moment),
        config.run_id is not None,
        gates,
        report_path,
        tables,
        id_columns=config.example_ids,
    )


def _plan_report(config: RunConfig, tables: ResultTables, run_id: str) -> str | None:
    """Decide where the report goes, and check what it needs. None if none was asked for."""
    if not config.report:
        return None
    check_installed()
    path = config.report if isinstance(config.report, str) else default_path(tables.path, run_id)
    check_page(path)
    return path


def _check_is_rerun(other: Row, plan: Plan) -> None:
    """Check that a finished run of the name is of the same task and source, so that it may be replaced.

    Raises:
        ConfigurationError: it is not.
    """
    is_other_task, tables = other[c.TASK] != plan.task.name, plan.tables
    if is_other_task or other.source != tables.source:
        what = f"the task {other[c.TASK]!r}" if is_other_task else f"the source {one_line(other.source)!r}"
        raise ConfigurationError(
            f"run_id: {plan.run_id!r} is a run of {what} in {tables.location!r} already; "
            "choose another run_id or another output"
        )
    if other[c.ATTEMPT] is None and tables.format == "parquet":
        raise ConfigurationError(
            f"run_id: an earlier version of cl_spark wrote {plan.run_id!r} into {tables.location!r}, and in "
            "Parquet it cannot be replaced; choose another run_id or another output"
        )


def _check_types(plan: Plan, types: Mapping[str, str]) -> None:
    """Check that ids, labels and what else follows the input are of the types that earlier runs wrote.

    Raises:
        ConfigurationError: a type differs.
    """
    tables, issues, what = plan.tables, plan.task.issues, "this run has"
    if tables.format == "delta":
        # all tasks share this table; of Parquet each run keeps its own types, whatever those of others are
        ids = {name: kind for name, kind in types.items() if name in plan.id_columns}
        tables.check_types(tables.find_types(REJECTED), ids, what, widens=True)
    try:
        if tables.format == "delta":
            there = tables.read(issues)
        else:
            there = finished_run(tables, task=plan.task.name).table(issues.name)
    except InputError:  # the first run
        return
    found = {field.name: field.dataType.simpleString() for field in there.schema.fields}
    tables.check_types(found, types, what)


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
        raise _source_changed(
            f"{read:,} rows at first, later {counts.num_examples:,} accepted and {rejected:,} rejected"
        )
    if counts.num_faulty > find_allowed_fraction(config) * read:
        faulty = execution.rejected().where(~F.col(c.REASON).isin(*counts.expected))
        reasons = first_reasons(faulty, config.example_ids).collect()
        hints = execution.explain_rejections(steps)
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


def _write_tables(execution: Execution, plan: Plan, counts: RowCounts, steps: Steps) -> None:
    """Write the stages of an execution. Until the run is recorded, no reader sees any of it; the rows of an
    earlier attempt stay as they are.
    """
    # a run without rejected rows only makes the table, if it is not there
    has_rejected = counts.num_rejected > 0 or not plan.tables.has(REJECTED)
    for stage in execution.stages(steps, plan.read_written):
        with steps(stage.step):
            frames = dict(stage.tables)
            if has_rejected:
                frames[REJECTED] = execution.rejected()
            plan.tables.write_all(frames, plan.run_id, plan.attempt)
            has_rejected = False


def _reconcile(execution: Execution, plan: Plan, counts: RowCounts) -> dict[str, Any]:
    """Count what was written, look at the source once more, and put the numbers of the run together.

    Raises:
        SourceChangedError: other rows were rejected or ranked than counted, or the source changed.
    """
    task, read, accepted = plan.task, execution.num_read, counts.num_examples
    num_rejected = plan.read_written(REJECTED).count() if counts.num_rejected else 0
    if num_rejected != counts.num_rejected:
        raise _source_changed(
            f"{read:,} rows at first, later {accepted:,} accepted and {num_rejected:,} rejected"
        )
    num_issues, last = plan.read_written(task.issues).agg(F.count(F.lit(1)), F.max(c.RANK)).collect()[0]
    if num_issues != (last or 0):
        raise _source_changed(
            f"{last or 0:,} issues were ranked, later {num_issues:,} are in {task.issues.name}"
        )
    before, now = execution.source_version, execution.read_version()
    if now != before:
        raise _source_changed(f"{execution.source} was {before} at first, later {now}")
    versions = {
        "cl_spark": __version__,
        "spark": plan.tables.spark.version,
        "pyspark": pyspark.__version__,
        "python": platform.python_version(),
    }
    return {
        c.RUN_ID: plan.run_id,
        c.ATTEMPT: plan.attempt,
        c.TASK: task.name,
        "finished": datetime.now(timezone.utc),
        "status": "finished",
        "source": execution.source,
        "source_version": before,
        "library_versions": json.dumps(versions),
        "num_read": read,
        "num_examples": accepted,
        "num_rejected": num_rejected,
        "num_issues": num_issues,
        **execution.numbers(),
    }


def _record(execution: Execution, plan: Plan, record: Mapping[str, Any]) -> Run:
    """Check the gates, and write the row in `runs`: from here on it is a finished run, and what earlier
    attempts left goes.

    Raises:
        RunError: a later attempt at the run has finished meanwhile.
    """
    task, tables, run_id = plan.task, plan.tables, plan.run_id
    run = Run(run_id, Row(**record), tables)
    before = find_baseline(tables, run) if plan.gates else None
    failed = find_failed_gates(plan.gates, task, run, before)
    warnings = [*run.warnings, *warn_of_untested_gates(plan.gates, run, before)]
    row = {**record, c.WARNINGS: warnings, "failed_gates": "\n".join(failed), c.BASELINE: True}
    table = runs_table(task.numbers)
    schema = ", ".join(f"{column.name} {column.type}" for column in table.columns)
    rows = tables.spark.createDataFrame([tuple(row[column.name] for column in table.columns)], schema)
    of_run = [RUNS, REJECTED, *task.tables]
    later = tables.recorded_attempt(run_id) if plan.is_named else None
    if later is not None and later > plan.attempt:
        tables.remove_earlier(of_run, run_id, later)
        execution.remove_earlier(run_id, later)
        raise RunError(
            f"run {run_id!r} was started again while it ran, and that later attempt has finished: "
            "this one is not recorded"
        )
    tables.write(RUNS, rows.drop(c.RUN_ID, c.ATTEMPT), run_id, plan.attempt)
    if plan.was_begun or later is not None:
        try:
            tables.remove_earlier(of_run, run_id, plan.attempt)
        except OutputError as error:  # no reader sees these rows, and the run stands
            logger.warning("rows of earlier attempts at run %r are still there: %s", run_id, error)
        execution.remove_earlier(run_id, plan.attempt)
    return Run(run_id, Row(**row), tables)


def _write_report(plan: Plan, run: Run, *, remote_images: bool) -> tuple[str | None, str | None]:
    """Write the report of a recorded run.

    Returns:
        Its path and None; or, as the run stands without its report, None and how to make it again.
    """
    path = str(plan.report_path)
    try:
        return write_page(path, render_report(plan.task, run, remote_images=remote_images)), None
    except Exception as error:
        again = ["cl-spark", "report", plan.tables.location, run.run_id, "--output", path]
        return None, (
            f"run {run.run_id!r} is recorded, but its report could not be made: {error_summary(error)}. "
            f"Make it again with: {shlex.join(again)}"
        )


def _source_changed(seen: str) -> SourceChangedError:
    return SourceChangedError(
        f"{SOURCE_CHANGED}: {seen}; the run was not recorded. "
        "Run it again when nobody writes, or read a Delta table, which keeps its versions"
    )
