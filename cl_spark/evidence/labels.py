"""Given labels from a second table, joined to the predictions by id."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import reduce
from operator import and_

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import IntegralType

from cl_spark.errors import ColumnTypeError, MissingColumnError
from cl_spark.evidence.validity import RejectionReason
from cl_spark.tables import columns as c
from cl_spark.tables.columns import find_columns, is_case_sensitive, quoted
from cl_spark.tables.ids import lacks_id

logger = logging.getLogger(__name__)

_LABELS = "_labels"


def join_labels(
    predictions: DataFrame,
    labels: DataFrame,
    id_cols: Sequence[str],
    label_col: str,
    more: Sequence[str] = (),
) -> DataFrame:
    """Join labels to predictions by id.

    No row is dropped in silence, and none is multiplied: ids of one table only and ids of several labels come
    once, with a reason in `c.REJECTION`, so that their rows are rejected later. Nulls match each other, so
    that a row without an id comes once too. The labels are the narrow side: where Spark can broadcast them,
    the arrays are not shuffled. Where both tables have the label column, or one of `more`, that of the labels
    table is used. Those of `more` that are part of the id come from there.

    Args:
        predictions: ids and probabilities.
        labels: ids and given labels.
        id_cols: id columns of both tables.
        label_col: column of the given label.
        more: further columns to take from `labels`, as far as it has them.

    Raises:
        MissingColumnError: a column is missing from a table.
        ColumnTypeError: the ids of the two tables are of different types.
    """
    _check_columns("labels", labels, [*id_cols, label_col])
    _check_columns("predictions", predictions, id_cols)
    _check_types(predictions, labels, id_cols)
    is_sensitive = is_case_sensitive(predictions.sparkSession)
    if find_columns(label_col, predictions.columns, case_sensitive=is_sensitive):
        logger.warning("predictions hold a column %r too: the labels table's is used", label_col)
    taken = _choose_columns(labels, id_cols, [label_col, *more])
    left = predictions.drop(*taken, c.REJECTION, *_find_twins(predictions, id_cols))
    keys = {col: f"_label_id_{i}" for i, col in enumerate(id_cols)}
    right = _group_labels(labels, keys, taken)
    is_same = reduce(and_, (F.col(quoted(col)).eqNullSafe(F.col(key)) for col, key in keys.items()))
    has_several = F.when(F.col(_LABELS) > 1, _code(RejectionReason.REPEATED_ID))
    joined = left.join(right, is_same, "left").drop(*keys.values())
    without_label = F.when(F.col(_LABELS).isNull(), _code(RejectionReason.NO_LABEL))
    joined = joined.withColumn(c.REJECTION, without_label.otherwise(has_several))
    only_labels = right.join(left.select(*map(quoted, id_cols)), is_same, "left_anti").select(
        *[F.col(key).alias(col) for col, key in keys.items()],
        *map(quoted, taken),
        F.coalesce(has_several, _code(RejectionReason.NO_PREDICTION)).alias(c.REJECTION),
    )
    return joined.drop(_LABELS).unionByName(only_labels, allowMissingColumns=True)


def _choose_columns(labels: DataFrame, id_cols: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """Choose the wanted columns that labels have, each once, but for those of the id, which both tables
    have.
    """
    is_sensitive = is_case_sensitive(labels.sparkSession)
    fold = str if is_sensitive else str.casefold
    chosen: dict[str, str] = {}
    for col in wanted:
        if find_columns(col, labels.columns, case_sensitive=is_sensitive):
            chosen.setdefault(fold(col), col)
    ids = set(map(fold, id_cols))
    return [col for key, col in chosen.items() if key not in ids]


def _code(reason: RejectionReason) -> Column:
    return F.lit(int(reason))


def _group_labels(labels: DataFrame, keys: Mapping[str, str], taken: Sequence[str]) -> DataFrame:
    """Group labels by id: the id columns under new names, the columns to take, and how many rows there are.

    Of several rows none is taken. Rows without an id are rejected for that, so they count as one.
    """
    ids = list(map(quoted, keys))
    grouped = labels.groupBy(*ids).agg(
        F.count(F.lit(1)).alias(_LABELS), *[F.first(quoted(col)).alias(col) for col in taken]
    )
    return grouped.select(
        *[F.col(quoted(col)).alias(key) for col, key in keys.items()],
        *[F.when(F.col(_LABELS) == 1, F.col(quoted(col))).alias(col) for col in taken],
        F.when(lacks_id(grouped, list(keys)), 1).otherwise(F.col(_LABELS)).alias(_LABELS),
    )


def _find_twins(df: DataFrame, id_cols: Sequence[str]) -> list[str]:
    """Find columns whose names differ in upper and lower case only, which Spark cannot unite by name.

    Those of the id stay: they are refused by name.
    """
    if is_case_sensitive(df.sparkSession):
        return []
    times = Counter(col.casefold() for col in df.columns)
    ids = {col.casefold() for col in id_cols}
    return [col for col in df.columns if times[col.casefold()] > 1 and col.casefold() not in ids]


def _check_columns(table: str, df: DataFrame, cols: Sequence[str]) -> None:
    is_sensitive = is_case_sensitive(df.sparkSession)
    missing = [col for col in cols if not find_columns(col, df.columns, case_sensitive=is_sensitive)]
    if missing:
        raise MissingColumnError(
            f"{table}: no column {missing[0]!r}; the table has {', '.join(map(repr, df.columns))}"
        )


def _check_types(predictions: DataFrame, labels: DataFrame, id_cols: Sequence[str]) -> None:
    """Refuse ids that Spark would cast to compare them: '003' and 3 are no equal ids."""
    for col in id_cols:
        ours, theirs = (df.select(quoted(col)).schema[0].dataType for df in (predictions, labels))
        if ours != theirs and not (isinstance(ours, IntegralType) and isinstance(theirs, IntegralType)):
            raise ColumnTypeError(
                f"id_col: column {col!r} is {ours.simpleString()} in predictions and {theirs.simpleString()} "
                "in labels, which do not compare: cast one of them"
            )
