"""The rows that people were asked about, and the answers they gave: verdicts are made from both."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StringType

from cl_spark.errors import ConfigurationError, InputError
from cl_spark.methods.review.files import read_answers_file
from cl_spark.methods.review.label_studio import read_label_studio
from cl_spark.methods.review.review_csv import read_review_csv
from cl_spark.tables import columns as c
from cl_spark.tables.columns import quoted
from cl_spark.tables.finished_run import Run, finished_run, finished_runs
from cl_spark.tables.input_table import InputTable, read_source
from cl_spark.tables.results import ResultTables
from cl_spark.tasks.review_queue.audited import find_audit
from cl_spark.tasks.review_queue.queue import open_judged
from cl_spark.tasks.review_queue.tables import NUM_FLAGGED, NUM_TOP, NUM_UNFLAGGED, REVIEW_QUEUE
from cl_spark.tasks.review_queue.task import REVIEW
from cl_spark.tasks.verdicts.config import VerdictsConfig


@dataclass(frozen=True)
class Reviewed:
    """The rows that people were asked about.

    Attributes:
        run: the run that they are of.
        ids: the columns that tell them apart.
        queue: the rows.
        sizes: rows of the strata in the whole table, as arguments of `validated_quality`.
    """

    run: Run
    ids: Sequence[str]
    queue: DataFrame
    sizes: Mapping[str, int]


def find_reviewed(tables: ResultTables, run_id: str | None) -> Reviewed:
    """Find the review queue, or the issues, that people were asked about.

    Raises:
        InputError: there is no such run, or it is of a task that has no rows to review.
    """
    if run_id is None:
        queues = finished_runs(tables).where(F.col(c.TASK) == REVIEW.name).select(c.RUN_ID).first()
        run_id = None if queues is None else queues[c.RUN_ID]
    run = find_audit(tables, None) if run_id is None else finished_run(tables, run_id)
    if run.task == REVIEW.name:
        sizes = {name: run.record[name] for name in (NUM_TOP, NUM_FLAGGED, NUM_UNFLAGGED)}
        return Reviewed(run, run.id_columns, run.table(REVIEW_QUEUE.name), sizes)
    judged = open_judged(find_audit(tables, run_id))
    sizes = {NUM_TOP: judged.num_issues, NUM_FLAGGED: 0}
    return Reviewed(judged.run, judged.ids, judged.read_issues(), sizes)


@dataclass(frozen=True)
class AnswerSource:
    """The answers that people gave, as they were read.

    Attributes:
        answers: a row per answer: ids, annotator, answer.
        state: the state that was read.
    """

    answers: DataFrame
    state: str


def read_answers(spark: SparkSession, config: VerdictsConfig, queue: DataFrame) -> AnswerSource:
    """Read the answers, from files that people saved or from a table.

    Raises:
        ConfigurationError: they may be an export of Label Studio or a table, and the configuration does not
            say which.
        InputError: they cannot be read, or are for other rows than those of the queue.
    """
    if config.answers_format == "auto" and (name := config.answers[0]).lower().endswith(".json"):
        raise ConfigurationError(
            f"answers: {name!r} may be an export of Label Studio or a table: say answers_format: "
            "label_studio (--answers-format label_studio), or answers_format: table"
        )
    if config.kind == "table":
        table = open_answers(spark, config)
        return AnswerSource(_match_ids(table, config, queue), table.state())
    read = read_review_csv if config.kind == "csv" else read_label_studio
    digest = hash_files(config)
    return AnswerSource(read(config.answers, queue, id_col=config.id_col), digest)


def open_answers(spark: SparkSession, config: VerdictsConfig) -> InputTable:
    """Open a table of answers."""
    return read_source(spark, config.answers[0], "answers", roles=config.roles)


def hash_files(config: VerdictsConfig) -> str:
    """Describe the state of files of answers: their number, and a digest of what they hold."""
    digest = hashlib.sha256()
    for file in config.answers:
        digest.update(read_answers_file(file, "answers").encode())
    return f"{len(config.answers)} files, {digest.hexdigest()[:16]}"


def _match_ids(table: InputTable, config: VerdictsConfig, queue: DataFrame) -> DataFrame:
    """Give ids that were read from text the types that they have in the queue."""
    if table.format not in ("csv", "json"):
        return table.df
    kinds = {field.name: field.dataType for field in queue.schema.fields}
    found = {field.name: field.dataType for field in table.df.schema.fields}
    others = {
        col: F.expr(f"try_cast({quoted(col)} AS {kinds[col].simpleString()})")
        for col in config.id_col
        if col in found and col in kinds and found[col] != kinds[col]
    }
    for col in others:
        if not isinstance(found[col], StringType) and not isinstance(kinds[col], StringType):
            raise InputError(
                f"answers: column {col!r} is {found[col].simpleString()}, and the queue has "
                f"{kinds[col].simpleString()}: these are other ids"
            )
    return table.df.withColumns(others)
