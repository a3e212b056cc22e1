"""The registry of tasks: a finished run finds the task that wrote it."""

from typing import Any

import pytest
from pyspark.sql import Row

from cl_spark.errors import InputError
from cl_spark.tables.finished_run import Run
from cl_spark.tasks.label_audit.task import LABEL_AUDIT
from cl_spark.tasks.registry import TASKS, task_of

NOWHERE: Any = None  # no tables: only the row in `runs` is read


def test_a_run_finds_its_task_by_name() -> None:
    assert task_of(Run("r1", Row(task="label_audit"), NOWHERE)) is LABEL_AUDIT


def test_a_task_of_a_later_version_is_told_apart_from_those_there_are() -> None:
    with pytest.raises(InputError, match="run 'r1' is of the task 'drift'; this version has label_audit"):
        task_of(Run("r1", Row(task="drift"), NOWHERE))


def test_tasks_differ_in_name_and_command() -> None:
    assert all(task.name == name for name, task in TASKS.items())
    assert len({(task.command, task.variant) for task in TASKS.values()}) == len(TASKS)
