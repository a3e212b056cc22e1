"""Two input tables, predictions and labels, made one by their ids."""

import logging
from collections.abc import Sequence

from pyspark.errors import AnalysisException
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from cl_spark.errors import ColumnTypeError, MissingColumnError
from cl_spark.tables.columns import quoted

logger = logging.getLogger(__name__)

UNMATCHED = "_unmatched"
"""What a row of the matched table lacks: "label", "prediction", or null for nothing."""


def join_labels(
    predictions: DataFrame,
    labels: DataFrame,
    id_cols: Sequence[str],
    label_col: str,
    more: Sequence[str] = (),
) -> DataFrame:
    """Predictions with the labels of their ids. Ids found on one side only stay, marked in `UNMATCHED`: they are rejected.

    The labels are the narrow side: where Spark can broadcast them, the arrays are not shuffled. A label column that the
    predictions hold too gives way to the labels table; so do further columns (`more`) the labels table has.

    Raises:
        MissingColumnError: a column is missing from a table.
        ColumnTypeError: the ids are of types that do not compare.
    """
    for key, df, cols in (("labels", labels, [*id_cols, label_col]), ("predictions", predictions, id_cols)):
        missing = [col for col in cols if col not in df.columns]
        if missing:
            raise MissingColumnError(
                f"{key}: no column {missing[0]!r}; the table has {', '.join(map(repr, df.columns))}"
            )
    if label_col in predictions.columns:
        logger.warning("predictions hold a column %r too: the labels table's is used", label_col)
    taken = [label_col, *(col for col in more if col in labels.columns)]
    left = predictions.drop(*taken)
    right = labels.select(*map(quoted, (*id_cols, *taken)))
    keys = left.select(*map(quoted, id_cols))
    try:
        both = left.join(right.withColumn(UNMATCHED, F.lit(False)), list(id_cols), "left")
        only_labels = right.join(keys, list(id_cols), "left_anti")
    except AnalysisException as error:
        raise ColumnTypeError(
            f"id_col: {list(id_cols)} cannot be compared between predictions and labels: {error}"
        ) from error
    return both.withColumn(UNMATCHED, F.when(F.col(UNMATCHED).isNull(), F.lit("label"))).unionByName(
        only_labels.withColumn(UNMATCHED, F.lit("prediction")), allowMissingColumns=True
    )
