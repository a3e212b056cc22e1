"""One audit from configuration to written tables: what the command line and `jobs/` run."""

import atexit
import json
import platform
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields, replace
from datetime import datetime, timezone
from importlib.resources import as_file, files
from typing import Any

import pyspark
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from cl_spark.classification.label_audit import LabelAudit
from cl_spark.classification.scores import add_issue_flag
from cl_spark.errors import (
    ConfigurationError,
    MissingColumnError,
    RejectedRowsError,
    RunError,
    SourceChangedError,
)
from cl_spark.evidence.storage import Storage
from cl_spark.evidence.validity import REASONS
from cl_spark.report.page import check_installed, default_path, write_report
from cl_spark.runs.history import Gate, baseline, failed_gates
from cl_spark.runs.steps import Steps
from cl_spark.tables import columns as c
from cl_spark.tables.card import card
from cl_spark.tables.finished_run import Run
from cl_spark.tables.input_table import SPARK_ERRORS, InputTable, read_source, reason
from cl_spark.tables.results import ResultTables
from cl_spark.tasks.label_audit.config import AuditConfig
from cl_spark.version import __version__

_SAMPLES = ExitStack()
"""Samples, unpacked until the process ends where the package is in an archive."""
atexit.register(_SAMPLES.close)


@dataclass(frozen=True)
class AuditResult:
    """A finished run: its key numbers, and the tables that hold the rest.

    Attributes:
        run_id: the run.
        tables: where its tables are.
        num_classes: K.
        num_examples: rows accepted.
        rejected: rows refused, by reason.
        num_issues: rows in `issues`.
        overall_health: 1 - off-diagonal issues / examples.
        failed_gates: what the run did not pass, with the values seen.
        seconds: how long it took.
        report: the HTML report, if one was written.

    Example:
        >>> result = run_audit(spark, AuditConfig(sample="digits", output=results, format="parquet", run_id="example"))
        >>> result.num_examples, result.num_issues == result.issues().count()
        (1797, True)
    """

    run_id: str
    tables: ResultTables
    num_classes: int
    num_examples: int
    rejected: dict[str, int]
    num_issues: int
    overall_health: float
    failed_gates: list[str]
    seconds: float
    report: str | None = None

    def issues(self) -> DataFrame:
        """The run's issues."""
        return self.tables.read_run(c.ISSUES, self.run_id)

    def summary(self) -> dict[str, Any]:
        """The key numbers as plain values: what `cl-spark audit --json` prints."""
        numbers = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "tables"}
        return {"output": self.tables.location, **numbers}

    def _repr_html_(self) -> str:
        return card(
            f"Audit {self.run_id}",
            {
                "overall health": f"{self.overall_health:.2%}",
                "label issues": self.num_issues,
                "examples": self.num_examples,
                "classes": self.num_classes,
                "rejected rows": sum(self.rejected.values()),
            },
            notes=[f"gate failed: {gate}" for gate in self.failed_gates]
            + [f"tables: {self.tables.location}"],
        )


