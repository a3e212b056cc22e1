"""The rows of a finished run that are no issues, from its tables or from its input as it was."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from cl_spark.errors import ConfigurationError, InputError, SourceChangedError
from cl_spark.methods.classification.label_audit import LabelAudit
from cl_spark.methods.classification.scores import add_by_id
from cl_spark.runs.task import Task
from cl_spark.tables import columns as c
from cl_spark.tables.finished_run import Run, finished_run, finished_runs
from cl_spark.tables.input_table import InputTable, read_sample, read_source
from cl_spark.tables.results import ResultTables
from cl_spark.tasks.clean_learning.task import CLEAN_LEARNING
from cl_spark.tasks.cross_validation.config import CrossValidationConfig
from cl_spark.tasks.cross_validation.tables import PRED_PROBS
from cl_spark.tasks.cross_validation.task import CROSS_VALIDATION
from cl_spark.tasks.label_audit.config import AuditConfig, SourceConfig
from cl_spark.tasks.label_audit.stages import select_review_columns
from cl_spark.tasks.label_audit.tables import CLASS_HEALTH, LABEL_SCORES
from cl_spark.tasks.label_audit.task import LABEL_AUDIT, SourceAuditTask
from cl_spark.tasks.multilabel_audit.config import MultilabelAuditConfig
from cl_spark.tasks.multilabel_audit.tables import MULTILABEL_ISSUES
from cl_spark.tasks.multilabel_audit.task import MULTILABEL_AUDIT
from cl_spark.tasks.token_audit.task import TOKEN_AUDIT

LABEL_AUDITS: dict[str, SourceAuditTask[Any]] = {task.name: task for task in (LABEL_AUDIT, TOKEN_AUDIT)}
"""Tasks whose input is a table of predictions and whose runs have label issues, by name."""

AUDITS: dict[str, Task[Any]] = {
    **LABEL_AUDITS,
    **{task.name: task for task in (CROSS_VALIDATION, CLEAN_LEARNING, MULTILABEL_AUDIT)},
}
"""Tasks whose runs have label issues to review, by name."""

Config = SourceConfig | CrossValidationConfig


def find_audit(tables: ResultTables, run_id: str | None) -> Run:
    """Open a finished run that has label issues: the one that is named, or the latest.

    Raises:
        InputError: there is none, or the one that is named has no label issues.
    """
    if run_id is None:
        found = finished_runs(tables).where(F.col(c.TASK).isin(*AUDITS)).select(c.RUN_ID).first()
        if found is None:
            raise InputError(
                f"there is no finished run with label issues in {tables.location!r}: run cl-spark audit first"
            )
        run_id = found[c.RUN_ID]
    run = finished_run(tables, run_id)
    check_audit(run)
    return run


def check_audit(run: Run) -> None:
    """Check that a run has label issues.

    Raises:
        InputError: it is of another task.
    """
    if run.task not in AUDITS:
        raise InputError(
            f"run {run.run_id!r} is of the task {run.task!r}, which has no label issues to review; take a "
            f"run of {', '.join(AUDITS)}"
        )


def read_config(run: Run) -> Config:
    """Read the configuration that a run recorded."""
    config: Config = AUDITS[run.task].config.model_validate_json(run.record["parameters"])
    return config


@contextmanager
def read_unflagged(run: Run, issues: DataFrame) -> Iterator[DataFrame]:
    """Read the examples of a run that are no issues; what is persisted lasts for the block.

    They come from its table `label_scores`, where it was written. Else they are scored again: from
    `pred_probs` of a cross-validation, or from the input of a label audit in the state that it had.

    Args:
        run: the run.
        issues: its issues.

    Returns:
        The id columns, given_label, predicted_label, label_quality.

    Raises:
        InputError: the input cannot be read.
        SourceChangedError: it is another one by now.
    """
    config = read_config(run)
    columns = [*map(c.quoted, run.id_columns), c.GIVEN_LABEL, c.PREDICTED_LABEL, c.LABEL_QUALITY]
    if config.label_scores:
        yield run.table(LABEL_SCORES.name).where(~F.col(c.IS_ISSUE)).select(*columns)
        return
    with _score_again(run, config) as audit:
        if audit.num_examples != run.record["num_examples"]:
            raise _source_changed(
                run, f"{run.record['num_examples']:,} examples", f"{audit.num_examples:,} examples"
            )
        scores = audit.label_quality_scores(method=config.rank_by, adjust_pred_probs=config.adjust_pred_probs)
        flagged = issues.select(*map(c.quoted, run.id_columns))
        yield scores.select(*columns).join(flagged, run.id_columns, "left_anti").select(*columns)


def add_review_columns(rows: DataFrame, run: Run) -> DataFrame:
    """Add the review columns of a run to some of its rows, by id, from its input in the state that it had.

    Args:
        rows: few rows, which hold the id columns, each example once.
        run: the run.

    Raises:
        InputError: the input cannot be read.
        SourceChangedError: it is another one by now. A query fails so where it lacks a row.
    """
    review = read_review_columns(run)
    if review is None:
        return rows
    ids = F.broadcast(rows.select(*map(c.quoted, run.id_columns)))
    # of an input with images, only those of these rows are moved
    return add_by_id(rows, review.join(ids, run.id_columns, "left_semi"), run.id_columns)


def read_review_columns(run: Run) -> DataFrame | None:
    """Read ids and review columns of all examples from the input in the state that it had; None if the run
    has no such columns.

    Raises:
        InputError: the input cannot be read.
        SourceChangedError: it is another one by now.
    """
    config = read_config(run)
    if not config.review_columns:
        return None
    table = open_input(run, config)[0]
    if isinstance(config, MultilabelAuditConfig):
        return select_review_columns(table, config, MULTILABEL_ISSUES)
    if isinstance(config, SourceConfig):
        table = LABEL_AUDITS[run.task].select_examples(config, table)
    return select_review_columns(table, config)


def open_input(run: Run, config: Config) -> tuple[InputTable, InputTable | None]:
    """Open the input of a run, in the state that the run recorded: the table, and that of labels if there is
    one.

    Raises:
        InputError: it cannot be read.
        SourceChangedError: it is in another state by now.
    """
    spark, recorded = run.tables.spark, run.record["source_version"]
    if isinstance(config, AuditConfig) and config.sample is not None:
        return read_sample(spark, config.sample), None
    of_table, _, of_labels = (recorded or "").partition(", labels ")
    try:
        if isinstance(config, SourceConfig):
            table = _open(spark, config, str(config.predictions), "predictions", of_table)
        else:
            table = _open(spark, config, config.data, "data", of_table)
        labels = None
        if isinstance(config, AuditConfig) and config.labels is not None:
            labels = _open(spark, config, config.labels, "labels", of_labels)
    except InputError as error:
        raise InputError(f"{_need_input(run)}, and it cannot be read: {error}. {_way_out(config)}") from error
    now = table.state() if labels is None else f"{table.state()}, labels {labels.state()}"
    if now != recorded:
        raise _source_changed(run, recorded, now)
    return table, labels


def _open(spark: SparkSession, config: Config, name: str, key: str, state: str) -> InputTable:
    """Open a table; one of Delta at the version that a run recorded."""
    return read_source(
        spark,
        name,
        key,
        version=int(state) if state.isdigit() else None,
        input_format="auto" if key == "labels" else config.input_format,
        roles=config.roles,
    )


@contextmanager
def _score_again(run: Run, config: Config) -> Iterator[LabelAudit]:
    """Audit the probabilities of a run once more."""
    if isinstance(config, SourceConfig):
        predictions, labels = open_input(run, config)
        with LABEL_AUDITS[run.task].make_audit(config, predictions.df, labels) as audit:
            yield audit
        return
    with LabelAudit(
        run.table(PRED_PROBS.name),
        id_col=config.id_col,
        class_names=_find_names(run, config),
        evidence_path=config.evidence_path,
    ) as audit:
        yield audit


def _find_names(run: Run, config: CrossValidationConfig) -> list[str] | None:
    """Find the names of the classes in the order of the probabilities: by default the alphabetical one."""
    if config.class_names is not None:
        return config.class_names
    classes = run.table(CLASS_HEALTH.name).select(c.CLASS)
    if dict(classes.dtypes)[c.CLASS] != "string":
        return None
    return sorted(row[0] for row in classes.collect())


def _need_input(run: Run) -> str:
    return f"run {run.run_id!r}: the rows that are no issues are read from its input {run.record['source']!r}"


def _way_out(config: Config) -> str:
    """Say what to do where the input is no longer as it was."""
    if isinstance(config, MultilabelAuditConfig):
        return "Run it again, or set random_share to 0"
    if config.label_scores:
        return (
            "Run it again, or set random_share to 0: label_scores keeps the labels of these rows, but not "
            "their review columns"
        )
    return (
        "Run it again with label_scores: true (--label-scores), which keeps these rows, or set random_share "
        "to 0"
    )


def _source_changed(run: Run, before: str | None, now: str) -> SourceChangedError:
    return SourceChangedError(
        f"{_need_input(run)}, which has changed since: it was {before}, and is {now}. "
        f"{_way_out(read_config(run))}"
    )


def check_names(run: Run, of_queue: Collection[str], of_answers: Collection[str]) -> None:
    """Check that no id or review column of a run is called like a column of the queue, and no id column like
    one of answers, which come with their ids.

    Raises:
        ConfigurationError: one is.
    """
    for what, taken, cols in (
        ("the review queue", of_queue, (*run.id_columns, *read_config(run).review_columns)),
        ("answers", of_answers, run.id_columns),
    ):
        names = {name.casefold() for name in taken}
        for col in cols:
            if col.casefold() in names:
                raise ConfigurationError(
                    f"run {run.run_id!r} has a column {col!r}, which is the name of a column of {what}: "
                    "rename it in the input, and run it again"
                )
