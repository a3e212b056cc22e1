"""The interface of a task, a kind of run such as the label audit. The machinery here does the rest.

A task says which configuration it takes, which tables it writes, which numbers go into `runs`, and what
people see of it in the report and on the terminal. Writing so that readers see whole runs only, rerunning,
rejected rows, gates, history and the report's frame are the same for every task.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType, TracebackType
from typing import Any, ClassVar, Generic

from pyspark.sql import DataFrame, SparkSession

from cl_spark.errors import ConfigurationError
from cl_spark.report.sections import KeyNumber, Section
from cl_spark.runs.config import ConfigT
from cl_spark.runs.facts import RunFacts
from cl_spark.runs.result import RunResult
from cl_spark.runs.steps import Steps
from cl_spark.tables import columns as c
from cl_spark.tables.finished_run import Run
from cl_spark.tables.schema import Column, RunWarning, Table


@dataclass(frozen=True)
class RowCounts:
    """Numbers of rows of the input that can be used, and that cannot.

    Attributes:
        num_examples: rows accepted.
        rejected: rows rejected, by reason.
        expected: reasons that are nobody's fault, and do not count towards the rows that may be rejected.
    """

    num_examples: int
    rejected: Mapping[str, int] = field(default_factory=dict)
    expected: frozenset[str] = frozenset()

    @property
    def num_rejected(self) -> int:
        """Rows rejected, whatever the reason."""
        return sum(self.rejected.values())

    @property
    def num_faulty(self) -> int:
        """Rows rejected for a reason that is not expected."""
        return sum(rows for reason, rows in self.rejected.items() if reason not in self.expected)


@dataclass(frozen=True)
class Stage:
    """Tables that are written together.

    Attributes:
        step: the sentence for the terminal and the log, as in "writing the tables".
        tables: the rows of each table.
    """

    step: str
    tables: Mapping[Table, DataFrame]


@dataclass(frozen=True)
class View:
    """A table as people see it on the terminal.

    Attributes:
        title: its heading.
        rows: its rows, in the order to show them.
        columns: the columns to show, with their headings.
    """

    title: str
    rows: DataFrame
    columns: Mapping[str, str]


Written = Callable[[Table], DataFrame]
"""Reads the rows that this run has written to a table."""


class Execution(ABC):
    """A task at work in one run: its input is open and checked, nothing is computed yet.

    Attributes:
        source: the input, as `runs` names it.
        source_version: the state of the input that is read, if it can be told; it begins with "not pinned"
            where the input keeps no versions.
        num_read: rows of the input, known once `count_rows` has been called.
        types: Spark types of columns of the table of issues that follow the input, by name: ids, labels.
    """

    source: str
    source_version: str | None
    num_read: int
    types: Mapping[str, str] = MappingProxyType({})

    def read_version(self) -> str | None:
        """Ask for the state of the input once more: `source_version`, unless the input has changed since."""
        return self.source_version

    @abstractmethod
    def count_rows(self) -> RowCounts:
        """Scan the input, and count the rows that can be used and those that cannot."""

    def warnings(self, steps: Steps) -> list[RunWarning]:
        """Return doubts about the input, by default none; nothing is written yet. The task logs them, too.

        Args:
            steps: told of each step of the computation as it begins.
        """
        return []

    def explain_rejections(self, steps: Steps) -> list[str]:
        """Return sentences that may explain rejected rows where there are too many of them: by default, the
        warnings. A task whose warnings take long returns others.

        Args:
            steps: told of each step of the computation as it begins.
        """
        return [warning.message for warning in self.warnings(steps)]

    @abstractmethod
    def rejected(self) -> DataFrame:
        """Return the rows that cannot be used: the id columns, reason, and the row as JSON."""

    @abstractmethod
    def stages(self, steps: Steps, written: Written) -> Iterator[Stage]:
        """Yield the tables of the run, stage by stage; a stage is written before the next is asked for.

        Args:
            steps: told of each step of the computation as it begins.
            written: reads what an earlier stage has written.
        """

    @abstractmethod
    def numbers(self) -> Mapping[str, Any]:
        """Return the values of the task's columns in `runs`, and of `overall_health` (in [0, 1], or None)."""

    def remove_earlier(self, run_id: str, attempt: str) -> None:  # noqa: B027 - most tasks write tables only
        """Remove what earlier attempts at a run left outside the tables, now that another is recorded. By
        default there is nothing.

        Args:
            run_id: the run.
            attempt: the attempt that is recorded; those before it are less.
        """

    def release(self) -> None:  # noqa: B027 - most tasks persist nothing
        """Free what the execution persisted."""

    def __enter__(self) -> "Execution":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


