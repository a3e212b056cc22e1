"""The report of a run: what every task's report shows, around the sections that the task has of its own."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from cl_spark.errors import one_line
from cl_spark.report.page import check_installed, render_page
from cl_spark.report.sections import KeyNumber, ReportColumn, ReportTable, Section
from cl_spark.runs.facts import RunFacts, read_run_facts
from cl_spark.runs.task import Task
from cl_spark.tables import columns as c
from cl_spark.tables.finished_run import Run
from cl_spark.tables.schema import RunWarning
from cl_spark.tables.times import in_utc

DEFAULT_ISSUES = 1_000
"""How many issues a report lists unless told otherwise."""


def render_report(
    task: Task[Any], run: Run, issues: int = DEFAULT_ISSUES, *, remote_images: bool = False
) -> str:
    """Render the report of a finished run as HTML.

    Args:
        task: the kind of run.
        run: the run; everything is read from its written tables.
        issues: how many issues to list, the worst first.
        remote_images: let the page load images from addresses in the data.
    """
    check_installed()
    facts = read_run_facts(run)
    return frame_report(task.title, facts, *task.report(run, facts, issues), remote_images=remote_images)


def frame_report(
    title: str,
    facts: RunFacts,
    numbers: Sequence[KeyNumber],
    sections: Sequence[Section],
    *,
    remote_images: bool = False,
) -> str:
    """Render the sections of a task between those that every report has.

    Args:
        title: of the task.
        facts: of the run.
        numbers: the key numbers at the head.
        sections: the task's own.
        remote_images: let the page load images from addresses in the data.
    """
    from cl_spark.report.charts import trend_chart  # Altair is of an extra

    record = facts.record
    trend = trend_chart(facts.trend)
    gates = (record["failed_gates"] or "").splitlines()
    overall = Section(
        "overall",
        "Health",
        "Overall health",
        alerts=[
            *(f"Gate failed: {gate}" for gate in gates),
            *(f"Warning: {RunWarning(*warning).message}" for warning in record.get(c.WARNINGS) or ()),
        ],
        numbers=numbers,
        charts={} if trend is None else {"trend": trend},
    )
    rejected = Section(
        "rejected-section",
        "Rejected",
        "Rejected rows",
        tables=[
            ReportTable(
                "rejected",
                [
                    ReportColumn.of(facts.rejected, c.REASON, "reason", "text"),
                    ReportColumn.of(facts.rejected, "rows", "rows", "count"),
                    ReportColumn.of(facts.rejected, "id", "such as id", "text"),
                ],
            )
        ],
        otherwise="Every row could be used.",
    )
    about = Section("run-section", "Run", "The run", facts=describe_run(facts))
    version = f" ({record['source_version']})" if record["source_version"] else ""
    return render_page(
        title,
        f"{record['source']}{version}",
        [overall, *sections, rejected, about],
        name=facts.run_id,
        remote_images=remote_images,
    )


def describe_run(facts: RunFacts) -> dict[str, str]:
    """Describe the run and what it was told, by name: parameters as configurations write them."""
    names = ("run_id", "started", "finished", "source", "source_version", "num_read")
    of_run = {name: facts.record[name] for name in names}
    versions = json.loads(facts.record["library_versions"] or "{}")
    options = {
        name: value
        for name, value in facts.parameters.items()
        if value is not None and value is not False and value not in ([], {}) and name not in of_run
    }
    if "spark_conf" in options:  # earlier versions stored its values, which may be passwords
        options["spark_conf"] = list(options["spark_conf"])
    everything: Mapping[str, Any] = {**of_run, "versions": versions, **options}
    return {name: _describe(value) for name, value in everything.items() if value is not None}


def _describe(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{one_line(key)} {one_line(item)}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(map(one_line, value))
    return f"{in_utc(value):%Y-%m-%d %H:%M:%S} UTC" if isinstance(value, datetime) else one_line(value)
