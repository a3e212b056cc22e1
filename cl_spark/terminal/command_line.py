"""The command line, `cl-spark`. The flags of its audit are the fields of the configuration model."""

import base64
import json
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click
from pydantic.fields import FieldInfo
from rich.console import Console

from cl_spark.errors import ClSparkError, ConfigurationError, GatesFailedError, InputError
from cl_spark.runs.steps import Steps
from cl_spark.tasks.label_audit.config import AuditConfig, load_config
from cl_spark.version import __version__

if TYPE_CHECKING:
    from cl_spark.tables.results import ResultTables

UNUSABLE, FAILED, GATES_FAILED = 2, 1, 3


def _settings(_: click.Context, parameter: click.Parameter, values: Sequence[str]) -> dict[str, str] | None:
    for value in values:
        if "=" not in value:
            raise click.BadParameter(f"{value!r} is not key=value", param=parameter)
    return dict(value.split("=", 1) for value in values) or None


_spark_conf = click.option(
    "--spark-conf", multiple=True, metavar="KEY=VALUE", callback=_settings, help="Spark settings; repeatable"
)


_as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text, for programs")


def _flag(name: str, field: FieldInfo) -> Callable[[Any], Any]:
    """The flag of one configuration field: absent, it leaves the file's value or the default alone."""
    flag, text = f"--{name.replace('_', '-')}", str(field.description)
    default = field.get_default(call_default_factory=True)
    if default not in (None, {}, [], False):
        shown = ",".join(default) if isinstance(default, list) else default
        text += f"  [default: {shown}]"
    kinds = {field.annotation, *get_args(field.annotation)}
    if name == "report":
        return click.option(
            flag,
            name,
            is_flag=False,
            flag_value="true",
            default=None,
            metavar="[PATH]",
            callback=_true,
            help=text,
        )
    if field.annotation is bool:
        return click.option(f"{flag}/--no-{flag[2:]}", name, default=None, help=text)
    if name == "spark_conf":
        return click.option(
            flag, name, multiple=True, metavar="KEY=VALUE", callback=_settings, help=text + "; repeatable"
        )
    if any(str(kind).startswith("list[") for kind in kinds):
        return click.option(
            flag, name, default=None, metavar="A,B,...", callback=_comma_list, help=text + "; comma-separated"
        )
    if name == "num_issues":
        return click.option(flag, name, default=None, metavar="N|METHOD", callback=_number_or_name, help=text)
    kind = next((kind for kind in (int, float) if kind in kinds), str)
    return click.option(flag, name, default=None, type=kind, help=text)


def _comma_list(_: click.Context, __: click.Parameter, value: str | None) -> list[str] | None:
    return None if value is None else [part.strip() for part in value.split(",")]


def _number_or_name(_: click.Context, __: click.Parameter, value: str | None) -> int | str | None:
    return int(value) if value is not None and value.lstrip("-").isdigit() else value


def _true(_: click.Context, __: click.Parameter, value: str | None) -> bool | str | None:
    return True if value == "true" else value


def _flags(command: Callable[..., None]) -> Callable[..., None]:
    for name, field in reversed(AuditConfig.model_fields.items()):
        command = _flag(name, field)(command)
    return command


@click.group()
@click.version_option(__version__)
def cli() -> None:
    """Find wrong labels in tables of any size: confident learning on Spark."""


