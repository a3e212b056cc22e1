"""The check for features that are missing."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from cl_spark.methods.checks.check_columns import answer


def score_missing_values(df: DataFrame, id_col: str, features: Column) -> DataFrame:
    """Score rows by the share of their features that are there. Rows without any are issues.

    Args:
        df: the table.
        id_col: id column.
        features: arrays of numbers; nulls and NaN in them are missing, and so is all of a null or empty one.

    Source: as cleanlab's Datalab defines it; specification, section 19.

    Example:
        >>> rows = [(1, [1.0, None]), (2, [None, float("nan")])]
        >>> rows = spark.createDataFrame(rows, "id int, x array<double>")
        >>> found = score_missing_values(rows, "id", F.col("x")).orderBy("id").collect()
        >>> {row.id: (row.score, row.why) for row in found}
        {1: (0.5, None), 2: (0.0, 'all features are missing')}
    """
    there = F.size(F.filter(features, _is_there))
    share = F.when(F.size(features) > 0, there / F.size(features)).otherwise(0.0)
    return answer(df, id_col, share, share == 0, F.lit("all features are missing"))


def _is_there(value: Column) -> Column:
    return value.isNotNull() & ~F.isnan(value)
