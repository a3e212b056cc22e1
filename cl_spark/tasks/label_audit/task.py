"""The label audit as a task of the run machinery: what it reads, computes, writes and shows."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, cast

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from cl_spark.classification.health import HealthSummary
from cl_spark.classification.label_audit import LabelAudit
from cl_spark.classification.scores import add_by_id, add_issue_flag
from cl_spark.errors import ConfigurationError, InputError, MissingColumnError, SourceChangedError
from cl_spark.evidence.validity import explain_rejection
from cl_spark.report.sections import KeyNumber, Section
from cl_spark.runs.facts import RunFacts
from cl_spark.runs.result import RunResult
from cl_spark.runs.run import run_task
from cl_spark.runs.steps import Steps
from cl_spark.runs.task import Execution, RowCounts, Stage, Task, View, Written
from cl_spark.tables import columns as c
from cl_spark.tables.card import worst_classes
from cl_spark.tables.finished_run import Run
from cl_spark.tables.input_table import InputTable, read_sample, read_source
from cl_spark.tables.schema import RunWarning
from cl_spark.tables.spark_errors import SOURCE_CHANGED
from cl_spark.tasks.label_audit import report
from cl_spark.tasks.label_audit.config import AuditConfig
from cl_spark.tasks.label_audit.facts import Facts
from cl_spark.tasks.label_audit.tables import (
    CLASS_HEALTH,
    CONFIDENT_JOINT,
    ISSUES,
    LABEL_SCORES,
    NUMBERS,
    OVERLAPPING_CLASSES,
    SCORE_DISTRIBUTION,
    SLICE_HEALTH,
    TABLES,
)

_ISSUE_HEADINGS = {
    c.GIVEN_LABEL: "given",
    c.SUGGESTED_LABEL: "suggested",
    c.LABEL_QUALITY: "quality",
    c.SELF_CONFIDENCE: "self-conf.",
    c.NORMALIZED_MARGIN: "margin",
}


@dataclass(frozen=True)
class AuditResult(RunResult):
    """A finished label audit: its key numbers, and the tables that hold the rest.

    Attributes:
        run: the run, its row in `runs` and its tables.
        num_examples: rows accepted.
        rejected: rows rejected, by reason.
        num_issues: rows in `issues`.
        overall_health: 1 - off-diagonal issues / examples.
        failed_gates: the gates it did not pass, each with the value seen.
        seconds: how long it took.
        report: path of the HTML report, if one was written.
        numbers: the two numbers below, by name.

    Example:
        >>> config = AuditConfig(sample="digits", output=results, format="parquet", run_id="example")
        >>> result = run_audit(spark, config)
        >>> result.num_examples, result.num_issues == result.issues().count()
        (1797, True)
    """

    issues_title: ClassVar[str] = "label issues"

    @property
    def num_classes(self) -> int:
        """Number of classes, K."""
        return int(self.numbers["num_classes"])

    @property
    def off_diagonal_issues(self) -> int:
        """Examples confidently of another class, whatever the filter."""
        return int(self.numbers[c.OFF_DIAGONAL_ISSUES])

    def issues(self) -> DataFrame:
        """Read the run's issues."""
        return self.run.issues


