"""Columns of the answer of a check: a row for each example that it can judge."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from cl_spark.tables import columns as c
from cl_spark.tables.columns import quoted

ISSUE_TYPE, SCORE, WHY = "issue_type", "score", "why"


def answer(
    rows: DataFrame, id_col: str, score: Column, is_issue: Column, why: Column, *more: Column
) -> DataFrame:
    """Select what a check says of rows: the id column, score, is_issue, and why (null without an issue).

    Args:
        rows: the rows.
        id_col: their id column.
        score: in [0, 1]; low = suspicious.
        is_issue: whether the row is an issue; null counts as false.
        why: a sentence for people about an issue.
        more: further columns.
    """
    flag = F.coalesce(is_issue, F.lit(False))
    return rows.select(
        quoted(id_col),
        score.cast("double").alias(SCORE),
        flag.alias(c.IS_ISSUE),
        F.when(flag, why).alias(WHY),
        *more,
    )
