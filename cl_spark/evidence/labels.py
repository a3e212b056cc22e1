"""Given labels from a second table, joined to the predictions by id."""

import logging
from collections.abc import Sequence

from pyspark.errors import AnalysisException
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from cl_spark.errors import ColumnTypeError, MissingColumnError
from cl_spark.tables.columns import quoted

logger = logging.getLogger(__name__)

UNMATCHED = "_unmatched"
"""Column of the joined table that names what a row lacks, "label" or "prediction"; null where it has both."""


def join_labels(
    predictions: DataFrame,
    labels: DataFrame,
    id_cols: Sequence[str],
    label_col: str,
    more: Sequence[str] = (),
) -> DataFrame:
    """Join labels to predictions by id.

    Ids of one table only stay, marked in `UNMATCHED`: their rows are rejected later, not dropped in silence.
    The labels are the narrow side: where Spark can broadcast them, the arrays are not shuffled. Where both
    tables have the label column, or one of `more`, that of the labels table is used.

    Args:
        predictions: ids and probabilities.
        labels: ids and given labels.
        id_cols: id columns of both tables.
        label_col: column of the given label.
        more: further columns to take from `labels`, as far as it has them.

    Raises:
        MissingColumnError: a column is missing from a table.
        ColumnTypeError: the ids of the two tables are of types that cannot be compared.
    """
    _check_columns("labels", labels, [*id_cols, label_col])
    _check_columns("predictions", predictions, id_cols)
    if label_col in predictions.columns:
        logger.warning("predictions hold a column %r too: the labels table's is used", label_col)
    taken = [label_col, *(col for col in more if col in labels.columns)]
    left = predictions.drop(*taken)
    right = labels.select(*map(quoted, (*id_cols, *taken)))
    try:
        joined = left.join(right.withColumn(UNMATCHED, F.lit(False)), list(id_cols), "left")
        only_labels = right.join(left.select(*map(quoted, id_cols)), list(id_cols), "left_anti")
    except AnalysisException as error:
        raise ColumnTypeError(
            f"id_col: {list(id_cols)} cannot be compared between predictions and labels: {error}"
        ) from error
    lacks_label = F.when(F.col(UNMATCHED).isNull(), F.lit("label"))
    return joined.withColumn(UNMATCHED, lacks_label).unionByName(
        only_labels.withColumn(UNMATCHED, F.lit("prediction")), allowMissingColumns=True
    )


def _check_columns(table: str, df: DataFrame, cols: Sequence[str]) -> None:
    missing = [col for col in cols if col not in df.columns]
    if missing:
        raise MissingColumnError(
            f"{table}: no column {missing[0]!r}; the table has {', '.join(map(repr, df.columns))}"
        )
