"""Streams that score new rows: the run and the checkpoint that each has from its first start on."""

from pyspark.sql import Row

from cl_spark.errors import ConfigurationError, OutputError
from cl_spark.tables import columns as c
from cl_spark.tables.finished_run import Run
from cl_spark.tables.location import escaped, full_path, locate_path
from cl_spark.tables.results import ResultTables
from cl_spark.tables.spark_errors import NOT_FOUND, SPARK_ERRORS, error_condition, explain_unreadable
from cl_spark.tasks.label_audit.tables import SCORED, SCORED_REJECTED, STREAMS


def find_stream(tables: ResultTables, name: str) -> Row | None:
    """Find the stream of a name: a row of `streams`; None if there is none."""
    return tables.read_run(STREAMS, name).first() if tables.has(STREAMS) else None


def check_restart(
    tables: ResultTables, stream: Row, name: str, checkpoint: str, run_id: str | None, run: Run
) -> None:
    """Check that a stream goes on as it was started: with its checkpoint, and with its run, which nobody has
    run again.

    Args:
        tables: where its rows go.
        stream: its row in `streams`.
        name: its name.
        checkpoint: the directory of its progress that is asked for.
        run_id: the run to score with that is asked for; None for that of the stream.
        run: the run of the stream, as it is now.

    Raises:
        ConfigurationError: another checkpoint or run is asked for, the run has been run again, or the
            checkpoint has lost the progress.
    """
    anew = "to start anew, give another --name and --checkpoint"
    place, frozen_run, asked = stream[c.CHECKPOINT], stream[c.FROZEN_RUN], _normalize(tables, checkpoint)
    if place != asked:
        raise ConfigurationError(
            f"checkpoint: stream {name!r} has its progress in {place!r}, not in {asked!r}; {anew}"
        )
    if run_id not in (None, frozen_run):
        raise ConfigurationError(
            f"run_id: stream {name!r} scores with run {frozen_run!r} since its first start, not with "
            f"{run_id!r}; {anew}"
        )
    attempt = stream.asDict().get(c.OF_ATTEMPT)  # streams of earlier versions have none
    if attempt not in (None, run.record[c.ATTEMPT]):
        raise ConfigurationError(
            f"run_id: run {frozen_run!r}, which stream {name!r} scores with, has been run again since the "
            f"stream's first start, and its thresholds may be others; {anew}"
        )
    if _has_rows(tables, name) and not _has_progress(tables, checkpoint):
        raise ConfigurationError(
            f"checkpoint: {checkpoint!r} no longer holds the progress of stream {name!r}, which would score "
            f"rows a second time; {anew}"
        )


def add_stream(tables: ResultTables, name: str, checkpoint: str, run: Run) -> Row:
    """Record a new stream before it is started, so that it finds its run again whenever it is killed.

    Args:
        tables: where its rows go.
        name: its name.
        checkpoint: the directory of its progress.
        run: the run that scores its rows.

    Returns:
        The row in `streams`: where two streams of a name are started at the same time, that of the first.

    Raises:
        ConfigurationError: other rows have the name, or another stream has the checkpoint.
        OutputError: the row of an earlier stream of the name was removed.
    """
    if _has_rows(tables, name):
        raise ConfigurationError(
            f"name: {tables.location!r} has a batch {name!r} of new rows already; choose another name"
        )
    if _has_progress(tables, checkpoint):
        raise ConfigurationError(
            f"checkpoint: {checkpoint!r} holds the progress of another stream than {name!r}; "
            "give each stream a checkpoint of its own"
        )
    values = [(_normalize(tables, checkpoint), run.run_id, run.record[c.ATTEMPT])]
    schema = f"{c.CHECKPOINT} string, {c.FROZEN_RUN} string, {c.OF_ATTEMPT} string"
    row = tables.spark.createDataFrame(values, schema)
    tables.append_once(STREAMS, row, name, f"cl_spark stream {name}", 0)
    stream = find_stream(tables, name)
    if stream is None:
        raise OutputError(
            f"output: somebody removed stream {name!r} from the table 'streams'; choose another name"
        )
    return stream


def _normalize(tables: ResultTables, checkpoint: str) -> str:
    """Write the path of a directory in one way."""
    return full_path(locate_path(tables.spark, checkpoint)).rstrip("/")


def _has_rows(tables: ResultTables, name: str) -> bool:
    return any(
        tables.has(table) and not tables.read_run(table, name).isEmpty()
        for table in (SCORED, SCORED_REJECTED)
    )


def _has_progress(tables: ResultTables, checkpoint: str) -> bool:
    """Tell whether Spark has begun to keep the progress of a stream in a directory."""
    try:
        return not tables.spark.read.text(f"{escaped(checkpoint)}/metadata").isEmpty()
    except SPARK_ERRORS as error:
        if error_condition(error) in NOT_FOUND:
            return False
        raise explain_unreadable(error, checkpoint, "checkpoint") from error
