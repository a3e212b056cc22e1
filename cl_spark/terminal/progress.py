"""How far Spark is: on a terminal as a bar of the step at hand, elsewhere as plain lines of a log."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pyspark.sql import SparkSession
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

logger = logging.getLogger(__name__)

EVERY = 0.25
"""Seconds between two looks at what Spark does."""
LINE_EVERY = 30.0
"""Seconds between two lines of a log about one step."""
Report = Callable[[int, int], None]


@contextmanager
def shown(spark: SparkSession, console: Console) -> Iterator[Callable[[str], None]]:
    """Shows what goes on; yields what is to be told of each step as it begins.

    Args:
        spark: the session at work. One that tells nothing of its stages shows steps without them.
        console: where to show it; nothing is shown on a quiet one. Where it is no terminal, long steps are logged instead.
    """
    if console.is_terminal and not console.quiet:
        parts = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(24),
            MofNCompleteColumn(),
            TextColumn("tasks"),
        )
        with Progress(*parts, TimeElapsedColumn(), console=console, transient=True) as bars:
            bar = bars.add_task("starting", total=None)
            counted = _Counted(lambda done, total: bars.update(bar, completed=done, total=total))

            def tell(step: str) -> None:
                counted.begin()
                bars.reset(bar, description=step, total=None)

            with _watched(spark, counted):
                yield tell
    else:
        lines = _Lines()
        counted = _Counted(lines.report)

        def tell(step: str) -> None:
            counted.begin()
            lines.begin(step)

        with _watched(spark, counted):
            yield tell


class _Lines:
    """Logs how far a step is when it takes long."""

    def __init__(self) -> None:
        self.begin("starting")

    def begin(self, step: str) -> None:
        self.step, self.last = step, time.monotonic()

    def report(self, done: int, total: int) -> None:
        if time.monotonic() - self.last >= LINE_EVERY:
            self.last = time.monotonic()
            logger.info("%s: %d of %d tasks", self.step, done, total)


class _Counted:
    """Sums up the tasks of a step's stages, whoever tells of them."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._before: set[Any] = set()
        self._stages: dict[Any, tuple[int, int]] = {}

    def begin(self) -> None:
        """A step: what ran until now is not its own."""
        self._before |= {stage for stage, (done, total) in self._stages.items() if done == total}
        self._stages = {}

    def __call__(self, running: dict[Any, tuple[int, int]]) -> None:
        """The running stages with their tasks, done and in all. Those that no longer run are done."""
        ended = {stage: (total, total) for stage, (_, total) in self._stages.items()}
        self._stages = ended | {stage: tasks for stage, tasks in running.items() if stage not in self._before}
        if self._stages:
            self._report(*(sum(tasks) for tasks in zip(*self._stages.values(), strict=True)))


@contextmanager
def _watched(spark: SparkSession, counted: _Counted) -> Iterator[None]:
    """Tells of Spark's stages: a classic session is asked, a Connect session calls back."""
    if type(spark).__module__.startswith("pyspark.sql.connect"):
        with _called_back(spark, counted):
            yield
        return
    ended = threading.Event()
    asking = threading.Thread(target=_ask, args=(spark, counted, ended), daemon=True)
    asking.start()
    try:
        yield
    finally:
        ended.set()
        asking.join()


@contextmanager
def _called_back(spark: Any, counted: _Counted) -> Iterator[None]:
    running: dict[Any, dict[Any, tuple[int, int]]] = {}
    lock = (
        threading.Lock()
    )  # queries that run at once call back from threads of their own, each with its own stages only

    def handler(stages: Any, inflight_tasks: int, operation_id: str | None, done: bool) -> None:
        with lock:
            running[operation_id] = {
                (operation_id, stage.stage_id): (stage.num_completed_tasks, stage.num_tasks)
                for stage in stages or ()
            }
            if done:
                del running[operation_id]
            counted({stage: tasks for own in running.values() for stage, tasks in own.items()})

    if not hasattr(spark, "registerProgressHandler"):  # before PySpark 4
        yield
        return
    spark.registerProgressHandler(handler)
    try:
        yield
    finally:
        spark.removeProgressHandler(handler)


def _ask(spark: Any, counted: _Counted, ended: threading.Event) -> None:
    try:
        tracker = spark.sparkContext.statusTracker()
        while not ended.wait(EVERY):
            stages = [tracker.getStageInfo(stage) for stage in tracker.getActiveStageIds()]
            counted(
                {
                    stage.stageId: (stage.numCompletedTasks, stage.numTasks)
                    for stage in stages
                    if stage is not None
                }
            )
    except Exception as error:  # a session that refuses to tell works all the same
        logger.debug("no progress: %s", error)