class AuditExecution(Execution):
    """A label audit at work in one run.

    Args:
        config: what to audit, and how.
        predictions: the input.
        labels: the second table, if there is one.
    """

    def __init__(self, config: AuditConfig, predictions: InputTable, labels: InputTable | None) -> None:
        self._config, self._inputs = config, (predictions, labels)
        self.review = select_review_columns(predictions, config)
        self.audit = make_audit(config, predictions.df, labels)
        self.source = predictions.name if labels is None else f"{predictions.name} with labels {labels.name}"
        self.source_version = self.read_version()
        label_type = "int" if self.audit.predictions.names is None else "string"
        frames = [predictions.df.select(*map(c.quoted, config.id_col))]
        frames += [] if self.review is None else [self.review]
        fields = [field for frame in frames for field in frame.schema.fields]
        of_input = {field.name: field.dataType.simpleString() for field in fields}
        self.types = {**of_input, c.GIVEN_LABEL: label_type}

    def read_version(self) -> str | None:
        """Ask for the state of predictions and labels; the sample has none."""
        predictions, labels = self._inputs
        if self._config.sample is not None:
            return None
        return predictions.state() if labels is None else f"{predictions.state()}, labels {labels.state()}"

    def count_rows(self) -> RowCounts:
        """Count the input without the audit's own scan, so that the two can be compared; then scan it."""
        predictions, labels = self._inputs
        self.num_read = (predictions.df if labels is None else self.audit.predictions.df).count()
        statistics = self.audit.statistics
        rejected = {
            explain_rejection(code, self._config.id_col): rows
            for code, rows in sorted(statistics.rejected.items())
        }
        return RowCounts(self.audit.num_examples, rejected)

    def warnings(self, steps: Steps) -> list[RunWarning]:
        """Return doubts about the meaning of labels and probabilities."""
        with steps("counting the confident joint"):
            return self.audit.warnings()

    def rejected(self) -> DataFrame:
        """Return the rejected rows."""
        return self.audit.rejected()

    def stages(self, steps: Steps, written: Written) -> Iterator[Stage]:
        """Yield issues and health; then what is read from the written issues."""
        health = self._health
        with steps("choosing the issues"):
            issues = self.audit.find_label_issues(**self._config.filter_arguments)
        if self.review is not None:
            issues = add_by_id(issues, self.review, self._config.id_col)
        slices = {SLICE_HEALTH: self.audit.slice_health()} if self._config.slice_by else {}
        yield Stage(
            "writing the tables",
            {
                ISSUES: issues,
                CLASS_HEALTH: health.class_health,
                OVERLAPPING_CLASSES: health.overlapping_classes,
                CONFIDENT_JOINT: self.audit.confident_joint_table(),
                **slices,
            },
        )
        found = written(ISSUES)
        scores = {LABEL_SCORES: self._label_scores(found)} if self._config.label_scores else {}
        yield Stage(
            "writing the scores", {SCORE_DISTRIBUTION: self.audit.score_distribution(found), **scores}
        )
        if scores:
            self._check_scores(written(LABEL_SCORES), found.count())

    def numbers(self) -> Mapping[str, Any]:
        """Return K, the off-diagonal issues, and the overall health that follows from them."""
        return {
            c.OVERALL_HEALTH: self._health.overall_health,
            "num_classes": self.audit.num_classes,
            c.OFF_DIAGONAL_ISSUES: self._health.num_issues,
        }

    def release(self) -> None:
        """Free the evidence."""
        self.audit.release()

    @cached_property
    def _health(self) -> HealthSummary:
        return self.audit.health_summary()

    def _label_scores(self, issues: DataFrame) -> DataFrame:
        """Score every example; whether it is an issue is read from the written issues, by id."""
        config = self._config
        scores = self.audit.label_quality_scores(
            method=config.rank_by, adjust_pred_probs=config.adjust_pred_probs
        )
        return add_issue_flag(scores, issues, config.id_col)

    def _check_scores(self, scores: DataFrame, num_issues: int) -> None:
        """Check that every example and every issue has a score.

        Raises:
            SourceChangedError: some have not: they were no longer there when the scores read the input again.
        """
        examples, flagged = scores.agg(F.count(F.lit(1)), F.count_if(c.IS_ISSUE)).collect()[0]
        if examples != self.audit.num_examples or flagged < num_issues:
            raise SourceChangedError(
                f"{SOURCE_CHANGED}: {self.audit.num_examples:,} examples and {num_issues:,} issues at first, "
                f"later {examples:,} scores, {flagged:,} of issues; the run was not recorded"
            )


