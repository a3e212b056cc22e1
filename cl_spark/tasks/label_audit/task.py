"""The label audit as a task of the run machinery: what it reads, computes, writes and shows."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, TypeVar, cast

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from cl_spark.errors import InputError
from cl_spark.evidence.validity import explain_rejection
from cl_spark.methods.classification.label_audit import LabelAudit
from cl_spark.report.sections import KeyNumber, Section
from cl_spark.runs.config import ConfigT
from cl_spark.runs.facts import RunFacts
from cl_spark.runs.result import RunResult
from cl_spark.runs.run import run_task
from cl_spark.runs.steps import Steps
from cl_spark.runs.task import Execution, RowCounts, Task, View
from cl_spark.tables import columns as c
from cl_spark.tables.card import worst_classes
from cl_spark.tables.finished_run import Run
from cl_spark.tables.input_table import InputTable, read_sample, read_source
from cl_spark.tables.schema import RunWarning
from cl_spark.tasks.label_audit import report
from cl_spark.tasks.label_audit.config import (
    AuditConfig,
    IssueConfig,
    SourceConfig,
    TableConfig,
    name_of_method,
)
from cl_spark.tasks.label_audit.facts import Facts
from cl_spark.tasks.label_audit.stages import AuditStages
from cl_spark.tasks.label_audit.tables import (
    CLASS_HEALTH,
    ISSUES,
    NUMBERS,
    OVERLAPPING_CLASSES,
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


class AuditExecution(AuditStages):
    """A label audit at work in one run.

    Args:
        config: what to audit, and how.
        audit: the audit.
        predictions: the input.
        labels: the second table, if there is one.
        examples: the table of examples and review columns, where the input's rows are something else.
    """

    def __init__(
        self,
        config: IssueConfig,
        audit: LabelAudit,
        predictions: InputTable,
        labels: InputTable | None = None,
        examples: InputTable | None = None,
    ) -> None:
        self._audit, self._inputs = audit, (predictions, labels)
        self._is_sample = isinstance(config, AuditConfig) and config.sample is not None
        super().__init__(config, examples or predictions, audit.predictions.slice_by)
        self.source = predictions.name if labels is None else f"{predictions.name} with labels {labels.name}"
        self.source_version = self.read_version()
        self.types = {
            **self.types,
            c.GIVEN_LABEL: "int" if self.audit.predictions.names is None else "string",
        }

    @property
    def audit(self) -> LabelAudit:
        """The audit."""
        return self._audit

    def read_version(self) -> str | None:
        """Ask for the state of predictions and labels; the sample has none."""
        predictions, labels = self._inputs
        if self._is_sample:
            return None
        return predictions.state() if labels is None else f"{predictions.state()}, labels {labels.state()}"

    def count_rows(self) -> RowCounts:
        """Count the input without the audit's own scan, so that the two can be compared; then scan it."""
        self.num_read = self.audit.predictions.rows.count()
        statistics = self.audit.statistics
        rejected = {
            explain_rejection(code, self.config.example_ids): rows
            for code, rows in sorted(statistics.rejected.items())
        }
        return RowCounts(self.audit.num_examples, rejected)

    def rejected(self) -> DataFrame:
        """Return the rejected rows."""
        return self.audit.rejected()


