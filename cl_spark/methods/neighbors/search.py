"""The search of neighbors on Spark: rows meet in parts, and the nearest of all parts are chosen."""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from cl_spark.evidence.workers import map_in_arrow
from cl_spark.kernels.arrays import Floats, Int64s
from cl_spark.kernels.nearest import COSINE, find_nearest, merge_nearest, to_unit_length
from cl_spark.methods.neighbors.features import (
    FEATURES,
    ID,
    FeatureTable,
    from_binaries,
    rank_ids,
    read_rows,
    to_binaries,
)
from cl_spark.methods.neighbors.parts import Parts

NEIGHBORS, DISTANCES = "_neighbors", "_distances"
PART, IS_QUERY, BUCKET, HASH = "_part", "_is_query", "_bucket", "_hash"

BYTES_OF_PARTITION = 2**26
"""Bytes that a Spark task sorts and hands to Python."""


def id_hash() -> Column:
    """Hash an id: at least 0, and the same in any partition."""
    return F.xxhash64(ID).bitwiseAND(F.lit(2**62 - 1)).alias(HASH)


def search(
    references: FeatureTable,
    queries: FeatureTable,
    parts: Parts,
    k: int,
    *,
    num_partitions: int,
    num_buckets: int,
) -> DataFrame:
    """Find the nearest references of each query among those that share a part with it.

    Args:
        references: the rows that are found.
        queries: the rows that ask; the same table leaves each row out of its own neighbors.
        parts: which rows are compared.
        k: how many neighbors.
        num_partitions: into how many partitions the parts go.
        num_buckets: into how many partitions the answers go.

    Returns:
        `ID`; `NEIGHBORS`, the ids of the nearest, and `DISTANCES`, arrays of up to k.
    """
    sides = []
    for table, of_queries in ((references, False), (queries, True)):
        needs_direction = references.metric == COSINE
        assign = AssignParts(parts, references.counts.dimension, needs_direction, of_queries)
        schema = f"{table.schema}, {HASH} bigint, {PART} array<bigint>"
        assigned = map_in_arrow(table.candidates.select(ID, FEATURES, id_hash()), assign, schema)
        bucket = F.pmod(F.col(HASH), F.lit(num_buckets)).cast("int").alias(BUCKET)
        side = assigned.select(
            F.explode(PART).alias(PART), F.lit(of_queries).alias(IS_QUERY), bucket, ID, FEATURES
        )
        sides.append(side)
    together = sides[0].union(sides[1]).repartition(num_partitions, PART)
    compare = CompareParts(
        k,
        references.counts.dimension,
        references.element,
        queries.element,
        references.metric,
        references is queries,
    )
    key = references.key_type
    query_key = queries.key_type
    schema = (
        f"{BUCKET} int, {ID} array<{query_key}>, counts array<int>, {NEIGHBORS} array<{key}>, "
        f"{DISTANCES} array<double>"
    )
    found = map_in_arrow(together.sortWithinPartitions(PART, IS_QUERY), compare, schema)
    merged = f"{ID} {query_key}, {NEIGHBORS} array<{key}>, {DISTANCES} array<double>"
    gathered = found.repartition(num_buckets, BUCKET).sortWithinPartitions(BUCKET)
    return map_in_arrow(gathered, MergeBuckets(k), merged)


@dataclass(frozen=True)
class AssignParts:
    """Finds the parts of rows.

    Attributes:
        parts: says which.
        dimension: d.
        needs_direction: whether zero vectors are left out.
        of_queries: whether rows ask, or are found.
    """

    parts: Parts
    dimension: int
    needs_direction: bool
    of_queries: bool

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Map batches of id, features and hash: the bytes of the features, and the list of parts."""
        find = self.parts.of_queries if self.of_queries else self.parts.of_references
        for rows in read_rows(batches, self.dimension, needs_direction=self.needs_direction):
            hashes = rows.others[0].to_numpy()
            features = to_unit_length(rows.features) if self.needs_direction else rows.features
            found = find(features, hashes)
            offsets = pa.array(np.r_[0, np.cumsum(found.lengths)].astype(np.int32))
            lists = pa.ListArray.from_arrays(offsets, pa.array(found.parts, pa.int64()))
            columns = [rows.ids, to_binaries(rows.features), rows.others[0], lists]
            yield pa.RecordBatch.from_arrays(columns, names=[ID, FEATURES, HASH, PART])


@dataclass(frozen=True)
class CompareParts:
    """Finds the nearest references of the queries of each part.

    Attributes:
        k: how many.
        dimension: d.
        element: type of the numbers of references.
        query_element: type of the numbers of queries.
        metric: the metric.
        is_same: whether both are one table: no row is its own neighbor.
    """

    k: int
    dimension: int
    element: str
    query_element: str
    metric: str
    is_same: bool

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Map batches that are sorted by part, the references of a part first."""
        part: int | None = None
        ids: list[pa.Array] = []
        features: list[Floats] = []
        known: tuple[pa.Array, Floats] | None = None
        for batch in batches:
            found = []
            for run in _split_runs(batch):
                first = run.column(PART)[0].as_py()
                if first != part:
                    part, ids, features, known = first, [], [], None
                if not run.column(IS_QUERY)[0].as_py():
                    ids.append(run.column(ID))
                    features.append(from_binaries(run.column(FEATURES), self.dimension, self.element))
                    continue
                if ids and known is None:
                    known = _sort_by_id(pa.concat_arrays(ids), np.concatenate(features))
                if known is not None:
                    found.append(self._compare(run, *known))
            if found:
                yield _pack(found)

    def _compare(self, run: pa.RecordBatch, ids: pa.Array, references: Floats) -> "_Found":
        queries = from_binaries(run.column(FEATURES), self.dimension, self.query_element)
        own = None
        if self.is_same:
            place = pc.index_in(run.column(ID), value_set=ids)
            own = place.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
        nearest = find_nearest(queries, references, self.k, self.metric, own)
        is_there = nearest.positions >= 0
        return _Found(
            run.column(BUCKET).to_numpy(),
            run.column(ID),
            is_there.sum(axis=1),
            ids.take(pa.array(nearest.positions[is_there])),
            nearest.distances[is_there],
        )


