"""In how many cells to look, by the exact neighbors of a sample of rows."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from cl_spark.evidence.partitions import partitions_for
from cl_spark.evidence.storage import Storage
from cl_spark.evidence.workers import map_in_arrow
from cl_spark.kernels.arrays import Floats, Int64s
from cl_spark.kernels.cells import Cells, find_cells
from cl_spark.kernels.nearest import COSINE, find_nearest, merge_nearest, to_unit_length
from cl_spark.methods.neighbors.features import (
    FEATURES,
    ID,
    FeatureTable,
    PickRows,
    rank_ids,
    read_rows,
)
from cl_spark.methods.neighbors.search import HASH, id_hash

ROWS_PER_CELL = 32
"""Rows of the sample for each cell."""

SAMPLE_BYTES = 2**26
"""Bytes of the sample, which is brought to the driver."""

MOST_CELLS = 8192
NUM_QUERIES = 400
"""Rows whose exact neighbors are found to measure recall."""

_QUERY, _DISTANCE, _NEIGHBOR, _CELL, _ROWS = "query", "distance", "neighbor", "cell", "rows"


@dataclass(frozen=True)
class ProbedCells:
    """Cells, and in how many of them the neighbors of a row are.

    Attributes:
        cells: the cells.
        counts: (C,) rows of each cell.
        num_probes: m, in how many cells to look.
        recall: share of the exact neighbors of the sample that are in these cells.
    """

    cells: Cells
    counts: Int64s
    num_probes: int
    recall: float


def sample_rows(table: FeatureTable, wanted: int) -> tuple[pa.Array, Floats]:
    """Bring a sample of rows to the driver: those of the lowest hashes of ids, in the order of ids.

    Returns:
        Ids and (s, d) features.
    """
    share = min(1.0, 1.1 * wanted / table.counts.num_accepted)
    rows = table.candidates.select(ID, FEATURES, id_hash()).where(F.col(HASH) <= int(share * (2**62 - 1)))
    pick = PickRows(table.counts.dimension, table.metric == COSINE)
    found = map_in_arrow(rows.select(ID, FEATURES), pick, table.schema).collect()
    ids = pa.array([row[0] for row in found], pa.int64() if table.long_id else pa.string())
    order = pc.sort_indices(ids).to_numpy()
    joined = b"".join(bytes(found[i][1]) for i in order)
    matrix = np.frombuffer(joined, dtype=table.element).reshape(-1, table.counts.dimension)
    return ids.take(pa.array(order)), matrix


def find_probed_cells(table: FeatureTable, k: int, target: float, storage: Storage) -> ProbedCells:
    """Make cells, and find in how many of them to look so that a share of the neighbors is found.

    Args:
        table: the rows.
        k: how many neighbors.
        target: the share, in (0, 1].
        storage: where what is found in each Spark task is persisted.
    """
    num_rows, row_bytes = table.counts.num_accepted, table.counts.dimension * np.dtype(table.element).itemsize
    num_cells = int(np.clip(2 * np.sqrt(num_rows), 1, MOST_CELLS))
    most = max(SAMPLE_BYTES // row_bytes, NUM_QUERIES)
    ids, features = sample_rows(table, min(num_cells * ROWS_PER_CELL, most, num_rows))
    rows = to_unit_length(features) if table.metric == COSINE else features
    cells = find_cells(rows, min(num_cells, max(len(rows) // 2, 1)))
    chosen = np.unique(np.linspace(0, len(ids) - 1, NUM_QUERIES).astype(np.int64))
    queries, query_ids = np.asarray(features[chosen], dtype=np.float64), ids.take(pa.array(chosen))
    compare = CompareSample(cells, queries, tuple(query_ids.to_pylist()), k, table.metric)
    schema = f"{_QUERY} int, {_DISTANCE} double, {_NEIGHBOR} {table.key_type}, {_CELL} bigint, {_ROWS} bigint"
    found = storage.persist(map_in_arrow(table.candidates.select(ID, FEATURES), compare, schema))
    counts = np.zeros(len(cells), dtype=np.int64)
    for row in found.where(F.col(_QUERY) < 0).groupBy(_CELL).agg(F.sum(_ROWS)).collect():
        counts[row[0]] = row[1]
    near = _take_nearest(found.where(F.col(_QUERY) >= 0), k)
    order = cells.nearest(rows[chosen], len(cells))
    place = np.empty_like(order)
    np.put_along_axis(place, order, np.arange(len(cells))[None, :], axis=1)
    places = np.sort([place[row[_QUERY], row[_CELL]] for row in near])
    needed = int(np.ceil(target * len(places))) - 1
    num_probes = int(places[needed]) + 1 if len(places) else 1
    recall = float((places < num_probes).mean()) if len(places) else 1.0
    return ProbedCells(cells, counts, num_probes, recall)


def _take_nearest(found: DataFrame, k: int) -> list[pa.Array]:
    nearest_first = Window.partitionBy(_QUERY).orderBy(_DISTANCE, _NEIGHBOR)
    ranked = found.repartition(partitions_for(NUM_QUERIES * k), _QUERY).withColumn(
        "_place", F.row_number().over(nearest_first)
    )
    return ranked.where(F.col("_place") <= k).select(_QUERY, _CELL).collect()


@dataclass(frozen=True)
class CompareSample:
    """Finds the neighbors of a sample among the rows of a Spark task, and counts the rows of each cell.

    Attributes:
        cells: the cells.
        queries: (s, d) features of the sample.
        query_ids: its ids.
        k: how many neighbors.
        metric: the metric.
    """

    cells: Cells
    queries: Floats
    query_ids: tuple[int | str, ...]
    k: int
    metric: str

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Map batches of ids and features."""
        counts = np.zeros(len(self.cells), dtype=np.int64)
        best: list[pa.Array] | None = None
        own_ids = None
        is_cosine = self.metric == COSINE
        for rows in read_rows(batches, self.queries.shape[1], needs_direction=is_cosine):
            if not len(rows.ids):
                continue
            features = to_unit_length(rows.features) if is_cosine else rows.features
            cell = self.cells.nearest(features, 1)[:, 0]
            counts += np.bincount(cell, minlength=len(counts))
            own_ids = pa.array(self.query_ids, rows.ids.type) if own_ids is None else own_ids
            own = pc.index_in(own_ids, value_set=rows.ids).fill_null(-1).to_numpy().astype(np.int64)
            by_id = pc.sort_indices(rows.ids).to_numpy()  # ties go to the lower position
            place_by_id = np.empty_like(by_id)
            place_by_id[by_id] = np.arange(len(by_id))
            own = np.where(own >= 0, place_by_id[own], -1).astype(np.int64)
            near = find_nearest(self.queries, rows.features[by_id], self.k, self.metric, own)
            query, _ = np.nonzero(near.positions >= 0)
            row = by_id[near.positions[near.positions >= 0]]
            found = [
                pa.array(query),
                pa.array(near.distances[near.positions >= 0]),
                rows.ids.take(pa.array(row)),
                pa.array(cell[row]),
            ]
            best = found if best is None else self._merge(best, found)
        seen = np.flatnonzero(counts)
        if best is not None:
            yield _to_batch([best[0].cast(pa.int32()), *best[1:], pa.nulls(len(best[0]), pa.int64())])
            ids = pa.nulls(len(seen), best[2].type)
            query, distance = (
                pa.array(np.full(len(seen), -1, dtype=np.int32)),
                pa.nulls(len(seen), pa.float64()),
            )
            yield _to_batch([query, distance, ids, pa.array(seen), pa.array(counts[seen])])

    def _merge(self, one: list[pa.Array], other: list[pa.Array]) -> list[pa.Array]:
        both = [pa.concat_arrays(pair) for pair in zip(one, other, strict=True)]
        order, is_near = merge_nearest(both[0].to_numpy(), rank_ids(both[2]), both[1].to_numpy(), self.k)
        return [column.take(pa.array(order[is_near])) for column in both]


def _to_batch(columns: list[pa.Array]) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays(columns, names=[_QUERY, _DISTANCE, _NEIGHBOR, _CELL, _ROWS])
