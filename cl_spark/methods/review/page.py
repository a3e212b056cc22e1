"""The page to review with: one HTML file that opens without a network, and saves answers as CSV."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from pyspark.sql import DataFrame

from cl_spark.errors import one_line
from cl_spark.methods.review import columns as q
from cl_spark.methods.review.files import write_export
from cl_spark.methods.review.shown_rows import IMAGE_BYTES, ShownQueue, read_rows, show_text
from cl_spark.tables import columns as c
from cl_spark.version import __version__


def export_review_page(
    queue: DataFrame,
    path: str,
    *,
    id_col: str | Sequence[str] = "id",
    run_id: str | None = None,
    remote_images: bool = False,
    max_image_bytes: int = IMAGE_BYTES,
) -> str:
    """Write a page on which people click through a review queue.

    It shows the review columns of a row, an image or a text, and asks which of two labels is right: the given
    one, the suggested one, both or neither; or the row is skipped. Of a single label, it asks whether the
    example has the class, and "both" is no answer. Keys do the same. The browser remembers the answers by
    name of the annotator. They are saved as CSV, for `read_review_csv`.

    Args:
        queue: the queue, of `review_queue` or of the table of that name.
        path: the file, on this machine.
        id_col: id column of the queue, or the columns of a composite key.
        run_id: the run that the queue is of, for the title.
        remote_images: let the page load images from the http(s) addresses in the data. Else it shows these as
            text, and asks no host for anything.
        max_image_bytes: bytes of images to write into the file; one may have a quarter of it.

    Returns:
        The path of the file.

    Raises:
        ConfigurationError: the path is none of this machine.
        MissingColumnError: the queue lacks a column.
        OutputError: the file cannot be written.

    Example:
        >>> from cl_spark import review_queue
        >>> queue = review_queue(read_run(results), 10)
        >>> page = export_review_page(queue, f"{results}/review.html")
        >>> open(page, encoding="utf-8").readline().strip()
        '<!doctype html>'
    """
    rows = read_rows(queue, id_col, max_image_bytes=max_image_bytes)
    return write_export(path, _render(rows, run_id, remote_images=remote_images))


def _render(rows: ShownQueue, run_id: str | None, *, remote_images: bool) -> str:
    """Render the page. Values from the data stay text, whatever they hold."""
    environment = Environment(
        loader=PackageLoader("cl_spark.methods.review"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    # neither stratum nor score: nothing on the page tells what the audit thinks of a row
    shown = [
        {
            "ids": row.ids,
            "given": str(row.given_label),
            "suggested": str(row.suggested_label),
            **({} if row.question is None else {"question": row.question}),
            "cells": [_cell(cell, remote_images=remote_images) for cell in row.cells],
        }
        for row in rows.rows
    ]
    asked = [[row["ids"], row["given"], row["suggested"]] for row in shown]
    digest = hashlib.sha256(json.dumps([run_id, rows.id_columns, asked]).encode()).hexdigest()
    data: dict[str, Any] = {
        "queue": digest[:32],
        "idColumns": rows.id_columns,
        "labelColumns": [c.GIVEN_LABEL, c.SUGGESTED_LABEL],
        "answerColumns": [q.ANSWER, q.LABEL, q.ANNOTATOR],
        "reviewColumns": rows.review_columns,
        "asksForClass": rows.asks_for_class,
        "rows": shown,
    }
    return environment.get_template("review.html.j2").render(
        title="Review" if run_id is None else f"Review of run {one_line(run_id)}",
        data=data,
        version=__version__,
        remote_images=remote_images,
    )


def _cell(cell: dict[str, str], *, remote_images: bool) -> dict[str, str]:
    """Show a cell: an image of another host by its address, unless it may be loaded."""
    image = cell.get("image")
    if image is not None and (remote_images or image.startswith("data:")):
        return {"image": image}
    return {"text": show_text(cell)}