def run_audit(spark: SparkSession, config: AuditConfig, steps: Steps | None = None) -> AuditResult:
    """Read, audit and write; `runs` last.

    Args:
        spark: the session.
        config: what to do.
        steps: is told what is going on.

    Raises:
        ClSparkError: what was wrong with the configuration, the input or the output.
    """
    steps = steps or Steps()
    started = datetime.now(timezone.utc)
    run_id = steps.run_id = config.run_id or new_name(started)
    gates = [Gate.parse(text) for text in config.gates]
    with steps("opening the input"):
        source, labels, tables = _opened(spark, config)
        audit, num_read, version = _counted(config, source, labels)
        report_path = _report_path(config, run_id)
        review = _review_columns(source, config)
    with explained(run_id, steps), audit:
        with steps("scanning the data"):
            statistics = audit.statistics
            _account(config, audit, num_read)
        with steps("counting the confident joint"):
            health = audit.health_summary()
        with steps("choosing the issues"):
            issues = audit.find_label_issues(
                filter_by=config.filter_by,
                rank_by=config.rank_by,
                adjust_pred_probs=config.adjust_pred_probs,
                frac_noise=config.frac_noise,
                num_to_remove_per_class=config.num_to_remove_per_class,
                min_examples_per_class=config.min_examples_per_class,
                num_issues=config.num_issues,
            )
        if review is not None:
            issues = issues.join(review, config.id_columns, "left")
        with steps("writing the tables"):
            written = {
                c.ISSUES: issues,
                c.CLASS_HEALTH: health.class_health,
                c.OVERLAPPING_CLASSES: health.overlapping_classes,
                c.CONFIDENT_JOINT: audit.confident_joint_table(),
                c.REJECTED: audit.rejected(),
                **({c.SLICE_HEALTH: audit.slice_health()} if config.slice_by else {}),
            }
            if config.run_id is not None:  # a new name has no earlier attempt
                later = {c.SCORE_DISTRIBUTION, *([c.LABEL_SCORES] if config.label_scores else [])}
                tables.begin(run_id, {*written, *later})
            tables.write_all(written, run_id)
        with steps("writing the scores"):
            found = tables.read_run(c.ISSUES, run_id)
            of_scores = {c.SCORE_DISTRIBUTION: audit.score_distribution(found)}
            if config.label_scores:
                of_scores[c.LABEL_SCORES] = _label_scores(audit, config, found)
            tables.write_all(of_scores, run_id)
        with steps("recording the run"):
            num_rejected = tables.read_run(c.REJECTED, run_id).count() if statistics.num_rejected else 0
            if num_rejected != statistics.num_rejected:
                raise _changed(num_read, audit.num_examples, num_rejected)
            num_issues = found.count()
            record = Row(
                run_id=run_id,
                started=started,
                finished=datetime.now(timezone.utc),
                status="finished",
                source=tables.source,
                source_version=version,
                parameters=config.model_dump_json(),
                library_versions=json.dumps(
                    {"cl_spark": __version__, "spark": spark.version, "pyspark": pyspark.__version__,
                     "python": platform.python_version()}
                ),
                num_read=num_read,
                num_examples=audit.num_examples,
                num_rejected=num_rejected,
                num_issues=num_issues,
                num_classes=audit.num_classes,
                overall_health=health.overall_health,
            )  # fmt: skip
            before = baseline(tables, tables.source, run_id) if gates else None
            failed = failed_gates(gates, Run(run_id, record, tables), before)
            row = {**record.asDict(), "failed_gates": "\n".join(failed), "baseline": True}
            schema = ", ".join(f"{column.name} {column.type}" for column in c.RUNS.columns)
            runs = spark.createDataFrame([tuple(row[column.name] for column in c.RUNS.columns)], schema)
            tables.write(c.RUNS, runs.drop(c.RUN_ID), run_id)
        report = None
        if report_path is not None:
            with steps("writing the report"):
                report = write_report(Run(run_id, Row(**row), tables), report_path)
        result = AuditResult(
            run_id,
            tables,
            audit.num_classes,
            audit.num_examples,
            {REASONS[reason]: times for reason, times in sorted(statistics.rejected.items())},
            num_issues,
            health.overall_health,
            failed,
            (record.finished - started).total_seconds(),
            report,
        )
        steps.log(
            f"finished in {result.seconds:.1f} s: overall health {health.overall_health:.2%}, {num_issues:,} issues in "
            f"{audit.num_examples:,} examples, {num_rejected:,} rows rejected"
        )
        return result


@dataclass(frozen=True)
class Checked:
    """What the first rows of an input told, without a run.

    Attributes:
        source: what was read.
        source_version: the version of a Delta table.
        rows: how many rows were looked at.
        accepted: those an audit would use.
        rejected: the others by reason, with the id of one of them.
        num_classes: K as far as these rows tell.
    """

    source: str
    source_version: int | None
    rows: int
    accepted: int
    rejected: dict[str, tuple[int, str]]
    num_classes: int


def check(spark: SparkSession, config: AuditConfig, rows: int = 1_000) -> Checked:
    """Look at a configuration and the first rows of its input; write nothing.

    Args:
        spark: the session.
        config: what would be audited.
        rows: how many rows to look at.

    Raises:
        ClSparkError: what an audit would fail for, as far as these rows tell.
    """
    for gate in config.gates:
        Gate.parse(gate)
    source, labels, tables = _opened(spark, config)
    _audit(config, source.df, labels)  # says what is wrong with the columns
    _report_path(config, config.run_id or "run")
    _review_columns(source, config)
    tables.check()
    storage = Storage()
    first = storage.persist(source.df.limit(rows))  # the same rows however often they are read
    if labels is not None:
        ids = first.select(*map(c.quoted, config.id_columns))
        labels = replace(labels, df=labels.df.join(ids, config.id_columns, "left_semi"))
    audit = _audit(config, first, labels)
    try:
        reasons = _reasons(audit, config)
        return Checked(
            source.name,
            source.version,
            audit.num_examples + audit.statistics.num_rejected,
            audit.num_examples,
            {row[c.REASON]: (row.rows, row.id) for row in reasons},
            audit.num_classes,
        )
    finally:
        audit.release()
        storage.release()


def _opened(spark: SparkSession, config: AuditConfig) -> tuple[InputTable, InputTable | None, ResultTables]:
    """What is read, and where results go."""
    source = _source(spark, config)
    labels = None if config.labels is None else read_source(spark, config.labels, "labels")
    name = source.name if labels is None else f"{source.name} with labels {labels.name}"
    return source, labels, ResultTables(spark, str(config.output), config.format, name)


def _audit(
    config: AuditConfig, df: DataFrame, labels: InputTable | None, *, read_files: bool = False
) -> LabelAudit:
    of_labels = None if labels is None else labels.df
    return LabelAudit(
        df, labels=of_labels, slice_by=config.slice_by, read_files=read_files, **config.input_arguments
    )


