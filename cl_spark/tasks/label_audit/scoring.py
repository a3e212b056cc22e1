"""Scoring new rows, in a batch or as a stream, with the frozen thresholds and joint of a finished run."""

import json
from dataclasses import dataclass
from datetime import datetime, timezone

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.streaming.query import StreamingQuery

from cl_spark.errors import ConfigurationError, OutputError, SourceChangedError
from cl_spark.runs.run import explain_failures, new_run_id
from cl_spark.runs.steps import Steps
from cl_spark.tables import columns as c
from cl_spark.tables.finished_run import finished_run
from cl_spark.tables.input_table import read_changes, read_source, read_stream
from cl_spark.tables.location import escaped
from cl_spark.tables.names import check_name
from cl_spark.tables.results import ResultTables
from cl_spark.tasks.label_audit.frozen import FrozenRun, check_all_judged
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
        SourceChangedError: the rows scored and rejected are not the rows read; nothing of the batch is kept.
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
            tables.write_all({SCORED: judged.scored, SCORED_REJECTED: judged.rejected}, batch)
        rows = tables.read_run(SCORED, batch)
        scored, issues = rows.agg(F.count(F.lit(1)), F.count_if(c.IS_ISSUE)).collect()[0]
        rejected = tables.read_run(SCORED_REJECTED, batch).count()
        try:
            check_all_judged(judged.num_read, scored, rejected)
        except SourceChangedError:
            for table in (SCORED, SCORED_REJECTED):
                tables.write(table, tables.read_run(table, batch).limit(0), batch)
            raise
        return batch, scored, issues, rejected


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
        ConfigurationError: the stream was started with another run or checkpoint, or its name is that of a
            batch.
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
    stream = stream or add_stream(tables, name, checkpoint, run.run_id)
    check_restart(tables, stream, name, checkpoint, run_id)
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
        """Score the rows of the batch of a number."""
        spark = rows.sparkSession
        stream = json.loads(spark.read.text(f"{escaped(self.checkpoint)}/metadata").collect()[0][0])["id"]
        tables = ResultTables(spark, self.location, "delta", self.predictions)
        with self.frozen.scoring(rows) as judged:
            for table, found in ((SCORED, judged.scored), (SCORED_REJECTED, judged.rejected)):
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
