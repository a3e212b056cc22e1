"""Answers of people, joined to the review queue by the ids of its rows."""

import logging
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from cl_spark.errors import ConfigurationError, InputError, one_line
from cl_spark.methods.review import columns as q
from cl_spark.methods.review.shown_rows import find_id_columns, id_text
from cl_spark.tables.columns import quoted

logger = logging.getLogger(__name__)


class Answer(NamedTuple):
    """An answer as it was read.

    Attributes:
        ids: the id of the row, column by column, as text.
        annotator: who gave it.
        answer: the answer; None where the annotator skipped the row.
        label: the class the annotator chose; None where none was.
        place: where it was read, for messages.
    """

    ids: tuple[str, ...]
    annotator: str
    answer: str | None
    label: str | None
    place: str


def join_answers(found: Sequence[Answer], queue: DataFrame, id_col: str | Sequence[str]) -> DataFrame:
    """Join answers to the rows of a queue, so that ids have the values and types that they have there.

    Args:
        found: the answers; as many as people have given.
        queue: the queue they are answers to.
        id_col: its id column, or columns.

    Returns:
        The id columns, annotator, answer (null where the row was skipped), label.

    Raises:
        MissingColumnError: the queue lacks an id column.
        ConfigurationError: an id column is called like a column of answers.
        InputError: an answer is for a row that the queue does not have, or has several times.
    """
    ids = find_id_columns(id_col, queue)
    own = (q.ANNOTATOR, q.ANSWER, q.LABEL)
    for col in ids:
        if col.casefold() in own:
            raise ConfigurationError(f"id_col: {col!r} is the name of a column of answers; rename it")
    fields = {field.name: field for field in queue.schema.fields}
    keys = [f"_key_{i}" for i in range(len(ids))]
    asked = queue.select(
        *[F.col(quoted(col)).alias(f"_id_{i}") for i, col in enumerate(ids)],
        *[id_text(fields[col]).alias(key) for col, key in zip(ids, keys, strict=True)],
    )
    # as many rows as the budget
    times = Counter(tuple(row[key] for key in keys) for row in asked.select(*keys).collect())
    for answer in found:
        if times[answer.ids] != 1:
            shown = ", ".join(map(one_line, answer.ids))
            raise InputError(
                f"{answer.place}: the queue has {times[answer.ids] or 'no'} row(s) with the id {shown}, and "
                f"must have one. Take the queue that was exported, and name its id columns (id_col={ids})"
            )
    rows = [(*answer.ids, answer.annotator, answer.answer, answer.label) for answer in found]
    columns = [*keys, *own]
    schema = ", ".join(f"{name} string" for name in columns)
    given = queue.sparkSession.createDataFrame(rows, schema)
    unanswered = len(times) - len({answer.ids for answer in found})
    logger.info("%d answers read; %d rows of the queue have none yet", len(found), unanswered)
    return given.join(F.broadcast(asked), keys).select(
        *[F.col(f"_id_{i}").alias(col) for i, col in enumerate(ids)], *own
    )