class LabelAuditTask(Task[AuditConfig]):
    """The label audit: confident learning on a table of given labels and predicted probabilities."""

    name = "label_audit"
    command = "audit"
    help = "Audit a table of labels and predicted probabilities, and write the tables of issues and health."
    title = report.TITLE
    config = AuditConfig
    issues = ISSUES
    tables = TABLES
    numbers = NUMBERS
    gated_tables: ClassVar = {CLASS_HEALTH: "classes"}

    def open(self, spark: SparkSession, config: AuditConfig) -> AuditExecution:
        """Open predictions and labels."""
        return AuditExecution(config, *open_inputs(spark, config))

    def headline(self, run: Run) -> list[str]:
        """Return health and issues, each with what it counts: a filter may list more or fewer than the joint
        counts.
        """
        record = run.record
        return [
            f"{record.overall_health:.2%} overall label health "
            f"({record[c.OFF_DIAGONAL_ISSUES]:,} of {record.num_examples:,} labels are off the diagonal)",
            f"{record.num_issues:,} label issues by {run.parameters['filter_by']}, "
            f"in {record.num_classes:,} classes",
        ]

    def views(self, run: Run) -> list[View]:
        """Return the most suspicious examples, the worst classes, the most confused pairs, and the worst
        slices.
        """
        classes = run.table(CLASS_HEALTH.name).orderBy(F.desc(c.LABEL_NOISE), c.CLASS)
        pairs = run.table(OVERLAPPING_CLASSES.name).orderBy(F.desc(c.JOINT_PROBABILITY), c.CLASS_A, c.CLASS_B)
        views = [
            View("Most suspicious examples", run.issues.orderBy(c.RANK), _issue_columns(run)),
            View(
                "Worst classes",
                classes,
                {
                    c.CLASS: "class",
                    c.CLASS_QUALITY: "quality",
                    c.EXAMPLES: "examples",
                    c.ESTIMATED_LABEL_ISSUES: "wrong (est.)",
                    c.ESTIMATED_INVERSE_LABEL_ISSUES: "lost (est.)",
                    c.THRESHOLD: "threshold",
                },
            ),
            View(
                "Most confused pairs",
                pairs,
                {
                    c.CLASS_A: "class a",
                    c.CLASS_B: "class b",
                    c.EXAMPLES: "examples",
                    c.JOINT_PROBABILITY: "joint probability",
                },
            ),
        ]
        if run.parameters["slice_by"]:
            slices = run.table(SLICE_HEALTH.name).orderBy(c.UPPER, c.SLICE_COLUMN, c.SLICE_VALUE)
            headings = {
                c.SLICE_COLUMN: "column",
                c.SLICE_VALUE: "value",
                c.EXAMPLES: "examples",
                c.OFF_DIAGONAL_ISSUES: "off diagonal",
                c.SLICE_QUALITY: "quality",
                c.LOWER: "at least",
                c.UPPER: "at most",
            }
            views.append(View("Worst slices", slices, headings))
        return views

    def list_issues(self, run: Run, **classes: str | None) -> View:
        """Return the issues of a run, worst first, of all classes or of those named.

        Raises:
            InputError: no class is called so.
        """
        rows = issues_of_classes(run, **classes).orderBy(c.RANK)
        return View(f"Issues of run {run.run_id}", rows, _issue_columns(run))

    def worst(self, run: Run) -> tuple[Any, float] | None:
        """Return the class of lowest quality."""
        worst = worst_classes(run.table(CLASS_HEALTH.name), rows=1)
        return (worst[0][0], 1 - worst[0][1]) if worst else None

    def report(self, run: Run, facts: RunFacts, issues: int) -> tuple[Sequence[KeyNumber], Sequence[Section]]:
        """Return classes, confusion, scores, issues and slices."""
        found = Facts.of(run, issues, facts)
        return report.key_numbers(found), report.sections(found)

    def result(self, **values: Any) -> AuditResult:
        """Make an `AuditResult`."""
        return AuditResult(**values)


