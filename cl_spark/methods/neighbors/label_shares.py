"""Probabilities of a table without a model: the labels of the rows that are near."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import BooleanType, DataType, IntegralType, StringType

from cl_spark.errors import ColumnTypeError, ConfigurationError, EmptyTableError
from cl_spark.evidence.class_columns import NO_CLASS, check_class_names, list_names, select_class
from cl_spark.evidence.storage import keep_with
from cl_spark.evidence.workers import map_in_arrow
from cl_spark.methods.neighbors.features import ID
from cl_spark.methods.neighbors.neighbor_index import AUTO, NeighborIndex, open_index
from cl_spark.methods.neighbors.search import NEIGHBORS
from cl_spark.tables.columns import quoted, resolve_columns
from cl_spark.tables.pandas_frames import to_spark

logger = logging.getLogger(__name__)

PRED_PROBS = "pred_probs"
MOST_CLASSES = 2_000
"""A row has a share of each class."""

_CLASS, _CLASSES = "_class", "_classes"


def neighbor_pred_probs(
    df: DataFrame | pd.DataFrame,
    *,
    id_col: str = "id",
    features_col: str | Sequence[str] = "features",
    label_col: str = "label",
    class_names: Sequence[str] | None = None,
    k: int = 10,
    metric: str = AUTO,
    method: str = AUTO,
    index: NeighborIndex | None = None,
    evidence_path: str | None = None,
    spark: SparkSession | None = None,
) -> DataFrame:
    """Take the labels of the nearest rows for probabilities, so that a table without a model can be audited.

    The probability of a class is its share among the labels of the k nearest other rows. A row's own label
    does not count, so the probabilities are out of sample.

    Args:
        df: any Spark DataFrame, classic or Connect, or a pandas DataFrame.
        id_col: id column: whole numbers or text.
        features_col: column of vectors, or a list of columns of numbers; see `NeighborIndex`.
        label_col: column of given labels: class index (whole number or boolean) or class name.
        class_names: names of the K classes in the order of the probabilities. Default: of text labels all
            that there are, in alphabetical order.
        k: how many neighbors vote. Default 10.
        metric: "cosine", "euclidean", or "auto": cosine above 3 dimensions, else Euclidean.
        method: how neighbors are searched: "exact", "approximate", or "auto"; see `NeighborIndex`.
        index: a `NeighborIndex` of the same rows, which then is not made anew. Default None.
        evidence_path: a directory to keep rows in (Parquet), for sessions that refuse to cache.
        spark: the session that turns a pandas DataFrame into Spark's; default the active one.

    Returns:
        The id column, the label column, and pred_probs (K numbers; null where no neighbor has a label that is
        a class). Rows whose features cannot be used are not there; `NeighborIndex.rejected` lists them.
        `LabelAudit` takes it as it is; with text labels and `class_names=` the names in the same order.

    Raises:
        ConfigurationError: an argument is out of range.
        InputError: a column is missing or unusable, or all rows are.

    Example:
        >>> rows = [(i, [float(i // 4), float(i % 2)], "cat" if i < 4 else "dog") for i in range(8)]
        >>> rows = pd.DataFrame(rows, columns=["id", "features", "label"])
        >>> neighbor_pred_probs(rows, k=3).orderBy("id").first().pred_probs
        [1.0, 0.0]
    """
    table = to_spark(df, spark)
    found = resolve_columns(table, "df", {"id_col": id_col, "label_col": label_col})
    key, label = found["id_col"], found["label_col"]
    kind = table.schema[label].dataType
    names = _find_names(table, label, kind, class_names)
    code = select_class(F.col(quoted(label)), kind, names)
    totals = table.agg(
        F.max(code).alias("greatest"), F.count_if(code == NO_CLASS).alias("no_class")
    ).collect()
    greatest, num_no_class = totals[0]
    if greatest is None or greatest < 0:
        raise EmptyTableError(f"label_col: no row has a label that is a class in {label!r}")
    if num_no_class:
        logger.warning("%s rows of df have a label that is no class: they do not vote", f"{num_no_class:,}")
    num_classes = max(greatest + 1, 2) if names is None else len(names)
    if not 2 <= num_classes <= MOST_CLASSES:
        raise ConfigurationError(
            f"label_col: {num_classes:,} classes: each row has a probability of each, and there may be 2 to "
            f"{MOST_CLASSES:,}"
        )
    index = open_index(
        index, table, id_col, features_col, metric=metric, method=method, evidence_path=evidence_path
    )
    lists = index.own_neighbor_lists(k)
    key_type = lists.schema[ID].dataType
    labels = table.select(
        F.col(quoted(key)).cast(key_type).alias("_other"), F.when(code >= 0, code).alias(_CLASS)
    )
    # left: a row whose neighbors are all rows that only the index has is one without votes
    pairs = lists.select(ID, F.explode(NEIGHBORS).alias("_other")).join(labels, "_other", "left")
    votes = pairs.groupBy(ID).agg(F.collect_list(_CLASS).alias(_CLASSES))  # no nulls
    schema = f"{ID} {key_type.simpleString()}, {PRED_PROBS} array<double>"
    shares = map_in_arrow(votes, CountShares(num_classes), schema)
    given = table.select(F.col(quoted(key)).cast(key_type).alias(ID), quoted(label))
    joined = shares.join(given, ID)
    shown = joined.select(
        F.col(ID).cast(table.schema[key].dataType).alias(key), quoted(label), F.col(PRED_PROBS)
    )
    return keep_with(shown, index)


def check_label_type(label: str, kind: DataType) -> None:
    """Check that neighbors can vote by a column of labels.

    Args:
        label: its name.
        kind: its type.

    Raises:
        ColumnTypeError: labels are neither names nor indices.
    """
    if not isinstance(kind, IntegralType | BooleanType | StringType):
        raise ColumnTypeError(
            f"label_col: column {label!r} is {kind.simpleString()}; it must be a class index (a whole number "
            "or boolean) or a class name"
        )


def _find_names(
    table: DataFrame, label: str, kind: DataType, class_names: Sequence[str] | None
) -> list[str] | None:
    """Find the names of the classes; None where labels are indices.

    Raises:
        ConfigurationError: `class_names` is no list of at least two different names.
        ColumnTypeError: labels are neither names nor indices.
    """
    check_label_type(label, kind)
    if class_names is None:
        return list_names(table, label) if isinstance(kind, StringType) else None
    check_class_names(class_names)
    return list(class_names)


@dataclass(frozen=True)
class CountShares:
    """Turns the classes of neighbors into shares of all classes.

    Attributes:
        num_classes: K.
    """

    num_classes: int

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Map batches of ids and lists of classes."""
        for batch in batches:
            column = batch.column(1)
            lengths = column.value_lengths().to_numpy(zero_copy_only=False).astype(np.int64)
            row = np.repeat(np.arange(len(lengths)), lengths)
            classes = column.flatten().to_numpy(zero_copy_only=False)
            place = row * self.num_classes + classes
            counts = np.bincount(place, minlength=len(lengths) * self.num_classes)
            counts = counts.reshape(len(lengths), self.num_classes)
            total = counts.sum(axis=1, keepdims=True)
            shares = counts / np.maximum(total, 1)
            offsets = np.arange(len(lengths) + 1, dtype=np.int32) * self.num_classes
            lists = pa.ListArray.from_arrays(pa.array(offsets), pa.array(shares.ravel()))
            place = pa.array(np.arange(len(lengths)), mask=total[:, 0] == 0)  # null without a vote
            yield pa.RecordBatch.from_arrays([batch.column(0), lists.take(place)], names=[ID, PRED_PROBS])
