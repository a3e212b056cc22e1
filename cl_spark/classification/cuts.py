"""The rows before a cut: the n lowest of each group by (score, id), found without sorting all rows."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from cl_spark.evidence.blocks import Block, Source
from cl_spark.evidence.packing import ddl
from cl_spark.kernels.arrays import Bools, Float64s, Int64s
from cl_spark.kernels.key_counts import count_keys
from cl_spark.kernels.score_buckets import BUCKETS, bucket_scores, bucket_upper_bounds
from cl_spark.tables import columns as c

GROUP, QUOTA, BUCKET, SUSPECT = "_group", "_quota", "_bucket", "_suspect"

_OF_ENTRIES = {GROUP: "bigint", c.SCORE: "double", QUOTA: "bigint", SUSPECT: "boolean"}

FEW = 1_000_000
"""Up to this many rows, sorting them is quicker than another pass to learn which to sort."""


Candidates = tuple[Int64s, Int64s, Float64s]
"""Of a block: (group, row, score) of each entry that may be chosen. A row may have entries in several groups."""

CandidateKernel = Callable[[Block], Candidates]


@dataclass(frozen=True)
class Cuts:
    """Where each of G groups is cut.

    Attributes:
        last: (G,) the score of the last entry chosen, or a little more; minus infinity where there is none.
        number: (G,) how many are chosen: the quota, or all entries if there are fewer.
        rows: the rows chosen by some of the groups: of few, once for each group that chose them.
    """

    last: Float64s
    number: Int64s
    rows: Callable[[Bools], DataFrame]


@dataclass(frozen=True)
class CutFinder:
    """Chooses the lowest entries of groups.

    Attributes:
        spark: the session.
        id_types: id columns and their types: ids order tied scores.
        row_types: columns wanted of chosen rows, ids included.
        persist: persists a DataFrame that is read several times.
        few: sort the entries that each task cannot rule out, with their rows. Else a histogram of the scores tells in which
            bucket each cut lies, and another pass fetches the rows, of which only that bucket's are sorted. The result is the
            same.
    """

    spark: SparkSession
    id_types: Mapping[str, str]
    row_types: Mapping[str, str]
    persist: Callable[[DataFrame], DataFrame]
    few: bool

    def choice(
        self,
        source: Source,
        entries: CandidateKernel,
        quotas: Int64s,
        parts: Sequence[str] = (),
        *,
        suspects_only: bool = False,
    ) -> Cuts:
        """Where the groups are cut.

        Args:
            source: the blocks.
            entries: what may be chosen; group numbers are places in `quotas`.
            quotas: (G,) how many each group may choose, at least 1.
            parts: parts of blocks that `entries` asks for.
            suspects_only: of the rows chosen, others are not wanted.
        """
        if self.few:
            return self._kept(self._sorted(source, entries, quotas, parts), quotas, suspects_only)
        return self._counted(source, entries, quotas, parts, suspects_only)

    def lowest(
        self,
        source: Source,
        entries: CandidateKernel,
        quotas: Int64s,
        parts: Sequence[str] = (),
        *,
        suspects_only: bool = False,
    ) -> DataFrame:
        """The rows that `choice` chooses, of all groups; of few, nothing is computed before they are asked for."""
        if self.few:
            found = self._sorted(source, entries, quotas, parts)
            return (found.where(SUSPECT) if suspects_only else found).select(*self.row_types)
        choice = self._counted(source, entries, quotas, parts, suspects_only)
        return choice.rows(np.ones(len(quotas), dtype=bool))

    def _sorted(
        self, source: Source, entries: CandidateKernel, quotas: Int64s, parts: Sequence[str]
    ) -> DataFrame:
        """The entries chosen, with their rows."""
        names = list(self.row_types)

        def kernel(blocks: Iterator[Block]) -> Iterator[pa.RecordBatch]:
            pick = trimmed(entries, quotas)
            for block in blocks:
                group, row, score = pick(block)
                more = {GROUP: group, c.SCORE: score, QUOTA: quotas[group], SUSPECT: block.suspects[row]}
                yield block.to_batch(row, names, more)

        found = source(kernel, ddl({**self.row_types, **_OF_ENTRIES}), ("ids", *parts))
        return self._first(found).select(*names, GROUP, c.SCORE, SUSPECT)

    def _kept(self, found: DataFrame, quotas: Int64s, suspects_only: bool) -> Cuts:
        """What `_sorted` chooses, computed once."""
        last, number = np.full(len(quotas), -np.inf), np.zeros(len(quotas), dtype=np.int64)
        found = self.persist(found)
        told = (
            found.groupBy(GROUP)
            .agg(F.max(c.SCORE).alias("_last"), F.count(F.lit(1)).alias("_rows"))
            .toPandas()
        )
        last[told[GROUP]], number[told[GROUP]] = told["_last"], told["_rows"]

        def rows(groups: Bools) -> DataFrame:
            wanted = found.where(SUSPECT) if suspects_only else found
            if not groups[number > 0].all():
                some = self.spark.createDataFrame(pd.DataFrame({GROUP: np.flatnonzero(groups)}))
                wanted = wanted.join(F.broadcast(some), GROUP, "left_semi")
            return wanted.select(*self.row_types)

        return Cuts(last, number, rows)

    def _counted(
        self,
        source: Source,
        entries: CandidateKernel,
        quotas: Int64s,
        parts: Sequence[str],
        suspects_only: bool,
    ) -> Cuts:
        def keys(block: Block) -> Int64s:
            group, _, score = entries(block)
            return group * BUCKETS + bucket_scores(score) + BUCKETS // 2

        def kernel(blocks: Iterator[Block]) -> Iterator[pa.RecordBatch]:
            key, times = count_keys(map(keys, blocks))
            group, place = np.divmod(key, BUCKETS)
            columns = list(map(pa.array, (group, place - BUCKETS // 2, times)))
            yield pa.RecordBatch.from_arrays(columns, names=[GROUP, BUCKET, "_rows"])

        histogram = source(kernel, f"{GROUP} bigint, {BUCKET} bigint, _rows bigint", parts)
        histogram = histogram.groupBy(GROUP, BUCKET).agg(F.sum("_rows").alias("_rows"))
        wanted = self.spark.createDataFrame(
            list(enumerate(quotas.tolist())), f"{GROUP} bigint, {QUOTA} bigint"
        )
        of_group = Window.partitionBy(GROUP)
        before = F.sum("_rows").over(of_group.orderBy(BUCKET)) - F.col("_rows")
        told = (
            histogram.join(F.broadcast(wanted), GROUP)
            .withColumn("_before", before)
            .withColumn("_number", F.least(F.col(QUOTA), F.sum("_rows").over(of_group)))
            .where(
                (F.col("_before") < F.col("_number"))
                & (F.col("_number") <= F.col("_before") + F.col("_rows"))
            )
            .select(GROUP, BUCKET, "_before", "_number")
            .toPandas()
        )
        edge = np.full(len(quotas), -BUCKETS)
        number, within, last = np.zeros_like(quotas), np.zeros_like(quotas), np.full(len(quotas), -np.inf)
        edge[told[GROUP]], number[told[GROUP]] = told[BUCKET], told["_number"]
        within[told[GROUP]] = told["_number"] - told["_before"]
        last[told[GROUP]] = bucket_upper_bounds(edge[told[GROUP]])

        return Cuts(last, number, partial(self._fetched, source, entries, parts, suspects_only, edge, within))

    def _fetched(
        self,
        source: Source,
        entries: CandidateKernel,
        parts: Sequence[str],
        suspects_only: bool,
        edge: Int64s,
        within: Int64s,
        groups: Bools,
    ) -> DataFrame:
        """The rows that some groups choose: what lies before the bucket of a cut, and of that bucket as many as are wanted."""
        names, cut = list(self.row_types), np.where(groups, edge, -BUCKETS)

        def kernel(blocks: Iterator[Block]) -> Iterator[pa.RecordBatch]:
            for block in blocks:
                group, row, score = entries(block)
                bucket, wanted = (
                    bucket_scores(score),
                    block.suspects if suspects_only else np.ones(len(block), dtype=bool),
                )
                sure = np.zeros(len(block), dtype=bool)
                sure[row[bucket < cut[group]]] = True
                before, at_edge = np.flatnonzero(sure & wanted), np.flatnonzero(bucket == cut[group])
                of_edge, size = row[at_edge], len(before)
                more = {
                    GROUP: np.concatenate([np.full(size, -1), group[at_edge]]),
                    c.SCORE: np.concatenate([np.zeros(size), score[at_edge]]),
                    QUOTA: np.concatenate([np.zeros(size, dtype=np.int64), within[group[at_edge]]]),
                    SUSPECT: np.concatenate([np.ones(size, dtype=bool), (wanted & ~sure)[of_edge]]),
                }
                yield block.to_batch(np.concatenate([before, of_edge]), names, more)

        found = self.persist(source(kernel, ddl({**self.row_types, **_OF_ENTRIES}), ("ids", *parts)))
        at_edge = (
            self._first(found.where(F.col(GROUP) >= 0)).where(SUSPECT).dropDuplicates(list(self.id_types))
        )
        return found.where(F.col(GROUP) < 0).select(*names).unionByName(at_edge.select(*names))

    def _first(self, entries: DataFrame) -> DataFrame:
        """The first of each group, as many as its quota."""
        place = F.row_number().over(Window.partitionBy(GROUP).orderBy(c.SCORE, *self.id_types))
        return entries.withColumn("_place", place).where(F.col("_place") <= F.col(QUOTA))


def trimmed(entries: CandidateKernel, quotas: Int64s) -> CandidateKernel:
    """The entries that a task cannot rule out: not those after as many of their group as the quota is."""
    limit = np.full(len(quotas), np.inf)

    def pick(block: Block) -> Candidates:
        group, row, score = entries(block)
        inside = np.flatnonzero(score <= limit[group])
        order = inside[np.lexsort((score[inside], group[inside]))]
        group, row, score = group[order], row[order], score[order]
        place = np.arange(len(group)) - np.searchsorted(group, group)
        full = place == quotas[group] - 1
        limit[group[full]] = score[full]
        kept = score <= limit[group]
        return group[kept], row[kept], score[kept]

    return pick
