"""The shape of result tables, and the two tables that every run has: `rejected` and `runs`.

A table is declared once, with the meaning of each column. What is written, the comments of Delta tables and
the reference in the documentation all come from these declarations.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

from cl_spark.tables import columns as c


@dataclass(frozen=True)
class Column:
    """A column of a result table.

    Attributes:
        name: as it is written; in angle brackets where the input names the columns that stand here.
        type: a Spark SQL type; "label" where it follows the type of the given labels.
        meaning: one sentence, also the comment of the column in a Delta table.
    """

    name: str
    type: str
    meaning: str


@dataclass(frozen=True)
class Table:
    """A result table.

    Attributes:
        name: the directory or table it is written to.
        row: a noun phrase for one row of it: "class", "row of the input that could not be used".
        columns: its columns, in their order.
    """

    name: str
    row: str
    columns: tuple[Column, ...]


class RunWarning(NamedTuple):
    """A doubt that does not stop a run, such as one about the meaning of its labels.

    Attributes:
        code: a word that stays the same, for programs.
        message: what was seen, with numbers, and what to do.
    """

    code: str
    message: str


RUN_ID = Column(c.RUN_ID, "string", "The run that wrote the row")
ATTEMPT = Column(
    c.ATTEMPT,
    "string",
    "The attempt at the run that wrote the row: only rows of the attempt in `runs` count",
)
ID_COLUMNS = Column("<id column(s)>", "as the input's", "The example, under the input's own column name(s)")
REASON = Column(c.REASON, "string", "Why the row was rejected")
ROW = Column(c.ROW, "string", "The row as JSON")

REJECTED = Table(
    "rejected", "row of the input that could not be used", (RUN_ID, ATTEMPT, ID_COLUMNS, REASON, ROW)
)

RUNS = Table(
    "runs",
    "finished run; it is written last, and readers of the other tables start here",
    (
        RUN_ID,
        Column(
            c.ATTEMPT,
            "string",
            "The attempt at the run that finished; null in runs of versions before there were attempts",
        ),
        Column(c.TASK, "string", "The kind of run; null in runs of versions that had only the label audit"),
        Column("started", "timestamp", "When the run began"),
        Column("finished", "timestamp", "When its last table was written"),
        Column("status", "string", "`finished`"),
        Column("source", "string", "The input that was read, as configured"),
        Column(
            "source_version",
            "string",
            "Delta version of the source; or number and digest of its files; or, of a view or another table "
            "that keeps no versions, `not pinned` and its rows; null for the sample",
        ),
        Column("parameters", "string", "The whole configuration as JSON; of `spark_conf` the keys only"),
        Column("library_versions", "string", "Versions of cl_spark, Spark and Python as JSON"),
        Column("num_read", "long", "Rows read = examples + rejected"),
        Column("num_examples", "long", "Rows accepted"),
        Column("num_rejected", "long", "Rows of `rejected`"),
        Column(c.NUM_ISSUES, "long", "Rows of the table of issues"),
        Column(c.OVERALL_HEALTH, "double", "Share of the examples that look right, as the task defines it"),
        Column(
            c.WARNINGS,
            "array<struct<code: string, message: string>>",
            "Doubts about the run, mostly about its input, each with what to do; "
            "null in runs of versions that had none",
        ),
        Column("failed_gates", "string", "Gates the run did not pass, one per line; empty if it passed all"),
        Column(
            c.BASELINE,
            "boolean",
            "Whether later runs are compared with this one, unless `baselines` says otherwise",
        ),
    ),
)
"""The columns of `runs` that every task fills."""

BASELINES = Table(
    "baselines",
    "mark of a person on a finished run (`cl-spark history --exclude` or `--include`); the latest counts",
    (
        Column(c.RUN_ID, "string", "The run that is marked"),
        Column(c.ATTEMPT, "string", "The mark; later ones are greater"),
        Column(
            c.OF_ATTEMPT,
            "string",
            "The attempt at the run that is meant: running it again takes the mark off",
        ),
        Column(c.BASELINE, "boolean", "Whether later runs are compared with this one"),
    ),
)


FIRST_TASK = "label_audit"
"""The task of runs that versions before there were others have written."""


def runs_table(numbers: Iterable[Column]) -> Table:
    """Add the numbers of a task to the columns of `runs`."""
    return replace(RUNS, columns=(*RUNS.columns, *numbers))
