"""Ids that are no ids: those several rows share."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from cl_spark.evidence.workers import map_in_arrow

_HASH = "_hash"


IdRange = tuple[int, int, int]
"""Lowest and highest id, and 1 if all differ, 2 if not; 0 of none."""


def id_range(ids: pa.Array) -> IdRange:
    """Lowest and highest of some integer ids, and 1 if they differ, else 2. Nulls are left aside."""
    values = ids.drop_null().to_numpy(zero_copy_only=False).astype(np.int64)
    if len(values) == 0:
        return np.iinfo(np.int64).max, np.iinfo(np.int64).max, 0
    if not (values[1:] > values[:-1]).all():
        values = np.sort(values)
    return int(values[0]), int(values[-1]), 1 if (values[1:] > values[:-1]).all() else 2


def ranges_are_disjoint(ranges: Sequence[IdRange]) -> bool:
    """Whether ids are known to differ, by `id_range` of parts of them: within each part they do, and no two parts overlap."""
    some = sorted(found for found in ranges if found[2])
    return all(times == 1 for *_, times in some) and all(
        ours[1] < theirs[0] for ours, theirs in pairwise(some)
    )


def find_repeated_ids(
    rows: DataFrame, ids: Sequence[str], persist: Callable[[DataFrame], DataFrame], *, few: bool
) -> DataFrame | None:
    """The ids that several rows share, or None if there are none. Rows with a null in their id are left aside.

    Args:
        rows: the rows.
        ids: id columns.
        keep: keeps a DataFrame that is read several times.
        few: group the rows by their ids. Else only rows whose 64-bit hash occurs twice are grouped: equal ids have equal hashes,
            and sorting hashes with numpy takes less than half the time of grouping.
    """
    rows = rows.select(*ids).dropna()
    if not few:
        hashed = rows.select(F.xxhash64(*ids).alias(_HASH))
        hashes = persist(map_in_arrow(hashed.repartition(_HASH), _repeated_values, f"{_HASH} long"))
        if hashes.isEmpty():
            return None
        rows = rows.join(hashes, F.xxhash64(*ids) == F.col(_HASH), "left_semi")
    repeated = persist(
        rows.groupBy(*ids).agg(F.count(F.lit(1)).alias("_rows")).where("_rows > 1").select(*ids)
    )
    return None if repeated.isEmpty() else repeated


def _repeated_values(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    parts = [batch.column(0).to_numpy() for batch in batches]
    if parts:
        values = np.sort(np.concatenate(parts))
        repeated = np.unique(values[1:][values[1:] == values[:-1]])
        yield pa.RecordBatch.from_arrays([pa.array(repeated)], names=[_HASH])
