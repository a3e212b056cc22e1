"""Noisy labels for experiments: true labels flipped as a noise matrix says."""

from collections.abc import Sequence
from functools import partial

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import ByteType, DataType, DecimalType, NumericType, ShortType, StringType

from cl_spark.errors import ColumnTypeError, ConfigurationError, InputError, one_line
from cl_spark.kernels.arrays import Float64s
from cl_spark.methods.learning.hash_cuts import (
    HASH,
    STRATUM,
    WEIGHT,
    count_cuts_below,
    count_parts,
    find_hash_cuts,
    hash_of,
)
from cl_spark.methods.learning.noise_matrix import SUM_TOLERANCE, check_seed
from cl_spark.tables import columns as c
from cl_spark.tables.columns import find_columns, is_case_sensitive, quoted, resolve_column

FLIPS = 0x666C6970
"""Salt of the hash that chooses the rows to flip, so that no other use of a seed chooses the same rows."""

_OWN = ("_flip_class", "_flip_name", "_flip_true", "_flip_cuts", "_flip_parts")
_CLASS, _NAME, _TRUE, _CUTS, _PARTS = _OWN


def flip_labels(
    df: DataFrame,
    matrix: Float64s,
    *,
    label_col: str = "label",
    id_col: str | Sequence[str] = "id",
    seed: int = 0,
    class_names: Sequence[str] | None = None,
) -> DataFrame:
    """Flip true labels into given labels, as many as a noise matrix says.

    Of the n examples of true class j, ``n * matrix[i, j]`` get the given label i, rounded to whole numbers
    that sum to n by largest remainders (ties: lower class). Which ones is decided by a hash of id and seed:
    it puts the examples of a class into an order, which is cut into one part for each given label. So the
    result depends neither on the partitions of `df` nor on the order of its rows.

    Ids may repeat, but rows with the same id and true class (nulls are the same) have the same hash, so they
    all get the same label, and the counts are off by as many as lie beyond a cut. That different ids have the
    same hash is too improbable to matter.

    Two queries, which read labels and ids three times, count the examples by class and find the cuts. The
    flipped labels are computed as the result is read. The rows must be the same each time.

    Args:
        df: one row per example.
        matrix: (K, K) p(given label | true class), entry [given, true].
        label_col: true label: class index (number of any type) or class name (string).
        id_col: id column, or the columns of a composite key.
        seed: another seed flips other examples, and as many.
        class_names: names of the K classes, in the order of the matrix; needed where labels are names.

    Returns:
        The columns of `df`, with the given label (of the same type) in place of the true one, and
        `true_label`.

    Raises:
        ConfigurationError: the matrix is no noise matrix, or other arguments cannot be used.
        MissingColumnError: a column is not in the table.
        ColumnTypeError: labels are of a type that cannot be used.
        InputError: labels are null, or name no class.

    Example:
        >>> true = spark.range(100).selectExpr("id", "id % 2 AS label")
        >>> flipped = flip_labels(true, np.array([[0.9, 0.2], [0.1, 0.8]]))
        >>> flipped.where("label != true_label").groupBy("true_label").count().orderBy("true_label").collect()
        [Row(true_label=0, count=5), Row(true_label=1, count=10)]
    """
    shares, ids = _check_matrix(matrix), [id_col] if isinstance(id_col, str) else list(id_col)
    check_seed(seed)
    label = _check_columns(df, label_col, ids)
    kind = df.select(quoted(label)).schema[0].dataType
    names = _check_classes(label, kind, class_names, len(shares))
    indexed = _add_class(df, label, names, len(shares))
    class_counts = _count_classes(indexed, label, names, len(shares))
    counts = {true: count_parts(num, shares[:, true]) for true, num in class_counts.items()}
    ranks = {true: np.cumsum(of[of > 0])[:-1].tolist() for true, of in counts.items()}
    order, one = hash_of(ids, seed, FLIPS), F.lit(1).cast("long")
    elements = indexed.select(F.col(_CLASS).alias(STRATUM), order.alias(HASH), one.alias(WEIGHT))
    cuts = find_hash_cuts(elements, ranks)
    classes = np.array(names, dtype=object) if names else np.arange(len(shares))
    parts = [(true, cuts[true], classes[np.flatnonzero(of)].tolist()) for true, of in counts.items()]
    schema = f"{_TRUE} int, {_CUTS} array<long>, {_PARTS} array<{'string' if names else 'int'}>"
    table = F.broadcast(df.sparkSession.createDataFrame(parts, schema))
    joined = indexed.join(table, F.col(_CLASS) == F.col(_TRUE), "left")
    given = F.element_at(_PARTS, count_cuts_below(order, F.col(_CUTS)) + 1).cast(kind)
    return joined.select(
        *[given.alias(col) if col == label else F.col(quoted(col)) for col in df.columns],
        F.col(quoted(label)).alias(c.TRUE_LABEL),
    )


