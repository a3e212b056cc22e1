"""Corrections as a task of the run machinery: what it reads, changes, writes and shows.

The record in `runs` comes after the change of the labels. A repetition of the run finds it done, and only
finishes.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from cl_spark.errors import ConfigurationError, InputError
from cl_spark.methods.review.corrected_labels import NOT_PRUNED, PREVIOUS_LABEL
from cl_spark.methods.review.correction_run import LABEL, CorrectionRun, Corrections
from cl_spark.methods.review.label_changes import (
    CONFLICT,
    CORRECTED,
    CORRECTION,
    KEPT,
    NULL_ID,
    OUTCOMES,
    PRUNED,
    REPEATED_ID,
    UNKNOWN_ID,
)
from cl_spark.methods.review.undo import Undone, undo_corrections
from cl_spark.methods.review.verdicts import VERDICT
from cl_spark.report.sections import KeyNumber, ReportColumn, ReportTable, Section
from cl_spark.runs.facts import RunFacts, first_rows
from cl_spark.runs.result import RunResult
from cl_spark.runs.run import run_task
from cl_spark.runs.steps import Steps
from cl_spark.runs.task import Execution, RowCounts, Stage, Task, View, Written
from cl_spark.tables import columns as c
from cl_spark.tables.delta_table import DeltaTable
from cl_spark.tables.example_ids import ExampleIds
from cl_spark.tables.finished_run import Run, finished_run
from cl_spark.tables.input_table import InputTable, read_source
from cl_spark.tables.results import ResultTables
from cl_spark.tables.schema import RunWarning
from cl_spark.tasks.corrections.config import CorrectionsConfig
from cl_spark.tasks.corrections.tables import CORRECTIONS, JUDGED_RUN, LABELS_VERSION, NUM_OF, NUMBERS, TABLES
from cl_spark.tasks.review_queue.audited import check_audit
from cl_spark.tasks.review_queue.queue import open_judged
from cl_spark.tasks.verdicts.ranks import add_id_rank
from cl_spark.tasks.verdicts.tables import VERDICT_TABLE
from cl_spark.tasks.verdicts.task import VERDICTS_TASK

logger = logging.getLogger(__name__)

_DOUBTS = {
    CONFLICT: "labels are not the ones that were judged: they were changed since, and are left as they are",
    UNKNOWN_ID: "verdicts are about ids that the labels do not have",
    REPEATED_ID: "verdicts are about ids that several rows share: nothing will be changed there",
    NULL_ID: "verdicts have no id",
}


class CorrectionExecution(Execution):
    """Corrections at work in one run.

    Args:
        spark: the session.
        config: which labels are corrected, and where they go.
        judged: the run of verdicts, or the audit.
    """

    def __init__(self, spark: SparkSession, config: CorrectionsConfig, judged: Run) -> None:
        self.config, self._spark, self._judged = config, spark, judged
        if judged.task == VERDICTS_TASK.name:
            judged.check_id_columns(config.id_col)
            self._verdicts = judged.table(VERDICT_TABLE.name)
        else:
            of_audit = open_judged(judged)
            of_audit.check_id_columns(config.id_col)
            self._verdicts = of_audit.read_issues()
        self.source = f"labels {config.labels} by run {judged.run_id} in {judged.tables.location}"
        self._input: InputTable | None = None
        self._labels: DeltaTable | DataFrame
        if config.in_place:
            self._labels = DeltaTable.open(spark, config.labels, "labels")
            rows = self._labels.read(self._labels.find_latest())
        else:
            self._input = read_source(spark, config.labels, "labels", roles=config.roles)
            self._labels = rows = self._input.df
        self.types = self._make_run("").find_types(rows)
        self._before = self._labels.find_latest() if isinstance(self._labels, DeltaTable) else None
        self.source_version = self.read_version()
        self._done: Corrections

    def read_version(self) -> str | None:
        """Ask for the state of the labels and for the attempt at the run of the verdicts. Labels that are
        corrected in place are in another state afterwards.
        """
        attempt = self._judged.tables.recorded_attempt(self._judged.run_id)
        state = self._before if self._input is None else self._input.state()
        return f"{state}, run {attempt}"

    def count_rows(self) -> RowCounts:
        """Count the verdicts."""
        self.num_read = self._verdicts.count()
        return RowCounts(self.num_read)

    def warnings(self, steps: Steps) -> list[RunWarning]:
        """Return warnings about verdicts that cannot be applied. No label has been changed yet."""
        with steps("comparing labels and verdicts"):
            counts = self._make_run(steps.run_id).preview(self._labels)
        warnings = [
            RunWarning(NUM_OF[key], f"{counts[key]:,} {text}") for key, text in _DOUBTS.items() if counts[key]
        ]
        for warning in warnings:
            logger.warning("%s (%s)", warning.message, warning.code)
        return warnings

    def rejected(self) -> DataFrame:
        """Return no rows: what cannot be applied is in the table of corrections."""
        nothing = F.lit(None).cast("string")
        ids = map(c.quoted, self.config.id_col)
        return self._verdicts.select(*ids, nothing.alias(c.REASON), nothing.alias(c.ROW)).where(F.lit(False))

    def stages(self, steps: Steps, written: Written) -> Iterator[Stage]:
        """Correct the labels, then yield what became of each verdict."""
        run = self._make_run(steps.run_id)
        with steps("correcting the labels"):
            if isinstance(self._labels, DeltaTable):
                self._done = run.merge(self._labels)
            else:
                output = str(self.config.corrected_output)
                self._done = run.write_new(self._labels, output, self.config.corrected_format)
        if self._done.was_applied:
            steps.log("an earlier attempt at the run had corrected the labels already")
        rows = add_id_rank(self._done.corrections, self.config.id_col, self.num_read)
        yield Stage("writing the corrections", {CORRECTIONS: rows})

    def numbers(self) -> Mapping[str, Any]:
        """Return what became of the verdicts."""
        return {
            c.OVERALL_HEALTH: None,
            JUDGED_RUN: self._judged.run_id,
            LABELS_VERSION: self._done.version,
            **{NUM_OF[name]: self._done.counts[name] for name in OUTCOMES},
        }

    def _make_run(self, run_id: str) -> CorrectionRun:
        config = self.config
        return CorrectionRun(
            self._spark,
            self._verdicts,
            ExampleIds.of(config.id_col),
            config.label_col,
            run_id,
            config.corrected_by,
            datetime.now(timezone.utc),
            config.action,
            config.class_names,
        )


class CorrectionsTask(Task[CorrectionsConfig]):
    """Corrections: labels changed by verdicts or by the issues of an audit, so that it can be undone."""

    name = "corrections"
    command = "correct"
    help = (
        "Correct a table of labels by verdicts or by the issues of an audit, in place or as a new table. "
        "Pruned rows stay in it, marked in the column correction."
    )
    title = "Corrections"
    config = CorrectionsConfig
    issues = CORRECTIONS
    counted = ("corrections", "verdicts")
    tables = TABLES
    numbers = NUMBERS

    def open(self, spark: SparkSession, config: CorrectionsConfig) -> CorrectionExecution:
        """Open the verdicts and the labels."""
        return CorrectionExecution(
            spark, config, find_judged(ResultTables.at(spark, config.run_location), config.run)
        )

    def headline(self, run: Run) -> list[str]:
        """Return what became of the verdicts, and how readers leave pruned rows out."""
        record, where = run.record, find_table(run)
        counts = ", ".join(f"{record[NUM_OF[name]]:,} {name}" for name in (CORRECTED, PRUNED, KEPT))
        left = ", ".join(
            f"{record[NUM_OF[name]]:,} {name.replace('_', ' ')}" for name in _DOUBTS if record[NUM_OF[name]]
        )
        return [
            f"labels of {where}: {counts}",
            *([f"not applied: {left}"] if left else []),
            *([_tell_pruned(run)] if record[NUM_OF[PRUNED]] else []),
        ]

    def list_issues(self, run: Run, **classes: str | None) -> View:
        """Return the corrections in the order of the ids.

        Raises:
            ConfigurationError: rows of some classes are asked for.
        """
        view = super().list_issues(run, **classes)
        headings = {
            **{col: col for col in run.id_columns},
            PREVIOUS_LABEL: "previous label",
            LABEL: "label",
            CORRECTION: "correction",
            VERDICT: "verdict",
        }
        return View(f"Corrections of run {run.run_id}", view.rows, headings)

    def report(self, run: Run, facts: RunFacts, issues: int) -> tuple[Sequence[KeyNumber], Sequence[Section]]:
        """Return what became of the verdicts, and the first of them."""
        record = run.record
        numbers = [KeyNumber(name.replace("_", " "), f"{record[col]:,}") for name, col in NUM_OF.items()]
        rows = first_rows(run.table(CORRECTIONS.name), issues, c.RANK)
        table = ReportTable(
            "corrections",
            [
                *[ReportColumn.of(rows, col, col, "text") for col in run.id_columns],
                ReportColumn.of(rows, PREVIOUS_LABEL, "previous label", "text"),
                ReportColumn.of(rows, LABEL, "label", "text"),
                ReportColumn.of(rows, CORRECTION, "correction", "text"),
                ReportColumn.of(rows, VERDICT, "verdict", "text"),
            ],
            rows_at_once=25,
        )
        section = Section(
            "corrections-section",
            "Corrections",
            "Corrections",
            text=[f"Labels of {find_table(run)}, by run {record[JUDGED_RUN]}."],
            alerts=[_tell_pruned(run)] if record[NUM_OF[PRUNED]] else [],
            tables=[table],
            otherwise="There was no verdict.",
        )
        return numbers, [section]


CORRECTIONS_TASK = CorrectionsTask()


def run_corrections(spark: SparkSession, config: CorrectionsConfig, steps: Steps | None = None) -> RunResult:
    """Correct a table of labels, and write what became of each verdict; the row in `runs` last.

    A run that breaks off after it has corrected the labels is repeated with the same run_id: it finds that
    done, and only finishes.

    Args:
        spark: the session.
        config: which labels are corrected, by what, and where they go.
        steps: told of each step as it begins.

    Raises:
        ClSparkError: the configuration, the input or the output cannot be used.
    """
    return run_task(spark, CORRECTIONS_TASK, config, steps)


def undo_run(tables: ResultTables, run_id: str) -> Undone:
    """Take back a finished run of corrections in place.

    Args:
        tables: where its results are.
        run_id: the run.

    Raises:
        InputError: there is no such run, or its labels cannot be restored.
        ConfigurationError: it wrote a new table.
    """
    run = finished_run(tables, run_id, task=CORRECTIONS_TASK.name)
    config = CorrectionsConfig.model_validate_json(run.record["parameters"])
    if config.corrected_output is not None:
        raise ConfigurationError(
            f"run_id: {run_id!r} has left the labels {config.labels!r} as they were, and has written the new "
            f"table {config.corrected_output!r}: there is nothing to undo; remove that table if you like"
        )
    return undo_corrections(
        config.labels, run_id, id_col=config.id_col, label_col=config.label_col, spark=tables.spark
    )


def find_judged(tables: ResultTables, run_id: str | None) -> Run:
    """Find the run of verdicts, or the audit, that labels are corrected by.

    Raises:
        InputError: there is no such run, or it is of a task that judges no labels.
    """
    run = finished_run(tables, run_id, task=VERDICTS_TASK.name if run_id is None else None)
    if run.task != VERDICTS_TASK.name:
        try:
            check_audit(run)
        except InputError as error:
            raise InputError(
                f"run: {run.run_id!r} is of the task {run.task!r}, which judges no labels: name a run of "
                "verdicts, or an audit"
            ) from error
    return run


def find_table(run: Run) -> str:
    """Name the table that holds the corrected labels of a run."""
    parameters = run.parameters
    return str(parameters["corrected_output"] or parameters["labels"])


def _tell_pruned(run: Run) -> str:
    return (
        f"{run.record[NUM_OF[PRUNED]]:,} pruned rows are still in {find_table(run)}: read it with "
        f"WHERE {NOT_PRUNED}"
    )