class AuditTask(Task[ConfigT]):
    """A kind of run that writes the tables of a label audit, and shows them."""

    issues = ISSUES
    gated_tables: ClassVar = {CLASS_HEALTH: "classes"}

    def headline(self, run: Run) -> list[str]:
        """Return health and issues, each with what it counts: a filter may list more or fewer than the joint
        counts.
        """
        record = run.record
        return [
            f"{record.overall_health:.2%} overall label health "
            f"({record[c.OFF_DIAGONAL_ISSUES]:,} of {record.num_examples:,} labels are off the diagonal)",
            f"{record.num_issues:,} label issues by {name_of_method(run.parameters)}, "
            f"in {record.num_classes:,} classes",
        ]

    def views(self, run: Run) -> list[View]:
        """Return the most suspicious examples, the worst classes, the most confused pairs, and the worst
        slices.
        """
        classes = run.table(CLASS_HEALTH.name).orderBy(F.desc(c.LABEL_NOISE), c.CLASS)
        pairs = run.table(OVERLAPPING_CLASSES.name).orderBy(F.desc(c.JOINT_PROBABILITY), c.CLASS_A, c.CLASS_B)
        views = [
            View("Most suspicious examples", run.issues.orderBy(c.RANK), self.issue_columns(run)),
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
        if run.parameters.get("slice_by"):
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
        return View(f"Issues of run {run.run_id}", rows, self.issue_columns(run))

    def issue_columns(self, run: Run) -> dict[str, str]:
        """Return the columns of issues to show on the terminal, with their headings."""
        names = (c.RANK, *run.id_columns, *_ISSUE_HEADINGS)
        return {name: _ISSUE_HEADINGS.get(name, name) for name in names}

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


TableConfigT = TypeVar("TableConfigT", bound=TableConfig)
SourceConfigT = TypeVar("SourceConfigT", bound=SourceConfig)


class Audit(Protocol):
    """An audit of any kind, as far as it tells of its rows."""

    @property
    def num_examples(self) -> int:
        """Number of accepted rows."""
        ...

    @property
    def num_rejected(self) -> int:
        """Number of rejected rows."""
        ...

    @property
    def num_classes(self) -> int | None:
        """K; None of an audit that knows no classes."""
        ...

    def rejected(self) -> DataFrame:
        """Read the rejected rows."""
        ...

    def warnings(self) -> list[RunWarning]:
        """Tell doubts about the input."""
        ...

    def release(self) -> None:
        """Free what is kept."""
        ...


class SourceTask(Task[TableConfigT]):
    """A task that audits a table, whose rows are examples or hold them."""

    command = "audit"
    first_note: ClassVar = ""
    """Sentence about what the first rows of a table cannot tell; empty where there is nothing to say."""

    def first_warnings(self, audit: Audit) -> list[RunWarning]:
        """Tell the doubts about a table that its first rows support.

        Args:
            audit: the audit of these rows.
        """
        return audit.warnings()

    @abstractmethod
    def make_audit(self, config: TableConfigT, df: DataFrame, labels: InputTable | None = None) -> Audit:
        """Make the audit of a table; it says what is wrong with the columns."""

    @abstractmethod
    def execute(self, config: TableConfigT, predictions: InputTable, labels: InputTable | None) -> Execution:
        """Check the input against the configuration."""

    def open_inputs(self, spark: SparkSession, config: TableConfigT) -> tuple[InputTable, InputTable | None]:
        """Open the predictions, and the labels if these are a second table.

        Raises:
            InputError: there is no such table, or it cannot be read.
        """
        return open_predictions(spark, config), None

    def open(self, spark: SparkSession, config: TableConfigT) -> Execution:
        """Open the input."""
        return self.execute(config, *self.open_inputs(spark, config))


class SourceAuditTask(AuditTask[SourceConfigT], SourceTask[SourceConfigT]):
    """The label audit of a table of predictions."""

    @abstractmethod
    def make_audit(
        self, config: SourceConfigT, df: DataFrame, labels: InputTable | None = None
    ) -> LabelAudit:
        """Make the audit of a table."""

    def select_examples(self, config: SourceConfigT, predictions: InputTable) -> InputTable:
        """Select the table of examples, with the columns that `review_columns` may name."""
        return predictions

    def execute(
        self, config: SourceConfigT, predictions: InputTable, labels: InputTable | None
    ) -> AuditExecution:
        """Check the input against the configuration."""
        audit = self.make_audit(config, predictions.df, labels)
        return AuditExecution(config, audit, predictions, labels, self.select_examples(config, predictions))


class LabelAuditTask(SourceAuditTask[AuditConfig]):
    """The label audit: confident learning on a table of given labels and predicted probabilities."""

    name = "label_audit"
    variant = "classification"
    help = "Audit a table of labels and predicted probabilities, and write the tables of issues and health."
    title = report.TITLE
    config = AuditConfig
    tables = TABLES
    numbers = NUMBERS

    def make_audit(self, config: AuditConfig, df: DataFrame, labels: InputTable | None = None) -> LabelAudit:
        """Make a `LabelAudit`."""
        return LabelAudit(
            df,
            labels=None if labels is None else labels.df,
            slice_by=config.slice_by,
            **config.input_arguments,
        )

    def open_inputs(self, spark: SparkSession, config: AuditConfig) -> tuple[InputTable, InputTable | None]:
        """Open the predictions (or the sample) and the labels, if these are a second table."""
        if config.sample is not None:
            return read_sample(spark, config.sample), None
        predictions = open_predictions(spark, config)
        if config.labels is None:
            return predictions, None
        return predictions, read_source(spark, config.labels, "labels", roles=config.roles)


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


def open_predictions(spark: SparkSession, config: TableConfig) -> InputTable:
    """Open the predictions.

    Raises:
        InputError: there is no such table, or it cannot be read.
    """
    return read_source(
        spark,
        str(config.predictions),
        "predictions",
        version=config.source_version,
        timestamp=config.source_timestamp,
        input_format=config.input_format,
        roles=config.roles,
    )


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