def _check_matrix(matrix: Float64s) -> Float64s:
    """Check a noise matrix, and scale its columns to sums of exactly 1."""
    shares = np.asarray(matrix, dtype=np.float64)
    if shares.ndim != 2 or shares.shape[0] != shares.shape[1] or not shares.size:
        raise ConfigurationError(f"matrix has the shape {shares.shape}; it must be square, [given, true]")
    is_prob = (shares >= 0) & (shares <= 1)
    if not is_prob.all():
        raise ConfigurationError(f"matrix holds {shares[~is_prob][0]}; its entries must be from 0 to 1")
    sums = shares.sum(axis=0)
    true = int(np.argmax(np.abs(sums - 1)))
    if abs(sums[true] - 1) > SUM_TOLERANCE:
        raise ConfigurationError(
            f"matrix: column {true} sums to {sums[true]:.9g}; entry [given, true] is p(given label | true "
            "class), so that every column must sum to 1"
        )
    return np.asarray(shares / sums)


def _check_columns(df: DataFrame, label_col: str, ids: Sequence[str]) -> str:
    """Check the columns of a table, and find the label column's name as the table spells it."""
    columns, is_sensitive = df.columns, is_case_sensitive(df.sparkSession)
    find = partial(find_columns, columns=columns, case_sensitive=is_sensitive)
    resolve = partial(resolve_column, columns=columns, case_sensitive=is_sensitive, table="the table")
    if not ids:
        raise ConfigurationError("id_col names no column: the id decides which labels are flipped")
    label = resolve("label_col", label_col)
    id_columns = [resolve("id_col", col) for col in ids]
    for col in (c.TRUE_LABEL, *_OWN):
        if find(col):
            raise ConfigurationError(f"df has a column {col!r}, which flip_labels adds: rename or drop it")
    if label in id_columns:
        raise ConfigurationError(f"id_col: {label!r} is the label, which changes: name a column that stays")
    return label


def _check_classes(
    label: str, kind: DataType, class_names: Sequence[str] | None, num_classes: int
) -> list[str] | None:
    """Check the type of labels against the classes, and find the names of the classes if labels are names."""
    names = None if class_names is None else [class_names] if isinstance(class_names, str) else [*class_names]
    if names is not None and not len(names) == len({*names}) == num_classes:
        raise ConfigurationError(
            f"class_names={one_line(names)[:200]} must be {num_classes} different names, one per class"
        )
    if isinstance(kind, StringType):
        if names is None:
            raise ConfigurationError(f"class_names: column {label!r} holds names: pass class_names")
        return names
    digits = kind.precision - kind.scale if isinstance(kind, DecimalType) else 0
    limits = {ByteType: 2**7, ShortType: 2**15, DecimalType: 10**digits}
    if not isinstance(kind, NumericType) or num_classes > limits.get(type(kind), num_classes):
        raise ColumnTypeError(
            f"label_col: column {label!r} is {kind.simpleString()}; labels are class indices (numbers of a "
            f"type that holds 0 to {num_classes - 1}) or class names (string): cast it"
        )
    return None


def _add_class(df: DataFrame, label: str, names: Sequence[str] | None, num_classes: int) -> DataFrame:
    """Add the column `_CLASS`: the class index of the label, or null where it names no class."""
    value = F.col(quoted(label))
    if names is None:
        # in range, so that the cast does not fail; and whole, which the comparison tells
        index = F.when(value.between(0, num_classes - 1), value.cast("int"))
        return df.withColumn(_CLASS, F.when(index == value, index))
    known = df.sparkSession.createDataFrame(list(enumerate(names)), f"{_CLASS} int, {_NAME} string")
    return df.join(F.broadcast(known), value == F.col(_NAME), "left")


def _count_classes(
    df: DataFrame, label: str, names: Sequence[str] | None, num_classes: int
) -> dict[int, int]:
    """Count the examples of each class that has any, or refuse labels that are null or name no class."""
    value = F.col(quoted(label))
    found = df.groupBy(_CLASS).agg(
        F.count(F.lit(1)).alias("rows"),
        F.count_if(value.isNull()).alias("nulls"),
        F.min(value).alias("example"),
    )
    counts = {row[_CLASS]: row for row in found.orderBy(_CLASS).collect()}
    wrong = counts.pop(None, None)
    if wrong is not None:
        wanted = "one of class_names" if names else f"a class index from 0 to {num_classes - 1}"
        example = "null" if wrong.example is None else repr(wrong.example) if names else wrong.example
        raise InputError(
            f"label_col: rows whose {label!r} is not {wanted}: {wrong.rows:,} (null: {wrong.nulls:,}), such "
            f"as {example}; correct or drop them"
        )
    return {true: row.rows for true, row in counts.items()}
