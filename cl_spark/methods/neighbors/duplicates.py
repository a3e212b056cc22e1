"""Duplicates: groups of rows that are the same thing, exactly or nearly."""

import logging
from collections.abc import Sequence

import pandas as pd
from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F
from pyspark.sql.types import StringType

from cl_spark.errors import ColumnTypeError, ConfigurationError
from cl_spark.evidence.storage import Storage, StorageOwner, keep_with
from cl_spark.evidence.usable_rows import FAULT, NULL_ID, UsableRows, choose_reason
from cl_spark.methods.neighbors.components import connected_components
from cl_spark.methods.neighbors.features import FEATURES, ID
from cl_spark.methods.neighbors.minhash import IS_EXACT, find_similar_texts
from cl_spark.methods.neighbors.neighbor_index import AUTO, DISTANCE, NeighborIndex, open_index
from cl_spark.methods.neighbors.search import DISTANCES, NEIGHBORS
from cl_spark.tables.columns import check_result_names, quoted, resolve_columns
from cl_spark.tables.example_ids import ExampleIds
from cl_spark.tables.ids import lacks_id
from cl_spark.tables.pandas_frames import to_spark

logger = logging.getLogger(__name__)

GROUP, GROUP_SIZE = "group", "group_size"
ACROSS_SPLITS, ACROSS_LABELS = "across_splits", "across_labels"
_RESULTS = (GROUP, GROUP_SIZE, DISTANCE, IS_EXACT, ACROSS_SPLITS, ACROSS_LABELS)

NO_TEXT = "null text"

_A, _B = "a", "b"


def find_duplicates(
    df: DataFrame | pd.DataFrame,
    *,
    id_col: str = "id",
    features_col: str | Sequence[str] = "features",
    text_col: str | None = None,
    threshold: float = 0.13,
    split_col: str | None = None,
    label_col: str | None = None,
    k: int = 10,
    metric: str = AUTO,
    method: str = AUTO,
    index: NeighborIndex | None = None,
    evidence_path: str | None = None,
    spark: SparkSession | None = None,
) -> DataFrame:
    """Find groups of rows that are the same thing: copies, and near copies.

    Two rows are near copies if one is among the k nearest of the other, at less than `threshold` times the
    median distance of a row to its nearest one. Texts are near copies if less than a share `threshold` of
    their runs of three words differ. Rows that are linked by near copies are one group.

    Args:
        df: any Spark DataFrame, classic or Connect, or a pandas DataFrame.
        id_col: id column: whole numbers or text.
        features_col: column of vectors, or a list of columns of numbers; see `NeighborIndex`.
        text_col: column of texts, which are compared in place of features. Default None.
        threshold: 0 finds rows at distance 0 only, which with cosine have one direction. Default 0.13.
        split_col: column that says which part of the data a row is in, such as train or test. Default None.
        label_col: column of given labels. Default None.
        k: how many neighbors are looked at; more copies than these are still one group. Default 10.
        metric: "cosine", "euclidean", or "auto": cosine above 3 dimensions, else Euclidean.
        method: how neighbors are searched: "exact", "approximate", or "auto"; see `NeighborIndex`.
        index: a `NeighborIndex` of the same rows and columns, which then is not made anew. Default None.
        evidence_path: a directory to keep rows in (Parquet), for sessions that refuse to cache.
        spark: the session that turns a pandas DataFrame into Spark's; default the active one.

    Returns:
        A row for each member of a group: the id column, group (the smallest id of the group), group_size,
        distance (to the nearest member), is_exact (whether a member has equal features; of texts, one that is
        equal but for case and punctuation). With `split_col`, that column and
        across_splits: whether the group has rows of several parts, which leaks what is tested into what is
        trained. With `label_col`, that column and across_labels: whether the group has several labels, one of
        which is wrong. Rows without a copy are not there.

    Raises:
        ConfigurationError: an argument is out of range.
        InputError: a column is missing or unusable, or all rows are.

    Source: near duplicates as cleanlab defines them; Broder, "On the resemblance and containment of
    documents", 1997, for texts; specification, section 17.

    Example:
        >>> rows = [(1, [1.0, 2], "cat"), (2, [1.0, 2], "dog"), (3, [5.0, 1], "dog"), (4, [9.0, 9], "cat")]
        >>> rows = pd.DataFrame(rows, columns=["id", "features", "label"])
        >>> found = find_duplicates(rows, k=2, label_col="label").orderBy("id")
        >>> {row.id: (row.group, row.is_exact, row.across_labels) for row in found.collect()}
        {1: (1, True, True), 2: (1, True, True)}
    """
    if isinstance(threshold, bool) or not 0 <= threshold <= 1:
        raise ConfigurationError(f"threshold must be between 0 and 1, got {threshold!r}")
    table, storage = to_spark(df, spark), Storage(evidence_path)
    names = {"id_col": id_col, "split_col": split_col, "label_col": label_col, "text_col": text_col}
    found = resolve_columns(table, "df", {key: name for key, name in names.items() if name is not None})
    key = found["id_col"]
    for argument, col in found.items():
        if argument != "text_col":
            check_result_names([col], _RESULTS, argument)
    if text_col is not None:
        for argument, value, default in (
            ("index", index, None),
            ("metric", metric, AUTO),
            ("method", method, AUTO),
        ):
            if value != default:
                raise ConfigurationError(f"{argument} has no effect on texts (text_col): leave it out")
        texts = _pick_texts(table, key, found["text_col"], storage)
        pairs = find_similar_texts(
            texts, id_col=key, text_col=found["text_col"], threshold=threshold, storage=storage
        )
        contents = None
    else:
        index = open_index(
            index, table, id_col, features_col, metric=metric, method=method, evidence_path=evidence_path
        )
        pairs = find_near_pairs(index, k, threshold)
        if index.table.df is not table:  # an index may have more rows
            own = table.select(F.col(quoted(key)).cast(index.table.key_type).alias(ID))
            for col in (_A, _B):
                pairs = pairs.join(own.withColumnRenamed(ID, col), col, "left_semi")
        contents = index.table.candidates.select(ID, *_hash_twice(F.col(FEATURES)))
    pairs = storage.persist(pairs)
    members = connected_components(pairs.select(_A, _B), storage).withColumnRenamed("id", ID)
    told = [col for col in pairs.columns if col not in (_A, _B)]
    both = pairs.select(F.col(_A).alias(ID), *told).union(pairs.select(_B, *told)).groupBy(ID)
    of_pairs = {DISTANCE: F.min(DISTANCE), IS_EXACT: F.max(IS_EXACT)}
    members = members.join(both.agg(*[of_pairs[col].alias(col) for col in told]), ID)
    across = {
        name: found[argument]
        for argument, name in (("split_col", ACROSS_SPLITS), ("label_col", ACROSS_LABELS))
        if argument in found
    }
    others = [*map(quoted, dict.fromkeys(across.values()))]
    if others:
        id_ = F.col(quoted(key)).cast(members.schema[ID].dataType).alias(ID)
        members = members.join(table.select(id_, *others), ID)
    if contents is not None:
        members = _mark_copies(members, contents)
    members = storage.cut(members)  # few: what is derived need not find them anew
    values = {name: F.when(~lacks_id(table, [col]), F.col(quoted(col))) for name, col in across.items()}
    counted = [(F.count_distinct(value) > 1).alias(name) for name, value in values.items()]  # NaN is none
    groups = members.groupBy(GROUP).agg(F.count(F.lit(1)).alias(GROUP_SIZE), *counted)
    kind = table.schema[key].dataType
    shown = members.join(groups, GROUP).select(
        F.col(ID).cast(kind).alias(key),
        F.col(GROUP).cast(kind).alias(GROUP),
        GROUP_SIZE,
        DISTANCE,
        IS_EXACT,
        *others,
        *across,
    )
    return keep_with(shown, StorageOwner(storage, index))


