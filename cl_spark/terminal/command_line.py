"""The command line, `cl-spark`: a command for each task, and commands that read what runs have written."""

import base64
import json
import logging
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, TypeVar

import click
from rich.console import Console

from cl_spark.errors import ClSparkError, ConfigurationError, GatesFailedError, InputError, ReportFailedError
from cl_spark.runs.config import load_config, read_key
from cl_spark.runs.history import compare as compare_runs
from cl_spark.runs.history import find_baseline, set_baseline
from cl_spark.runs.report import DEFAULT_ISSUES
from cl_spark.runs.run import explain_failures, run_task
from cl_spark.runs.steps import Steps
from cl_spark.runs.task import Task
from cl_spark.tables import columns as c
from cl_spark.tables.finished_run import finished_run
from cl_spark.tables.location import exists, holds_delta, local_path
from cl_spark.tables.results import ResultTables
from cl_spark.tables.times import zoned_column
from cl_spark.tasks.corrections.task import undo_run
from cl_spark.tasks.label_audit import scoring
from cl_spark.tasks.label_audit.check import check
from cl_spark.tasks.registry import SOURCE_TASKS, TASKS, read_history, task_of, write_report
from cl_spark.terminal import console as screen
from cl_spark.terminal.bench_command import bench
from cl_spark.terminal.command_session import command_session
from cl_spark.terminal.options import config_options, fit_flags, json_option, rows_option, spark_conf_option
from cl_spark.terminal.progress import show_progress
from cl_spark.version import __version__

FAILED, UNUSABLE, GATES_FAILED, REPORT_FAILED, INTERRUPTED = 1, 2, 3, 4, 130
"""Exit codes; 0 is success."""


@click.group()
@click.version_option(__version__)
def cli() -> None:
    """Find wrong labels in tables of any size: confident learning on Spark."""


_EXIT_CODES = (
    "Exit code 0 on success, 3 if all was written but a gate failed, 4 if all was written but the report, "
    "2 if the configuration or the input cannot be used, 1 on any other failure."
)


TaskT = TypeVar("TaskT", bound=Task[Any])


class TaskCommand:
    """The body of the command of a task, or of several between which the key `task` decides: run it, and
    print what it found.
    """

    def __init__(self, tasks: Sequence[Task[Any]]) -> None:
        self.tasks = tasks

    def __call__(self, config: str | None, as_json: bool, **flags: Any) -> None:
        """Run the task as the flags say.

        Raises:
            GatesFailedError: everything was written, but a gate failed.
            ReportFailedError: everything was written but the report.
        """
        task, settings = load_task(self.tasks, config, given_flags(flags))
        notes = set_up_notes(settings.quiet)
        conf, delta, brief = settings.spark_conf, settings.needs_delta, settings.is_brief
        with command_session(conf, delta=delta, brief=brief) as spark:
            with show_progress(spark, notes) as tell:
                steps = Steps(tell)
                result = run_task(spark, task, settings, steps)
            if as_json:
                print_json(result.summary() | ({"steps": steps.seconds} if settings.profile else {}))
            else:
                console = Console(quiet=settings.quiet)
                screen.show_result(task, result, console)
                if settings.profile:
                    screen.show_steps(steps, Console())
        if result.failed_report and result.failed_gates:
            click.echo(f"cl-spark: {result.failed_report}", err=True)
        if result.failed_gates:
            raise GatesFailedError("\n".join(f"gate failed: {gate}" for gate in result.failed_gates))
        if result.failed_report:
            raise ReportFailedError(result.failed_report)


def load_task(tasks: Sequence[TaskT], config: str | None, flags: dict[str, Any]) -> tuple[TaskT, Any]:
    """Load the configuration of one of several tasks, and find which it is: by its key `task`, or the first.

    Raises:
        ConfigurationError: the file cannot be read, there is no such task, or values do not fit it.
    """
    if len(tasks) == 1:
        return tasks[0], load_config(tasks[0].config, config, flags)
    variant = flags.get("task") or read_key(config, "task") or tasks[0].variant
    found = [task for task in tasks if task.variant == variant]
    if not found:
        known = ", ".join(task.variant for task in tasks)
        raise ConfigurationError(f"task: there is no {variant!r}; choose one of {known}")
    return found[0], load_config(found[0].config, config, fit_flags(found[0].config, flags))


def task_command(*tasks: Task[Any]) -> click.Command:
    """Make the command of tasks. Its flags are the fields of their configurations."""
    options = config_options(*[task.config for task in tasks])(json_option(TaskCommand(tasks)))
    return click.command(tasks[0].command, help=f"{tasks[0].help}\n\n{_EXIT_CODES}")(options)


TASKS_BY_COMMAND: dict[str, list[Task[Any]]] = {}
for _task in TASKS.values():
    TASKS_BY_COMMAND.setdefault(_task.command, []).append(_task)
for _tasks in TASKS_BY_COMMAND.values():
    cli.add_command(task_command(*_tasks))
cli.add_command(bench)


