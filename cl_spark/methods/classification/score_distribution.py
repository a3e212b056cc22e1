"""Distribution of the self-confidences of each class, and of its issues (specification, section 6)."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from cl_spark.evidence.blocks import Block, Source
from cl_spark.kernels.arrays import Int64s
from cl_spark.kernels.key_counts import count_keys
from cl_spark.methods.classification.thresholds import ClassStatistics
from cl_spark.tables import columns as c

NUM_RANGES = 20
"""Number of ranges in which self-confidences are counted."""

RANGE = "_range"


@dataclass(frozen=True)
class ScoreRanges:
    """`NUM_RANGES` ranges of equal width. Each includes its lower end; the last one also its upper end. What
    rounding put just outside all of them belongs to the first or last.

    Attributes:
        low: where the first range begins.
        high: where the last range ends.
    """

    low: float
    high: float

    @classmethod
    def cover(cls, statistics: ClassStatistics) -> "ScoreRanges":
        """Cover all self-confidences.

        The interval is [0, 1] for probabilities, and [lowest self-confidence, highest value of any class] for
        scores; where all of these are one number, it is as long as 1.
        """
        if statistics.are_probabilities:
            return cls(0.0, 1.0)
        lowest, highest = statistics.lowest, statistics.highest
        return cls(lowest, highest if highest > lowest else lowest + 1)

    def find(self, block: Block) -> Int64s:
        """Find the range of the self-confidence of each row."""
        share = (block.self_confidence.astype(np.float64) - self.low) / (self.high - self.low)
        return np.floor(share * NUM_RANGES).astype(np.int64).clip(0, NUM_RANGES - 1)

    def find_column(self, self_confidence: Column) -> Column:
        """Find the range of a column of self-confidences, as `find` does."""
        share = (self_confidence - self.low) / (self.high - self.low)
        return F.greatest(F.least(F.floor(share * NUM_RANGES), F.lit(NUM_RANGES - 1)), F.lit(0))

    def find_ends(self, position: Column) -> tuple[Column, Column]:
        """Find the lower and the upper end of ranges."""
        width = F.lit(self.high - self.low)
        lower, upper = (F.lit(self.low) + (position + i) / F.lit(NUM_RANGES) * width for i in (0, 1))
        return lower, upper


@dataclass(frozen=True)
class ConfidenceCounts:
    """Kernel: how many examples of each given class have their self-confidence in each range."""

    ranges: ScoreRanges

    def __call__(self, blocks: Iterator[Block]) -> Iterator[pa.RecordBatch]:
        """Count the rows of a Spark task."""
        keys, counts = count_keys(map(self._key_rows, blocks))
        given, position = np.divmod(keys, NUM_RANGES)
        columns = [pa.array(values) for values in (given, position, counts)]
        yield pa.RecordBatch.from_arrays(columns, names=[c.GIVEN, RANGE, c.EXAMPLES])

    def _key_rows(self, block: Block) -> Int64s:
        return np.asarray(block.given.astype(np.int64) * NUM_RANGES + self.ranges.find(block))


def count_by_confidence(source: Source, ranges: ScoreRanges) -> DataFrame:
    """Count the examples of each given class by range of self-confidence, in parts that are to be summed.

    Returns:
        _given, _range, examples.
    """
    schema = f"{c.GIVEN} bigint, {RANGE} bigint, {c.EXAMPLES} bigint"
    return source(ConfidenceCounts(ranges), schema, ())


def add_issue_counts(examples: DataFrame, issues: DataFrame, ranges: ScoreRanges) -> DataFrame:
    """Add the number of issues to the counts of examples.

    Args:
        examples: class, _range and examples, in parts as `count_by_confidence` counts them.
        issues: class and self_confidence of every issue.
        ranges: the ranges.

    Returns:
        class, lower, upper, examples, num_issues; ranges without examples are left out.
    """
    zero, one = (F.lit(number).cast("long") for number in (0, 1))
    position = ranges.find_column(F.col(c.SELF_CONFIDENCE).cast("double"))
    of_issues = issues.select(c.CLASS, position.alias(RANGE), zero.alias(c.EXAMPLES), one.alias(c.NUM_ISSUES))
    of_examples = examples.select(c.CLASS, RANGE, c.EXAMPLES, zero.alias(c.NUM_ISSUES))
    counts = (
        of_examples.unionByName(of_issues)
        .groupBy(c.CLASS, RANGE)
        .agg(*[F.sum(name).alias(name) for name in (c.EXAMPLES, c.NUM_ISSUES)])
    )
    lower, upper = ranges.find_ends(F.col(RANGE))
    return counts.select(c.CLASS, lower.alias(c.LOWER), upper.alias(c.UPPER), c.EXAMPLES, c.NUM_ISSUES)
