"""Errors of Spark and Java, turned into sentences for the user."""

import re
from contextlib import suppress

from pyspark.errors import PySparkException

from cl_spark.errors import ClSparkError, InputError, MissingDependencyError, SourceChangedError

SPARK_ERRORS: tuple[type[Exception], ...] = (PySparkException,)
"""Errors that reading and writing raise: those Spark explains, and Java errors it passes on."""

with suppress(ModuleNotFoundError):  # the client of Spark Connect comes without
    from py4j.protocol import Py4JError

    SPARK_ERRORS += (Py4JError,)

NO_DELTA = (
    "Delta Lake is not on Spark's classpath: start Spark with --packages "
    "io.delta:delta-spark_<spark>_<scala>:<version> and Delta's extension and catalog settings, "
    "or use format: parquet"
)

SOURCE_CHANGED = "the input changed while it was read"
"""Beginning of the message of queries that find it out, and fail."""

NOT_FOUND = ("PATH_NOT_FOUND", "TABLE_OR_VIEW_NOT_FOUND", "SCHEMA_NOT_FOUND")


def rows_have_changed(first: int, later: int) -> SourceChangedError:
    """Make the error for an input of which another number of rows can be used when it is read again."""
    return SourceChangedError(
        f"{SOURCE_CHANGED}: {first:,} rows could be used at first, and {later:,} when they were read again. "
        "Audit it when nobody writes, or a table that keeps its versions"
    )


def explain_unreadable(error: Exception, name: str, key: str) -> ClSparkError:
    """Explain a failed read to the user.

    Args:
        error: one of `SPARK_ERRORS`.
        name: what was to be read.
        key: the configuration key that named it.
    """
    condition = error_condition(error)
    if condition == "DATA_SOURCE_NOT_FOUND" or "DeltaCatalog" in str(error):
        return MissingDependencyError(NO_DELTA)
    if condition in NOT_FOUND:
        if condition != "PATH_NOT_FOUND":
            kind = "catalog table (a path must hold a slash, as in ./predictions)"
        elif set(name) & set("/\\:"):
            kind = "path"
        else:
            return InputError(f"{key}: the files of {name!r} are not there: {error_summary(error)}")
        return InputError(f"{key}: there is no {kind} {name!r}")
    return InputError(f"{key}: cannot read {name!r}: {error_summary(error)}")


def find_source_change(error: Exception) -> SourceChangedError | None:
    """Find out whether a query failed because the input had changed; None if it did for another reason."""
    _, found, message = str(error).partition(SOURCE_CHANGED)
    line = message.partition("\n")[0].partition(" SQLSTATE")[0]
    return SourceChangedError(found + line) if found else None


def error_summary(error: Exception) -> str:
    """Pick the line of an error of Spark's that tells a person what happened."""
    lines = str(error).splitlines() or [type(error).__name__]
    if "Traceback (most recent call last):" in lines:  # of Python within a Spark task
        after = lines[lines.index("Traceback (most recent call last):") + 1 :]
        return next((line for line in after if line and not line[0].isspace()), lines[0])
    summary = next((line.lstrip(": ") for line in lines if line.startswith(":")), lines[0])
    causes = [line.removeprefix("Caused by: ") for line in lines if line.startswith("Caused by: ")]
    return f"{summary} {causes[-1]}" if causes and "FAILED_READ_FILE" in summary else summary


def error_condition(error: Exception) -> str:
    """Return the name Spark gives the kind of an error; empty where it has none."""
    getter = getattr(error, "getCondition", None) or getattr(error, "getErrorClass", None)
    named = (getter() if getter is not None else None) or ""
    if not named and isinstance(error, PySparkException):  # Connect in Spark 3.5 names it in the message
        match = re.match(r"\W*\[([A-Z_.]+)\]", str(error))
        named = match[1] if match else ""
    return named


def find_missing_path(error: Exception) -> str:
    """Find the full path of what an error says is not there; empty where it is another error."""
    if error_condition(error) != "PATH_NOT_FOUND":
        return ""
    match = re.search(r"does not exist: (.+?)\.?( SQLSTATE.*)?$", str(error).splitlines()[0])
    return match[1] if match else ""
