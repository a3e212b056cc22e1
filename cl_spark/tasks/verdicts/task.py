"""Verdicts as a task of the run machinery: what it reads, decides, estimates, writes and shows."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from cl_spark.methods.review import columns as q
from cl_spark.methods.review import validated_quality as v
from cl_spark.methods.review.answer_checks import EQUAL_ANSWER, SKIPPED
from cl_spark.methods.review.validated_quality import ValidatedQuality, show_estimate, validated_quality
from cl_spark.methods.review.verdicts import NOT_AN_ERROR, VERDICT, VERDICTS, VOTES, Verdicts, decide_verdicts
from cl_spark.report.sections import KeyNumber, Section
from cl_spark.runs.facts import RunFacts
from cl_spark.runs.result import RunResult
from cl_spark.runs.run import run_task
from cl_spark.runs.steps import Steps
from cl_spark.runs.task import Execution, RowCounts, Stage, Task, View, Written
from cl_spark.tables import columns as c
from cl_spark.tables.finished_run import Run
from cl_spark.tables.input_table import read_source
from cl_spark.tables.results import ResultTables
from cl_spark.tables.schema import RunWarning
from cl_spark.tables.text_files import Roles
from cl_spark.tasks.review_queue.tables import NUM_FLAGGED, NUM_TOP, NUM_UNFLAGGED
from cl_spark.tasks.verdicts import report
from cl_spark.tasks.verdicts.config import VerdictsConfig
from cl_spark.tasks.verdicts.ranks import add_id_rank
from cl_spark.tasks.verdicts.reviewed import (
    Reviewed,
    find_reviewed,
    hash_files,
    open_answers,
    read_answers,
)
from cl_spark.tasks.verdicts.tables import (
    NUM_OF,
    NUM_PENDING,
    NUM_QUEUED,
    NUMBERS,
    REVIEW_PROGRESS,
    REVIEWED_RUN,
    ROWS,
    TABLES,
    VALIDATED_QUALITY,
    VERDICT_TABLE,
)

logger = logging.getLogger(__name__)

_QUALITY_ROLES = Roles(values=("quality",), others=("annotator",))

_SIZE_OF = {q.TOP: NUM_TOP, q.FLAGGED: NUM_FLAGGED, q.UNFLAGGED: NUM_UNFLAGGED}
"""Numbers of rows of the strata in the whole table, by stratum."""


class VerdictExecution(Execution):
    """Verdicts at work in one run.

    Args:
        spark: the session.
        config: whose answers decide, and how.
        reviewed: the rows they are about.
    """

    def __init__(self, spark: SparkSession, config: VerdictsConfig, reviewed: Reviewed) -> None:
        reviewed.run.check_id_columns(config.id_col, reviewed.ids)
        self.config, self._spark, self._reviewed = config, spark, reviewed
        self._answers = read_answers(spark, config, reviewed.queue)
        run = reviewed.run
        self.source = f"answers {', '.join(config.answers)} to run {run.run_id} in {run.tables.location}"
        self.source_version = f"{self._answers.state}, run {self._find_attempt()}"
        fields = reviewed.queue.select(*map(c.quoted, config.id_col), c.GIVEN_LABEL).schema.fields
        self.types = {field.name: field.dataType.simpleString() for field in fields}
        self._verdicts: Verdicts
        self._quality: ValidatedQuality | None = None

    def _find_attempt(self) -> str | None:
        return self._reviewed.run.tables.recorded_attempt(self._reviewed.run.run_id)

    def read_version(self) -> str | None:
        """Ask for the state of the answers and for the attempt at the run they are about."""
        config = self.config
        is_table = config.kind == "table"
        state = open_answers(self._spark, config).state() if is_table else hash_files(config)
        return f"{state}, run {self._find_attempt()}"

    def count_rows(self) -> RowCounts:
        """Decide, and count the answers that count and those that do not."""
        config = self.config
        quality = config.annotator_quality
        self._verdicts = decide_verdicts(
            self._answers.answers,
            self._reviewed.queue,
            id_col=config.id_col,
            annotator_col=config.annotator_col if config.kind == "table" else q.ANNOTATOR,
            answer_col=config.answer_col if config.kind == "table" else q.ANSWER,
            quorum=config.quorum,
            num_reviewers=config.num_reviewers,
            answer_names=config.answer_names,
            annotator_quality=None
            if quality is None
            else read_source(self._spark, quality, "annotator_quality", roles=_QUALITY_ROLES).df,
        )
        self.num_read = self._verdicts.num_read
        if self._verdicts.num_decided:
            sizes = self._reviewed.sizes
            self._quality = validated_quality(
                self._verdicts,
                num_top=sizes[NUM_TOP],
                num_flagged=sizes[NUM_FLAGGED],
                num_unflagged=sizes.get(NUM_UNFLAGGED),
            )
        # reviewers may skip what they cannot answer, and files may be read twice
        return RowCounts(
            self._verdicts.num_accepted, self._verdicts.rejected_answers, frozenset({SKIPPED, EQUAL_ANSWER})
        )

    def warnings(self, steps: Steps) -> list[RunWarning]:
        """Return a warning about rows that nobody has decided about."""
        found = self._verdicts
        if not found.num_pending:
            return []
        message = (
            f"{found.num_pending:,} of {found.num_queued:,} rows of the queue have no verdict yet: estimates "
            "hold if these were left out by chance, not because they are hard"
        )
        logger.warning("%s (pending_rows)", message)
        return [RunWarning("pending_rows", message)]

    def rejected(self) -> DataFrame:
        """Return the answers that do not count."""
        return self._verdicts.rejected

    def stages(self, steps: Steps, written: Written) -> Iterator[Stage]:
        """Yield verdicts, what they tell of the whole table, and progress."""
        found, quality = self._verdicts, self._quality
        empty = self._spark.createDataFrame([], v.SCHEMA)
        estimates = empty if quality is None else quality.to_spark(self._spark)
        # known before anybody has answered; null where the sizes do not tell
        sizes = self._reviewed.sizes
        rows = [(name, sizes.get(key)) for name, key in _SIZE_OF.items()]
        whole = self._spark.createDataFrame(rows, f"{q.STRATUM} string, {ROWS} long")
        progress = found.progress.join(F.broadcast(whole), q.STRATUM, "left")
        columns = [column.name for column in REVIEW_PROGRESS.columns[2:]]
        # one type, whether or not votes are weighted: runs stand in one table
        votes = {col: F.col(col).cast("double") for col in VOTES.values()}
        verdicts = found.verdicts.withColumns(votes)
        yield Stage(
            "writing the verdicts",
            {
                VERDICT_TABLE: add_id_rank(verdicts, self.config.id_col, found.num_decided),
                VALIDATED_QUALITY: estimates,
                REVIEW_PROGRESS: progress.select(*columns),
            },
        )

    def numbers(self) -> Mapping[str, Any]:
        """Return the verdicts of each kind, and the estimates."""
        found, quality = self._verdicts, self._quality
        estimates = {} if quality is None else quality.estimates
        rows = 0 if quality is None else sum(stratum.rows for stratum in quality.strata.values())
        numbers: dict[str, Any] = {
            c.OVERALL_HEALTH: None,
            REVIEWED_RUN: self._reviewed.run.run_id,
            NUM_QUEUED: found.num_queued,
            NUM_PENDING: found.num_pending,
            **{col: found.counts[verdict] for verdict, col in NUM_OF.items()},
        }
        for metric, end in ((v.PRECISION, "lower"), (v.RECALL, "lower"), (v.ESTIMATED_ERRORS, "upper")):
            one = estimates.get(metric)
            numbers |= {metric: one and one.value, f"{metric}_{end}": one and getattr(one, end)}
        if numbers[v.ESTIMATED_ERRORS] is not None and rows:
            numbers[c.OVERALL_HEALTH] = 1 - numbers[v.ESTIMATED_ERRORS] / rows
        return numbers


class VerdictsTask(Task[VerdictsConfig]):
    """Verdicts: the answers to a review queue, decided, and the quality of labels that they tell."""

    name = "verdicts"
    command = "verdicts"
    help = (
        "Decide about the rows that people have reviewed by their answers, and estimate from these verdicts "
        "how many labels are wrong."
    )
    title = "Verdicts"
    config = VerdictsConfig
    issues = VERDICT_TABLE
    counted = ("verdicts", "answers")
    tables = TABLES
    numbers = NUMBERS

    def open(self, spark: SparkSession, config: VerdictsConfig) -> VerdictExecution:
        """Open the queue and its answers."""
        tables = ResultTables.at(spark, config.run_location)
        return VerdictExecution(spark, config, find_reviewed(tables, config.run))

    def headline(self, run: Run) -> list[str]:
        """Return the verdicts of each kind, what is pending, and the estimates."""
        record = run.record
        decided = record[NUM_QUEUED] - record[NUM_PENDING]
        counts = ", ".join(f"{record[NUM_OF[name]]:,} {name.replace('_', ' ')}" for name in VERDICTS)
        shown = report.read_estimates(run)
        told = ", ".join(
            f"{metric.replace('_', ' ')} {show_estimate(shown[metric], metric)}"
            for metric in (v.PRECISION, v.RECALL, v.ESTIMATED_ERRORS)
            if metric in shown
        )
        return [
            f"{decided:,} of {record[NUM_QUEUED]:,} rows decided: {counts}; {record[NUM_PENDING]:,} pending",
            *([f"at 95 %: {told}"] if told else []),
        ]

    def views(self, run: Run) -> list[View]:
        """Return the errors that people have found, and the estimates."""
        verdicts = run.table(VERDICT_TABLE.name).where(F.col(VERDICT) != NOT_AN_ERROR)
        labels = {c.GIVEN_LABEL: "given", c.SUGGESTED_LABEL: "suggested", VERDICT: "verdict"}
        ends = {v.METRIC: "metric", v.VALUE: "value", c.LOWER: "at least", c.UPPER: "at most"}
        return [
            View(
                "Wrong labels",
                verdicts.orderBy(F.asc_nulls_last(q.ISSUE_RANK), c.RANK),
                {**{col: col for col in run.id_columns}, **labels},
            ),
            View("Validated quality", report.order_estimates(run), ends),
        ]

    def report(self, run: Run, facts: RunFacts, issues: int) -> tuple[Sequence[KeyNumber], Sequence[Section]]:
        """Return validated quality, verdicts and the progress of the review."""
        return report.key_numbers(run), report.sections(run, issues)


VERDICTS_TASK = VerdictsTask()


def run_verdicts(spark: SparkSession, config: VerdictsConfig, steps: Steps | None = None) -> RunResult:
    """Decide about reviewed rows, and write the verdicts; the row in `runs` last.

    Args:
        spark: the session.
        config: whose answers decide about which queue, and where the verdicts go.
        steps: told of each step as it begins.

    Raises:
        ClSparkError: the configuration, the input or the output cannot be used. Nothing is recorded then.
    """
    return run_task(spark, VERDICTS_TASK, config, steps)
