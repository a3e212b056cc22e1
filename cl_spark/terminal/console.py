"""The tables and panels that people read on the terminal, rendered from the written tables: nothing is
computed here.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pyspark.sql.types import NumericType
from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console, JustifyMethod
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from cl_spark.errors import one_line
from cl_spark.runs.history import Change, PastRun
from cl_spark.runs.result import RunResult
from cl_spark.runs.steps import Steps
from cl_spark.runs.task import Task, View
from cl_spark.tables import columns as c
from cl_spark.tables.finished_run import Run
from cl_spark.tables.times import in_utc
from cl_spark.tasks.label_audit.check import Checked


def show_result(task: Task[Any], result: RunResult, console: Console, rows: int = 10) -> None:
    """Print the key numbers of a finished run, and the first rows of the task's tables."""
    run = result.run
    first, *others = task.headline(run)
    lines = [f"[bold]{escape(first)}[/]", *map(escape, others)]
    lines += [
        f"[yellow]{times:,} rows rejected: {escape(reason)}[/]" for reason, times in result.rejected.items()
    ]
    lines += [f"[yellow]warning: {escape(warning.message)}[/]" for warning in result.warnings]
    lines += [f"[red]gate failed: {escape(gate)}[/]" for gate in result.failed_gates]
    lines += [f"report: {escape(result.report)}"] if result.report else []
    lines += [f"[yellow]{escape(result.failed_report)}[/]"] if result.failed_report else []
    lines += [
        f"tables: {escape(result.tables.location)}",
        f"[dim]run {run.run_id}, {result.seconds:.1f} s[/]",
    ]
    console.print(Panel.fit("\n".join(lines), title=task.title))
    for view in task.views(run):
        show_view(view, console, rows)


_WIDE = 120
"""Characters in a line of a terminal that has room for notes beside the numbers of a run."""


def show_history(runs: Sequence[PastRun], console: Console) -> None:
    """Print finished runs, each with its change of health since the one before of its task and source.

    On a narrow terminal the notes on a run stand below the table, so that names and numbers stay whole.
    """
    if not runs:
        console.print("no finished runs")
        return
    is_wide = console.width >= _WIDE
    sources = {past.run.record.source for past in runs}
    title = f"Runs of {escape(one_line(next(iter(sources))))}" if len(sources) == 1 else "Runs"
    table = Table(title=title, title_justify="left", title_style="bold", header_style="bold", box=SIMPLE_HEAD)
    finished = "finished (UTC)" if is_wide else "ended (UTC)"
    for heading in ("run", finished, *(["source"] if len(sources) > 1 else [])):
        table.add_column(heading, overflow="fold", min_width=10)
    for heading in ("examples", "issues", "health", "change"):
        table.add_column(heading, justify="right", no_wrap=True)
    for heading in ("worst", "notes") if is_wide else ():
        table.add_column(heading, overflow="fold", min_width=8)
    below = []
    for past in runs:
        run = past.run.record
        worst = "" if past.worst is None else escape(one_line("{} ({:.3f})".format(*past.worst)))
        notes = ", ".join(_note(past))
        table.add_row(
            escape(run.run_id),
            in_utc(run.finished).strftime("%Y-%m-%d %H:%M" if is_wide else "%m-%d %H:%M"),
            *([escape(one_line(run.source))] if len(sources) > 1 else []),
            f"{run.num_examples:,}",
            f"{run.num_issues:,}",
            "" if run.overall_health is None else f"{run.overall_health:.2%}",
            "" if past.change is None else f"{past.change:+.2%}",
            *([worst, notes] if is_wide else []),
        )
        told = ", ".join(filter(None, [notes, f"worst {worst}" if worst else ""]))
        below += [f"{escape(run.run_id)}: {told}"] if told and not is_wide else []
    console.print(table)
    for line in below:
        console.print(line)


def _note(past: PastRun) -> list[str]:
    """List what is to be noted of a run."""
    run, failed = past.run.record, len(past.run.failed_gates)
    notes = [f"{run.num_rejected:,} rejected"] * (run.num_rejected > 0)
    notes += [f"warning: {warning.code}" for warning in past.run.warnings]
    notes += [f"{failed} {'gate' if failed == 1 else 'gates'} failed"] * (failed > 0)
    return notes + ["not a baseline"] * (run.baseline is False)


def show_listing(run: Run, view: View, console: Console, rows: int) -> None:
    """Print the warnings of a run, the first rows of a view of it, and how many there are."""
    for warning in run.warnings:
        console.print(f"[yellow]warning: {escape(warning.message)}[/]")
    number = view.rows.count()
    show_view(replace(view, title=f"{view.title}: {min(rows, number):,} of {number:,}"), console, rows)


