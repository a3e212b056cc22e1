"""Whole rows as JSON, as tables of rejected rows show them."""

from pyspark.sql import Column
from pyspark.sql import functions as F


def select_row_json(*hidden: str) -> Column:
    """Select the row of a table as JSON, within a select of that table.

    It reads all columns by `*`: of columns whose names differ in case only, a name alone may mean either.

    Args:
        hidden: columns to leave out.
    """
    row = F.struct("*")
    return F.to_json(row.dropFields(*hidden) if hidden else row)
