"""Writes to a Delta table that others write to at the same time."""

import random
import time
from collections.abc import Callable
from typing import Any

from cl_spark.tables.spark_errors import SPARK_ERRORS, error_condition

ATTEMPTS = 8
"""How often a write is tried that other writers of the same Delta table got ahead of."""

_CONFLICTS = (
    "DELTA_CONCURRENT",
    "DELTA_METADATA_CHANGED",
    "DELTA_PROTOCOL_CHANGED",
    "DELTA_CREATE_TABLE_SCHEME_MISMATCH",
    "DELTA_CREATE_TABLE_WITH_NON_EMPTY_LOCATION",
    "DELTA_SCHEMA_CHANGE_SINCE_ANALYSIS",
    "DELTA_TABLE_NOT_FOUND",
    "DELTA_TABLE_ALREADY_EXISTS",
    "TABLE_OR_VIEW_ALREADY_EXISTS",
    "UNRESOLVED_COLUMN",
)
_CONFLICT_CLASSES = (
    "ConcurrentAppendException",
    "ConcurrentDeleteReadException",
    "ConcurrentWriteException",
    "MetadataChangedException",
    "ProtocolChangedException",
)


def retry_conflicts(write: Callable[[], Any]) -> None:
    """Write, and again after a conflict with another writer of the table. Other errors pass through, as does
    the last conflict.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            write()
            return
        except SPARK_ERRORS as error:
            if attempt == ATTEMPTS or not _is_write_conflict(error):
                raise
            time.sleep(random.uniform(0.1, 0.3) * attempt)


def _is_write_conflict(error: Exception) -> bool:
    """Tell whether a Delta write lost to another one, which has committed or is just creating the table."""
    text = str(error)
    return error_condition(error).startswith(_CONFLICTS) or any(
        name in text for name in (*_CONFLICTS, *_CONFLICT_CLASSES)
    )