def given_flags(flags: dict[str, Any]) -> dict[str, Any]:
    """Keep the flags that were given."""
    return {key: value for key, value in flags.items() if value is not None}


def set_up_notes(quiet: bool) -> Console:
    """Set up where progress is told: a bar on a terminal; in a scheduler's log, lines with time and run."""
    notes = Console(stderr=True, quiet=quiet)
    if not notes.is_terminal:
        logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.WARNING)
        logging.getLogger("cl_spark").setLevel(logging.WARNING if quiet else logging.INFO)
    return notes


def print_json(value: Any) -> None:
    """Print a value as one line of JSON."""
    click.echo(json.dumps(value, default=_to_json, ensure_ascii=False))


def _to_json(value: Any) -> Any:
    """Convert values of tables that JSON does not know: bytes to base64, others to text."""
    return base64.b64encode(value).decode() if isinstance(value, bytes | bytearray) else str(value)


@cli.command()
@rows_option
@json_option
@config_options(*[task.config for task in SOURCE_TASKS])
def validate(config: str | None, rows: int, as_json: bool, **flags: Any) -> None:
    """Check a configuration and the first rows of its input, without a run: takes the flags of audit and
    writes nothing.

    Exit code 0 if it can be audited as far as these rows tell, else as audit.
    """
    task, settings = load_task(SOURCE_TASKS, config, given_flags(flags))
    with command_session(settings.spark_conf, delta=settings.needs_delta, brief=True) as spark:
        checked = check(spark, settings, rows, task)
        if as_json:
            print_json(asdict(checked) | {c.WARNINGS: [warning._asdict() for warning in checked.warnings]})
        else:
            screen.show_check(checked, Console(quiet=settings.quiet))


@cli.command()
@click.argument("location")
@click.option("--last", type=click.IntRange(1), default=10, show_default=True, help="How many runs")
@click.option("--exclude", metavar="RUN_ID", help="Compare no later run with this one: a bad night")
@click.option("--include", metavar="RUN_ID", help="Take that back")
@json_option
@spark_conf_option
def history(
    location: str,
    last: int,
    exclude: str | None,
    include: str | None,
    as_json: bool,
    spark_conf: dict[str, str] | None,
) -> None:
    """Show the last finished runs at LOCATION, the `output` of the audits."""
    with _open_tables(location, spark_conf) as tables:
        for run_id, included in ((exclude, False), (include, True)):
            if run_id is not None:
                set_baseline(tables, run_id, included)
        runs = read_history(tables, last)
        if as_json:
            print_json([past.summary() for past in runs])
        else:
            screen.show_history(runs, Console())


@cli.command()
@click.argument("location")
@click.argument("earlier", required=False)
@click.argument("later", required=False)
@json_option
@spark_conf_option
def compare(
    location: str, earlier: str | None, later: str | None, as_json: bool, spark_conf: dict[str, str] | None
) -> None:
    """Show what changed between two runs at LOCATION: by default the last two of the source audited last."""
    with _open_tables(location, spark_conf) as tables:
        second = finished_run(tables, later)
        first = finished_run(tables, earlier) if earlier else find_baseline(tables, second)
        if first is None:
            raise InputError(
                f"run {second.run_id!r} is the only one of {second.record['source']!r}: "
                "nothing to compare it with; name two runs to compare any two"
            )
        change = compare_runs(first, second, task_of(second))
        if as_json:
            names = {"earlier": first.run_id, "later": second.run_id}
            print_json({**names, **change.summary()})
        else:
            screen.show_change(first, second, change, Console())


@cli.command("show")
@click.argument("location")
@click.argument("run_id", required=False)
@click.option("--class", "either", metavar="NAME", help="Only issues whose given or suggested label it is")
@click.option("--given", metavar="NAME", help="Only issues with this given label")
@click.option("--suggested", metavar="NAME", help="Only issues with this suggested label")
@click.option(
    "--rows", type=click.IntRange(1), default=20, show_default=True, help="How many, the worst first"
)
@json_option
@spark_conf_option
def show_command(
    location: str,
    run_id: str | None,
    rows: int,
    as_json: bool,
    spark_conf: dict[str, str] | None,
    **classes: str | None,
) -> None:
    """Show the issues of a finished run at LOCATION, by default the latest: all, or those of a class or pair
    of classes.
    """
    with _open_tables(location, spark_conf) as tables:
        run = finished_run(tables, run_id)
        view = task_of(run).list_issues(run, **classes)
        if as_json:
            shown = view.rows.limit(rows).select(*map(zoned_column, view.rows.schema.fields))
            print_json([row.asDict(recursive=True) for row in shown.collect()])
        else:
            screen.show_listing(run, view, Console(), rows)


