"""Ids that are no ids: those several rows share."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import IntegralType

_HASH = "_hash"

PROBE, LEAST_RUN = 10_000, 50
"""How many rows are looked at, and how long runs of consecutive ids must be among them on average, to look at all rows so."""

MOST_RUNS = 1_000_000
"""More runs are not compared."""


def repeated_ids(rows: DataFrame, ids: Sequence[str], keep: Callable[[DataFrame], DataFrame], *, few: bool) -> DataFrame | None:
    """The ids that several rows share, or None if there are none. Rows with a null in their id are left aside.

    Args:
        rows: the rows.
        ids: id columns.
        keep: keeps a DataFrame that is read several times.
        few: group the rows by their ids. Else whole numbers in about the order of the table are known to differ by the runs they
            lie in, which is shuffled by nobody. Of others only rows whose 64-bit hash occurs twice are grouped: equal ids have
            equal hashes, and sorting hashes with numpy takes less than half the time of grouping.
    """
    rows = rows.select(*ids).dropna()
    if not few:
        if len(ids) == 1 and isinstance(rows.schema[ids[0]].dataType, IntegralType) and _differ_by_runs(rows, ids[0]):
            return None
        hashed = rows.select(F.xxhash64(*ids).alias(_HASH))
        hashes = keep(hashed.repartition(_HASH).mapInArrow(_repeated_values, f"{_HASH} long"))
        if hashes.isEmpty():
            return None
        rows = rows.join(hashes, F.xxhash64(*ids) == F.col(_HASH), "left_semi")
    repeated = keep(rows.groupBy(*ids).agg(F.count(F.lit(1)).alias("_rows")).where("_rows > 1").select(*ids))
    return None if repeated.isEmpty() else repeated


def _differ_by_runs(rows: DataFrame, id_col: str) -> bool:
    """Whether the ids are known to differ, by the runs they lie in: ids that grow by one from row to row.

    What a row's id is ahead of the row's number is the same within a run. As no two rows have the same number, no two ids of
    rows that are equally far ahead are equal; and where the ranges of those groups do not overlap, no two at all. Where the
    difference is beyond 64 bits it is null, which tells nothing.
    """
    ahead = rows.select(id_col, F.try_subtract(F.col(id_col).cast("long"), F.monotonically_increasing_id()).alias("_ahead"))
    if ahead.limit(PROBE).select("_ahead").distinct().count() > PROBE // LEAST_RUN:
        return False
    runs = ahead.groupBy("_ahead").agg(F.min(id_col).cast("long").alias("first"), F.max(id_col).cast("long").alias("last"))
    ends = runs.limit(MOST_RUNS).toPandas().sort_values("first")
    apart = (ends["first"][1:].to_numpy() > ends["last"][:-1].to_numpy()).all()
    return len(ends) < MOST_RUNS and not ends["_ahead"].isna().any() and bool(apart)


def _repeated_values(batches: Iterable[pa.RecordBatch]) -> Iterable[pa.RecordBatch]:
    parts = [batch.column(0).to_numpy() for batch in batches]
    if parts:
        values = np.sort(np.concatenate(parts))
        repeated = np.unique(values[1:][values[1:] == values[:-1]])
        yield pa.RecordBatch.from_arrays([pa.array(repeated)], names=[_HASH])
