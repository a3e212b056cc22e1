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

from cl_spark import columns as c
from cl_spark.errors import one_line
from cl_spark.history import compare, id_columns
from cl_spark.job import AuditResult
from cl_spark.runs import Run, finished_runs
from cl_spark.steps import Steps
from cl_spark.tables.results import ResultTables


def show(result: AuditResult, id_columns: Sequence[str], console: Console, rows: int = 10) -> None:
    """Print the health, the most suspicious examples, the worst classes and the most confused pairs."""
    tables, run_id = result.tables, result.run_id
    lines = [
        f"[bold]{result.overall_health:.2%}[/] overall label health",
        f"[bold]{result.num_issues:,}[/] label issues in {result.num_examples:,} examples of {result.num_classes:,} classes",
    ]
    lines += [f"[yellow]{times:,} rows rejected: {escape(reason)}[/]" for reason, times in result.rejected.items()]
    lines += [f"[red]gate failed: {escape(gate)}[/]" for gate in result.failed_gates]
    lines.append(f"[dim]run {run_id}, {result.seconds:.1f} s[/]")
    console.print(Panel.fit("\n".join(lines), title="Label audit"))
    _print(
        console,
        "Most suspicious examples",
        tables.read_run(c.ISSUES, run_id).orderBy(c.RANK),
        {
            c.RANK: "rank",
            **{column: column for column in id_columns},
            c.GIVEN_LABEL: "given",
            c.SUGGESTED_LABEL: "suggested",
            c.LABEL_QUALITY: "quality",
            c.SELF_CONFIDENCE: "self-conf.",
            c.NORMALIZED_MARGIN: "margin",
        },
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
        tables.read_run(c.OVERLAPPING_CLASSES, run_id).orderBy(F.desc(c.JOINT_PROBABILITY), c.CLASS_A, c.CLASS_B),
        {c.CLASS_A: "class a", c.CLASS_B: "class b", c.EXAMPLES: "examples", c.JOINT_PROBABILITY: "joint probability"},
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


def show_history(tables: ResultTables, console: Console, last: int = 10) -> None:
    """Print the last finished runs, latest first, each with its change of health since the one before of its source."""
    runs = finished_runs(tables).limit(last + 1).collect()
    several = len({run.source for run in runs}) > 1
    title = "Runs" if several or not runs else f"Runs of {escape(runs[0].source)}"
    table = Table(title=title, title_justify="left", title_style="bold", header_style="bold", box=SIMPLE_HEAD)
    for heading in ("run", "finished", *(["source"] if several else [])):
        table.add_column(heading, overflow="fold")
    for heading in ("examples", "issues", "health", "change"):
        table.add_column(heading, justify="right", no_wrap=True)
    for heading in ("worst class", "notes"):
        table.add_column(heading)
    for i, run in enumerate(runs[:last]):
        before = next((other for other in runs[i + 1 :] if other.source == run.source), None)
        worst = Run(run.run_id, run, tables).table(c.CLASS_HEALTH.name).orderBy(c.LABEL_QUALITY, c.CLASS).first()
        failed = len((run.failed_gates or "").splitlines())
        notes = [f"{run.num_rejected:,} rejected"] * (run.num_rejected > 0)
        notes += [f"{failed} gates failed"] * (failed > 0) + ["not a baseline"] * (run.baseline is False)
        table.add_row(
            escape(run.run_id),
            f"{run.finished:%Y-%m-%d %H:%M}",
            *([escape(run.source)] if several else []),
            f"{run.num_examples:,}",
            f"{run.num_issues:,}",
            f"{run.overall_health:.2%}",
            "" if before is None else f"{run.overall_health - before.overall_health:+.2%}",
            "" if worst is None else escape(one_line(f"{worst[c.CLASS]} ({worst[c.LABEL_QUALITY]:.3f})")),
            ", ".join(notes),
        )
    console.print(table)


def show_change(earlier: Run, later: Run, console: Console, rows: int = 10) -> None:
    """Print what changed between two runs: health, and issues that came, went and stayed."""
    change, ids = compare(earlier, later), id_columns(later.issues)
    new, resolved, persisting = (part.count() for part in (change.new, change.resolved, change.persisting))
    lines = [
        f"[bold]{later.record.overall_health:.2%}[/] overall label health, {change.health:+.2%}",
        f"[bold]{new:,}[/] new issues, [bold]{resolved:,}[/] resolved, [bold]{persisting:,}[/] persisting",
        f"[dim]run {escape(earlier.run_id)} -> run {escape(later.run_id)}[/]",
    ]
    console.print(Panel.fit("\n".join(lines), title="Change"))
    shown = {c.RANK: "rank", **{name: name for name in ids}, c.GIVEN_LABEL: "given", c.SUGGESTED_LABEL: "suggested"}
    _print(console, "Most suspicious new issues", change.new.orderBy(c.RANK), shown, rows)


def show_steps(steps: Steps, console: Console) -> None:
    """Print where the time went."""
    table = Table("step", title="Where the time went", title_justify="left", title_style="bold", box=SIMPLE_HEAD)
    table.add_column("seconds", justify="right")
    for name, seconds in steps.seconds.items():
        table.add_row(name, f"{seconds:.2f}")
    console.print(table)


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
