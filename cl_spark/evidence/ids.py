"""Ids that several rows share: rows with such an id are rejected."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from cl_spark.evidence.workers import map_in_arrow
from cl_spark.tables.ids import lacks_id

_HASH = "_hash"

ID_RANGES_SCHEMA = "id_ranges array<struct<first:bigint,last:bigint>>, ids_differ boolean"
"""Columns of `IdRanges`; null where there are none."""

MANY_ROWS = 5_000_000
"""From so many rows on, repeated ids are looked for by their hashes."""

MAX_RANGES = 32
"""Ranges that tell of some ids. A Spark task reads parts of many files, each with a range of its own."""


class IdRanges(NamedTuple):
    """Ranges that hold some ids that are whole numbers.

    Attributes:
        ranges: lowest and highest id of each range, ascending.
        differ: True if no two ids are equal.
    """

    ranges: list[tuple[int, int]]
    differ: bool


def find_id_ranges(ids: pa.Array) -> IdRanges | None:
    """Find ranges of ids that are whole numbers, cut at their widest gaps. Nulls are left aside; None if
    nothing else is there.

    Example:
        >>> find_id_ranges(pa.array([1, 2, 3, 90, 91])).ranges
        [(1, 3), (90, 91)]
    """
    values = ids.drop_null().to_numpy(zero_copy_only=False).astype(np.int64)
    if len(values) == 0:
        return None
    if not (values[1:] > values[:-1]).all():
        values = np.sort(values)
    gaps = np.diff(values.astype(np.uint64))  # unsigned: a gap may be wider than a signed number
    cuts = np.flatnonzero(gaps > 1)
    if len(cuts) >= MAX_RANGES:
        cuts = np.sort(cuts[np.argsort(gaps[cuts], kind="stable")[1 - MAX_RANGES :]])
    firsts, lasts = values[np.append(0, cuts + 1)], values[np.append(cuts, len(values) - 1)]
    return IdRanges(list(zip(firsts.tolist(), lasts.tolist(), strict=True)), bool((gaps > 0).all()))


def ranges_are_disjoint(packed: DataFrame) -> bool:
    """Decide from the ranges of packed blocks alone whether ids are known to differ.

    They are where the ids of each range differ and no two ranges overlap or touch. In the order of their
    first ids it is enough to compare neighbours: if each range ends before the next begins, so do all. False
    does not mean that an id is repeated: ranges overlap wherever the input is not sorted by id.

    Args:
        packed: packed blocks, each with the columns of `ID_RANGES_SCHEMA`; one row for some ten thousand rows
            of the input.
    """
    told = packed.select("ids_differ", F.explode("id_ranges").alias("ids"))
    next_first = F.lead("ids.first").over(Window.orderBy("ids.first"))
    ranges = told.select("ids.last", "ids_differ", next_first.alias("next_first"))
    is_apart = F.expr("ids_differ AND (next_first IS NULL OR last < next_first)")
    # of no range the least is null: nothing is repeated
    return ranges.agg(F.min(is_apart)).collect()[0][0] is not False


def find_repeated_ids(
    rows: DataFrame,
    ids: Sequence[str],
    persist: Callable[[DataFrame], DataFrame],
    *,
    num_partitions: int,
    few: bool,
) -> DataFrame | None:
    """Find the ids that several rows share, or None if there are none.

    Rows with a null in their id are left aside: they are rejected for that.

    Args:
        rows: the rows.
        ids: id columns.
        persist: persists a DataFrame that is read several times.
        num_partitions: into how many partitions the rows are shuffled.
        few: group the rows by their ids. Else only rows whose 64-bit hash occurs twice are grouped: equal ids
            have equal hashes, and sorting hashes with numpy takes less than half the time of grouping.
    """
    rows = rows.select(*ids)
    rows = rows.where(~lacks_id(rows, rows.columns))
    if not few:
        hashed = rows.select(F.xxhash64(*ids).alias(_HASH))
        hashes = persist(
            map_in_arrow(hashed.repartition(num_partitions, _HASH), _find_repeated_values, f"{_HASH} long")
        )
        if hashes.isEmpty():
            return None
        rows = rows.join(hashes, F.xxhash64(*ids) == F.col(_HASH), "left_semi")
    repeated = persist(
        rows.repartition(num_partitions, *ids)
        .groupBy(*ids)
        .agg(F.count(F.lit(1)).alias("_rows"))
        .where("_rows > 1")
        .select(*ids)
    )
    return None if repeated.isEmpty() else repeated


def _find_repeated_values(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    parts = [batch.column(0).to_numpy() for batch in batches]
    if parts:
        values = np.sort(np.concatenate(parts))
        repeated = np.unique(values[1:][values[1:] == values[:-1]])
        yield pa.RecordBatch.from_arrays([pa.array(repeated)], names=[_HASH])
