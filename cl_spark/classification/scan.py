"""One scan of a table: the evidence it keeps, and the confident joint counted from that."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, reduce

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame

from cl_spark.classification import confident_joint as joints
from cl_spark.classification.cells import DRIVER_CELLS, CellTable
from cl_spark.classification.confident_joint import ConfidentJoint
from cl_spark.classification.cuts import FEW
from cl_spark.classification.thresholds import (
    ClassAggregates,
    ClassStatistics,
    ClassSummary,
    class_aggregates,
    class_statistics,
)
from cl_spark.errors import ConfigurationError
from cl_spark.evidence.blocks import Block, KeptArrays, Kernel, Source
from cl_spark.evidence.ids import find_repeated_ids, ranges_are_disjoint
from cl_spark.evidence.packing import PACKED_SCHEMA, ddl, map_blocks, pack_blocks
from cl_spark.evidence.predictions import Predictions
from cl_spark.kernels.arrays import Bools, Float64s
from cl_spark.kernels.confident_class import NO_CLASS
from cl_spark.tables import columns as c


@dataclass(frozen=True)
class Scan:
    """A table that is scanned when the first question comes; each answer is found once.

    Attributes:
        predictions: the table.
        persist: persists what several queries read.
        check_ids: refuse rows that share an id.
        given_thresholds: K confident thresholds to use instead of the rows' own.
    """

    predictions: Predictions
    persist: Callable[[DataFrame], DataFrame]
    check_ids: bool
    given_thresholds: Sequence[float] | None

    @cached_property
    def _read(self) -> tuple[DataFrame, ClassAggregates]:
        """The evidence of the rows each by itself, and what is aggregated of it."""
        packed = self.persist(self.predictions.evidence())
        return packed, class_aggregates(packed, self.predictions.listing)

    @cached_property
    def repeated(self) -> DataFrame | None:
        """The ids that several rows share; None if there are none."""
        if not self.check_ids:
            return None
        packed, aggregates = self._read
        if self.predictions.whole_id is not None and ranges_are_disjoint(packed):
            return None
        types = self.predictions.id_types

        def kernel(blocks: Iterator[Block]) -> Iterator[pa.RecordBatch]:
            for block in blocks:
                yield block.to_batch(np.arange(len(block)), list(types))

        return find_repeated_ids(
            map_blocks(packed, kernel, ddl(types), ("ids",)),
            list(types),
            self.persist,
            few=aggregates.num_rows <= FEW,
        )

    @cached_property
    def evidence(self) -> tuple[DataFrame, ClassAggregates]:
        """The same, rows with the id of others refused."""
        if self.repeated is None:
            return self._read
        packed = self.persist(self.predictions.evidence(self.repeated))
        return packed, class_aggregates(packed, self.predictions.listing)

    @cached_property
    def aggregated(self) -> ClassSummary:
        """Statistics of the classes, and bounds of the margins."""
        may_be_empty = self.given_thresholds is not None
        return class_statistics(self.evidence[1], self.predictions.known_classes, may_be_empty=may_be_empty)

    @property
    def num_classes(self) -> int:
        """K."""
        return self.statistics.num_classes

    @property
    def statistics(self) -> ClassStatistics:
        """Counts and exact sums of the self-confidences per class, and rows refused by reason: a value that merges."""
        return self.aggregated.statistics

    @cached_property
    def thresholds(self) -> Float64s:
        """(K,) confident thresholds.

        Raises:
            ConfigurationError: as many as there are classes were not given.
        """
        if self.given_thresholds is None:
            return self.statistics.thresholds()
        if len(self.given_thresholds) != self.num_classes:
            raise ConfigurationError(
                f"thresholds: {len(self.given_thresholds)} were given for {self.num_classes} classes"
            )
        return np.asarray(self.given_thresholds, dtype=np.float64)

    def blocks(self, kernel: Kernel, schema: str, parts: Sequence[str]) -> DataFrame:
        """What a kernel makes of the accepted rows of the evidence."""
        return map_blocks(self.evidence[0], kernel, schema, parts, self.num_classes)

    def suspect_blocks(self, kernel: Kernel, schema: str, parts: Sequence[str]) -> DataFrame:
        """What a kernel makes of the suspects."""
        return map_blocks(self.evidence[0].where("of_suspects = 1"), kernel, schema, parts, self.num_classes)

    def arrays(self, of_classes: Bools | None = None) -> Source:
        """The accepted rows (of some given classes), all with their arrays: another scan of the data."""
        block, classes = self.predictions.block(every_array=True, of_classes=of_classes), self.num_classes

        def source(kernel: Kernel, schema: str, parts: Sequence[str]) -> DataFrame:
            def batches(rows: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
                yield from kernel(block(batch).accepted(classes) for batch in rows)

            return self.predictions.scan(batches, schema, self.repeated)

        return source

    @cached_property
    def _listed_cells(self) -> CellTable:
        """What the listed classes tell of the confident joint, and how many rows they leave open."""
        return self._counted_cells(self.blocks, ("listed",))

    @cached_property
    def confident_parts(self) -> Sequence[str]:
        """What of the evidence confident classes are read from: arrays, which are many bytes, only where suspects are open."""
        is_open = f"{c.CONFIDENT} == {joints.UNSETTLED} and _suspect"
        return ("listed", "kept") if self._listed_cells.where(is_open).total(c.COUNT) else ("listed",)

    @cached_property
    def _settled_cells(self) -> CellTable:
        """What the evidence tells of the confident joint, and how many rows it leaves open."""
        parts = self.confident_parts
        return self._counted_cells(self.blocks, parts) if "kept" in parts else self._listed_cells

    def _counted_cells(self, source: Source, parts: Sequence[str]) -> CellTable:
        return self._cells(joints.count_cells(source, self.thresholds, self.predictions.prob_format, parts))

    def _cells(self, cells: DataFrame) -> CellTable:
        """Cells, computed once: on the driver unless there are too many."""
        if min(self.num_classes**2, self.statistics.num_examples) > DRIVER_CELLS:  # else there cannot be
            cells = self.persist(cells)
            if cells.count() > DRIVER_CELLS:
                return CellTable(self.predictions.df.sparkSession, self.num_classes, cells)
        return CellTable(self.predictions.df.sparkSession, self.num_classes, cells.toPandas())

    @cached_property
    def _examined(self) -> DataFrame | None:
        """Blocks of the rows that the evidence leaves open, their confident class read from the arrays. None if none are."""
        if not self._settled_cells.where(f"{c.CONFIDENT} == {joints.UNSETTLED}").total(c.COUNT):
            return None
        thresholds, prob_format, listing = (
            self.thresholds,
            self.predictions.prob_format,
            self.predictions.listing,
        )

        def examined(blocks: Iterator[Block]) -> Iterator[Block]:
            for block in blocks:
                rows = (
                    joints.find_confident_classes(
                        replace(block, parts=replace(block.parts, kept=None)), thresholds, prob_format
                    )
                    == joints.UNSETTLED
                )
                rows &= ~(block.suspects & listing.keeps_array(block.self_confidence, block.num_probs))
                found = block.where(rows)
                confident = joints.find_confident_in_arrays(found.kept.arrays, thresholds, prob_format)
                none = KeptArrays(np.zeros(0, dtype=np.int64), found.kept.arrays.slice(0, 0))
                yield replace(found, confident=confident, parts=replace(found.parts, kept=none))

        return self.persist(self.arrays()(lambda blocks: pack_blocks(examined(blocks)), PACKED_SCHEMA, ()))

    @property
    def settled(self) -> list[Source]:
        """Blocks whose confident classes are known, but for rows that are in a later one."""
        sources: list[Source] = [self.blocks]
        if (examined := self._examined) is not None:
            sources.append(
                lambda kernel, schema, parts: map_blocks(examined, kernel, schema, parts, self.num_classes)
            )
        return sources

    @cached_property
    def joint(self) -> ConfidentJoint:
        """The confident joint."""
        counted = self._settled_cells.where(f"{c.CONFIDENT} >= {NO_CLASS}")
        for later in self.settled[1:]:
            cells = self._counted_cells(later, ("listed",))
            counted = counted.merged(cells, [c.GIVEN, c.CONFIDENT, "_suspect"], c.COUNT).persisted(
                self.persist
            )
        return ConfidentJoint(counted, self.statistics.class_counts, self.persist)

    def confidently_wrong(self, *, suspects_only: bool) -> Callable[[Block], Bools]:
        """Tells which rows of a block are confidently of another class than their given label."""
        thresholds, prob_format = self.thresholds, self.predictions.prob_format

        def wrong(block: Block) -> Bools:
            confident = joints.find_confident_classes(block, thresholds, prob_format)
            found = (confident >= 0) & (confident != block.given)
            return np.asarray(found & block.suspects if suspects_only else found)

        return wrong

    def rows_where(
        self, chosen: Callable[[Block], Bools], sources: Sequence[Source], parts: Sequence[str] = ()
    ) -> DataFrame:
        """The rows that a condition on blocks chooses, which asks for some parts of them."""
        types = self.predictions.row_types

        def kernel(blocks: Iterator[Block]) -> Iterator[pa.RecordBatch]:
            for block in blocks:
                yield block.to_batch(chosen(block), list(types))

        return reduce(
            DataFrame.unionByName, [source(kernel, ddl(types), ("ids", *parts)) for source in sources]
        )

    @cached_property
    def num_suspects(self) -> int:
        """How many rows could be an issue at all."""
        return self._settled_cells.where("_suspect").total(c.COUNT)

    @property
    def few_suspects(self) -> bool:
        """Whether suspects, and so issues, are few enough to be sorted together."""
        return self.num_suspects <= FEW
