"""A small review queue, as people get it."""

import base64
from typing import Any

from pyspark.sql import DataFrame, SparkSession

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAAAAADhZOFXAAAAMElEQVR42mNgUHBIaFhw4AGDgEFAwYQNFz7ABRig"
    "AgIMUAEFBqiAAQNUwIEBKhAAACeEHgGXwHUAAAAAAElFTkSuQmCC"
)
"""An image of 8 x 8 pixels."""

IDS = ["source", "id"]
"""The id columns: a text, and a whole number that is beyond those of JavaScript in some rows."""

SCHEMA = (
    "source string, id long, given_label string, suggested_label string, label_quality double, "
    "issue_rank long, place long, stratum string, inclusion_probability double, picture binary, "
    "`the note` string"
)
ROWS: list[tuple[Any, ...]] = [
    ("a", 17, "cat", "dog", 0.01, 1, 4, "top", 1.0, PNG, "one\nand a line"),
    ("a", 2**53 + 1, "dog", "cat", 0.02, 2, 2, "top", 1.0, PNG, "=1+1"),
    ("007", 17, "cat", "eel", 0.03, 3, 6, "top", 1.0, None, "<b>bold</b>"),
    ("b", -5, "eel", "dog", 0.25, 9, 1, "flagged", 0.5, PNG, None),
    ("b", 2**62, "dog", "eel", 0.5, None, 3, "unflagged", 0.125, PNG, "'quoted'"),
    ("b", 0, "dog", "cat", 0.75, None, 5, "unflagged", 0.125, PNG, 'käse; ok, "so"'),
]


def small_queue(spark: SparkSession) -> DataFrame:
    """The queue; its rows are in no order."""
    return spark.createDataFrame(ROWS, SCHEMA).repartition(3)
