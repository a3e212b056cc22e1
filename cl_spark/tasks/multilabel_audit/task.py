"""The multi-label audit as a task of the run machinery: what it reads, computes, writes and shows."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from cl_spark.errors import ConfigurationError, InputError
from cl_spark.evidence.validity import explain_rejection
from cl_spark.methods.classification.scores import add_by_id, add_issue_flag
from cl_spark.methods.multilabel.health import WRONGLY_GIVEN, WRONGLY_MISSING, MultilabelHealth
from cl_spark.methods.multilabel.multilabel_audit import GIVEN_LABELS, SUGGESTED_LABELS, MultilabelAudit
from cl_spark.report.sections import KeyNumber, Section
from cl_spark.runs.facts import RunFacts
from cl_spark.runs.result import RunResult
from cl_spark.runs.run import run_task
from cl_spark.runs.steps import Steps
from cl_spark.runs.task import Execution, RowCounts, Stage, View, Written
from cl_spark.tables import columns as c
from cl_spark.tables.card import worst_classes
from cl_spark.tables.finished_run import Run
from cl_spark.tables.input_table import InputTable
from cl_spark.tables.schema import RunWarning
from cl_spark.tasks.label_audit.stages import check_scores, check_slices, select_review_columns
from cl_spark.tasks.label_audit.tables import NUMBERS, SLICE_HEALTH
from cl_spark.tasks.label_audit.task import SourceTask
from cl_spark.tasks.multilabel_audit import report
from cl_spark.tasks.multilabel_audit.config import MultilabelAuditConfig
from cl_spark.tasks.multilabel_audit.tables import (
    CLASS_ISSUES,
    MISSING_TOGETHER,
    MULTILABEL_HEALTH,
    MULTILABEL_ISSUES,
    MULTILABEL_SCORES,
    TABLES,
)


class MultilabelExecution(Execution):
    """A multi-label audit at work in one run.

    Args:
        config: what to audit, and how.
        predictions: the input.
        audit: the audit.
    """

    def __init__(
        self, config: MultilabelAuditConfig, predictions: InputTable, audit: MultilabelAudit
    ) -> None:
        self.config, self._input, self._audit = config, predictions, audit
        self._audit.check_options(**config.filter_arguments)
        self._review = select_review_columns(predictions, config, MULTILABEL_ISSUES)
        shown = predictions.df.select(*map(c.quoted, config.id_col)) if self._review is None else self._review
        element = "int" if self._audit.predictions.names is None else "string"
        self.types = {
            **{field.name: field.dataType.simpleString() for field in shown.schema.fields},
            **dict.fromkeys((GIVEN_LABELS, SUGGESTED_LABELS), f"array<{element}>"),
        }
        self.source, self.source_version = predictions.name, predictions.state()

    def read_version(self) -> str | None:
        """Ask for the state of the predictions."""
        return self._input.state()

    def count_rows(self) -> RowCounts:
        """Count the input without the audit's own scan, so that the two can be compared; then scan it."""
        self.num_read = self._input.df.count()
        rejected = {
            explain_rejection(code, self.config.id_col): rows
            for code, rows in sorted(self._audit.rejected_counts.items())
        }
        return RowCounts(self._audit.num_examples, rejected)

    def warnings(self, steps: Steps) -> list[RunWarning]:
        """Return doubts about the meaning of the labels, which the scan has found."""
        return self._audit.warnings()

    def rejected(self) -> DataFrame:
        """Return the rejected rows."""
        return self._audit.rejected()

    def stages(self, steps: Steps, written: Written) -> Iterator[Stage]:
        """Yield issues and health; then the scores, where they are asked for."""
        config, audit = self.config, self._audit
        of_classes = {key: value for key, value in config.filter_arguments.items() if key != "num_issues"}
        with steps("choosing the issues"):
            issues = audit.find_label_issues(**config.filter_arguments)
            by_class = audit.find_label_issues_per_class(**of_classes)
        if self._review is not None:
            issues = add_by_id(issues, self._review, config.id_col)
        health, thresholds = self._health, audit.confident_thresholds().drop(c.EXAMPLES)
        slices = {SLICE_HEALTH: audit.slice_health()} if config.slice_by else {}
        yield Stage(
            "writing the tables",
            {
                MULTILABEL_ISSUES: issues,
                CLASS_ISSUES: by_class,
                MULTILABEL_HEALTH: health.class_health.join(thresholds, c.CLASS),
                MISSING_TOGETHER: health.missing_together,
                **slices,
            },
        )
        if config.slice_by:
            check_slices(written(SLICE_HEALTH), audit.num_examples)
        if config.label_scores:
            scores = audit.label_quality_scores(method=config.rank_by)
            found = written(MULTILABEL_ISSUES)
            flagged = add_issue_flag(scores, found, config.id_col)
            yield Stage("writing the scores", {MULTILABEL_SCORES: flagged})
            check_scores(written(MULTILABEL_SCORES), audit.num_examples, found.count())

    def numbers(self) -> Mapping[str, Any]:
        """Return K, the examples off the diagonal of any class, and the overall health that follows."""
        num_issues = self._audit.num_label_issues()
        return {
            c.OVERALL_HEALTH: 1 - num_issues / self._audit.num_examples,
            "num_classes": self._audit.num_classes,
            c.OFF_DIAGONAL_ISSUES: num_issues,
        }

    def release(self) -> None:
        """Free the evidence."""
        self._audit.release()

    @cached_property
    def _health(self) -> MultilabelHealth:
        names = ("filter_by", "frac_noise", "min_examples_per_class")
        return self._audit.health_summary(**{name: getattr(self.config, name) for name in names})


