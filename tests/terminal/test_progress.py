"""Progress: a bar on a terminal, lines in a log, and queries that run at once."""

import io
import re
import time
from types import SimpleNamespace
from typing import Any

import pytest
from pyspark.sql import SparkSession
from rich.console import Console

from cl_spark.terminal import progress

pytestmark = pytest.mark.slow


def test_a_terminal_sees_how_far_spark_is(spark: SparkSession) -> None:
    screen = io.StringIO()
    with progress.show_progress(spark, Console(file=screen, force_terminal=True, width=100)) as tell:
        tell("counting")
        assert spark.range(0, 12, 1, 12).mapInPandas(_slowly, "id long").count() == 12
    text = screen.getvalue()
    assert "counting" in text
    assert re.search(r"\d+/1[23]", text), text[-500:]


def _slowly(batches: Any) -> Any:
    for batch in batches:
        time.sleep(0.2)
        yield batch


def test_logs_tell_how_far_a_long_step_is(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(progress, "LINE_EVERY", 0.5)
    with (
        caplog.at_level("INFO", logger="cl_spark"),
        progress.show_progress(spark, Console(file=io.StringIO())) as tell,
    ):
        tell("counting")
        assert spark.range(0, 12, 1, 12).mapInPandas(_slowly, "id long").count() == 12
    assert re.search(r"counting: \d+ of 1[23] tasks", caplog.text)


def test_queries_at_once_on_connect_are_counted_together() -> None:
    calls: list[Any] = []
    server = type(
        "Server", (), {"registerProgressHandler": calls.append, "removeProgressHandler": calls.remove}
    )
    seen: list[tuple[int, int]] = []
    shown = SimpleNamespace(begin=lambda step: None, report=lambda *tasks: seen.append(tasks))
    with progress._watch_connect(server, progress._StageCounter(shown)):
        for operation, number, tasks, done in (
            ("a", 1, 3, False),
            ("b", 2, 1, False),
            ("a", 1, 8, False),
            ("b", 2, 5, True),
        ):
            stage = SimpleNamespace(stage_id=number, num_completed_tasks=tasks, num_tasks=10)
            calls[0]([stage], 1, operation, done)
    assert seen == [(3, 10), (4, 20), (9, 20), (18, 20)]
    assert not calls
