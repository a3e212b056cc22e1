"""How healthy each class, each pair of classes, and the whole dataset is (SEMANTICS 6)."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from cl_spark.classification.cells import CellTable
from cl_spark.evidence.blocks import Block, Source
from cl_spark.kernels.arrays import Bools, Float64s, Int64s
from cl_spark.kernels.key_counts import count_keys
from cl_spark.tables import columns as c
from cl_spark.tables.card import card


@dataclass(frozen=True)
class HealthSummary:
    """The health of a dataset's labels.

    Attributes:
        class_health: one row per class, worst label quality first (ties: lower class index): class, examples, threshold,
            label_issues, inverse_label_issues, label_noise, inverse_label_noise, label_quality.
        overlapping_classes: confused pairs, most probable first: class_a, class_b, examples, joint_probability.
        overall_health: 1 - num_issues / num_examples, in [0, 1].
        num_issues: estimated number of label issues (method "off_diagonal").
        num_examples: examples audited.
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
                "label issues": self.num_issues,
                "examples": self.num_examples,
            },
            heading="label noise of the worst classes",
            bars=worst_classes(self.class_health),
        )


def worst_classes(classes: DataFrame, rows: int = 10) -> list[tuple[object, float]]:
    """Class and label noise of the worst rows of a table of class health."""
    worst = classes.orderBy(c.LABEL_QUALITY, c.CLASS).select(c.CLASS, c.LABEL_NOISE).limit(rows)
    return [(row[0], row[1]) for row in worst.collect()]


def class_health(joint: CellTable, class_counts: Int64s, thresholds: Float64s) -> pd.DataFrame:
    """Health of each class index, from the joint as counts: K rows, worst first.

    Shares are taken of whole numbers, so they carry no rounding of sums. A class no row carries has noise 0, quality 1.
    """
    diagonal = joint.totals(c.GIVEN, c.COUNT, diagonal=True)
    given, true = joint.totals(c.GIVEN, c.COUNT), joint.totals(c.TRUE, c.COUNT)
    per_count = class_counts.sum() / max(given.sum(), 1)
    noise, inverse = ((total - diagonal) / np.maximum(total, 1) for total in (given, true))
    return pd.DataFrame(
        {
            c.CLASS: np.arange(len(class_counts)),
            c.EXAMPLES: class_counts,
            c.THRESHOLD: thresholds,
            c.LABEL_ISSUES: np.rint((given - diagonal) * per_count).astype(np.int64),
            c.INVERSE_LABEL_ISSUES: np.rint((true - diagonal) * per_count).astype(np.int64),
            c.LABEL_NOISE: noise,
            c.INVERSE_LABEL_NOISE: inverse,
            c.LABEL_QUALITY: 1 - noise,
        }
    ).sort_values([c.LABEL_QUALITY, c.CLASS], ignore_index=True)


def overlapping_classes(joint: CellTable, num_examples: int, *, asymmetric: bool = False) -> DataFrame:
    """Pairs of class indices with their estimated joint probability; pairs of probability 0 are left out.

    Args:
        joint: the joint as counts.
        num_examples: n.
        asymmetric: every ordered pair apart (class_a is the given label, class_b the true class) instead of their sum.
    """
    total = float(joint.totals(c.GIVEN, c.COUNT).sum())
    a, b = F.col(c.GIVEN), F.col(c.TRUE)
    first, second = (a, b) if asymmetric else (F.least(a, b), F.greatest(a, b))
    return (
        joint.dataframe()
        .where((a != b) & (F.col(c.COUNT) > 0))
        .groupBy(first.alias(c.CLASS_A), second.alias(c.CLASS_B))
        .agg((F.sum(c.COUNT) / F.lit(total)).alias(c.JOINT_PROBABILITY))
        .withColumn(c.EXAMPLES, F.rint(F.col(c.JOINT_PROBABILITY) * F.lit(num_examples)).cast("long"))
        .select(c.CLASS_A, c.CLASS_B, c.EXAMPLES, c.JOINT_PROBABILITY)
        .orderBy(F.desc(c.JOINT_PROBABILITY), c.CLASS_A, c.CLASS_B)
    )


RANGES = 20
"""Ranges that `score_distribution` tells apart."""


