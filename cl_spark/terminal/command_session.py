"""The Spark session of a command, with what Spark says kept aside."""

import os
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from typing import IO

import click
from pyspark.sql import SparkSession

from cl_spark.errors import ClSparkError, RunError
from cl_spark.runs.session import spark_session

SHOWN = 100_000
"""How many of the last bytes of Spark's log are printed."""


@contextmanager
def command_session(conf: Mapping[str, str], *, delta: bool, brief: bool = False) -> Iterator[SparkSession]:
    """Start a session for a block, as `spark_session` does. What Spark, Java and PySpark say is kept aside.

    It is printed on standard error where Spark does not start, or fails for a reason that the error does not
    tell. Whoever sets ``spark.log.level`` sees it as it comes.

    Args:
        conf: settings of the user, which win.
        delta: whether Delta tables are read or written.
        brief: whether little is read.
    """
    with tempfile.TemporaryFile() as log, ExitStack() as stack:
        spark = None
        try:
            with ExitStack() as starting:
                if "spark.log.level" not in conf:
                    stack.enter_context(_quiet_pyspark())
                    starting.enter_context(_output_to(log))
                spark = stack.enter_context(spark_session(conf, delta=delta, brief=brief))
            yield spark
        except Exception as error:
            told = _read_end(log)
            if spark is None:
                click.echo("".join(line for line in told if not line.startswith("\tat ")), nl=False, err=True)
            elif isinstance(error, RunError) or not isinstance(error, ClSparkError):
                click.echo("".join(told), nl=False, err=True)
            raise


def _read_end(log: IO[bytes]) -> list[str]:
    """Read the last lines of a log, leaving the offset where Java writes."""
    start = max(0, os.fstat(log.fileno()).st_size - SHOWN)
    return os.pread(log.fileno(), SHOWN, start).decode(errors="replace").splitlines(keepends=True)


@contextmanager
def _output_to(log: IO[bytes]) -> Iterator[None]:
    """Give processes that are started meanwhile, such as Java, a file for their output.

    Settings of a log cannot do that: Spark's launcher and its resolver of packages print without one, and
    Python workers whose Java has gone.
    """
    kept = {descriptor: os.dup(descriptor) for descriptor in (1, 2)}
    try:
        for descriptor in kept:
            os.dup2(log.fileno(), descriptor)
        yield
    finally:
        for descriptor, copy in kept.items():
            os.dup2(copy, descriptor)
            os.close(copy)


@contextmanager
def _quiet_pyspark() -> Iterator[None]:
    """Keep PySpark from printing, as JSON, errors that are told anyway, and from warning of our queries."""
    loggers = []
    with suppress(ModuleNotFoundError):  # before PySpark 4
        from pyspark.logger import PySparkLogger

        names = ("DataFrameQueryContextLogger", "SQLQueryContextLogger")
        loggers = [logger for logger in map(PySparkLogger.getLogger, names) if not logger.disabled]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning, module=r"pyspark\.")
        for logger in loggers:
            logger.disabled = True
        try:
            yield
        finally:
            for logger in loggers:
                logger.disabled = False