def _hash_twice(content: Column) -> list[Column]:
    """Hash what a row holds to 128 bits, which tell contents apart."""
    return [F.xxhash64(content).alias("_one"), F.xxhash64(F.lit(1), content).alias("_other")]


def _mark_copies(members: DataFrame, contents: DataFrame) -> DataFrame:
    """Tell of each member whether another one of its group holds the same.

    Args:
        members: the members.
        contents: id and hashes of what each row holds.
    """
    same = Window.partitionBy(GROUP, "_one", "_other")
    marked = members.join(contents, ID).withColumn(IS_EXACT, F.count(F.lit(1)).over(same) > 1)
    return marked.drop("_one", "_other")


def _pick_texts(table: DataFrame, key: str, text: str, storage: Storage) -> DataFrame:
    """Pick the rows with an id of their own and a text; the others are told in the log.

    Raises:
        ColumnTypeError: ids have no order, or the column holds no text.
    """
    ExampleIds.of(key).check({"df": table})
    if (kind := table.schema[text].dataType) != StringType():
        raise ColumnTypeError(f"text_col: column {text!r} is {kind.simpleString()}; it must be text")
    faults = [(lacks_id(table, [key]), NULL_ID), (F.col(quoted(text)).isNull(), NO_TEXT)]
    usable = UsableRows(table.withColumn(FAULT, choose_reason(faults)), [key], storage)
    for reason, rows in usable.rejected_counts.items():
        logger.warning("%s rows of df cannot be used: %s", f"{rows:,}", reason)
    return usable.accepted()


def find_near_pairs(index: NeighborIndex, k: int, threshold: float) -> DataFrame:
    """Find pairs of rows that are near copies: a, b, distance.

    Args:
        index: the rows.
        k: how many neighbors are looked at.
        threshold: share of the median distance to the nearest row; copies at distance 0 always count.
    """
    lists = index.own_neighbor_lists(k)
    limit = threshold * index.median_nearest(k)
    pairs = lists.select(F.col(ID).alias(_A), F.explode(F.arrays_zip(NEIGHBORS, DISTANCES)).alias("_pair"))
    found = pairs.select(
        _A, F.col("_pair").getField(NEIGHBORS).alias(_B), F.col("_pair").getField(DISTANCES).alias(DISTANCE)
    )
    return found.where((F.col(DISTANCE) < limit) | (F.col(DISTANCE) == 0))