LABEL_AUDIT = LabelAuditTask()


def run_audit(spark: SparkSession, config: AuditConfig, steps: Steps | None = None) -> AuditResult:
    """Audit a table, and write the tables of issues and health; its row in `runs` last.

    Args:
        spark: the session.
        config: what to audit, how, and where the results go.
        steps: told of each step as it begins.

    Raises:
        ClSparkError: the configuration, the input or the output cannot be used.
    """
    return cast(AuditResult, run_task(spark, LABEL_AUDIT, config, steps))


def open_inputs(spark: SparkSession, config: AuditConfig) -> tuple[InputTable, InputTable | None]:
    """Open the predictions (or the sample) and the labels, if these are a second table.

    Raises:
        InputError: there is no such table, or it cannot be read.
    """
    if config.sample is not None:
        return read_sample(spark, config.sample), None
    version, timestamp = config.source_version, config.source_timestamp
    predictions = read_source(
        spark,
        str(config.predictions),
        "predictions",
        version=version,
        timestamp=timestamp,
        input_format=config.input_format,
        roles=config.roles,
    )
    if config.labels is None:
        return predictions, None
    return predictions, read_source(spark, config.labels, "labels", roles=config.roles)


def make_audit(config: AuditConfig, df: DataFrame, labels: InputTable | None) -> LabelAudit:
    """Make the audit of a table; it says what is wrong with the columns."""
    return LabelAudit(
        df,
        labels=None if labels is None else labels.df,
        slice_by=config.slice_by,
        **config.input_arguments,
    )


def select_review_columns(predictions: InputTable, config: AuditConfig) -> DataFrame | None:
    """Select ids, and the columns of the input that go with the issues; None if none do.

    Raises:
        MissingColumnError: there is no such column.
        ConfigurationError: the table of issues has a column of the name.
    """
    columns = predictions.df.columns
    sensitive = c.is_case_sensitive(predictions.df.sparkSession)
    taken = {name.casefold() for name in (*(column.name for column in ISSUES.columns), *config.id_col)}
    for col in config.review_columns:
        if col.casefold() in taken:
            raise ConfigurationError(
                f"review_columns: {col!r} is a column of the table of issues already; leave it out"
            )
        taken.add(col.casefold())
        if not c.find_columns(col, columns, case_sensitive=sensitive):
            raise MissingColumnError(
                f"review_columns: there is no column {col!r}; the table has {', '.join(columns)}"
            )
    names = map(c.quoted, (*config.id_col, *config.review_columns))
    return predictions.df.select(*names) if config.review_columns else None


def issues_of_classes(
    run: Run, *, either: str | None = None, given: str | None = None, suggested: str | None = None
) -> DataFrame:
    """Select a run's issues of some classes.

    Args:
        run: the run.
        either: the given or the suggested label.
        given: the given label.
        suggested: the suggested label.

    Raises:
        InputError: no class is called so.
    """
    issues, classes = run.issues, run.table(CLASS_HEALTH.name)
    for name in (either, given, suggested):
        if name is not None and classes.where(F.col(c.CLASS).cast("string") == name).isEmpty():
            raise InputError(
                f"run {run.run_id!r} has no class {name!r}; its classes are those of table class_health"
            )
    given_label, suggested_label = (F.col(col).cast("string") for col in (c.GIVEN_LABEL, c.SUGGESTED_LABEL))
    if either is not None:
        issues = issues.where((given_label == either) | (suggested_label == either))
    if given is not None:
        issues = issues.where(given_label == given)
    if suggested is not None:
        issues = issues.where(suggested_label == suggested)
    return issues


def _issue_columns(run: Run) -> dict[str, str]:
    return {name: _ISSUE_HEADINGS.get(name, name) for name in (c.RANK, *run.id_columns, *_ISSUE_HEADINGS)}
