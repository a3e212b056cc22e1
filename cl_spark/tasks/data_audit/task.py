"""The data audit as a task of the run machinery: what it reads, computes, writes and shows."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, cast

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from cl_spark.methods.checks.check_columns import ISSUE_TYPE, SCORE, WHY
from cl_spark.methods.checks.data_audit import DataAudit
from cl_spark.methods.neighbors.duplicates import GROUP
from cl_spark.report.sections import KeyNumber, Section
from cl_spark.runs.facts import RunFacts
from cl_spark.runs.result import RunResult
from cl_spark.runs.run import run_task
from cl_spark.runs.steps import Steps
from cl_spark.runs.task import Execution, RowCounts, Stage, View, Written
from cl_spark.tables import columns as c
from cl_spark.tables.finished_run import Run
from cl_spark.tables.input_table import InputTable
from cl_spark.tables.schema import RunWarning
from cl_spark.tasks.data_audit import report
from cl_spark.tasks.data_audit.config import DataAuditConfig
from cl_spark.tasks.data_audit.tables import DATA_CHECKS, DATA_ISSUES, DATA_SCORES, TABLES
from cl_spark.tasks.label_audit.stages import check_review_columns
from cl_spark.tasks.label_audit.task import Audit, SourceTask


class DataExecution(Execution):
    """A data audit at work in one run.

    Args:
        config: what to audit, and where results go.
        table: the input.
        audit: the audit.
    """

    def __init__(self, config: DataAuditConfig, table: InputTable, audit: DataAudit) -> None:
        self.config, self._input, self._audit = config, table, audit
        check_review_columns(audit.df, config.review_columns, config.id_col, DATA_ISSUES)
        ids, review = (map(c.quoted, names) for names in (config.id_col, config.review_columns))
        label = [] if audit.given_label is None else [audit.given_label]
        shown = audit.df.select(*ids, *label, *review)
        self._of_input = shown if label or config.review_columns else None
        types = {field.name: field.dataType.simpleString() for field in shown.schema.fields}
        self.types = {**types, GROUP: types[config.id_col[0]]}
        self.source, self.source_version = table.name, table.state()
        self._num_sound = 0

    def read_version(self) -> str | None:
        """Ask for the state of the input."""
        return self._input.state()

    def count_rows(self) -> RowCounts:
        """Count the rows, and those without an id of their own."""
        self.num_read = self._audit.num_read
        return RowCounts(self._audit.num_examples, self._audit.rejected_counts)

    def warnings(self, steps: Steps) -> list[RunWarning]:
        """Return doubts about the labels, and checks that could not be answered."""
        with steps("running the checks"):
            return self._audit.warnings()

    def explain_rejections(self, steps: Steps) -> list[str]:
        """Return nothing: ids are why rows are rejected, and no check tells of them."""
        return []

    def rejected(self) -> DataFrame:
        """Return the rows without an id of their own."""
        return self._audit.rejected()

    def stages(self, steps: Steps, written: Written) -> Iterator[Stage]:
        """Yield issues and checks; then the scores, where they are asked for."""
        audit, ids = self._audit, self.config.id_col
        with steps("choosing the issues"):
            issues = audit.find_issues()
        if self._of_input is not None:
            issues = issues.join(self._of_input, ids, "left")
        yield Stage("writing the tables", {DATA_ISSUES: issues, DATA_CHECKS: audit.summary()})
        bad = written(DATA_ISSUES).select(*map(c.quoted, ids)).distinct().count()
        self._num_sound = audit.num_examples - bad
        if self.config.all_scores:
            yield Stage("writing the scores", {DATA_SCORES: audit.scores()})

    def numbers(self) -> Mapping[str, Any]:
        """Return the share of examples without an issue of any kind."""
        return {c.OVERALL_HEALTH: self._num_sound / self._audit.num_examples}

    def release(self) -> None:
        """Free what the checks keep."""
        self._audit.release()


class DataAuditTask(SourceTask[DataAuditConfig]):
    """The data audit: a table looked through for bad rows of every kind."""

    name = "data_audit"
    variant = "data"
    help = "Look through a table for bad rows of every kind."
    title = report.TITLE
    config = DataAuditConfig
    issues = DATA_ISSUES
    issue_keys = (ISSUE_TYPE,)
    tables = TABLES
    gated_tables: ClassVar = {DATA_CHECKS: "checks"}
    first_note: ClassVar = "no check was run: each judges a row by all others, which the first rows are not"

    def first_warnings(self, audit: Audit) -> list[RunWarning]:
        """Tell the doubts about a table that its first rows support, without a check."""
        return cast(DataAudit, audit).first_warnings()

    def make_audit(
        self, config: DataAuditConfig, df: DataFrame, labels: InputTable | None = None
    ) -> DataAudit:
        """Make a `DataAudit`, whose results have the id as the configuration spells it."""
        named = df.withColumnRenamed(config.id_col[0], config.id_col[0])
        return DataAudit(named, **config.find_arguments(named))

    def execute(
        self, config: DataAuditConfig, predictions: InputTable, labels: InputTable | None
    ) -> DataExecution:
        """Check the input against the configuration."""
        return DataExecution(config, predictions, self.make_audit(config, predictions.df))

    def headline(self, run: Run) -> list[str]:
        """Return health and issues, each with what it counts."""
        record = run.record
        counts = (
            run.table(DATA_CHECKS.name).orderBy(F.desc("issues"), ISSUE_TYPE).select(ISSUE_TYPE, "issues")
        )
        kinds = report.list_kinds([(row[0], row[1] or 0) for row in counts.collect()])
        return [
            f"{record.overall_health:.2%} of {record.num_examples:,} rows have no issue",
            f"{record.num_issues:,} issues: {kinds}",
        ]

    def views(self, run: Run) -> list[View]:
        """Return the checks, and the worst issue of each kind first."""
        columns = {
            name: name.replace("_", " ") for name in (ISSUE_TYPE, "issues", "examples", "unusable", "note")
        }
        checks = run.table(DATA_CHECKS.name).orderBy(F.desc_nulls_last("issues"), ISSUE_TYPE)
        return [View("Checks", checks, columns), self.list_issues(run)]

    def list_issues(self, run: Run, **classes: str | None) -> View:
        """Return the issues of a run: the worst of each kind, then the second of each.

        Raises:
            ConfigurationError: they are to be selected by class.
        """
        view = super().list_issues(run, **classes)
        columns = {c.RANK: "rank", ISSUE_TYPE: "kind", **{col: col for col in run.id_columns}}
        rows = run.table(self.issues.name).orderBy(c.RANK)
        return View(view.title, rows, {**columns, WHY: "why", SCORE: "score"})

    def report(self, run: Run, facts: RunFacts, issues: int) -> tuple[Sequence[KeyNumber], Sequence[Section]]:
        """Return the checks, and the issues of each kind."""
        return report.key_numbers(run), report.sections(run, issues)


DATA_AUDIT = DataAuditTask()


def run_data_audit(spark: SparkSession, config: DataAuditConfig, steps: Steps | None = None) -> RunResult:
    """Look through a table for bad rows of every kind, and write issues and checks; its row in `runs` last.

    Args:
        spark: the session.
        config: what to audit, and where the results go.
        steps: told of each step as it begins.

    Raises:
        ClSparkError: the configuration, the input or the output cannot be used.
    """
    return run_task(spark, DATA_AUDIT, config, steps)