@cli.command()
@click.argument("location")
@click.argument("run_id", required=False)
@click.option(
    "--output",
    type=click.Path(dir_okay=False),
    help="The file  [default: reports/<run_id>.html below LOCATION]",
)
@click.option(
    "--issues",
    type=click.IntRange(0),
    default=DEFAULT_ISSUES,
    show_default=True,
    help="How many issues to list, the worst first",
)
@click.option(
    "--remote-images",
    is_flag=True,
    help="Show images from http(s) addresses in the data: opening the page asks them",
)
@spark_conf_option
def report(
    location: str, run_id: str | None, output: str | None, spark_conf: dict[str, str] | None, **options: Any
) -> None:
    """Write the HTML report of a finished run at LOCATION, by default the latest: one file that opens
    anywhere.
    """
    with _open_tables(location, spark_conf) as tables:
        click.echo(write_report(finished_run(tables, run_id), output, **options))


@cli.command()
@click.argument("location")
@click.option("--predictions", required=True, help="New rows: a path or a catalog table, as for audit")
@click.option("--run-id", help="The label audit to score with; default the latest")
@click.option("--batch", help="Name of these rows: scoring it again replaces them. Default: the time")
@click.option("--where", metavar="SQL", help="Only rows for which this holds, such as day = '2026-01-31'")
@click.option(
    "--changes-since", type=click.IntRange(0), help="Only rows changed from this version of a Delta table on"
)
@spark_conf_option
def score(location: str, predictions: str, spark_conf: dict[str, str] | None, **options: Any) -> None:
    """Score new rows with the frozen thresholds and joint of a finished run at LOCATION, into its tables
    `scored` and `scored_rejected`.
    """
    with _open_tables(location, spark_conf, predictions) as tables:
        batch, scored, issues, rejected = scoring.score_new(tables.spark, location, predictions, **options)
        click.echo(
            f"{scored:,} rows scored, {issues:,} of them issues; {rejected:,} rejected (batch {batch})"
        )


@cli.command()
@click.argument("location")
@click.option(
    "--predictions",
    required=True,
    help="Where rows arrive: a Delta path or table, or a directory of Parquet files",
)
@click.option("--checkpoint", required=True, help="Directory of the stream's progress")
@click.option("--name", required=True, help="Name of the stream: the run_id of its rows")
@click.option("--run-id", help="The label audit to score with from its first start on; default the latest")
@click.option(
    "--files-per-batch",
    type=click.IntRange(1),
    help="Read at most so many files at a time; default all that are there",
)
@click.option(
    "--until-read/--forever", default=False, show_default=True, help="End when all there is has been scored"
)
@spark_conf_option
def score_stream(
    location: str, predictions: str, until_read: bool, spark_conf: dict[str, str] | None, **options: Any
) -> None:
    """Score rows as they arrive with a frozen run at LOCATION, each exactly once, into its Delta table
    `scored`.
    """
    with _open_tables(location, spark_conf, predictions) as tables:
        start, steps = scoring.score_stream(tables.spark, location, predictions, **options), Steps()
        with explain_failures(options["name"], steps), steps("streaming"):
            start(until_read).awaitTermination()


@cli.command()
@click.argument("location")
@click.argument("run_id")
@json_option
@spark_conf_option
def undo(location: str, run_id: str, as_json: bool, spark_conf: dict[str, str] | None) -> None:
    """Take back the corrections that the run RUN_ID of `correct`, recorded at LOCATION, has made in place.

    Where nothing was written to the labels since, they are restored; else the rows that nobody has changed
    since are set back.
    """
    with command_session(spark_conf or {}, delta=True, brief=True) as spark:
        with explain_failures(run_id, Steps()):
            undone = undo_run(ResultTables.at(spark, location), run_id)
        if as_json:
            print_json(undone.summary())
        else:
            click.echo(undone.sentence)


@contextmanager
def _open_tables(
    location: str, spark_conf: dict[str, str] | None, source: str = ""
) -> "Iterator[ResultTables]":
    """Open the tables of finished runs in a session that knows Delta, unless all that is read is Parquet."""
    runs = f"{location}/runs"
    delta = not exists(local_path(runs)) or holds_delta(runs) or holds_delta(source)
    with command_session(spark_conf or {}, delta=delta, brief=not source) as spark:
        yield ResultTables.at(spark, location)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave with its exit code; return where it is 0, as job runners take any exit
    for a failure.
    """
    code = exit_code(arguments)
    if code:
        sys.exit(code)


def exit_code(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; errors become one message on standard error and an exit code."""
    try:
        cli.main(args=arguments, prog_name="cl-spark", standalone_mode=False)
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.ClickException as error:
        error.show()
        return UNUSABLE
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except GatesFailedError as error:
        click.echo(f"cl-spark: {error}", err=True)
        return GATES_FAILED
    except ReportFailedError as error:
        click.echo(f"cl-spark: {error}", err=True)
        return REPORT_FAILED
    except (ConfigurationError, InputError) as error:
        click.echo(f"cl-spark: {error}", err=True)
        return UNUSABLE
    except ClSparkError as error:
        click.echo(f"cl-spark: {error}", err=True)
        return FAILED
    except (
        Exception
    ) as error:  # the last resort: a scheduler needs a code, a person one line before the trace
        click.echo(
            f"cl-spark: failed: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}",
            err=True,
        )
        traceback.print_exc()
        return FAILED
    return 0
