"""Tables on the terminal, however narrow it is."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from io import StringIO
from typing import Any

import pytest
from pyspark.sql import Row
from pyspark.sql.types import DoubleType, LongType, StringType, StructField, StructType
from rich.console import Console

from cl_spark.runs.history import PastRun
from cl_spark.runs.steps import Steps
from cl_spark.runs.task import View
from cl_spark.tables.finished_run import Run
from cl_spark.tables.schema import RunWarning
from cl_spark.tasks.label_audit.check import Checked
from cl_spark.terminal.console import show_check, show_history, show_listing, show_steps, show_view

NOWHERE: Any = None  # no tables: only the row in `runs` is shown


class Rows:
    """Stands for a DataFrame of few rows."""

    def __init__(self, schema: StructType, rows: Sequence[Sequence[Any]]) -> None:
        self.schema, self.rows = schema, rows

    def select(self, *names: str) -> "Rows":
        places = [self.schema.names.index(name[1:-1].replace("``", "`")) for name in names]
        return Rows(self.schema, [[row[place] for place in places] for row in self.rows])

    def limit(self, number: int) -> "Rows":
        return Rows(self.schema, self.rows[:number])

    def count(self) -> int:
        return len(self.rows)

    def collect(self) -> list[Row]:
        return [Row(*row) for row in self.rows]


SCHEMA = StructType(
    [
        StructField("na`me", StringType()),
        StructField("score", DoubleType()),
        StructField("rank", LongType()),
    ]
)


def view(*rows: Sequence[Any]) -> View:
    frame: Any = Rows(SCHEMA, rows)
    return View("Issues [1]", frame, {"na`me": "name [x]", "score": "score"})


def printed(show: Any, *arguments: Any, width: int = 80, **more: Any) -> str:
    screen = StringIO()
    show(*arguments, Console(file=screen, width=width), **more)
    return screen.getvalue()


def past(run_id: str, change: float | None = None, worst: Any = None, **values: Any) -> PastRun:
    record = {
        "run_id": run_id,
        "finished": datetime(2026, 1, 31, 2, 0),
        "source": "./predictions",
        "num_examples": 12_345,
        "num_issues": 67,
        "num_rejected": 0,
        "overall_health": 0.975,
        "failed_gates": "",
        "baseline": None,
        "warnings": None,
        **values,
    }
    return PastRun(Run(run_id, Row(**record), NOWHERE), change, worst)


def lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.splitlines() if line.strip()]


def test_a_view_shows_its_columns_under_their_headings_and_as_many_rows_as_asked_for() -> None:
    text = printed(show_view, view(("a\nb", 0.123456, 1), ("[red]c", 1.0, 2), ("d", 2.0, 3)), rows=2)
    title, headings, _, first, second = map(str.split, lines(text))
    assert title == ["Issues", "[1]"]
    assert headings == ["name", "[x]", "score"]
    assert first == [r"a\nb", "0.1235"]
    assert second == ["[red]c", "1"]


def test_numbers_stand_to_the_right_and_texts_to_the_left() -> None:
    first, second = lines(printed(show_view, view(("a", 0.5, 1), ("bb", 0.125, 2)), rows=9))[-2:]
    assert first.index("a") == second.index("bb")
    assert len(first) == len(second)


def test_a_view_without_rows_says_so() -> None:
    assert printed(show_view, view(), rows=5) == "Issues [1]: none\n"


def test_a_listing_tells_how_many_rows_there_are() -> None:
    run = Run("monday", Row(warnings=[("labels_one_based", "labels look [1]-based")]), NOWHERE)
    text = printed(show_listing, run, view(*[("a", 0.5, number) for number in range(1_234)]), rows=2)
    assert text.startswith("warning: labels look [1]-based\nIssues [1]: 2 of 1,234\n")
    assert text.count("0.5") == 2


@pytest.mark.parametrize("width", [70, 80, 120])
def test_history_keeps_every_number_whole_on_a_narrow_terminal(width: int) -> None:
    runs = [past("20260131T020000-abcdef", -0.0123, ("a [b]\nc", 0.5)), past("first")]
    text = printed(show_history, runs, width=width)
    assert "Runs of ./predictions" in text
    for number in ("12,345", "67", "97.50%", "-1.23%"):
        assert number in text
    assert max(map(len, text.splitlines())) <= width
    assert "source" not in text, "all are of one source"
    assert width == 70 or "20260131T020000-abcdef " in text, "names can be copied"
    assert r"a [b]\nc (0.500)" in text


def test_history_names_runs_worst_classes_and_what_is_to_be_noted() -> None:
    runs = [
        past("r2", 0.0, ("a [b]\nc", 0.5), num_rejected=1_000, failed_gates="x: 1\ny: 2", baseline=False),
        past("r1", overall_health=None),
    ]
    text = printed(show_history, runs, width=160)
    (second,) = [line for line in text.splitlines() if line.split()[:1] == ["r2"]]
    assert second.split()[1:7] == ["2026-01-31", "02:00", "12,345", "67", "97.50%", "+0.00%"]
    assert r"a [b]\nc (0.500)" in second
    assert "1,000 rejected, 2 gates failed, not a baseline" in second
    (first,) = [line for line in text.splitlines() if line.split()[:1] == ["r1"]]
    assert first.split() == ["r1", "2026-01-31", "02:00", "12,345", "67"], "it has no health and no notes"


def test_sources_are_shown_where_they_differ() -> None:
    text = printed(show_history, [past("r2", source="./a"), past("r1", source="./b")], width=160)
    assert text.splitlines()[0].strip() == "Runs"
    assert "source" in text
    assert "./a" in text
    assert "./b" in text


def test_history_without_runs_says_so() -> None:
    assert printed(show_history, []) == "no finished runs\n"


def test_steps_are_shown_with_their_seconds() -> None:
    text = printed(show_steps, Steps(seconds={"scanning": 1.5, "writing": 0.25}))
    assert [line.split() for line in text.splitlines() if "ing" in line] == [
        ["scanning", "1.50"],
        ["writing", "0.25"],
    ]


def test_a_check_tells_what_can_be_used_and_an_id_of_what_cannot() -> None:
    warnings = [RunWarning("labels_one_based", "labels look [1]-based")]
    rejected = {"null label [1]": (2, "a\nb")}
    checked = Checked("./predictions", 3, 1_000, 998, rejected, 1_234, ["[c]ow\n"], warnings)
    text = printed(show_check, checked, width=120)
    assert r"labels that are no class: '[c]ow\\n'" in text
    assert "warning: labels look [1]-based" in text
    assert "can be audited: ./predictions, version 3" in text
    assert "998 of the first 1,000 rows can be used; 1,234 classes" in text
    assert r"2 would be rejected: null label [1] (such as id a\nb)" in text


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_a_narrow_terminal_breaks_texts_and_cuts_none_off(width: int) -> None:
    names = ["rank", "sentence_id", "token", "given_label", "suggested_label", "label_quality", "sentence"]
    kinds = [LongType(), *[StringType()] * 4, DoubleType(), StringType()]
    row = (
        1,
        "s-0446-aaaa-bbbb",
        "Hopper",
        None,
        "I-PER",
        0.0008541,
        "... met Grace [Hopper] in the garden of Rome",
    )
    rows: Any = Rows(StructType([StructField(*one) for one in zip(names, kinds, strict=True)]), [row])
    issues = View("Issues", rows, {name: name for name in names})
    text = printed(show_view, issues, rows=10, width=width)
    assert max(map(len, text.splitlines())) <= width
    whole = printed(show_view, issues, rows=10, width=300)
    assert Counter(char for char in text if char.isalnum()) == Counter(
        char for char in whole if char.isalnum()
    )
    assert width < 80 or ("0.0008541" in text and "Hopper " in text and "None" not in text)
