"""The tasks there are, by name: how a finished run finds the task that knows what it wrote."""

from dataclasses import replace
from typing import Any

from cl_spark.errors import InputError
from cl_spark.report.page import check_page, default_path, write_page
from cl_spark.runs.history import PastRun, past_runs
from cl_spark.runs.report import DEFAULT_ISSUES, render_report
from cl_spark.runs.task import Task
from cl_spark.tables.finished_run import Run
from cl_spark.tables.results import ResultTables
from cl_spark.tasks.clean_learning.task import CLEAN_LEARNING
from cl_spark.tasks.consensus.task import CONSENSUS
from cl_spark.tasks.corrections.task import CORRECTIONS_TASK
from cl_spark.tasks.cross_validation.task import CROSS_VALIDATION
from cl_spark.tasks.data_audit.task import DATA_AUDIT
from cl_spark.tasks.generated_data.task import GENERATED_DATA
from cl_spark.tasks.label_audit.task import LABEL_AUDIT, SourceTask
from cl_spark.tasks.model_comparison.task import MODEL_COMPARISON
from cl_spark.tasks.multilabel_audit.task import MULTILABEL_AUDIT
from cl_spark.tasks.review_queue.task import REVIEW
from cl_spark.tasks.token_audit.task import TOKEN_AUDIT
from cl_spark.tasks.verdicts.task import VERDICTS_TASK

SOURCE_TASKS: tuple[SourceTask[Any], ...] = (LABEL_AUDIT, MULTILABEL_AUDIT, TOKEN_AUDIT, DATA_AUDIT)
"""Kinds of audits of a table, between which `--task` decides."""

TASKS: dict[str, Task[Any]] = {
    task.name: task
    for task in (
        *SOURCE_TASKS,
        CROSS_VALIDATION,
        CLEAN_LEARNING,
        MODEL_COMPARISON,
        CONSENSUS,
        REVIEW,
        VERDICTS_TASK,
        CORRECTIONS_TASK,
        GENERATED_DATA,
    )
}
"""Every task, by its name in `runs`. A new one is added here."""


def task_of(run: Run) -> Task[Any]:
    """Return the task of a finished run.

    Raises:
        InputError: a later version wrote the run, with a task that this one does not have.
    """
    if run.task not in TASKS:
        raise InputError(
            f"run {run.run_id!r} is of the task {run.task!r}; this version has {', '.join(TASKS)}"
        )
    return TASKS[run.task]


def write_report(
    run: Run, path: str | None = None, *, issues: int = DEFAULT_ISSUES, remote_images: bool = False
) -> str:
    """Write the report of a finished run as one HTML file.

    Args:
        run: the run, as `read_run` gives it.
        path: the file; default reports/<run_id>.html below the results, where they are in a directory of this
            machine.
        issues: how many issues to list, the worst first. Their images are part of the file, up to 16 MB.
        remote_images: show images from http(s) addresses in the data: opening the page asks these hosts.

    Returns:
        The path of the file.

    Raises:
        ConfigurationError: the path is no file of this machine that can be written.
        InputError: the results are no directory of this machine, and no path is given.
        MissingDependencyError: the extra `report` is not installed.
        OutputError: the file cannot be written.

    Example:
        >>> page = write_report(read_run(results), f"{results}/report.html")
        >>> open(page, encoding="utf-8").readline().strip()
        '<!doctype html>'
    """
    target = path or default_path(run.tables.path, run.run_id)
    check_page(target)
    return write_page(target, render_report(task_of(run), run, issues, remote_images=remote_images))


def read_history(tables: ResultTables, last: int = 10) -> list[PastRun]:
    """Read the last finished runs, latest first, each with its worst part; of an unknown task without it."""
    known = [(past, TASKS.get(past.run.task)) for past in past_runs(tables, last)]
    return [past if task is None else replace(past, worst=task.worst(past.run)) for past, task in known]