@cli.command()
@click.option(
    "--config", type=click.Path(), default=None, help="YAML file with the same keys; flags win over it"
)
@_as_json
@_flags
def audit(config: str | None, as_json: bool, **flags: Any) -> None:
    """Audit a table of labels and predicted probabilities, and write the tables of issues and health.

    Exit code 0 on success, 3 if all was written but a gate failed, 2 if the configuration or the input cannot be used, 1 on any
    other failure.
    """
    settings = load_config(config, {key: value for key, value in flags.items() if value is not None})
    from cl_spark.runs.session import (
        spark_session,  # PySpark takes a second to import: not before the flags are checked
    )

    notes = _notes(settings.quiet)
    with spark_session(settings.spark_conf, delta=_needs_delta(settings)) as spark:
        from cl_spark.tasks.label_audit.task import run_audit
        from cl_spark.terminal.console import show, show_slices, show_steps
        from cl_spark.terminal.progress import shown

        with shown(spark, notes) as tell:
            steps = Steps(tell)
            result = run_audit(spark, settings, steps)
        if as_json:
            _print_json(result.summary() | ({"steps": steps.seconds} if settings.profile else {}))
        else:
            console = Console(quiet=settings.quiet)
            show(result, settings.id_columns, console)
            if settings.slice_by:
                show_slices(result, console)
            if settings.profile:
                show_steps(steps, Console())
    if result.failed_gates:
        raise GatesFailedError("\n".join(f"gate failed: {gate}" for gate in result.failed_gates))


def _notes(quiet: bool) -> Console:
    """Where what goes on is told: a bar on a terminal; in a scheduler's log, lines with time and run."""
    notes = Console(stderr=True, quiet=quiet)
    if not notes.is_terminal:
        logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.WARNING)
        logging.getLogger("cl_spark").setLevel(logging.WARNING if quiet else logging.INFO)
    return notes


def _print_json(value: Any) -> None:
    click.echo(json.dumps(value, default=_plain, ensure_ascii=False))


def _plain(value: Any) -> Any:
    """Values of tables that JSON does not know: bytes as base64, others as text."""
    return base64.b64encode(value).decode() if isinstance(value, bytes | bytearray) else str(value)


@cli.command()
@click.option(
    "--config", type=click.Path(), default=None, help="YAML file with the same keys; flags win over it"
)
@click.option(
    "--rows", type=click.IntRange(1), default=1_000, show_default=True, help="How many rows to look at"
)
@_as_json
@_flags
def validate(config: str | None, rows: int, as_json: bool, **flags: Any) -> None:
    """Check a configuration and the first rows of its input, without a run: takes the flags of audit and writes nothing.

    Exit code 0 if it can be audited as far as these rows tell, else as audit.
    """
    settings = load_config(config, {key: value for key, value in flags.items() if value is not None})
    from cl_spark.runs.session import spark_session

    with spark_session(settings.spark_conf, delta=_needs_delta(settings)) as spark:
        from cl_spark.tasks.label_audit.task import check
        from cl_spark.terminal.console import show_check

        checked = check(spark, settings, rows)
        if as_json:
            _print_json(asdict(checked))
        else:
            show_check(checked, Console(quiet=settings.quiet))


def _needs_delta(settings: AuditConfig) -> bool:
    return settings.format == "delta" or any(map(_holds_delta, (settings.predictions, settings.labels)))


def _holds_delta(path: str | None) -> bool:
    return path is not None and (Path(path) / "_delta_log").exists()


@cli.command()
@click.argument("location")
@click.option("--last", type=click.IntRange(1), default=10, show_default=True, help="How many runs")
@click.option("--exclude", metavar="RUN_ID", help="Compare no later run with this one: a bad night")
@click.option("--include", metavar="RUN_ID", help="Take that back")
@_as_json
@_spark_conf
def history(
    location: str,
    last: int,
    exclude: str | None,
    include: str | None,
    as_json: bool,
    spark_conf: dict[str, str] | None,
) -> None:
    """Show the last finished runs at LOCATION, the `output` of the audits."""
    with _tables(location, spark_conf) as tables:
        from cl_spark.runs.history import past_runs, set_baseline
        from cl_spark.terminal.console import show_history

        for run_id, included in ((exclude, False), (include, True)):
            if run_id is not None:
                set_baseline(tables, run_id, included)
        runs = past_runs(tables, last)
        if as_json:
            _print_json([past.summary() for past in runs])
        else:
            show_history(runs, Console())


