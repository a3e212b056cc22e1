"""Reading input: what a configuration's `predictions` and `labels` name."""

import re
from dataclasses import dataclass
from pathlib import Path

from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession

from cl_spark.columns import quoted
from cl_spark.errors import InputError, MissingDependencyError

SPARK_ERRORS = (PySparkException, Py4JError)
"""What reading and writing raise: errors Spark explains, and Java errors it passes on."""

_TABLE_NAME = re.compile(r"^[^/\\:]+$")


@dataclass(frozen=True)
class Source:
    """An input table and where it came from.

    Attributes:
        df: its rows.
        name: the path or table name.
        version: the Delta version read, or None.
    """

    df: DataFrame
    name: str
    version: int | None


def is_path(name: str) -> bool:
    """Whether a location is a path or URI (it holds a slash, backslash or colon) rather than a catalog name."""
    return _TABLE_NAME.match(name) is None


def read_source(spark: SparkSession, name: str, key: str) -> Source:
    """The table at a path (Delta, or Parquet) or under a catalog name.

    Args:
        spark: the session.
        name: path or table name. A name that is no table but a file or directory here is told so.
        key: the configuration key, for messages.

    Raises:
        InputError: there is no such table, or it cannot be read.
    """
    try:
        if not is_path(name):
            return Source(spark.table(name), name, _version(spark, name))
        path = str(Path(name).absolute()) if Path(name).exists() else name  # Delta names tables by absolute paths only
        version = _version(spark, f"delta.{quoted(path)}")
        if version is not None:
            return Source(spark.read.format("delta").load(path), name, version)
        return Source(spark.read.parquet(path), name, None)
    except SPARK_ERRORS as error:
        raise unreadable(error, name, key) from error


def unreadable(error: Exception, name: str, key: str) -> Exception:
    """What a failed read means to the user."""
    text, condition = str(error), _condition(error)
    if condition == "DATA_SOURCE_NOT_FOUND" or "DeltaCatalog" in text:
        return no_delta()
    if condition in ("PATH_NOT_FOUND", "TABLE_OR_VIEW_NOT_FOUND", "PARSE_SYNTAX_ERROR", "SCHEMA_NOT_FOUND"):
        what = "path" if is_path(name) else "catalog table (a path must hold a slash, as in ./predictions)"
        return InputError(f"{key}: there is no {what} {name!r}")
    return InputError(f"{key}: cannot read {name!r}: {reason(error)}")


def reason(error: Exception) -> str:
    """The line of an error of Spark's that tells a person what happened."""
    lines = str(error).splitlines() or [type(error).__name__]
    return next((line.lstrip(": ") for line in lines if line.startswith(":")), lines[0])


def no_delta() -> MissingDependencyError:
    """What to do where Spark does not know Delta."""
    return MissingDependencyError(
        "Delta Lake is not on Spark's classpath: start Spark with --packages io.delta:delta-spark_<spark>_<scala>:<version> "
        "and Delta's extension and catalog settings, or use format: parquet"
    )


def _condition(error: Exception) -> str | None:
    getter = getattr(error, "getCondition", None) or getattr(error, "getErrorClass", None)
    return getter() if getter is not None else None


def _version(spark: SparkSession, name: str) -> int | None:
    """The latest version of a Delta table; None where it is no Delta table."""
    try:
        history = spark.sql(f"DESCRIBE HISTORY {name} LIMIT 1").select("version").collect()
    except SPARK_ERRORS:
        return None
    return int(history[0][0]) if history else None
