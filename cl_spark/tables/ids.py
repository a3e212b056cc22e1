"""Ids of rows that have none: a null in the id column, or in a part of a composite key."""

from collections.abc import Sequence
from functools import reduce
from operator import or_

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from cl_spark.tables.columns import quoted


def lacks_id(df: DataFrame, ids: Sequence[str]) -> Column:
    """Condition that a part of the id of a row is null, or a number that is NaN."""
    return reduce(or_, map(_lacks_part, df.select(*map(quoted, ids)).dtypes))


def _lacks_part(part: tuple[str, str]) -> Column:
    name, kind = part
    column = F.col(quoted(name))
    return column.isNull() | F.isnan(column) if kind in ("float", "double") else column.isNull()
