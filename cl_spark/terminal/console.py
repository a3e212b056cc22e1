"""What a person reads on the terminal after an audit: rendered from the written tables, nothing computed here."""

from collections.abc import Sequence

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import NumericType
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from cl_spark.errors import one_line
from cl_spark.runs.history import Past, compare
from cl_spark.runs.steps import Steps
from cl_spark.tables import columns as c
from cl_spark.tables.finished_run import Run
from cl_spark.tasks.label_audit.task import AuditResult, Checked

_HEADINGS = {
    c.GIVEN_LABEL: "given",
    c.SUGGESTED_LABEL: "suggested",
    c.LABEL_QUALITY: "quality",
    c.SELF_CONFIDENCE: "self-conf.",
    c.NORMALIZED_MARGIN: "margin",
}


def show(result: AuditResult, id_columns: Sequence[str], console: Console, rows: int = 10) -> None:
    """Print the health, the most suspicious examples, the worst classes and the most confused pairs."""
    tables, run_id = result.tables, result.run_id
    lines = [
        f"[bold]{result.overall_health:.2%}[/] overall label health",
        f"[bold]{result.num_issues:,}[/] label issues in {result.num_examples:,} examples of {result.num_classes:,} classes",
    ]
    lines += [
        f"[yellow]{times:,} rows rejected: {escape(reason)}[/]" for reason, times in result.rejected.items()
    ]
    lines += [f"[red]gate failed: {escape(gate)}[/]" for gate in result.failed_gates]
    lines += [f"report: {escape(result.report)}"] if result.report else []
    lines += [f"tables: {escape(tables.location)}", f"[dim]run {run_id}, {result.seconds:.1f} s[/]"]
    console.print(Panel.fit("\n".join(lines), title="Label audit"))
    _print(
        console,
        "Most suspicious examples",
        tables.read_run(c.ISSUES, run_id).orderBy(c.RANK),
        _of_issues(id_columns),
        rows,
    )
    _print(
        console,
        "Worst classes",
        tables.read_run(c.CLASS_HEALTH, run_id).orderBy(c.LABEL_QUALITY, c.CLASS),
        {
            c.CLASS: "class",
            c.LABEL_QUALITY: "quality",
            c.EXAMPLES: "examples",
            c.LABEL_ISSUES: "wrong labels",
            c.INVERSE_LABEL_ISSUES: "lost to others",
            c.THRESHOLD: "threshold",
        },
        rows,
    )
    _print(
        console,
        "Most confused pairs",
        tables.read_run(c.OVERLAPPING_CLASSES, run_id).orderBy(
            F.desc(c.JOINT_PROBABILITY), c.CLASS_A, c.CLASS_B
        ),
        {
            c.CLASS_A: "class a",
            c.CLASS_B: "class b",
            c.EXAMPLES: "examples",
            c.JOINT_PROBABILITY: "joint probability",
        },
        rows,
    )


def show_slices(result: AuditResult, console: Console, rows: int = 10) -> None:
    """Print the slices that are surely worst: by the upper end of their interval."""
    _print(
        console,
        "Worst slices",
        result.tables.read_run(c.SLICE_HEALTH, result.run_id).orderBy("upper", "slice_column", "slice_value"),
        {
            "slice_column": "column",
            "slice_value": "value",
            c.EXAMPLES: "examples",
            c.LABEL_ISSUES: "wrong labels",
            c.LABEL_QUALITY: "quality",
            "lower": "from",
            "upper": "to",
        },
        rows,
    )


