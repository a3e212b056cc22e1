"""The result of a run, as the library returns it."""

from dataclasses import dataclass, fields
from typing import Any, ClassVar

from cl_spark.tables import columns as c
from cl_spark.tables.card import card
from cl_spark.tables.finished_run import Run
from cl_spark.tables.results import ResultTables
from cl_spark.tables.schema import RunWarning


@dataclass(frozen=True)
class RunResult:
    """A finished run: its key numbers, and the tables that hold the rest.

    Attributes:
        run: the run, its row in `runs` and its tables.
        num_examples: rows accepted.
        rejected: rows rejected, by reason.
        num_issues: rows in its table of issues.
        overall_health: share of the examples that look right; None where the task has no such number.
        failed_gates: the gates it did not pass, each with the value seen.
        seconds: how long it took.
        report: path of the HTML report, if one was written.
        failed_report: where a report was asked for and could not be made: why, and how to make it again.
        numbers: further numbers of the task.
    """

    run: Run
    num_examples: int
    rejected: dict[str, int]
    num_issues: int
    overall_health: float | None
    failed_gates: list[str]
    seconds: float
    report: str | None
    failed_report: str | None
    numbers: dict[str, Any]

    issues_title: ClassVar[str] = "issues"

    @property
    def run_id(self) -> str:
        """The name of the run."""
        return self.run.run_id

    @property
    def tables(self) -> ResultTables:
        """The place of its tables."""
        return self.run.tables

    @property
    def warnings(self) -> list[RunWarning]:
        """Doubts about the run, mostly about its input, each with what to do."""
        return self.run.warnings

    def summary(self) -> dict[str, Any]:
        """Return the key numbers as plain values: the output of `--json`."""
        names = [field.name for field in fields(self) if field.name not in ("run", "numbers")]
        values = {name: getattr(self, name) for name in names}
        values[c.WARNINGS] = [warning._asdict() for warning in self.warnings]
        return {"output": self.tables.location, "run_id": self.run_id, **values, **self.numbers}

    def _repr_html_(self) -> str:
        health = {} if self.overall_health is None else {"overall health": f"{self.overall_health:.2%}"}
        return card(
            f"Run {self.run_id}",
            {
                **health,
                self.issues_title: self.num_issues,
                "examples": self.num_examples,
                **{
                    name.removeprefix("num_").replace("_", " "): value for name, value in self.numbers.items()
                },
                "rejected rows": sum(self.rejected.values()),
            },
            notes=[
                *(f"gate failed: {gate}" for gate in self.failed_gates),
                *(f"warning: {warning.message}" for warning in self.warnings),
                f"tables: {self.tables.location}",
            ],
        )
