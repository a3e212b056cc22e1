"""The rows of a review queue as people see them: few, in the order to look at them, each value as text or
image.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import BinaryType, StructField

from cl_spark.errors import ConfigurationError
from cl_spark.methods.review import columns as q
from cl_spark.report.budget import LEFT_OUT, limit_bytes
from cl_spark.report.media import shown
from cl_spark.tables import columns as c
from cl_spark.tables.times import zoned_column

logger = logging.getLogger(__name__)

IMAGE_BYTES = 64 * 2**20
"""Most bytes of images in an export; one image may have a quarter of it."""

_OF_TABLE = (c.RUN_ID, c.ATTEMPT, c.RANK)
"""Columns of the table `review_queue` that are no review columns."""


@dataclass(frozen=True)
class ShownRow:
    """A row of the queue.

    Attributes:
        position: its place in the order, from 1.
        ids: its id, column by column, as text.
        given_label: the given label.
        suggested_label: the suggested label.
        label_quality: its label quality score.
        is_issue: whether it is an issue.
        cells: its review columns, each {"image": address}, {"text": text}, or of an image that was left out
            {"left_out": number of bytes}.
        question: what people are asked about a single label, as in 'Is it "bird"?'; None where they are asked
            which of two labels is right.
    """

    position: int
    ids: list[str]
    given_label: int | str
    suggested_label: int | str
    label_quality: float
    is_issue: bool
    cells: list[dict[str, str]]
    question: str | None = None


@dataclass(frozen=True)
class ShownQueue:
    """A review queue on the driver.

    Attributes:
        id_columns: the id columns.
        whole_ids: those among them that hold whole numbers.
        review_columns: the review columns.
        rows: its rows by position.
    """

    id_columns: list[str]
    whole_ids: set[str]
    review_columns: list[str]
    rows: list[ShownRow]

    @property
    def asks_for_class(self) -> bool:
        """Whether people are asked if an example has a class, where it may have several."""
        return any(row.question is not None for row in self.rows)


def find_id_columns(id_col: str | Sequence[str], queue: DataFrame) -> list[str]:
    """Find the id columns of a queue.

    Raises:
        ConfigurationError: none is named.
        MissingColumnError: the queue lacks one.
    """
    columns = [id_col] if isinstance(id_col, str) else list(id_col)
    if not columns:
        raise ConfigurationError("id_col must be the id column, or the columns of a composite key, got none")
    sensitive, there = c.is_case_sensitive(queue.sparkSession), queue.columns
    return [
        c.resolve_column("id_col", col, there, case_sensitive=sensitive, table="the queue") for col in columns
    ]


def id_text(field: StructField) -> Column:
    """Select an id as text, as exports write it, and answers name it again."""
    if isinstance(field.dataType, BinaryType):
        return F.base64(F.col(c.quoted(field.name)))
    return zoned_column(field).cast("string")


def read_rows(
    queue: DataFrame, id_col: str | Sequence[str], *, max_image_bytes: int = IMAGE_BYTES
) -> ShownQueue:
    """Read the rows of a queue, as many as its budget. Texts are cut, and images beyond some bytes left out,
    which a line of the log tells.

    Args:
        queue: the queue, as `review_queue` returns it or as the table `review_queue` holds it.
        id_col: its id column, or columns.
        max_image_bytes: bytes of images to read; one may have a quarter of it. With 0 none is wanted.

    Raises:
        MissingColumnError: the queue lacks a column.
        ConfigurationError: no id column is named, or bytes are negative.
    """
    if max_image_bytes < 0:
        raise ConfigurationError(f"max_image_bytes must be a number of bytes, got {max_image_bytes!r}")
    ids = find_id_columns(id_col, queue)
    sensitive, there = c.is_case_sensitive(queue.sparkSession), queue.columns
    for col in q.QUEUE_COLUMNS:
        c.resolve_column("queue", col, there, case_sensitive=sensitive, table="the queue")
    review = [col for col in there if col not in (*ids, *q.QUEUE_COLUMNS, *_OF_TABLE)]
    fields = {field.name: field for field in queue.schema.fields}
    names = [f"_id_{i}" for i in range(len(ids))]
    texts = [id_text(fields[col]).alias(name) for col, name in zip(ids, names, strict=True)]
    rows = queue.select(*texts, *q.QUEUE_COLUMNS, *map(c.quoted, review))
    found = limit_bytes(rows, review, q.PLACE, max_image_bytes).orderBy(q.PLACE).collect()
    left_out = sum(row[LEFT_OUT + col] is not None for row in found for col in review)
    if left_out and max_image_bytes:
        logger.warning(
            "%d of the images are left out: an export takes %d bytes of them, and at most %d of one "
            "(max_image_bytes)",
            left_out,
            max_image_bytes,
            max_image_bytes // 4,
        )
    kinds = {field.name: field.dataType.typeName() for field in queue.schema.fields}
    whole = {col for col in ids if kinds[col] in ("byte", "short", "integer", "long")}
    # queues of single labels have the class among their ids, and no other labels than these two
    labels = {row[name] for row in found for name in (c.GIVEN_LABEL, c.SUGGESTED_LABEL)}
    of_class = names[ids.index(c.CLASS)] if c.CLASS in ids and labels <= {q.PRESENT, q.ABSENT} else None
    return ShownQueue(ids, whole, review, [_show(row, names, review, of_class) for row in found])


def _show(row: Any, ids: Sequence[str], review: Sequence[str], of_class: str | None) -> ShownRow:
    return ShownRow(
        row[q.PLACE],
        [row[name] for name in ids],
        row[c.GIVEN_LABEL],
        row[c.SUGGESTED_LABEL],
        row[c.LABEL_QUALITY],
        row[q.ISSUE_RANK] is not None,
        [_cell(row[col], row[LEFT_OUT + col]) for col in review],
        None if of_class is None else f'Is it "{row[of_class]}"?',
    )


def _cell(value: Any, left_out: int | None) -> dict[str, str]:
    return shown(value) if left_out is None else {"left_out": str(left_out)}


def show_text(cell: dict[str, str]) -> str:
    """Show a cell as text: an image by its address, one that was left out by its size."""
    if "left_out" in cell:
        return f"image of {int(cell['left_out']):,} bytes, left out"
    return cell["text"] if "text" in cell else cell["image"]