@cli.command()
@click.argument("location")
@click.argument("earlier", required=False)
@click.argument("later", required=False)
@_as_json
@_spark_conf
def compare(
    location: str, earlier: str | None, later: str | None, as_json: bool, spark_conf: dict[str, str] | None
) -> None:
    """Show what changed between two runs at LOCATION: by default the last two of the source audited last."""
    with _tables(location, spark_conf) as tables:
        from cl_spark.runs.history import baseline
        from cl_spark.runs.history import compare as compared
        from cl_spark.tables.finished_run import finished_run
        from cl_spark.terminal.console import show_change

        second = finished_run(tables, later)
        first = (
            finished_run(tables, earlier)
            if earlier
            else baseline(tables, second.record["source"], second.run_id)
        )
        if first is None:
            raise InputError(
                f"run {second.run_id!r} is the only one of {second.record['source']!r}: nothing to compare it with"
            )
        if as_json:
            _print_json(
                {"earlier": first.run_id, "later": second.run_id, **compared(first, second).summary()}
            )
        else:
            show_change(first, second, Console())


@cli.command("show")
@click.argument("location")
@click.argument("run_id", required=False)
@click.option("--class", "either", metavar="NAME", help="Only issues whose given or suggested label it is")
@click.option("--given", metavar="NAME", help="Only issues with this given label")
@click.option("--suggested", metavar="NAME", help="Only issues with this suggested label")
@click.option(
    "--rows", type=click.IntRange(1), default=20, show_default=True, help="How many, the worst first"
)
@_as_json
@_spark_conf
def show_command(
    location: str,
    run_id: str | None,
    rows: int,
    as_json: bool,
    spark_conf: dict[str, str] | None,
    **of: str | None,
) -> None:
    """Show the issues of a finished run at LOCATION, by default the latest: all, or those of a class or pair of classes."""
    with _tables(location, spark_conf) as tables:
        from cl_spark.tables.finished_run import finished_run
        from cl_spark.terminal.console import show_issues

        run = finished_run(tables, run_id)
        issues = run.between(**of)
        if as_json:
            _print_json([row.asDict(recursive=True) for row in issues.limit(rows).collect()])
        else:
            show_issues(run, issues, Console(), rows)


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
    default=1_000,
    show_default=True,
    help="How many issues to list, the worst first",
)
@_spark_conf
def report(
    location: str, run_id: str | None, output: str | None, issues: int, spark_conf: dict[str, str] | None
) -> None:
    """Write the HTML report of a finished run at LOCATION, by default the latest: one file that opens anywhere."""
    with _tables(location, spark_conf) as tables:
        from cl_spark.report import write_report
        from cl_spark.tables.finished_run import finished_run

        click.echo(write_report(finished_run(tables, run_id), output, issues=issues))


@cli.command()
@click.argument("location")
@click.option("--predictions", required=True, help="New rows: a Parquet or Delta path, or a catalog table")
@click.option("--run-id", help="The finished run to score with; default the latest")
@click.option("--batch", help="Name of these rows: scoring it again replaces them. Default: the time")
@click.option("--where", metavar="SQL", help="Only rows for which this holds, such as day = '2026-01-31'")
@click.option(
    "--changes-since", type=click.IntRange(0), help="Only rows changed from this version of a Delta table on"
)
@_spark_conf
def score(location: str, predictions: str, spark_conf: dict[str, str] | None, **options: Any) -> None:
    """Score new rows with the frozen thresholds and joint of a finished run at LOCATION, into its tables `scored` and
    `scored_rejected`.
    """
    with _tables(location, spark_conf, predictions) as tables:
        from cl_spark.tasks.label_audit.scoring import score_new

        batch, scored, issues, rejected = score_new(tables.spark, location, predictions, **options)
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
@click.option("--run-id", help="The finished run to score with; default the latest")
@click.option(
    "--files-per-batch",
    type=click.IntRange(1),
    help="Read at most so many files at a time; default all that are there",
)
@click.option(
    "--until-read/--forever", default=False, show_default=True, help="End when all there is has been scored"
)
@_spark_conf
def score_stream(
    location: str, predictions: str, until_read: bool, spark_conf: dict[str, str] | None, **options: Any
) -> None:
    """Score rows as they arrive with a frozen run at LOCATION, each exactly once, into its Delta table `scored`."""
    with _tables(location, spark_conf, predictions) as tables:
        from cl_spark.tasks.label_audit import scoring
        from cl_spark.tasks.label_audit.task import explained

        start, steps = scoring.score_stream(tables.spark, location, predictions, **options), Steps()
        with explained(options["name"], steps), steps("streaming"):
            start(until_read).awaitTermination()


