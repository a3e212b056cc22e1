"""The lowest rows of each group by (score, id), as many as its quota, found without sorting all rows."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pandas as pd
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from cl_spark.evidence.blocks import Block, Source
from cl_spark.evidence.packing import ddl
from cl_spark.evidence.partitions import partitions_for
from cl_spark.kernels.arrays import Bools, Float64s, Int64s
from cl_spark.kernels.key_counts import count_keys
from cl_spark.kernels.score_buckets import BUCKETS, bucket_scores, bucket_upper_bounds
from cl_spark.tables import columns as c

GROUP, QUOTA, BUCKET, ELIGIBLE = "_group", "_quota", "_bucket", "_eligible"

CANDIDATE_TYPES = {GROUP: "bigint", c.SCORE: "double", QUOTA: "bigint", ELIGIBLE: "boolean"}
"""Columns of a candidate beside those of its row."""

BELOW_CUT = -1
"""Group number of a row that is chosen because one of its scores lies in a bucket below a cut."""

FEW = 1_000_000
"""Number of rows up to which sorting them is quicker than another pass to learn which to sort."""


def is_few(num_rows: int) -> bool:
    """Tell whether rows are few enough to be sorted together."""
    return num_rows <= FEW


@dataclass(frozen=True)
class Candidates:
    """Rows of a block that may be chosen, as m entries; a row may be a candidate of several groups.

    Attributes:
        group: (m,) group numbers.
        row: (m,) rows of the block.
        score: (m,) scores; the lowest are chosen first.
    """

    group: Int64s
    row: Int64s
    score: Float64s

    def take(self, index: Int64s | Bools) -> "Candidates":
        """Select entries by position or condition, in that order."""
        return Candidates(self.group[index], self.row[index], self.score[index])


CandidateKernel = Callable[[Block], Candidates]
"""A block -> the candidates among its rows."""


@dataclass(frozen=True)
class Selection:
    """A choice of the lowest candidates of G groups.

    Attributes:
        source: the blocks.
        candidates: finds the candidates of a block; group numbers are positions in `quotas`.
        quotas: (G,) how many candidates each group takes; at least 1 for groups that have candidates.
        parts: parts of blocks that `candidates` reads.
        suspects_only: drop rows that are no suspects after the choice. They fill the quotas like others.
    """

    source: Source
    candidates: CandidateKernel
    quotas: Int64s
    parts: Sequence[str] = ()
    suspects_only: bool = False


@dataclass(frozen=True)
class Cuts:
    """Where each of G groups is cut.

    Attributes:
        last_score: (G,) score of the last candidate chosen, or an upper bound close to it; minus infinity
            where none is.
        num_chosen: (G,) how many are chosen: the quota, or all candidates if there are fewer.
        rows: returns the rows that some of the groups choose, given as (G,) booleans. A row may come several
            times, once for each group.
    """

    last_score: Float64s
    num_chosen: Int64s
    rows: Callable[[Bools], DataFrame]


@dataclass(frozen=True)
class CutBuckets:
    """The bucket of scores in which each of G groups is cut.

    Attributes:
        bucket: (G,) bucket numbers; below all buckets where nothing is chosen.
        num_within: (G,) how many candidates of the bucket are chosen; all of lower buckets are.
    """

    bucket: Int64s
    num_within: Int64s


class CandidateTrimmer:
    """Drops candidates that others of the same Spark task rule out.

    Once a block has shown as many candidates of a group as its quota, no candidate with a higher score than
    all of these can be chosen. Ties stay: ids decide them later.
    """

    def __init__(self, quotas: Int64s) -> None:
        self._quotas = quotas
        self._limit = np.full(len(quotas), np.inf)

    def trim(self, candidates: Candidates) -> Candidates:
        """Drop the candidates of a block that cannot be chosen; the others are sorted by (group, score)."""
        found = candidates.take(candidates.score <= self._limit[candidates.group])
        found = found.take(np.lexsort((found.score, found.group)))
        place = np.arange(len(found.group)) - np.searchsorted(found.group, found.group)
        fills_quota = place == self._quotas[found.group] - 1
        self._limit[found.group[fills_quota]] = found.score[fills_quota]
        return found.take(found.score <= self._limit[found.group])


@dataclass(frozen=True)
class LowestCandidates:
    """Kernel: the candidates that a Spark task cannot rule out, each with columns of its row.

    Attributes:
        candidates: finds the candidates of a block.
        quotas: (G,) how many candidates each group takes.
        columns: columns wanted of each row.
        suspects_only: rows that are no suspects are not eligible; they still fill the quotas.
    """

    candidates: CandidateKernel
    quotas: Int64s
    columns: Sequence[str]
    suspects_only: bool

    def __call__(self, blocks: Iterator[Block]) -> Iterator[pa.RecordBatch]:
        """Find the candidates of a Spark task."""
        trimmer = CandidateTrimmer(self.quotas)
        for block in blocks:
            found = trimmer.trim(self.candidates(block))
            further = {
                GROUP: found.group,
                c.SCORE: found.score,
                QUOTA: self.quotas[found.group],
                ELIGIBLE: find_eligible(block, self.suspects_only)[found.row],
            }
            yield block.to_batch(found.row, self.columns, further)


@dataclass(frozen=True)
class BucketCounts:
    """Kernel: how many candidates of each group have their score in each bucket."""

    candidates: CandidateKernel

    def __call__(self, blocks: Iterator[Block]) -> Iterator[pa.RecordBatch]:
        """Count the candidates of a Spark task."""
        keys, counts = count_keys(map(self._key_candidates, blocks))
        group, place = np.divmod(keys, BUCKETS)
        columns = [group, place - BUCKETS // 2, counts]
        yield pa.RecordBatch.from_arrays(list(map(pa.array, columns)), names=[GROUP, BUCKET, "_rows"])

    def _key_candidates(self, block: Block) -> Int64s:
        found = self.candidates(block)
        # bucket numbers lie between -BUCKETS / 2 and BUCKETS / 2
        return found.group * BUCKETS + bucket_scores(found.score) + BUCKETS // 2


@dataclass(frozen=True)
class RowsUpToCuts:
    """Kernel: rows with a score below the bucket of a cut, and candidates whose score lies in that bucket.

    The former are chosen for sure, and come once, with group `BELOW_CUT`. Of the latter, which come once for
    each group, as many are chosen as the bucket's quota says.

    Attributes:
        candidates: finds the candidates of a block.
        cuts: the bucket of each group's cut.
        columns: columns wanted of each row.
        suspects_only: leave out rows that are no suspects; they still fill the quota of a bucket.
    """

    candidates: CandidateKernel
    cuts: CutBuckets
    columns: Sequence[str]
    suspects_only: bool

    def __call__(self, blocks: Iterator[Block]) -> Iterator[pa.RecordBatch]:
        """Find the rows of a Spark task."""
        for block in blocks:
            found = self.candidates(block)
            bucket, cut = bucket_scores(found.score), self.cuts.bucket[found.group]
            is_below = np.zeros(len(block), dtype=bool)
            is_below[found.row[bucket < cut]] = True
            eligible = find_eligible(block, self.suspects_only)
            below, at_cut = np.flatnonzero(is_below & eligible), found.take(bucket == cut)
            size = len(below)
            # a row that is chosen for sure fills the quota of a bucket too, but is not to come once more
            further = {
                GROUP: np.concatenate([np.full(size, BELOW_CUT), at_cut.group]),
                c.SCORE: np.concatenate([np.zeros(size), at_cut.score]),
                QUOTA: np.concatenate([np.zeros(size, dtype=np.int64), self.cuts.num_within[at_cut.group]]),
                ELIGIBLE: np.concatenate([np.ones(size, dtype=bool), (eligible & ~is_below)[at_cut.row]]),
            }
            yield block.to_batch(np.concatenate([below, at_cut.row]), self.columns, further)


def find_eligible(block: Block, suspects_only: bool) -> Bools:
    """Tell which rows of a block are wanted if they are chosen: suspects only, or all."""
    return block.suspects if suspects_only else np.ones(len(block), dtype=bool)


@dataclass(frozen=True)
class CutFinder:
    """Chooses the lowest candidates of groups.

    Attributes:
        spark: the session.
        id_types: id columns and their types; ids order tied scores.
        row_types: columns wanted of chosen rows, ids included, and their types.
        persist: persists a DataFrame that is read several times.
        few: sort the candidates that their Spark tasks cannot rule out, with their rows. Else a histogram of
            the scores tells in which bucket each cut lies, and another pass fetches the rows, of which only
            that bucket's are sorted. The result is the same.
    """

    spark: SparkSession
    id_types: Mapping[str, str]
    row_types: Mapping[str, str]
    persist: Callable[[DataFrame], DataFrame]
    few: bool

    def find_cuts(self, selection: Selection) -> Cuts:
        """Find where each group is cut."""
        if self.few:
            return self._cut_sorted(selection)
        return self._cut_by_histogram(selection)

    def select_lowest(self, selection: Selection) -> DataFrame:
        """Select the rows that any of the groups chooses.

        Where rows are few, nothing is computed before they are asked for, and a row comes once for each
        group.
        """
        if self.few:
            return self._sort_candidates(selection).where(ELIGIBLE).select(*self.row_types)
        cuts = self._cut_by_histogram(selection)
        return cuts.rows(np.ones(len(selection.quotas), dtype=bool))

    def _sort_candidates(self, selection: Selection) -> DataFrame:
        """Choose the candidates by sorting, with their rows."""
        columns = list(self.row_types)
        kernel = LowestCandidates(selection.candidates, selection.quotas, columns, selection.suspects_only)
        found = selection.source(kernel, self._candidate_schema, ("ids", *selection.parts))
        # a caller's quotas may exceed all rows
        chosen = self._take_quotas(found, min(int(selection.quotas.sum()), FEW))
        return chosen.select(*columns, GROUP, c.SCORE, ELIGIBLE)

    def _cut_sorted(self, selection: Selection) -> Cuts:
        """Find the cuts among sorted candidates, which are persisted with their rows."""
        chosen = self.persist(self._sort_candidates(selection))
        by_group = chosen.groupBy(GROUP).agg(
            F.max(c.SCORE).alias("_last_score"), F.count(F.lit(1)).alias("_num_chosen")
        )
        cuts = by_group.toPandas()
        num_groups = len(selection.quotas)
        last_score, num_chosen = np.full(num_groups, -np.inf), np.zeros(num_groups, dtype=np.int64)
        last_score[cuts[GROUP]], num_chosen[cuts[GROUP]] = cuts["_last_score"], cuts["_num_chosen"]
        return Cuts(last_score, num_chosen, partial(self._select_groups, chosen, num_chosen))

    def _select_groups(self, chosen: DataFrame, num_chosen: Int64s, groups: Bools) -> DataFrame:
        """Select the rows of some groups among the chosen candidates."""
        rows = chosen.where(ELIGIBLE)
        if not groups[num_chosen > 0].all():
            numbers = self.spark.createDataFrame(pd.DataFrame({GROUP: np.flatnonzero(groups)}))
            rows = rows.join(F.broadcast(numbers), GROUP, "left_semi")
        return rows.select(*self.row_types)

    def _cut_by_histogram(self, selection: Selection) -> Cuts:
        """Find the bucket that holds each cut, from the number of candidates in each bucket.

        The bucket number never falls as the score rises. So all candidates of lower buckets are chosen, and
        only those of the bucket of the cut have to be sorted.
        """
        quotas = selection.quotas
        schema = f"{GROUP} bigint, {BUCKET} bigint, _rows bigint"
        counts = selection.source(BucketCounts(selection.candidates), schema, selection.parts)
        histogram = counts.groupBy(GROUP, BUCKET).agg(F.sum("_rows").alias("_rows"))
        quota_rows = self.spark.createDataFrame(
            list(enumerate(quotas.tolist())), f"{GROUP} bigint, {QUOTA} bigint"
        )
        group = Window.partitionBy(GROUP)
        rows, below, num_chosen = F.col("_rows"), F.col("_below"), F.col("_num_chosen")
        at_cut = (
            histogram.join(F.broadcast(quota_rows), GROUP)
            .withColumn("_below", F.sum("_rows").over(group.orderBy(BUCKET)) - rows)
            .withColumn("_num_chosen", F.least(F.col(QUOTA), F.sum("_rows").over(group)))
            .where((below < num_chosen) & (num_chosen <= below + rows))
            .select(GROUP, BUCKET, "_below", "_num_chosen")
            .toPandas()
        )
        buckets = CutBuckets(np.full(len(quotas), -BUCKETS), np.zeros_like(quotas))
        buckets.bucket[at_cut[GROUP]] = at_cut[BUCKET]
        buckets.num_within[at_cut[GROUP]] = at_cut["_num_chosen"] - at_cut["_below"]
        cuts = Cuts(
            last_score=np.full(len(quotas), -np.inf),
            num_chosen=np.zeros_like(quotas),
            rows=partial(self._fetch_rows, selection, buckets),
        )
        cuts.last_score[at_cut[GROUP]] = bucket_upper_bounds(buckets.bucket[at_cut[GROUP]])
        cuts.num_chosen[at_cut[GROUP]] = at_cut["_num_chosen"]
        return cuts

    def _fetch_rows(self, selection: Selection, buckets: CutBuckets, groups: Bools) -> DataFrame:
        """Fetch the rows that some groups choose, once their buckets are known."""
        columns = list(self.row_types)
        cuts = replace(buckets, bucket=np.where(groups, buckets.bucket, -BUCKETS))
        kernel = RowsUpToCuts(selection.candidates, cuts, columns, selection.suspects_only)
        found = self.persist(selection.source(kernel, self._candidate_schema, ("ids", *selection.parts)))
        at_cut = found.where(F.col(GROUP) != BELOW_CUT)
        at_cut = self._take_quotas(at_cut, int(cuts.num_within.sum())).where(ELIGIBLE)
        below = found.where(F.col(GROUP) == BELOW_CUT).select(*columns)
        return below.unionByName(at_cut.dropDuplicates(list(self.id_types)).select(*columns))

    @property
    def _candidate_schema(self) -> str:
        return ddl({**self.row_types, **CANDIDATE_TYPES})

    def _take_quotas(self, candidates: DataFrame, num_chosen: int) -> DataFrame:
        """Select the first candidates of each group, as many as its quota; how many at most is known."""
        place = F.row_number().over(Window.partitionBy(GROUP).orderBy(c.SCORE, *self.id_types))
        candidates = candidates.repartition(partitions_for(num_chosen), GROUP)
        return candidates.withColumn("_place", place).where(F.col("_place") <= F.col(QUOTA))
