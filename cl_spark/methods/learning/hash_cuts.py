"""Cuts of the hash order: the rows of a stratum, in the order of a hash, are cut into parts of given sizes
without a sort of all rows.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import pandas as pd
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from cl_spark.errors import ConfigurationError, SourceChangedError
from cl_spark.kernels.arrays import Float64s, Int64s
from cl_spark.tables.columns import quoted

STRATUM, HASH, WEIGHT = "_stratum", "_hash", "_weight"
"""Columns of elements."""

_BUCKET, _POSITION, _RANK, _END = "_bucket", "_position", "_rank", "_end"

_HASH_BITS, _BUCKET_BITS = 64, 16


def hash_of(cols: Sequence[str], *salt: int) -> Column:
    """Hash some columns of a row to 64 bits (xxHash64), which orders rows as if by chance.

    Columns are hashed as text, so that whole numbers of any width give the same hash; 1, 1.0 and a decimal
    1.00 do not. Nulls count: (null, "a") and ("a", null) have different hashes, and a null has another one
    than an empty text. A timestamp is hashed as the text that it has in the session's time zone. Rows with
    equal values have equal hashes.

    Args:
        cols: names of columns, such as the id columns.
        salt: whole numbers of at most 64 bits with a sign, such as a seed. Another salt gives another order,
            which tells nothing of the first one. Orders for different purposes should not share their salt.

    Example:
        >>> hashes = spark.range(1000).select(hash_of(["id"], 7).alias("hash"))
        >>> hashes.distinct().count()
        1000
    """
    parts = [F.lit(number).cast("long") for number in salt]
    for col in cols:
        # Spark's hashes pass over nulls, so that only the flag tells where one stood
        value = F.col(quoted(col))
        parts += [value.isNull(), value.cast("string")]
    return F.xxhash64(*parts)


def count_cuts_below(hash: Column, cuts: Column) -> Column:
    """Count the cuts that are strictly less than a hash: the index of the part that the row belongs to.

    The row of a cut is the last one of its part, so that m cuts make m + 1 parts, from 0 to m.

    Args:
        hash: column of hashes.
        cuts: column of arrays of cuts, as `find_hash_cuts` returns them; their order does not matter.

    Example:
        >>> part = count_cuts_below(F.col("id"), F.array(F.lit(1), F.lit(3)))
        >>> [row.part for row in spark.range(5).select(part.alias("part")).collect()]
        [0, 0, 1, 1, 2]
    """
    return F.size(F.filter(cuts, lambda cut: cut < hash))


def count_parts(num_units: int, shares: Float64s) -> Int64s:
    """Count the units of each part of a stratum that is cut by shares.

    Args:
        num_units: n, units of the stratum.
        shares: (m,) shares of the parts, which sum to 1.

    Returns:
        (m,) ``n * shares``, rounded to whole numbers that sum to n by largest remainders (ties: lower index).

    Example:
        >>> count_parts(5, np.array([0.5, 0.5, 0.0])).tolist()
        [3, 2, 0]
    """
    # to nine digits, so that products which are whole, or whose remainders tie, do so as floating point too
    exact = np.round(num_units * shares, 9)
    counts = np.floor(exact).astype(np.int64)
    largest = np.argsort(-np.round(exact - counts, 9), kind="stable")
    counts[largest[: num_units - int(counts.sum())]] += 1
    return counts


def find_hash_cuts(elements: DataFrame, ranks: Mapping[int, Sequence[int]]) -> dict[int, list[int]]:
    """Find the hashes at given ranks of each stratum.

    An element of weight w counts as w units. The units of a stratum are numbered from 1, in the order of the
    hashes of their elements; those of elements with the same hash come together. The cut of rank r is the
    hash that unit r has.

    Nothing is sorted as a whole. The highest 16 bits of the hash are the number of a bucket, and the sums of
    the weights by bucket tell which bucket holds unit r. Only the elements of such buckets are looked at
    again. So one query reads `elements` twice. They must be the same both times: persist them if they are
    not a table that stays as it is.

    Args:
        elements: columns `_stratum` (int), `_hash` (long), and `_weight` (long, at least 1).
        ranks: for each stratum ascending ranks from 1 to the total weight of the stratum. A rank may come
            several times.

    Returns:
        For each stratum its cuts, in the order of its ranks.

    Raises:
        ConfigurationError: ranks are not ascending, or one is less than 1.
        SourceChangedError: a stratum has fewer units than a rank asks for.

    Example:
        >>> elements = spark.range(10).selectExpr("0 AS _stratum", "id * 100 AS _hash", "1L AS _weight")
        >>> find_hash_cuts(elements, {0: [1, 5, 10]})
        {0: [0, 400, 900]}
    """
    _check_ranks(ranks)
    wanted = pd.DataFrame(
        [(stratum, place, rank) for stratum, of in ranks.items() for place, rank in enumerate(of)],
        columns=[STRATUM, _POSITION, _RANK],
    )
    cuts: dict[int, list[int]] = {stratum: [0] * len(of) for stratum, of in ranks.items()}
    if wanted.empty:
        return cuts
    schema = f"{STRATUM} int, {_POSITION} int, {_RANK} long"
    buckets = _find_buckets(elements, elements.sparkSession.createDataFrame(wanted, schema))
    found = _find_hashes(elements, buckets).toPandas()
    if len(found) < len(wanted):
        raise _explain_missing(wanted, found)
    for stratum, place, hash_ in found.itertuples(index=False):
        cuts[stratum][place] = hash_
    return cuts


def _check_ranks(ranks: Mapping[int, Sequence[int]]) -> None:
    for stratum, of_stratum in ranks.items():
        if any(later < earlier for earlier, later in pairwise([1, *of_stratum])):
            raise ConfigurationError(
                f"ranks: those of stratum {stratum} must ascend from 1 on, got {list(of_stratum)[:10]}"
            )


def _bucket() -> Column:
    # the shift keeps the sign, so that the bucket number never falls as the hash rises
    return F.shiftright(HASH, _HASH_BITS - _BUCKET_BITS)


def _find_buckets(elements: DataFrame, ranks: DataFrame) -> DataFrame:
    """Find the bucket that holds each rank: _stratum, _bucket, _position, and _rank within the bucket.

    Buckets (which end at their cumulated weight) and ranks are put into one descending order, in which a
    bucket comes before the ranks it ends at. The bucket of a rank is then the last one before it. So the work
    is that of a sort, where a join of each rank with the buckets of its stratum would compare all pairs.
    """
    of_stratum = Window.partitionBy(STRATUM)
    up_to_here = of_stratum.orderBy(_BUCKET).rowsBetween(Window.unboundedPreceding, 0)
    ends = (
        elements.groupBy(STRATUM, _bucket().alias(_BUCKET))
        .agg(F.sum(WEIGHT).alias(WEIGHT))
        .select(STRATUM, _BUCKET, WEIGHT, F.sum(WEIGHT).over(up_to_here).alias(_END))
    )
    marks = ends.unionByName(ranks.withColumnRenamed(_RANK, _END), allowMissingColumns=True)
    downwards = of_stratum.orderBy(F.desc(_END), F.asc_nulls_first(_POSITION)).rowsBetween(
        Window.unboundedPreceding, 0
    )
    bucket = F.when(
        F.col(_BUCKET).isNotNull(), F.struct(_BUCKET, (F.col(_END) - F.col(WEIGHT)).alias("_start"))
    )
    return (
        marks.select(
            STRATUM, _POSITION, _END, F.last(bucket, ignorenulls=True).over(downwards).alias("_holder")
        )
        .where(F.col(_POSITION).isNotNull() & F.col("_holder").isNotNull())
        .select(
            STRATUM,
            F.col(f"_holder.{_BUCKET}").alias(_BUCKET),
            _POSITION,
            (F.col(_END) - F.col("_holder._start")).alias(_RANK),
        )
    )


def _find_hashes(elements: DataFrame, buckets: DataFrame) -> DataFrame:
    """Find the hash at each rank within its bucket: _stratum, _position, _hash.

    An element comes once for each rank in its bucket, of which a bucket holds few.
    """
    weights = (
        elements.withColumn(_BUCKET, _bucket())
        .join(F.broadcast(buckets), [STRATUM, _BUCKET])
        .groupBy(STRATUM, _POSITION, _RANK, HASH)
        .agg(F.sum(WEIGHT).alias(WEIGHT))
    )
    in_order = Window.partitionBy(STRATUM, _POSITION).orderBy(HASH)
    end = F.sum(WEIGHT).over(in_order.rowsBetween(Window.unboundedPreceding, 0))
    return (
        weights.withColumn(_END, end)
        .where((F.col(_END) - F.col(WEIGHT) < F.col(_RANK)) & (F.col(_RANK) <= F.col(_END)))
        .select(STRATUM, _POSITION, HASH)
    )


def _explain_missing(wanted: pd.DataFrame, found: pd.DataFrame) -> SourceChangedError:
    keys = [STRATUM, _POSITION]
    are_found = wanted.set_index(keys).index.isin(found.set_index(keys).index)
    stratum, _, rank = next(wanted[~are_found].itertuples(index=False))
    return SourceChangedError(
        f"ranks: stratum {stratum} has no unit {rank}: the weights of its elements, read now, sum to less. "
        "Count the same rows that are cut, and persist them if their source may change"
    )
