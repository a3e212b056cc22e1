"""Scoring new rows, in a batch or as a stream, with the frozen thresholds and joint of a finished run."""

import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timezone

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.streaming.query import StreamingQuery

from cl_spark.errors import ClSparkError, ConfigurationError, OutputError, SourceChangedError
from cl_spark.runs.run import explain_failures, new_run_id
from cl_spark.runs.steps import Steps
from cl_spark.tables import columns as c
from cl_spark.tables.finished_run import finished_run
from cl_spark.tables.input_table import read_changes, read_source, read_stream
from cl_spark.tables.location import escaped
from cl_spark.tables.names import check_name
from cl_spark.tables.results import ResultTables
from cl_spark.tables.schema import Table
from cl_spark.tasks.label_audit.frozen import FrozenRun, JudgedRows, check_all_judged
from cl_spark.tasks.label_audit.streams import add_stream, check_restart, find_stream
from cl_spark.tasks.label_audit.tables import SCORED, SCORED_REJECTED
from cl_spark.tasks.label_audit.task import LABEL_AUDIT


def score_new(
    spark: SparkSession,
    location: str,
    predictions: str,
    *,
    run_id: str | None = None,
    batch: str | None = None,
    where: str | None = None,
    changes_since: int | None = None,
) -> tuple[str, int, int, int]:
    """Score new rows with the frozen thresholds and joint of a finished run, into the tables `scored` and
    `scored_rejected`.

    Args:
        spark: the session.
        location: where the run's tables are; the scores go there too.
        predictions: a path or a catalog table, with the columns and in the format the run's input had.
        run_id: the label audit; default the latest.
        batch: name of what is scored; the same name again replaces its rows. Default: the time. Not the name
            of a stream.
        where: a SQL condition on the rows, such as a partition.
        changes_since: a version of a Delta table with change data feed: only rows inserted or updated from it
            on, as they are now; later changes of a row win.

    Returns:
        The batch's name, and how many rows were scored, are issues, and were rejected.

    Raises:
        ClSparkError: the run, the rows or the output cannot be used.
        SourceChangedError: the rows scored and rejected are not the rows read; nothing of them is kept.
    """
    batch = batch or new_run_id(datetime.now(timezone.utc))
    check_name("batch", batch)
    steps, tables = Steps(run_id=batch), ResultTables.at(spark, location)
    if find_stream(tables, batch) is not None:
        raise ConfigurationError(
            f"batch: {batch!r} is a stream in {location!r}, whose rows it would replace; choose another name"
        )
    run = finished_run(tables, run_id, task=LABEL_AUDIT.name)
    frozen = FrozenRun.of(run)
    if changes_since is None:
        config = frozen.config
        df = read_source(
            spark, predictions, "predictions", input_format=config.input_format, roles=config.roles
        ).df
    else:
        df = read_changes(spark, predictions, changes_since, frozen.config.id_col)
    with explain_failures(batch, steps), steps("scoring"):
        df = df if where is None else df.where(where)
        with frozen.scoring(df) as judged:
            frames = list_tables(judged)
            check_types(tables, frames, (*frozen.config.id_col, c.GIVEN_LABEL))
            replace_batch = _replace_delta if tables.format == "delta" else _replace_parquet
            return batch, *replace_batch(tables, frames, batch, judged.num_read)


def list_tables(judged: JudgedRows) -> dict[Table, DataFrame]:
    """List the tables that new rows go to."""
    return {SCORED: judged.scored, SCORED_REJECTED: judged.rejected}


def check_types(tables: ResultTables, frames: Mapping[Table, DataFrame], following: Collection[str]) -> None:
    """Check that columns of new rows that follow the input are of the types that the tables hold.

    Args:
        tables: where the tables are.
        frames: the rows by the table they go to.
        following: the columns: ids, and labels.

    Raises:
        ConfigurationError: a type differs.
    """
    for table, rows in frames.items():
        fields = [field for field in rows.schema.fields if field.name in following]
        types = {field.name: field.dataType.simpleString() for field in fields}
        tables.check_types(tables.find_types(table), types, "the new rows have", widens=True)


def _replace_delta(
    tables: ResultTables, frames: Mapping[Table, DataFrame], batch: str, num_read: int
) -> tuple[int, int, int]:
    """Write a batch in the place of an earlier one of its name: each table in one transaction.

    Returns:
        How many rows were scored, are issues, and were rejected.

    Raises:
        SourceChangedError: these are not the rows read. The batch is empty then.
    """
    tables.write_all(frames, batch)
    try:
        return _count_batch(tables, batch, num_read)
    except SourceChangedError:
        _empty(tables, frames, batch)
        raise


def _replace_parquet(
    tables: ResultTables, frames: Mapping[Table, DataFrame], batch: str, num_read: int
) -> tuple[int, int, int]:
    """Write a batch in the place of an earlier one of its name, once it is whole and its rows add up.

    Overwriting Parquet deletes the earlier rows before the later ones are there. So all that may fail comes
    first, beside the tables, and what remains is to copy files.

    Returns:
        How many rows were scored, are issues, and were rejected.

    Raises:
        SourceChangedError: these are not the rows read. The earlier batch stays.
    """
    with _beside(tables, frames, batch) as beside:
        beside.write_all(frames, batch)
        counts = _count_batch(beside, batch, num_read)
        tables.write_all({table: beside.read_run(table, batch) for table in frames}, batch)
    return counts