def show_check(checked: Checked, console: Console) -> None:
    """Print what the first rows of an input told."""
    version = "" if checked.source_version is None else f", version {checked.source_version}"
    classes = "" if checked.num_classes is None else f"; {checked.num_classes:,} classes"
    lines = [
        f"[green]can be audited[/]: {escape(one_line(checked.source))}{version}",
        f"{checked.accepted:,} of the first {checked.rows:,} rows can be used{classes}",
    ]
    for reason, (times, example) in checked.rejected.items():
        lines.append(
            f"[yellow]{times:,} would be rejected: {escape(reason)}"
            + (f" (such as id {escape(one_line(example))})[/]" if one_line(example) else "[/]")
        )
    if checked.unknown_classes:
        named = ", ".join(repr(one_line(name)) for name in checked.unknown_classes)
        lines.append(f"[yellow]labels that are no class: {escape(named)}[/]")
    lines += [f"[yellow]warning: {escape(warning.message)}[/]" for warning in checked.warnings]
    lines += [escape(checked.note)] if checked.note else []
    console.print(Panel.fit("\n".join(lines), title="Check: nothing was written"))


def show_change(earlier: Run, later: Run, change: Change, console: Console, rows: int = 10) -> None:
    """Print the change between two runs: health, and issues that came, went and stayed."""
    numbers = change.summary()
    lines = []
    if change.health is not None:
        lines.append(f"[bold]{later.record.overall_health:.2%}[/] overall health, {change.health:+.2%}")
    lines += [
        f"[bold]{numbers['issues_new']:,}[/] new issues, [bold]{numbers['issues_resolved']:,}[/] resolved, "
        f"[bold]{numbers['issues_persisting']:,}[/] persisting",
        f"[dim]run {escape(earlier.run_id)} -> run {escape(later.run_id)}[/]",
    ]
    console.print(Panel.fit("\n".join(lines), title="Change"))
    names = [
        name
        for name in (c.RANK, *change.keys, c.GIVEN_LABEL, c.SUGGESTED_LABEL)
        if name in change.new.columns
    ]
    headings = {name: name.removesuffix("_label") for name in names}
    show_view(View("Most suspicious new issues", change.new.orderBy(c.RANK), headings), console, rows)


def show_steps(steps: Steps, console: Console) -> None:
    """Print where the time went."""
    table = Table(
        "step", title="Where the time went", title_justify="left", title_style="bold", box=SIMPLE_HEAD
    )
    table.add_column("seconds", justify="right")
    for name, seconds in steps.seconds.items():
        table.add_row(name, f"{seconds:.2f}")
    console.print(table)


def show_view(view: View, console: Console, rows: int) -> None:
    """Print the first rows of a view.

    Where a terminal is narrow, headings are broken into several lines, and then long texts: none is cut off.
    """
    title = f"[bold]{escape(view.title)}[/]"
    found = view.rows.select(*map(c.quoted, view.columns)).limit(rows).collect()
    if not found:
        console.print(f"{title}: none")
        return
    columns = [[_shown(value) for value in values] for values in zip(*found, strict=True)]
    headings = [escape(heading) for heading in view.columns.values()]
    widths = [_width([heading, *texts]) for heading, texts in zip(headings, columns, strict=True)]
    if sum(widths) > console.width:
        headings = [_WORD_END.sub(r"\g<0>\n", heading) for heading in headings]
        widths = [_width([*name.split("\n"), *texts]) for name, texts in zip(headings, columns, strict=True)]
    types = {field.name: field.dataType for field in view.rows.schema.fields}
    are_numbers = [isinstance(types[name], NumericType) for name in view.columns]
    are_whole = _choose_whole(widths, are_numbers, console.width)
    table = Table(header_style="bold", box=SIMPLE_HEAD)
    for heading, is_number, is_whole in zip(headings, are_numbers, are_whole, strict=True):
        justify: JustifyMethod = "right" if is_number else "left"
        table.add_column(heading, justify=justify, no_wrap=is_whole, overflow="fold")
    for row in zip(*columns, strict=True):
        table.add_row(*row)
    console.print(title)
    console.print(table)


_WORD_END = re.compile(r"[ _]+(?=[^ _])")

_SHORT = 15
"""Columns of so many characters are not broken, if there is room for the others."""

_NARROW = 9
"""Columns are not broken into fewer characters, if there is room."""


def _choose_whole(widths: Sequence[int], are_numbers: list[bool], room: int) -> list[bool]:
    """Choose the columns whose texts are not broken: numbers and short texts, else numbers, else none."""
    short = [is_number or width <= _SHORT for width, is_number in zip(widths, are_numbers, strict=True)]
    for whole in (short, are_numbers):
        least = [width if one else min(width, _NARROW) for width, one in zip(widths, whole, strict=True)]
        if sum(least) <= room:
            return whole
    return [False] * len(widths)


def _width(texts: Sequence[str]) -> int:
    """Return the characters that a column of texts takes, with the space beside it."""
    return 3 + max(map(cell_len, texts))


def _shown(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else escape(one_line(value))
