"""Health of classes, of pairs of classes, of slices, and of the whole dataset (specification, section 6)."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from cl_spark.evidence.blocks import Block, Source
from cl_spark.kernels.arrays import Bools, Float64s, Int64s
from cl_spark.methods.classification.cells import CellTable
from cl_spark.tables import columns as c
from cl_spark.tables.card import card, worst_classes
from cl_spark.tables.union import union_rows


@dataclass(frozen=True)
class HealthSummary:
    """The health of a dataset's labels.

    Attributes:
        class_health: one row per class, worst class quality first (ties: lower class index): class, examples,
            threshold, estimated_label_issues, estimated_inverse_label_issues, label_noise,
            inverse_label_noise, class_quality.
        overlapping_classes: confused pairs, most probable first: class_a, class_b, examples,
            joint_probability.
        overall_health: 1 - num_issues / num_examples, in [0, 1].
        num_issues: off-diagonal issues: the estimate by the method "off_diagonal", not the rows of any
            filter.
        num_examples: number of examples audited.
    """

    class_health: DataFrame
    overlapping_classes: DataFrame
    overall_health: float
    num_issues: int
    num_examples: int

    def _repr_html_(self) -> str:
        return card(
            "Health of the labels",
            {
                "overall health": f"{self.overall_health:.2%}",
                "off-diagonal issues": self.num_issues,
                "examples": self.num_examples,
            },
            heading="label noise of the worst classes",
            bars=worst_classes(self.class_health),
        )


def estimate_class_health(joint: CellTable, class_counts: Int64s, thresholds: Float64s) -> pd.DataFrame:
    """Estimate the health of each class.

    Shares are taken of whole numbers, so they carry no rounding of sums. A class that no label carries has
    noise 0 and quality 1.

    Args:
        joint: the joint distribution as counts.
        class_counts: (K,) examples per given label.
        thresholds: (K,) confident thresholds.

    Returns:
        K rows by class index, worst first, with the columns of `HealthSummary.class_health`.
    """
    diagonal = joint.sum_by_class(c.GIVEN, c.COUNT, diagonal=True)
    given, true = joint.sum_by_class(c.GIVEN, c.COUNT), joint.sum_by_class(c.TRUE, c.COUNT)
    examples_per_count = class_counts.sum() / max(given.sum(), 1)
    noise, inverse_noise = ((total - diagonal) / np.maximum(total, 1) for total in (given, true))
    return pd.DataFrame(
        {
            c.CLASS: np.arange(len(class_counts)),
            c.EXAMPLES: class_counts,
            c.THRESHOLD: thresholds,
            c.ESTIMATED_LABEL_ISSUES: np.rint((given - diagonal) * examples_per_count).astype(np.int64),
            c.ESTIMATED_INVERSE_LABEL_ISSUES: np.rint((true - diagonal) * examples_per_count).astype(
                np.int64
            ),
            c.LABEL_NOISE: noise,
            c.INVERSE_LABEL_NOISE: inverse_noise,
            c.CLASS_QUALITY: 1 - noise,
        }
    ).sort_values([c.CLASS_QUALITY, c.CLASS], ignore_index=True)


def find_overlapping_classes(joint: CellTable, num_examples: int, *, asymmetric: bool = False) -> DataFrame:
    """Find the pairs of classes that are confused; pairs of probability 0 are left out.

    Args:
        joint: the joint distribution as counts.
        num_examples: n.
        asymmetric: every ordered pair apart (class_a is the given label, class_b the true class) instead of
            their sum.

    Returns:
        class_a and class_b (indices), examples, joint_probability.
    """
    total = float(joint.sum_by_class(c.GIVEN, c.COUNT).sum())
    given, true = F.col(c.GIVEN), F.col(c.TRUE)
    first, second = (given, true) if asymmetric else (F.least(given, true), F.greatest(given, true))
    return (
        joint.to_spark()
        .where((given != true) & (F.col(c.COUNT) > 0))
        .groupBy(first.alias(c.CLASS_A), second.alias(c.CLASS_B))
        .agg((F.sum(c.COUNT) / F.lit(total)).alias(c.JOINT_PROBABILITY))
        .withColumn(c.EXAMPLES, F.rint(F.col(c.JOINT_PROBABILITY) * F.lit(num_examples)).cast("long"))
        .select(c.CLASS_A, c.CLASS_B, c.EXAMPLES, c.JOINT_PROBABILITY)
        .orderBy(F.desc(c.JOINT_PROBABILITY), c.CLASS_A, c.CLASS_B)
    )


# Slices -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SliceCounts:
    """Kernel: how many examples have each value of the slice columns, and how many of them are wrong.

    Attributes:
        slices: names of the slice columns in blocks.
        is_wrong: condition on the rows of a block.
        count_examples: count the examples; else 0 of each, and only what is wrong.
    """

    slices: Sequence[str]
    is_wrong: Callable[[Block], Bools]
    count_examples: bool

    def __call__(self, blocks: Iterator[Block]) -> Iterator[pa.RecordBatch]:
        """Count the rows of a Spark task, block by block."""
        for block in blocks:
            is_wrong = pa.array(self.is_wrong(block).astype(np.int64))
            for i, name in enumerate(self.slices):
                rows = pa.table({"value": block.ids.column(name), "is_wrong": is_wrong})
                counts = rows.group_by("value").aggregate([("is_wrong", "sum"), ([], "count_all")])
                no_examples = pa.array(np.zeros(counts.num_rows, dtype=np.int64))
                columns = {
                    "slice": pa.array(np.full(counts.num_rows, i, dtype=np.int32)),
                    c.SLICE_VALUE: counts["value"],
                    c.EXAMPLES: counts["count_all"] if self.count_examples else no_examples,
                    c.OFF_DIAGONAL_ISSUES: counts["is_wrong_sum"],
                }
                yield from pa.table(columns).to_batches()


def count_slices(
    sources: Sequence[Source], slices: Sequence[str], is_wrong: Callable[[Block], Bools], parts: Sequence[str]
) -> DataFrame:
    """Count the examples with each value of the slice columns, and how many of them are wrong.

    Args:
        sources: blocks of all examples, then blocks of some of them, for which `is_wrong` finds more.
        slices: names of the slice columns in blocks.
        is_wrong: condition on the rows of a block.
        parts: parts of blocks that `is_wrong` reads.

    Returns:
        slice (position of the slice column), slice_value, examples, off_diagonal_issues.
    """
    schema = f"slice int, slice_value string, {c.EXAMPLES} bigint, {c.OFF_DIAGONAL_ISSUES} bigint"
    counts = [
        source(SliceCounts(slices, is_wrong, count_examples=i == 0), schema, ("ids", *parts))
        for i, source in enumerate(sources)
    ]
    return (
        union_rows(counts)
        .groupBy("slice", c.SLICE_VALUE)
        .agg(*[F.sum(name).alias(name) for name in (c.EXAMPLES, c.OFF_DIAGONAL_ISSUES)])
    )


def add_slice_quality(counts: DataFrame, slice_by: Sequence[str]) -> DataFrame:
    """Name the slice columns of counted slices, and add the slice quality with its interval.

    Args:
        counts: slices as `count_slices` counts them.
        slice_by: names of the slice columns.

    Returns:
        slice_column, slice_value, examples, off_diagonal_issues, slice_quality, lower, upper.
    """
    names, examples = F.array(*map(F.lit, slice_by)), F.col(c.EXAMPLES)
    quality = 1 - F.col(c.OFF_DIAGONAL_ISSUES) / examples
    return counts.select(
        F.get(names, F.col("slice")).alias(c.SLICE_COLUMN),
        c.SLICE_VALUE,
        c.EXAMPLES,
        c.OFF_DIAGONAL_ISSUES,
        quality.alias(c.SLICE_QUALITY),
    ).select("*", *wilson_columns(F.col(c.SLICE_QUALITY), examples))


# Wilson's interval ------------------------------------------------------------------------------------------

Z = 1.959963984540054
"""Standard deviations of the normal distribution that leave out 5 %."""

Number = TypeVar("Number", float, Column)


def wilson_columns(share: Column, examples: Column) -> list[Column]:
    """Ends `lower` and `upper` of Wilson's 95 % interval of a share of some examples, in [0, 1]."""
    lower, upper = find_wilson_ends(share, examples.cast("double"))  # squares of counts overflow
    return [F.greatest(lower, F.lit(0.0)).alias(c.LOWER), F.least(upper, F.lit(1.0)).alias(c.UPPER)]


def wilson_interval(share: float, examples: int) -> tuple[float, float]:
    """Ends of Wilson's 95 % interval of a share of some examples, in [0, 1].

    Example:
        >>> [round(end, 3) for end in wilson_interval(0.9, 100)]
        [0.826, 0.945]
    """
    lower, upper = find_wilson_ends(share, float(examples))
    return max(lower, 0.0), min(upper, 1.0)


def find_wilson_ends(share: Number, examples: Number) -> tuple[Number, Number]:
    """Compute the ends of Wilson's interval, of numbers or of columns, before they are clipped to [0, 1]."""
    centre, scale = share + Z * Z / (2 * examples), 1 + Z * Z / examples
    reach = Z * (share * (1 - share) / examples + Z * Z / (4 * examples * examples)) ** 0.5
    return (centre - reach) / scale, (centre + reach) / scale
