"""Progress of Spark: on a terminal a bar for the step at hand, elsewhere lines of a log."""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pyspark.sql import SparkSession
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

logger = logging.getLogger(__name__)

EVERY = 0.25
"""Seconds between two looks at Spark's stages."""
LINE_EVERY = 30.0
"""Seconds between two lines of a log about one step."""

Report = Callable[[int, int], None]
"""Told how many of a step's Spark tasks are done, and how many there are."""

Stages = Mapping[Any, tuple[int, int]]
"""Running stages with their Spark tasks: done and in all."""


@contextmanager
def show_progress(spark: SparkSession, console: Console) -> Iterator[Callable[[str], None]]:
    """Show the progress of a block; yields a function to call with the name of each step as it begins.

    Args:
        spark: the session at work. One that tells nothing of its stages shows steps without them.
        console: where to show it; nothing is shown on a quiet one. Where it is no terminal, long steps are
            logged.
    """
    if console.is_terminal and not console.quiet:
        parts = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(24),
            MofNCompleteColumn(),
            TextColumn("tasks"),
            TimeElapsedColumn(),
        )
        with Progress(*parts, console=console, transient=True) as bars:
            shown: _Bar | _Lines = _Bar(bars, bars.add_task("starting", total=None))
            counter = _StageCounter(shown)
            with _watch(spark, counter):
                yield counter.begin
    else:
        counter = _StageCounter(_Lines())
        with _watch(spark, counter):
            yield counter.begin


@dataclass
class _Bar:
    """Shows the step at hand as a bar."""

    bars: Progress
    bar: TaskID

    def begin(self, step: str) -> None:
        self.bars.reset(self.bar, description=step, total=None)

    def report(self, done: int, total: int) -> None:
        self.bars.update(self.bar, completed=done, total=total)


@dataclass
class _Lines:
    """Logs how far a step is when it takes long."""

    step: str = "starting"
    last: float = field(default_factory=time.monotonic)

    def begin(self, step: str) -> None:
        self.step, self.last = step, time.monotonic()

    def report(self, done: int, total: int) -> None:
        if time.monotonic() - self.last >= LINE_EVERY:
            self.last = time.monotonic()
            logger.info("%s: %d of %d tasks", self.step, done, total)


class _StageCounter:
    """Sums up the Spark tasks of a step's stages, whoever tells of them."""

    def __init__(self, shown: _Bar | _Lines) -> None:
        self._shown = shown
        self._before: set[Any] = set()
        self._stages: dict[Any, tuple[int, int]] = {}

    def begin(self, step: str) -> None:
        """Begin a step: stages that have ended are not its own."""
        self._before |= {stage for stage, (done, total) in self._stages.items() if done == total}
        self._stages = {}
        self._shown.begin(step)

    def update(self, running: Stages) -> None:
        """Take note of the stages that run now; those that no longer run are done."""
        ended = {stage: (total, total) for stage, (_, total) in self._stages.items()}
        self._stages = ended | {stage: tasks for stage, tasks in running.items() if stage not in self._before}
        if self._stages:
            self._shown.report(*(sum(tasks) for tasks in zip(*self._stages.values(), strict=True)))


@contextmanager
def _watch(spark: SparkSession, counter: _StageCounter) -> Iterator[None]:
    """Watch Spark's stages: a classic session is asked, a Connect session calls back."""
    if type(spark).__module__.startswith("pyspark.sql.connect"):
        with _watch_connect(spark, counter):
            yield
        return
    ended = threading.Event()
    asking = threading.Thread(target=_ask_tracker, args=(spark, counter, ended), daemon=True)
    asking.start()
    try:
        yield
    finally:
        ended.set()
        asking.join()


class _ConnectHandler:
    """Called by a Connect session about each of its queries.

    Queries that run at once call from threads of their own, each with its own stages only.
    """

    def __init__(self, counter: _StageCounter) -> None:
        self._counter = counter
        self._running: dict[Any, dict[Any, tuple[int, int]]] = {}
        self._lock = threading.Lock()

    def __call__(self, stages: Any, inflight_tasks: int, operation_id: str | None, done: bool) -> None:
        with self._lock:
            self._running[operation_id] = {
                (operation_id, stage.stage_id): (stage.num_completed_tasks, stage.num_tasks)
                for stage in stages or ()
            }
            if done:
                del self._running[operation_id]
            every = {stage: tasks for query in self._running.values() for stage, tasks in query.items()}
            self._counter.update(every)


@contextmanager
def _watch_connect(spark: Any, counter: _StageCounter) -> Iterator[None]:
    if not hasattr(spark, "registerProgressHandler"):  # before PySpark 4
        yield
        return
    handler = _ConnectHandler(counter)
    spark.registerProgressHandler(handler)
    try:
        yield
    finally:
        spark.removeProgressHandler(handler)


def _ask_tracker(spark: Any, counter: _StageCounter, ended: threading.Event) -> None:
    try:
        tracker = spark.sparkContext.statusTracker()
        while not ended.wait(EVERY):
            stages = [tracker.getStageInfo(stage) for stage in tracker.getActiveStageIds()]
            counter.update(
                {
                    stage.stageId: (stage.numCompletedTasks, stage.numTasks)
                    for stage in stages
                    if stage is not None
                }
            )
    except Exception as error:  # a session that does not tell works all the same
        logger.debug("no progress: %s", error)
