"""The rows before a cut: the n lowest of each group by (score, id), found without sorting all rows."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from cl_spark import columns as c
from cl_spark.blocks import Block, Source, ddl
from cl_spark.kernels.counts import added, no_counts
from cl_spark.kernels.evidence import Flags

GROUP, QUOTA, BUCKET, SUSPECT = "_group", "_quota", "_bucket", "_suspect"
LAST, LAST_ID, CHOSEN = "_last", "_last_id", "_chosen"

BUCKETS = 2**32
"""More than there are buckets."""

FEW = 1_000_000
"""Up to this many rows, sorting them is quicker than another pass to learn which to sort."""

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

Scored = tuple[Ints, Ints, Floats]
"""Of a block: (group, row, score) of each entry that may be chosen. A row may have entries in several groups."""

Entries = Callable[[Block], Scored]


@dataclass(frozen=True)
class Choice:
    """Where each of G groups is cut.

    Attributes:
        last: (G,) score of the last entry chosen; minus infinity where there is none.
        number: (G,) how many are chosen: the quota, or all entries if there are fewer.
        found: few: the entries chosen, with their rows' columns; else group and ids of the last entry chosen.
    """

    last: Floats
    number: Ints
    found: DataFrame


@dataclass(frozen=True)
class Chooser:
    """Chooses the lowest entries of groups.

    Attributes:
        spark: the session.
        id_types: id columns and their types: ids order tied scores.
        row_types: columns wanted of chosen rows, ids included.
        keep: keeps a DataFrame that is read several times.
        few: sort the entries that each task cannot rule out, with their rows. Else a histogram of the scores tells in which
            bucket each cut lies, only that is sorted, and another pass fetches the rows. The result is the same.
    """

    spark: SparkSession
    id_types: Mapping[str, str]
    row_types: Mapping[str, str]
    keep: Callable[[DataFrame], DataFrame]
    few: bool

    def choice(self, source: Source, entries: Entries, quotas: Ints, parts: Sequence[str] = ()) -> Choice:
        """Where the groups are cut.

        Args:
            source: the blocks.
            entries: what may be chosen; group numbers are places in `quotas`.
            quotas: (G,) how many each group may choose, at least 1.
            parts: parts of blocks that `entries` asks for.
        """
        before, chosen, types = np.zeros(len(quotas), dtype=np.int64), trimmed(entries, quotas), self.row_types
        if not self.few:
            edge, before = self._edges(source, entries, quotas, parts)
            chosen, types = _in_bucket(entries, edge), self.id_types
        ids, names = list(self.id_types), list(types)

        def kernel(blocks: Iterator[Block]) -> Iterator[pa.RecordBatch]:
            pick = chosen()
            for block in blocks:
                group, row, score = pick(block)
                more = {GROUP: group, c.SCORE: score, QUOTA: quotas[group] - before[group], SUSPECT: block.suspects[row]}
                yield block.frame(row, names, more)

        columns = {**types, GROUP: "bigint", c.SCORE: "double", QUOTA: "bigint", SUSPECT: "boolean"}
        place = F.row_number().over(Window.partitionBy(GROUP).orderBy(c.SCORE, *ids))
        found = source(kernel, ddl(columns), ("ids", *parts)).withColumn("_place", place).where(F.col("_place") <= F.col(QUOTA))
        ends = [F.max(c.SCORE).alias(LAST), F.count(F.lit(1)).alias(CHOSEN)]
        if self.few:
            found = self.keep(found.select(*names, GROUP, c.SCORE, SUSPECT))
            told = found.groupBy(GROUP).agg(*ends).toPandas()
        else:
            cut = F.max(F.struct(c.SCORE, F.struct(*ids).alias(LAST_ID)))[LAST_ID].alias(LAST_ID)
            found = self.keep(found.groupBy(GROUP).agg(*ends, cut))
            told = found.select(GROUP, LAST, CHOSEN).toPandas()
        last, number = np.full(len(quotas), -np.inf), np.zeros(len(quotas), dtype=np.int64)
        last[told[GROUP]], number[told[GROUP]] = told[LAST], told[CHOSEN] + before[told[GROUP]]
        return Choice(last, number, found)

    def suspects(self, source: Source, entries: Entries, choice: Choice, groups: Flags, parts: Sequence[str] = ()) -> DataFrame:
        """The suspects chosen in some of the groups: of few, once for each group that chose them."""
        return self._rows(source, entries, choice, groups, parts, suspects_only=True)

    def _rows(
        self, source: Source, entries: Entries, choice: Choice, groups: Flags, parts: Sequence[str], *, suspects_only: bool
    ) -> DataFrame:
        names, ids = list(self.row_types), list(self.id_types)
        if self.few:
            rows = choice.found.where(SUSPECT) if suspects_only else choice.found
            if not groups[choice.number > 0].all():
                wanted = self.spark.createDataFrame(pd.DataFrame({GROUP: np.flatnonzero(groups)}))
                rows = rows.join(F.broadcast(wanted), GROUP, "left_semi")
            return rows.select(*names)
        last = np.where(groups, choice.last, -np.inf)

        def kernel(blocks: Iterator[Block]) -> Iterator[pa.RecordBatch]:
            for block in blocks:
                group, row, score = entries(block)
                if suspects_only:
                    inside = block.suspects[row]
                    group, row, score = group[inside], row[inside], score[inside]
                sure = np.zeros(len(block), dtype=bool)
                sure[row[score < last[group]]] = True
                tied = (score == last[group]) & ~sure[row]  # of these the ids tell
                rows = np.concatenate([np.flatnonzero(sure), row[tied]])
                of_group = np.concatenate([np.full(sure.sum(), -1, dtype=np.int64), group[tied]])
                yield block.frame(rows, names, {GROUP: of_group})

        found = self.keep(source(kernel, ddl({**self.row_types, GROUP: "bigint"}), ("ids", *parts)))
        ties = found.join(F.broadcast(choice.found.select(GROUP, LAST_ID)), GROUP).where(F.struct(*ids) <= F.col(LAST_ID))
        return found.where(F.col(GROUP) < 0).select(*names).unionByName(ties.select(*names).dropDuplicates(ids))

    def lowest(
        self, source: Source, entries: Entries, quotas: Ints, parts: Sequence[str] = (), *, suspects_only: bool = False
    ) -> DataFrame:
        """The rows chosen, or the suspects among them: of few, once for each group that chose them."""
        choice, every = self.choice(source, entries, quotas, parts), np.ones(len(quotas), dtype=bool)
        return self._rows(source, entries, choice, every, parts, suspects_only=suspects_only)

    def _edges(self, source: Source, entries: Entries, quotas: Ints, parts: Sequence[str]) -> tuple[Ints, Ints]:
        """The bucket each group's cut lies in, and the number of entries in the buckets before it."""

        def kernel(blocks: Iterator[Block]) -> Iterator[pa.RecordBatch]:
            counts = no_counts()
            for block in blocks:
                group, _, score = entries(block)
                counts = added(counts, group * BUCKETS + buckets(score) + BUCKETS // 2)
            group, place = np.divmod(counts[0], BUCKETS)
            columns = list(map(pa.array, (group, place - BUCKETS // 2, counts[1])))
            yield pa.RecordBatch.from_arrays(columns, names=[GROUP, BUCKET, "_rows"])

        histogram = source(kernel, f"{GROUP} bigint, {BUCKET} bigint, _rows bigint", parts)
        histogram = histogram.groupBy(GROUP, BUCKET).agg(F.sum("_rows").alias("_rows"))
        wanted = self.spark.createDataFrame(list(enumerate(quotas.tolist())), f"{GROUP} bigint, {QUOTA} bigint")
        within = Window.partitionBy(GROUP)
        before = F.sum("_rows").over(within.orderBy(BUCKET)) - F.col("_rows")
        found = (
            histogram.join(F.broadcast(wanted), GROUP)
            .withColumn("_before", before)
            .withColumn("_last", F.least(F.col(QUOTA), F.sum("_rows").over(within)))
            .where((F.col("_before") < F.col("_last")) & (F.col("_last") <= F.col("_before") + F.col("_rows")))
            .select(GROUP, BUCKET, "_before")
            .toPandas()
        )
        edge, below = np.full(len(quotas), np.iinfo(np.int64).min), np.zeros(len(quotas), dtype=np.int64)
        edge[found[GROUP]], below[found[GROUP]] = found[BUCKET], found["_before"]
        return edge, below


def trimmed(entries: Entries, quotas: Ints) -> Callable[[], Entries]:
    """For each task, the entries that it cannot rule out: not those after as many of their group as the quota is."""

    def begun() -> Entries:
        limit = np.full(len(quotas), np.inf)

        def pick(block: Block) -> Scored:
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

    return begun


def _in_bucket(entries: Entries, edge: Ints) -> Callable[[], Entries]:
    def pick(block: Block) -> Scored:
        group, row, score = entries(block)
        inside = buckets(score) == edge[group]
        return group[inside], row[inside], score[inside]

    return lambda: pick


def buckets(score: Floats) -> Ints:
    """Whole numbers that never fall as the score rises: fine steps near 0 on a log scale, 1/1024 elsewhere.

    Any such function makes the cut exact; this one only decides how few entries share the bucket that has to be sorted.
    """
    size = np.abs(score)
    near = np.floor(16 * np.log2(np.maximum(size, 2.0**-75)))
    steps = (np.where(size < 1 / 16, near, np.floor(np.minimum(size, 2.0**20) * 1024)) + 1300).astype(np.int64)
    return np.asarray(np.where(score < 0, -steps, steps))