class MultilabelAuditTask(SourceTask[MultilabelAuditConfig]):
    """The multi-label audit: confident learning on a table of sets of labels."""

    name = "multilabel_audit"
    variant = "multilabel"
    help = "Audit a table of sets of labels and the predicted probability of each class."
    title = report.TITLE
    config = MultilabelAuditConfig
    issues = MULTILABEL_ISSUES
    tables = TABLES
    numbers = NUMBERS
    gated_tables: ClassVar = {MULTILABEL_HEALTH: "classes"}

    def make_audit(
        self, config: MultilabelAuditConfig, df: DataFrame, labels: InputTable | None = None
    ) -> MultilabelAudit:
        """Make a `MultilabelAudit`."""
        return MultilabelAudit(df, **config.input_arguments)

    def execute(
        self, config: MultilabelAuditConfig, predictions: InputTable, labels: InputTable | None
    ) -> MultilabelExecution:
        """Check the input against the configuration."""
        return MultilabelExecution(config, predictions, self.make_audit(config, predictions.df))

    def headline(self, run: Run) -> list[str]:
        """Return health and issues, each with what it counts."""
        record = run.record
        return [
            f"{record.overall_health:.2%} overall label health ({record[c.OFF_DIAGONAL_ISSUES]:,} of "
            f"{record.num_examples:,} sets of labels are off the diagonal of a class)",
            f"{record.num_issues:,} examples with an issue by {run.parameters['filter_by']}, "
            f"in {record.num_classes:,} classes",
        ]

    def views(self, run: Run) -> list[View]:
        """Return the most suspicious examples, the worst classes, and those missing together."""
        health = run.table(MULTILABEL_HEALTH.name)
        pairs = run.table(MISSING_TOGETHER.name).orderBy(F.desc(c.EXAMPLES), c.CLASS_A, c.CLASS_B)
        headings = {
            c.CLASS: "class",
            c.EXAMPLES: "examples",
            WRONGLY_GIVEN: "wrongly given",
            WRONGLY_MISSING: "wrongly missing",
            c.CLASS_QUALITY: "quality",
        }
        worst = health.orderBy(c.CLASS_QUALITY, c.CLASS)
        together = {c.CLASS_A: "class", c.CLASS_B: "and class", c.EXAMPLES: "examples"}
        return [
            self._list_examples(run, "Most suspicious examples"),
            View("Worst classes", worst, headings),
            View("Missing together", pairs, together),
        ]

    def list_issues(self, run: Run, **classes: str | None) -> View:
        """Return the issues of a run, worst first: of all examples, or the single labels of a class.

        Raises:
            ConfigurationError: they are to be selected otherwise than by class.
            InputError: no class is called so.
        """
        name = classes.pop("either", None)
        if any(classes.values()):
            raise ConfigurationError("of sets of labels, issues are selected by --class only")
        if name is None:
            return self._list_examples(run, f"Issues of run {run.run_id}")
        rows = run.table(CLASS_ISSUES.name).where(F.col(c.CLASS).cast("string") == name)
        if run.table(MULTILABEL_HEALTH.name).where(F.col(c.CLASS).cast("string") == name).isEmpty():
            raise InputError(
                f"run {run.run_id!r} has no class {name!r}; its classes are those of table multilabel_health"
            )
        title = f"Issues of class {name} in run {run.run_id}"
        return View(title, rows.orderBy(c.RANK), {col: col for col in rows.columns})

    def _list_examples(self, run: Run, title: str) -> View:
        headings = {GIVEN_LABELS: "given", SUGGESTED_LABELS: "suggested", c.LABEL_QUALITY: "quality"}
        columns = {c.RANK: "rank", **{col: col for col in run.id_columns}, **headings}
        return View(title, run.table(MULTILABEL_ISSUES.name).orderBy(c.RANK), columns)

    def worst(self, run: Run) -> tuple[Any, float] | None:
        """Return the class of lowest quality."""
        worst = worst_classes(run.table(MULTILABEL_HEALTH.name), rows=1)
        return (worst[0][0], 1 - worst[0][1]) if worst else None

    def report(self, run: Run, facts: RunFacts, issues: int) -> tuple[Sequence[KeyNumber], Sequence[Section]]:
        """Return classes, those missing together, issues, and slices."""
        return report.key_numbers(run), report.sections(run, issues)


MULTILABEL_AUDIT = MultilabelAuditTask()


def run_multilabel_audit(
    spark: SparkSession, config: MultilabelAuditConfig, steps: Steps | None = None
) -> RunResult:
    """Audit a table of sets of labels, and write the tables of issues and health; its row in `runs` last.

    Args:
        spark: the session.
        config: what to audit, how, and where the results go.
        steps: told of each step as it begins.

    Raises:
        ClSparkError: the configuration, the input or the output cannot be used.
    """
    return run_task(spark, MULTILABEL_AUDIT, config, steps)
