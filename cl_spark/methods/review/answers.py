"""Answers of people, joined to the review queue by the ids of its rows."""

import logging
from collections.abc import Sequence
from typing import NamedTuple

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from cl_spark.errors import ConfigurationError, InputError, one_line
from cl_spark.methods.review import columns as q
from cl_spark.methods.review.shown_rows import find_id_columns, id_text
from cl_spark.tables import columns as c
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
        shown: given and suggested label that the annotator saw, as text; None where the file does not tell.
    """

    ids: tuple[str, ...]
    annotator: str
    answer: str | None
    label: str | None
    place: str
    shown: tuple[str | None, str | None] = (None, None)


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
        InputError: an answer is for a row that the queue does not have, or has several times, or was given
            when the row had other labels.
    """
    ids = find_id_columns(id_col, queue)
    own = (q.ANNOTATOR, q.ANSWER, q.LABEL)
    for col in ids:
        if col.casefold() in own:
            raise ConfigurationError(f"id_col: {col!r} is the name of a column of answers; rename it")
    fields = {field.name: field for field in queue.schema.fields}
    keys = [f"_key_{i}" for i in range(len(ids))]
    texts = [id_text(fields[col]).alias(key) for col, key in zip(ids, keys, strict=True)]
    labels_of = _read_labels(queue, texts)
    for answer in found:
        _check_row(answer, labels_of.get(answer.ids, []), ids)
    asked = queue.select(*[F.col(quoted(col)).alias(f"_id_{i}") for i, col in enumerate(ids)], *texts)
    rows = [(*answer.ids, answer.annotator, answer.answer, answer.label) for answer in found]
    columns = [*keys, *own]
    schema = ", ".join(f"{name} string" for name in columns)
    given = queue.sparkSession.createDataFrame(rows, schema)
    unanswered = len(labels_of) - len({answer.ids for answer in found})
    logger.info("%d answers read; %d rows of the queue have none yet", len(found), unanswered)
    return given.join(F.broadcast(asked), keys).select(
        *[F.col(f"_id_{i}").alias(col) for i, col in enumerate(ids)], *own
    )


def _read_labels(
    queue: DataFrame, ids: Sequence[Column]
) -> dict[tuple[str, ...], list[tuple[str | None, ...]]]:
    """Read the given and the suggested label of each row of a queue by its id, which several may share.

    Args:
        queue: the queue, as many rows as its budget.
        ids: its ids, as text.

    Returns:
        Labels as exports write them; None where the queue does not have the column.
    """
    there = {name.casefold(): name for name in queue.columns}
    columns = [there.get(name) for name in (c.GIVEN_LABEL, c.SUGGESTED_LABEL)]
    labels = [
        (F.lit(None) if col is None else F.col(quoted(col))).alias(f"_label_{i}")
        for i, col in enumerate(columns)
    ]
    found: dict[tuple[str, ...], list[tuple[str | None, ...]]] = {}
    for row in queue.select(*ids, *labels).collect():
        *key, given, suggested = row
        shown = [
            None if col is None else str(label)
            for col, label in zip(columns, (given, suggested), strict=True)
        ]
        found.setdefault(tuple(key), []).append(tuple(shown))
    return found


def _check_row(answer: Answer, labels: Sequence[tuple[str | None, ...]], ids: Sequence[str]) -> None:
    """Check that an answer is for one row of the queue, and was given about its labels.

    Args:
        answer: the answer.
        labels: the labels of each row of the queue that has the id.
        ids: the id columns, for messages.

    Raises:
        InputError: it is not.
    """
    row = ", ".join(map(one_line, answer.ids))
    if len(labels) != 1:
        found = f"{len(labels)} rows" if labels else "no row"
        raise InputError(
            f"{answer.place}: an answer is to one row, and the queue has {found} with the id {row}. Take the "
            f"queue that was exported, and name its id columns (id_col={list(ids)})"
        )
    for name, shown, label in zip((c.GIVEN_LABEL, c.SUGGESTED_LABEL), answer.shown, *labels, strict=True):
        if shown is not None and label is not None and not _is_same(shown, label):
            raise InputError(
                f"{answer.place}: the {name} of the row with the id {row} is {one_line(repr(shown))} here, "
                f"and {one_line(repr(label))} in the queue: these are answers to another queue. Take the "
                "queue that was exported, by its run (in `cl-spark verdicts`: run); or if a spreadsheet has "
                "rewritten the labels, remove that column from the file"
            )


def _is_same(shown: str, label: str) -> bool:
    """Tell whether a label of a file is that of the queue, as spreadsheets write it: TRUE for True, 3.0 for
    3, and with a mark in front or without.

    Example:
        >>> _is_same("3,0", "3"), _is_same("'=cat", "=Cat"), _is_same("bird", "dog")
        (True, True, False)
    """
    texts = [" ".join(text.split()).lstrip("'").casefold() for text in (shown, label)]
    if texts[0] == texts[1]:
        return True
    try:
        numbers = [float(text.replace(",", ".")) for text in texts]
    except ValueError:
        return False
    return numbers[0] == numbers[1]