@contextmanager
def _beside(tables: ResultTables, frames: Mapping[Table, DataFrame], batch: str) -> Iterator[ResultTables]:
    """Make a place for a batch beside its tables, in a directory that readers of Parquet skip, and leave
    empty files there afterwards, as Spark deletes no directories.
    """
    beside = ResultTables(tables.spark, f"{tables.path.rstrip('/')}/_unfinished", tables.format)
    try:
        yield beside
    finally:
        with suppress(ClSparkError):  # the batch is whole, or another error is on its way
            _empty(beside, frames, batch)


def _empty(tables: ResultTables, frames: Mapping[Table, DataFrame], batch: str) -> None:
    """Remove the rows of a batch."""
    tables.write_all({table: rows.limit(0) for table, rows in frames.items()}, batch)


def _count_batch(tables: ResultTables, batch: str, num_read: int) -> tuple[int, int, int]:
    """Count the rows of a batch that were scored, are issues, and were rejected.

    Raises:
        SourceChangedError: these are not the rows read.
    """
    rows = tables.read_run(SCORED, batch)
    scored, issues = rows.agg(F.count(F.lit(1)), F.count_if(c.IS_ISSUE)).collect()[0]
    rejected = tables.read_run(SCORED_REJECTED, batch).count()
    check_all_judged(num_read, scored, rejected)
    return scored, issues, rejected


def score_stream(
    spark: SparkSession,
    location: str,
    predictions: str,
    checkpoint: str,
    name: str,
    *,
    run_id: str | None = None,
    files_per_batch: int | None = None,
) -> "StreamStart":
    """Prepare a stream that scores rows as they arrive, each exactly once, into the Delta table `scored`.

    A batch is written under the stream's id and the batch's number, which Delta accepts once: killed and
    started again with its checkpoint, the stream writes the missing rows and nothing twice. The table
    `streams` tells the run that scores its rows, which stays the same. A new checkpoint is a new stream, and
    needs a new name.

    Args:
        spark: the session.
        location: where the run's tables are, in Delta; the scores go there too.
        predictions: a Delta path, or a directory of Parquet files, that rows are added to.
        checkpoint: directory of the stream's progress, of its own.
        name: the stream's name: the `run_id` of its rows.
        run_id: the label audit; default that of the stream's first start, or the latest for a new stream.
        files_per_batch: read at most so many files at a time; default all that are there (Delta: 1,000).

    Returns:
        A function that starts it: with True it ends when all there is has been read, with False it goes on.

    Raises:
        ConfigurationError: the stream was started with another run or checkpoint, its run has been run
            again since, its name is that of a batch, or its ids are of another type than the tables hold.
        ClSparkError: the run or the rows cannot be used.
    """
    check_name("name", name)
    tables = ResultTables.at(spark, location)
    if tables.format != "delta":
        raise OutputError(
            f"output: a stream writes each row once to Delta only, and {location!r} holds parquet"
        )
    stream = find_stream(tables, name)
    scores_with = run_id if stream is None else stream[c.FROZEN_RUN]
    run = finished_run(tables, scores_with, task=LABEL_AUDIT.name)
    frozen = FrozenRun.of(run)
    source = read_stream(spark, predictions, files_per_batch, roles=frozen.config.roles)
    # before it is recorded: a stream that is refused leaves nothing
    check_types(tables, dict.fromkeys((SCORED, SCORED_REJECTED), source), frozen.config.id_col)
    stream = stream or add_stream(tables, name, checkpoint, run)
    check_restart(tables, stream, name, checkpoint, run_id, run)
    return StreamStart(source, StreamBatch(frozen, location, predictions, checkpoint, name))


@dataclass(frozen=True)
class StreamBatch:
    """Scores one batch of a stream, and writes it once.

    Attributes:
        frozen: the run to score with.
        location: where its tables are.
        predictions: the source of the stream.
        checkpoint: directory of the stream's progress, which holds the stream's id.
        name: the stream's name.
    """

    frozen: FrozenRun
    location: str
    predictions: str
    checkpoint: str
    name: str

    def __call__(self, rows: DataFrame, number: int) -> None:
        """Score the rows of the batch of a number.

        Raises:
            ConfigurationError: ids or labels are of another type than the tables hold.
        """
        spark = rows.sparkSession
        stream = json.loads(spark.read.text(f"{escaped(self.checkpoint)}/metadata").collect()[0][0])["id"]
        tables = ResultTables(spark, self.location, "delta", self.predictions)
        with self.frozen.scoring(rows) as judged:
            frames = list_tables(judged)
            check_types(tables, frames, (*self.frozen.config.id_col, c.GIVEN_LABEL))
            for table, found in frames.items():
                tables.append_once(table, found, self.name, f"cl_spark {stream}", number)


@dataclass(frozen=True)
class StreamStart:
    """Starts the stream: with True it ends when all there is has been read, with False it goes on.

    Attributes:
        source: the rows as they are added.
        batch: scores each batch.
    """

    source: DataFrame
    batch: StreamBatch

    def __call__(self, until_read: bool) -> StreamingQuery:
        """Start it."""
        writer = self.source.writeStream.foreachBatch(self.batch).queryName(self.batch.name)
        writer = writer.option("checkpointLocation", self.batch.checkpoint)
        return (writer.trigger(availableNow=True) if until_read else writer).start()