@dataclass(frozen=True)
class _Found:
    """Neighbors of some queries: bucket, id, number of neighbors; ids and distances of these."""

    buckets: Int64s
    ids: pa.Array
    counts: Int64s
    neighbors: pa.Array
    distances: Floats


def _split_runs(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Split a batch where the part changes, or references end."""
    if not batch.num_rows:
        return
    part, is_query = batch.column(PART).to_numpy(), batch.column(IS_QUERY).to_numpy(zero_copy_only=False)
    changes = (part[1:] != part[:-1]) | (is_query[1:] != is_query[:-1])
    bounds = [0, *(np.flatnonzero(changes) + 1).tolist(), batch.num_rows]
    for start, end in itertools.pairwise(bounds):
        yield batch.slice(start, end - start)


def _sort_by_id(ids: pa.Array, features: Floats) -> tuple[pa.Array, Floats]:
    order = pc.sort_indices(ids)
    return ids.take(order), features[order.to_numpy()]


def _pack(found: list[_Found]) -> pa.RecordBatch:
    """Pack neighbors: a row for each bucket."""
    buckets = np.concatenate([part.buckets for part in found])
    counts = np.concatenate([part.counts for part in found])
    order = np.argsort(buckets, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(buckets[order]) > 0])
    of_query = np.repeat(np.arange(len(counts)), counts)
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    neighbor_order = np.argsort(place[of_query], kind="stable")
    ends = np.r_[starts, len(order)].astype(np.int32)
    neighbor_ends = np.r_[0, np.cumsum(counts[order])][ends].astype(np.int32)
    ids = pa.concat_arrays([part.ids for part in found]).take(pa.array(order))
    neighbors = pa.concat_arrays([part.neighbors for part in found]).take(pa.array(neighbor_order))
    distances = np.concatenate([part.distances for part in found])[neighbor_order]
    columns = [
        pa.array(buckets[order][starts].astype(np.int32)),
        pa.ListArray.from_arrays(pa.array(ends), ids),
        pa.ListArray.from_arrays(pa.array(ends), pa.array(counts[order].astype(np.int32))),
        pa.ListArray.from_arrays(pa.array(neighbor_ends), neighbors),
        pa.ListArray.from_arrays(pa.array(neighbor_ends), pa.array(distances)),
    ]
    return pa.RecordBatch.from_arrays(columns, names=[BUCKET, ID, "counts", NEIGHBORS, DISTANCES])


@dataclass(frozen=True)
class MergeBuckets:
    """Chooses the k nearest of each query among those of all parts.

    Attributes:
        k: how many.
    """

    k: int

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Map batches that are sorted by bucket."""
        bucket: int | None = None
        kept: list[pa.RecordBatch] = []
        for batch in batches:
            values = batch.column(BUCKET).to_numpy()
            bounds = [0, *(np.flatnonzero(np.diff(values)) + 1).tolist(), len(values)]
            for start, end in itertools.pairwise(bounds):
                if start == end:
                    continue
                if kept and values[start] != bucket:
                    yield self._merge(kept)
                    kept = []
                bucket = values[start]
                kept.append(batch.slice(start, end - start))
        if kept:
            yield self._merge(kept)

    def _merge(self, batches: list[pa.RecordBatch]) -> pa.RecordBatch:
        ids, counts, neighbors, distances = (
            pa.concat_arrays([batch.column(name).flatten() for batch in batches])
            for name in (ID, "counts", NEIGHBORS, DISTANCES)
        )
        coded = ids.dictionary_encode()
        per_entry = counts.to_numpy()
        queries = np.repeat(coded.indices.to_numpy(), per_entry)
        ranks = rank_ids(neighbors)
        order, is_near = merge_nearest(queries, ranks, distances.to_numpy(), self.k)
        chosen = order[is_near]
        lengths = np.bincount(queries[chosen], minlength=len(coded.dictionary))
        offsets = pa.array(np.r_[0, np.cumsum(lengths)].astype(np.int32))
        near, far = neighbors.take(pa.array(chosen)), distances.take(pa.array(chosen))
        columns = [
            coded.dictionary,
            pa.ListArray.from_arrays(offsets, near),
            pa.ListArray.from_arrays(offsets, far),
        ]
        return pa.RecordBatch.from_arrays(columns, names=[ID, NEIGHBORS, DISTANCES])
