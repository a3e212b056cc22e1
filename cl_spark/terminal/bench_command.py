"""The command that measures the audit: `cl-spark bench`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from cl_spark.bench.generated import Shape
from cl_spark.bench.race import contestants, race, save, show
from cl_spark.terminal.options import spark_conf_option


@click.command()
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
    help="Run this only; repeatable. A wrong name gets the list of names",
)
@spark_conf_option
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

    console, made = Console(), Shape(**shape)
    measured = race(
        made,
        contestants(made, against, only),
        {"repeat": repeat, "spark_conf": spark_conf or {}},
        Path(directory),
        console,
    )
    save(measured, Path(directory) / "results", made.name)
    show(measured, console)