class Task(ABC, Generic[ConfigT]):
    """A kind of run.

    Attributes:
        name: as `runs` names it.
        command: its command, as in `cl-spark audit`.
        variant: what tells it apart from other tasks of the same command: the value of its flag `--task`.
        help: one sentence about it, for the help of the command.
        title: as people read it: "Label audit".
        config: the model of its configuration.
        issues: the table of what it found, with the id columns and `rank`: what is shown first, and compared
            by id from run to run.
        issue_keys: columns of that table that tell several issues of one example apart.
        counted: what the rows of that table are, and what the rows are that it read.
        tables: the tables it may write, `issues` among them; `rejected` and `runs` are the machinery's.
        numbers: the columns it adds to `runs`.
        gated_tables: tables of few rows whose numbers gates may name, as in class_health.class_quality; each
            with the plural of what its rows are.
    """

    name: ClassVar[str]
    command: ClassVar[str]
    variant: ClassVar[str] = ""
    help: ClassVar[str]
    title: ClassVar[str]
    config: type[ConfigT]
    issues: ClassVar[Table]
    issue_keys: ClassVar[tuple[str, ...]] = ()
    counted: ClassVar[tuple[str, str]] = ("issues", "examples")
    tables: ClassVar[tuple[Table, ...]]
    numbers: ClassVar[tuple[Column, ...]] = ()
    gated_tables: ClassVar[Mapping[Table, str]] = {}

    @abstractmethod
    def open(self, spark: SparkSession, config: ConfigT) -> Execution:
        """Open the input and check it against the configuration. Nothing is computed.

        Raises:
            ClSparkError: the input or the configuration cannot be used.
        """

    def headline(self, run: Run) -> list[str]:
        """Return the first lines about a finished run. Numbers that stand together say what they count."""
        record = run.record
        health = [] if record.overall_health is None else [f"{record.overall_health:.2%} overall health"]
        return [*health, f"{record.num_issues:,} issues in {record.num_examples:,} examples"]

    def views(self, run: Run) -> list[View]:
        """Return the tables to show on the terminal after a run."""
        return [self.list_issues(run)]

    def list_issues(self, run: Run, **classes: str | None) -> View:
        """Return the issues of a run, worst first.

        Args:
            run: the run.
            classes: `either`, `given` or `suggested` label of the issues to keep; for tasks that have
                classes.

        Raises:
            ConfigurationError: the task has no classes.
        """
        if any(classes.values()):
            raise ConfigurationError(f"{self.title}: issues of this task cannot be selected by class")
        rows = run.table(self.issues.name)
        return View(
            f"Issues of run {run.run_id}", rows.orderBy(c.RANK), {name: name for name in rows.columns}
        )

    def worst(self, run: Run) -> tuple[Any, float] | None:
        """Return the worst part of the data (such as a class) and its quality, for the history; None if there
        is none.
        """
        return None

    def report(self, run: Run, facts: RunFacts, issues: int) -> tuple[Sequence[KeyNumber], Sequence[Section]]:
        """Return the key numbers at the head of the report, and the task's own sections.

        Args:
            run: the run; everything is read from its written tables.
            facts: what has been read of it already.
            issues: how many issues to list.
        """
        record = run.record
        health = (
            []
            if record.overall_health is None
            else [KeyNumber("overall health", f"{record.overall_health:.2%}")]
        )
        numbers = [
            *health,
            KeyNumber("issues", f"{record.num_issues:,}"),
            KeyNumber("examples", f"{record.num_examples:,}"),
            KeyNumber("rejected rows", f"{record.num_rejected:,}"),
        ]
        return numbers, []

    def result(self, **values: Any) -> RunResult:
        """Make the object that a finished run returns; a task may give it more names."""
        return RunResult(**values)