def new_name(moment: datetime) -> str:
    """A name no other run has."""
    return f"{moment:%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:6]}"


@contextmanager
def explained(run_id: str, steps: Steps) -> Iterator[None]:
    """Failures of Spark's inside are the run's, and say during which step they came."""
    try:
        yield
    except SPARK_ERRORS as error:
        step = next(reversed(steps.seconds), "starting")
        raise RunError(f"run {run_id!r} failed while {step}: {reason(error)}") from error


def _counted(
    config: AuditConfig, source: InputTable, labels: InputTable | None
) -> tuple[LabelAudit, int, str | None]:
    """The audit, rows to account for, counted without the audit's own scan, and the version of what is read."""
    audit = _audit(config, source.df, labels, read_files=config.read_files and source.is_of_plain_files())
    files = audit.predictions.files
    num_read, version = source.counted(None if files is None else files.rows)
    if labels is None:
        return audit, num_read, version
    return audit, audit.predictions.df.count(), f"{version}, labels {labels.counted()[1]}"


def _account(config: AuditConfig, audit: LabelAudit, num_read: int) -> None:
    """Refuse to go on with rows that do not add up, or with more rejected rows than allowed.

    Raises:
        SourceChangedError: the rows accepted and rejected are not the rows read.
        RejectedRowsError: too many rows are rejected.
    """
    rejected = audit.statistics.num_rejected
    if audit.num_examples + rejected != num_read:
        raise _changed(num_read, audit.num_examples, rejected)
    allowed = 0.0 if config.on_bad_rows == "fail" else config.max_rejected_fraction
    if rejected > allowed * num_read:
        seen = "; ".join(
            f"{row[c.REASON]}: {row.rows:,} (such as id {row.id!r})" for row in _reasons(audit, config)
        )
        limit = (
            "on_bad_rows is fail" if config.on_bad_rows == "fail" else f"max_rejected_fraction is {allowed:g}"
        )
        raise RejectedRowsError(
            f"{rejected:,} of {num_read:,} rows ({rejected / num_read:.2%}) cannot be used, and {limit}: {seen}. Nothing was "
            "written. Mend these rows, or raise the limit (--max-rejected-fraction)"
        )


def _reasons(audit: LabelAudit, config: AuditConfig) -> list[Row]:
    """Why rows are rejected, most frequent first, with the id of one of them."""
    ids = [F.col(c.quoted(col)).cast("string") for col in config.id_columns]
    first = F.min(F.concat_ws(", ", *ids)).alias("id")
    reasons = audit.rejected().groupBy(c.REASON).agg(F.count(F.lit(1)).alias("rows"), first)
    return reasons.orderBy(F.desc("rows"), c.REASON).collect()


def _changed(num_read: int, accepted: int, rejected: int) -> SourceChangedError:
    return SourceChangedError(
        f"the input changed while it was read: {num_read:,} rows at first, later {accepted:,} accepted and {rejected:,} "
        "rejected; the run was not recorded. Run it again when nobody writes, or read a Delta table, which keeps its versions"
    )


def _source(spark: SparkSession, config: AuditConfig) -> InputTable:
    if config.sample is None:
        return read_source(
            spark,
            str(config.predictions),
            "predictions",
            version=config.source_version,
            timestamp=config.source_timestamp,
        )
    path = _SAMPLES.enter_context(as_file(files("cl_spark") / "sample" / f"{config.sample}.parquet"))
    return InputTable(spark.read.parquet(str(path)), f"sample {config.sample}")


def _report_path(config: AuditConfig, run_id: str) -> str | None:
    """Where the report goes: known, and what it needs installed, before the run begins. None if none was asked for."""
    if not config.report:
        return None
    check_installed()
    return config.report if isinstance(config.report, str) else default_path(str(config.output), run_id)


def _review_columns(source: InputTable, config: AuditConfig) -> DataFrame | None:
    """Ids, and the columns of the input that go with the issues; None if none do.

    Raises:
        MissingColumnError: there is no such column.
        ConfigurationError: the table of issues has a column of the name.
    """
    wanted = config.review_columns
    taken = {name.casefold() for name in (*(column.name for column in c.ISSUES.columns), *config.id_columns)}
    for col in wanted:
        if col.casefold() in taken:
            raise ConfigurationError(
                f"review_columns: {col!r} is a column of the table of issues already; leave it out"
            )
        taken.add(col.casefold())
        if col not in source.df.columns:
            raise MissingColumnError(
                f"review_columns: there is no column {col!r}; the table has {', '.join(source.df.columns)}"
            )
    return source.df.select(*map(c.quoted, (*config.id_columns, *wanted))) if wanted else None


def _label_scores(audit: LabelAudit, config: AuditConfig, issues: DataFrame) -> DataFrame:
    """A score of every example and whether it is an issue. The flag is read from the written issues, by id."""
    scores = audit.label_quality_scores(method=config.rank_by, adjust_pred_probs=config.adjust_pred_probs)
    return add_issue_flag(scores, issues, config.id_columns)