@contextmanager
def _tables(location: str, spark_conf: dict[str, str] | None, source: str = "") -> "Iterator[ResultTables]":
    from cl_spark.runs.session import spark_session

    is_parquet = any(Path(location).glob("runs/run_id=*/*.parquet")) and not _holds_delta(f"{location}/runs")
    delta = not is_parquet or _holds_delta(source)
    with spark_session(spark_conf or {}, delta=delta) as spark:
        from cl_spark.tables.results import ResultTables

        yield ResultTables.at(spark, location)


@cli.command()
@click.option("--rows", type=click.IntRange(10), default=200_000, show_default=True, help="N")
@click.option("--classes", type=click.IntRange(2), default=1_000, show_default=True, help="K")
@click.option("--dtype", type=click.Choice(["float32", "float64"]), default="float32", show_default=True)
@click.option(
    "--noise",
    type=click.FloatRange(0, 1),
    default=0.05,
    show_default=True,
    help="Share of labels that are wrong",
)
@click.option(
    "--neighbours",
    type=click.IntRange(1),
    default=3,
    show_default=True,
    help="Confusable classes of each class",
)
@click.option(
    "--margin", type=float, default=12.0, show_default=True, help="How sure the model is, as a logit"
)
@click.option("--files", type=click.IntRange(1), default=8, show_default=True, help="Parquet files")
@click.option(
    "--row-group", type=click.IntRange(1), default=5_000, show_default=True, help="Rows per row group"
)
@click.option(
    "--skew",
    type=click.FloatRange(0, 1),
    default=0.0,
    show_default=True,
    help="Share of the rows that are of class 0",
)
@click.option(
    "--top", type=click.IntRange(0), default=0, help="List only so many classes of each row; 0: whole arrays"
)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option(
    "--repeat", type=click.IntRange(1), default=3, show_default=True, help="Warm runs; their median counts"
)
@click.option(
    "--directory",
    type=click.Path(),
    default="bench_output",
    show_default=True,
    help="Where data and results go",
)
@click.option(
    "--against", type=click.Path(exists=True), default=None, help="Script that runs further contestants"
)
@click.option(
    "--only",
    multiple=True,
    metavar="NAME",
    help="Run this only; repeatable. A wrong name is told which there are",
)
@_spark_conf
def bench(
    repeat: int,
    directory: str,
    against: str | None,
    only: Sequence[str],
    spark_conf: dict[str, str] | None,
    **shape: Any,
) -> None:
    """Measure the whole audit on generated data, beside the floor (reading the files) and other tools.

    Writes <directory>/results/<shape>.json and .md and prints the table.
    """
    from cl_spark.bench.generated import Shape
    from cl_spark.bench.race import contestants, race, save
    from cl_spark.bench.race import show as show_race

    console, made = Console(), Shape(**shape)
    measured = race(
        made,
        contestants(made, against, only),
        {"repeat": repeat, "spark_conf": spark_conf or {}},
        Path(directory),
        console,
    )
    save(measured, Path(directory) / "results", made.name)
    show_race(measured, console)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave with its exit code; return where it is 0, as job runners take any exit for a failure."""
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
        return 130
    except GatesFailedError as error:
        click.echo(f"cl-spark: {error}", err=True)
        return GATES_FAILED
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
        import traceback

        traceback.print_exc()
        return FAILED
    return 0