def spread(source: Source, low: float, high: float) -> DataFrame:
    """Examples of each given class by range of self-confidence, of `RANGES` from ``low`` to ``high``."""

    def keys(block: Block) -> Int64s:
        position = np.floor((block.self_confidence.astype(np.float64) - low) / (high - low) * RANGES).astype(
            np.int64
        )
        return np.asarray(block.given.astype(np.int64) * RANGES + np.minimum(position, RANGES - 1))

    def kernel(blocks: Iterator[Block]) -> Iterator[pa.RecordBatch]:
        key, rows = count_keys(map(keys, blocks))
        given, position = np.divmod(key, RANGES)
        yield pa.RecordBatch.from_arrays(
            list(map(pa.array, (given, position, rows))), names=[c.GIVEN, "_range", c.EXAMPLES]
        )

    return source(kernel, f"{c.GIVEN} bigint, _range bigint, {c.EXAMPLES} bigint", ())


def score_distribution(examples: DataFrame, issues: DataFrame, low: float, high: float) -> DataFrame:
    """Examples and issues of each class by range of self-confidence.

    Args:
        examples: class, `_range` and examples, as `spread` has them.
        issues: class and self-confidence of every issue.
        low: where the first range begins.
        high: where the last one ends.
    """
    position = F.least(
        F.floor((F.col(c.EVIDENCE_SELF_CONFIDENCE).cast("double") - low) / (high - low) * RANGES),
        F.lit(RANGES - 1),
    )
    none = F.lit(0).cast("long")
    of_issues = issues.select(
        c.CLASS, position.alias("_range"), none.alias(c.EXAMPLES), F.lit(1).cast("long").alias(c.LABEL_ISSUES)
    )
    counted = examples.select(c.CLASS, "_range", c.EXAMPLES, none.alias(c.LABEL_ISSUES)).unionByName(
        of_issues
    )
    counted = counted.groupBy(c.CLASS, "_range").agg(
        F.sum(c.EXAMPLES).alias(c.EXAMPLES), F.sum(c.LABEL_ISSUES).alias(c.LABEL_ISSUES)
    )
    lower, upper = (
        F.lit(low) + (F.col("_range") + end) / F.lit(RANGES) * F.lit(high - low) for end in (0, 1)
    )
    return counted.select(c.CLASS, lower.alias("lower"), upper.alias("upper"), c.EXAMPLES, c.LABEL_ISSUES)


def slice_counts(
    source: Source,
    slices: Sequence[str],
    wrong: Callable[[Block], Bools],
    parts: Sequence[str],
    *,
    examples: bool,
) -> DataFrame:
    """How many examples have each value of the slice columns, and how many of them are wrong.

    Args:
        source: blocks.
        slices: the columns' names in them.
        wrong: which rows of a block are.
        parts: parts of blocks that `wrong` asks for.
        examples: count the examples; else only what is wrong.
    """

    def kernel(blocks: Iterator[Block]) -> Iterator[pa.RecordBatch]:
        for block in blocks:
            flags = pa.array(wrong(block).astype(np.int64))
            for i, name in enumerate(slices):
                table = pa.table({"value": block.ids.column(name), "wrong": flags})
                found = table.group_by("value").aggregate([("wrong", "sum"), ([], "count_all")])
                counts = (
                    found["count_all"] if examples else pa.array(np.zeros(found.num_rows, dtype=np.int64))
                )
                columns = {"slice": pa.array(np.full(found.num_rows, i, dtype=np.int32)), "slice_value": found["value"],
                           c.EXAMPLES: counts, c.LABEL_ISSUES: found["wrong_sum"]}  # fmt: skip
                yield from pa.table(columns).to_batches()

    schema = f"slice int, slice_value string, {c.EXAMPLES} bigint, {c.LABEL_ISSUES} bigint"
    return source(kernel, schema, ("ids", *parts))


Z = 1.959963984540054
"""Standard deviations of the normal distribution that leave out 5 %."""


def wilson() -> list[Column]:
    """`lower` and `upper` end of Wilson's 95 % interval for the label quality of rows that hold it and their `examples`."""
    lower, upper = _ends(F.col(c.LABEL_QUALITY), F.col(c.EXAMPLES))
    return [F.greatest(lower, F.lit(0.0)).alias("lower"), F.least(upper, F.lit(1.0)).alias("upper")]


def interval(quality: float, examples: int) -> tuple[float, float]:
    """The same of one number.

    Example:
        >>> [round(end, 3) for end in interval(0.9, 100)]
        [0.826, 0.945]
    """
    lower, upper = _ends(quality, examples)
    return max(lower, 0.0), min(upper, 1.0)


def _ends(quality: Any, n: Any) -> tuple[Any, Any]:
    """Of numbers or columns."""
    centre, scale = quality + Z * Z / (2 * n), 1 + Z * Z / n
    reach = Z * (quality * (1 - quality) / n + Z * Z / (4 * n * n)) ** 0.5
    return (centre - reach) / scale, (centre + reach) / scale
