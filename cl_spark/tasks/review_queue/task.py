"""The review queue as a task of the run machinery: what it reads, draws, writes and shows."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from cl_spark.methods.review import columns as q
from cl_spark.report.sections import KeyNumber, Section
from cl_spark.runs.facts import RunFacts
from cl_spark.runs.result import RunResult
from cl_spark.runs.run import run_task
from cl_spark.runs.steps import Steps
from cl_spark.runs.task import Execution, RowCounts, Stage, Task, View, Written
from cl_spark.tables import columns as c
from cl_spark.tables.finished_run import Run
from cl_spark.tables.results import ResultTables
from cl_spark.tables.schema import RunWarning
from cl_spark.tasks.review_queue import report
from cl_spark.tasks.review_queue.audited import find_audit
from cl_spark.tasks.review_queue.config import ReviewQueueConfig
from cl_spark.tasks.review_queue.exports import check_exports, write_exports
from cl_spark.tasks.review_queue.judged import JudgedLabels
from cl_spark.tasks.review_queue.queue import QueueOptions, ReviewQueue, draw_queue, open_judged
from cl_spark.tasks.review_queue.tables import (
    AUDIT_RUN,
    NUM_FLAGGED,
    NUM_TOP,
    NUM_UNFLAGGED,
    NUMBERS,
    REVIEW_QUEUE,
    TABLES,
)


class QueueExecution(Execution):
    """A review queue at work in one run.

    Args:
        config: which rows are drawn.
        judged: the labels of the run whose issues are reviewed.
    """

    def __init__(self, config: ReviewQueueConfig, judged: JudgedLabels) -> None:
        judged.check_id_columns(config.id_col)
        check_exports(config.exports)
        audit = judged.run
        self.config, self._judged, self._run = config, judged, audit
        self.source = f"run {audit.run_id} in {audit.tables.location}"
        self.source_version = self.read_version()
        ids = judged.read_issues().select(*map(c.quoted, judged.ids), c.GIVEN_LABEL).schema.fields
        self.types = {field.name: field.dataType.simpleString() for field in ids}
        self._queue: ReviewQueue

    def read_version(self) -> str | None:
        """Ask for the attempt at the audit whose tables are read."""
        return self._run.tables.recorded_attempt(self._run.run_id)

    def count_rows(self) -> RowCounts:
        """Draw the queue, and count the rows it is drawn from."""
        self._queue = draw_queue(
            self._judged,
            QueueOptions(
                self.config.budget,
                self.config.per_class,
                self.config.diversify_by,
                self.config.random_share,
                self.config.seed,
            ),
        )
        whole = self._queue.sizes.whole
        self.num_read = whole.top + whole.flagged + whole.unflagged
        return RowCounts(self.num_read)

    def warnings(self, steps: Steps) -> list[RunWarning]:
        """Return doubts about the queue."""
        return list(self._queue.warnings)

    def rejected(self) -> DataFrame:
        """Return no rows: those of a finished run can be used."""
        nothing = F.lit(None).cast("string")
        ids = map(c.quoted, self.config.id_col)
        issues = self._judged.read_issues()
        return issues.select(*ids, nothing.alias(c.REASON), nothing.alias(c.ROW)).where(F.lit(False))

    def stages(self, steps: Steps, written: Written) -> Iterator[Stage]:
        """Yield the queue; then write the files that people review with."""
        rows = self._queue.rows.withColumn(c.RANK, F.col(q.PLACE))
        yield Stage("writing the queue", {REVIEW_QUEUE: rows})
        write_exports(
            written(REVIEW_QUEUE),
            self._judged,
            self.config.exports,
            steps,
            remote_images=self.config.remote_images,
        )

    def numbers(self) -> Mapping[str, Any]:
        """Return the run that is reviewed, and the rows of its strata."""
        whole = self._queue.sizes.whole
        return {
            c.OVERALL_HEALTH: None,
            AUDIT_RUN: self._run.run_id,
            NUM_TOP: whole.top,
            NUM_FLAGGED: whole.flagged,
            NUM_UNFLAGGED: whole.unflagged,
        }


class ReviewQueueTask(Task[ReviewQueueConfig]):
    """The review queue of an audit: which rows people look at first, and in which order."""

    name = "review_queue"
    command = "review"
    help = (
        "Choose the rows of an audit that people look at, and write them as a table, as tasks of Label "
        "Studio, as CSV, and as a page to click through."
    )
    title = "Review queue"
    config = ReviewQueueConfig
    issues = REVIEW_QUEUE
    counted = ("queued rows", "examples")
    tables = TABLES
    numbers = NUMBERS

    def open(self, spark: SparkSession, config: ReviewQueueConfig) -> QueueExecution:
        """Open the run whose issues are reviewed."""
        audit = find_audit(ResultTables.at(spark, config.run_location), config.run)
        return QueueExecution(config, open_judged(audit))

    def headline(self, run: Run) -> list[str]:
        """Return how many rows there are to look at, by stratum, and the files to review with."""
        record = run.record
        strata = report.count_strata(run.table(REVIEW_QUEUE.name))
        counts = ", ".join(
            f"{rows:,} {name}" for name, rows in zip(strata[q.STRATUM], strata["rows"], strict=True)
        )
        files = [path for key in ("label_studio", "csv", "page") if (path := run.parameters.get(key))]
        return [
            f"{record.num_issues:,} rows to look at, of run {record[AUDIT_RUN]} ({counts or 'none'})",
            f"drawn from {record[NUM_TOP] + record[NUM_FLAGGED]:,} issues and {record[NUM_UNFLAGGED]:,} "
            "other labels",
            *([f"files: {', '.join(files)}"] if files else []),
        ]

    def list_issues(self, run: Run, **classes: str | None) -> View:
        """Return the rows of the queue in the order to look at them.

        Raises:
            ConfigurationError: rows of some classes are asked for.
        """
        view = super().list_issues(run, **classes)
        headings = {
            q.PLACE: "place",
            **{col: col for col in run.id_columns},
            c.GIVEN_LABEL: "given",
            c.SUGGESTED_LABEL: "suggested",
            c.LABEL_QUALITY: "quality",
            q.STRATUM: "stratum",
        }
        return View(f"Review queue of run {run.run_id}", view.rows, headings)

    def report(self, run: Run, facts: RunFacts, issues: int) -> tuple[Sequence[KeyNumber], Sequence[Section]]:
        """Return the strata and the first rows."""
        return report.key_numbers(run), report.sections(run, issues)


REVIEW = ReviewQueueTask()


def run_review_queue(spark: SparkSession, config: ReviewQueueConfig, steps: Steps | None = None) -> RunResult:
    """Choose the rows of an audit that people look at, and write them; the row in `runs` last.

    Args:
        spark: the session.
        config: which run is reviewed, which rows are drawn, and where they go.
        steps: told of each step as it begins.

    Raises:
        ClSparkError: the configuration, the audit or the output cannot be used. Nothing is recorded then.
    """
    return run_task(spark, REVIEW, config, steps)