def show_history(runs: Sequence[Past], console: Console) -> None:
    """Print finished runs, each with its change of health since the one before of its source."""
    sources = {past.record.source for past in runs}
    title = f"Runs of {escape(one_line(next(iter(sources))))}" if len(sources) == 1 else "Runs"
    table = Table(title=title, title_justify="left", title_style="bold", header_style="bold", box=SIMPLE_HEAD)
    for heading in ("run", "finished", *(["source"] if len(sources) > 1 else [])):
        table.add_column(heading, overflow="fold", min_width=10)
    for heading in ("examples", "issues", "health", "change"):
        table.add_column(heading, justify="right", no_wrap=True)
    for heading in ("worst class", "notes"):
        table.add_column(heading, overflow="fold")
    for past in runs:
        run, failed = past.record, len(past.failed_gates)
        notes = [f"{run.num_rejected:,} rejected"] * (run.num_rejected > 0)
        notes += [f"{failed} gates failed"] * (failed > 0) + ["not a baseline"] * (run.baseline is False)
        table.add_row(
            escape(run.run_id),
            f"{run.finished:%Y-%m-%d %H:%M}",
            *([escape(one_line(run.source))] if len(sources) > 1 else []),
            f"{run.num_examples:,}",
            f"{run.num_issues:,}",
            f"{run.overall_health:.2%}",
            "" if past.change is None else f"{past.change:+.2%}",
            "" if past.worst_class is None else escape(one_line("{} ({:.3f})".format(*past.worst_class))),
            ", ".join(notes),
        )
    console.print(table if runs else "no finished runs")


def show_issues(run: Run, issues: DataFrame, console: Console, rows: int) -> None:
    """Print issues of a run: those that fit, and how many there are."""
    number = issues.count()
    _print(
        console,
        f"Issues of run {run.run_id}: {min(rows, number):,} of {number:,}",
        issues,
        _of_issues(run.id_columns),
        rows,
    )


def show_check(checked: Checked, console: Console) -> None:
    """Print what the first rows of an input told."""
    version = "" if checked.source_version is None else f", version {checked.source_version}"
    lines = [
        f"[green]can be audited[/]: {escape(one_line(checked.source))}{version}",
        f"{checked.accepted:,} of the first {checked.rows:,} rows can be used; {checked.num_classes:,} classes",
    ]
    for why, (times, example) in checked.rejected.items():
        lines.append(
            f"[yellow]{times:,} would be rejected: {escape(why)} (such as id {escape(one_line(example))})[/]"
        )
    console.print(Panel.fit("\n".join(lines), title="Check: nothing was written"))


def show_change(earlier: Run, later: Run, console: Console, rows: int = 10) -> None:
    """Print what changed between two runs: health, and issues that came, went and stayed."""
    change, ids = compare(earlier, later), later.id_columns
    numbers = change.summary()
    lines = [
        f"[bold]{later.record.overall_health:.2%}[/] overall label health, {change.health:+.2%}",
        f"[bold]{numbers['issues_new']:,}[/] new issues, [bold]{numbers['issues_resolved']:,}[/] resolved, "
        f"[bold]{numbers['issues_persisting']:,}[/] persisting",
        f"[dim]run {escape(earlier.run_id)} -> run {escape(later.run_id)}[/]",
    ]
    console.print(Panel.fit("\n".join(lines), title="Change"))
    shown = {name: _HEADINGS.get(name, name) for name in (c.RANK, *ids, c.GIVEN_LABEL, c.SUGGESTED_LABEL)}
    _print(console, "Most suspicious new issues", change.new.orderBy(c.RANK), shown, rows)


def show_steps(steps: Steps, console: Console) -> None:
    """Print where the time went."""
    table = Table(
        "step", title="Where the time went", title_justify="left", title_style="bold", box=SIMPLE_HEAD
    )
    table.add_column("seconds", justify="right")
    for name, seconds in steps.seconds.items():
        table.add_row(name, f"{seconds:.2f}")
    console.print(table)


def _of_issues(id_columns: Sequence[str]) -> dict[str, str]:
    return {name: _HEADINGS.get(name, name) for name in (c.RANK, *id_columns, *_HEADINGS)}


def _print(console: Console, title: str, frame: DataFrame, columns: dict[str, str], rows: int) -> None:
    """A table of the first rows: columns by name, with the heading a person reads."""
    table = Table(title=title, title_justify="left", title_style="bold", header_style="bold", box=SIMPLE_HEAD)
    numbers = {field.name for field in frame.schema.fields if isinstance(field.dataType, NumericType)}
    for column, heading in columns.items():
        table.add_column(escape(heading), justify="right" if column in numbers else "left", no_wrap=True)
    for row in frame.select(*map(c.quoted, columns)).limit(rows).collect():
        table.add_row(*map(_shown, row))
    console.print(table if table.row_count else f"[bold]{title}[/]: none")


def _shown(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else escape(one_line(value))
