"""Times that say their offset from UTC, whatever zone this machine or the session is in."""

from datetime import datetime, timezone

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql.types import StructField, TimestampType

from cl_spark.tables.columns import quoted


def in_utc(moment: datetime) -> datetime:
    """Say a time in UTC: those that Spark returns are of this machine's zone, and do not say so.

    Example:
        >>> in_utc(datetime(2026, 1, 31, 1, tzinfo=timezone.utc)).isoformat()
        '2026-01-31T01:00:00+00:00'
    """
    return moment.astimezone(timezone.utc)


def zoned_column(field: StructField) -> Column:
    """Select a column; a time becomes a text that says its offset from UTC."""
    column = F.col(quoted(field.name))
    if isinstance(field.dataType, TimestampType):
        column = F.date_format(column, "yyyy-MM-dd HH:mm:ss.SSSSSSXXX").alias(field.name)
    return column
