"""Counts and sums of the evidence by given class, in one pass: what thresholds are computed from."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from cl_spark.evidence.blocks import Block
from cl_spark.evidence.class_columns import MAX_CLASSES
from cl_spark.evidence.packing import ddl, map_blocks
from cl_spark.evidence.validity import RejectionReason
from cl_spark.kernels.arrays import Bools, Floats
from cl_spark.kernels.fixed_point import split_limbs
from cl_spark.kernels.row_evidence import ListingPolicy


class ClassAggregate(NamedTuple):
    """Sums over the usable rows of one given class that have the same number of probabilities.

    Attributes:
        num_probs: how many probabilities each row has.
        given: given class.
        examples: how many rows there are.
        whole: sum of the first limbs of their self-confidences (see `kernels.fixed_point`).
        high: sum of the second limbs.
        low: sum of the third limbs.
        lowest: lowest self-confidence.
        least: lowest probability of any class; 0 where none is below -1e-6.
        highest: highest probability of any class.
        suspect_bound: lower bound on ``p_given - p_other`` of suspects without a kept array, over the classes
            they do not list; infinity if there are no such rows.
        other_bound: the bound of rows that are no suspects.
    """

    num_probs: int
    given: int
    examples: int
    whole: int
    high: int
    low: int
    lowest: float
    least: float
    highest: float
    suspect_bound: float
    other_bound: float


class RejectedCount(NamedTuple):
    """How many rows of one given label are rejected for one reason.

    Attributes:
        rejection: code of the `RejectionReason`.
        num_probs: how many probabilities each row has, -1 for null.
        examples: how many rows there are.
        given: given class, whether or not there is one of that index; -1 where the label names none, and
            ``MAX_CLASSES + 1`` for all beyond it.
    """

    rejection: int
    num_probs: int
    examples: int
    given: int = -1


class ClassAggregates(NamedTuple):
    """All that is aggregated of the evidence: sums of usable rows, and counts of rejected ones."""

    classes: list[ClassAggregate]
    rejected: list[RejectedCount]

    @property
    def rows_by_num_probs(self) -> Counter[int]:
        """Rows of the input by their number of probabilities, -1 for null."""
        counts: Counter[int] = Counter()
        for of_class in self.classes:
            counts[of_class.num_probs] += of_class.examples
        for of_reason in self.rejected:
            counts[of_reason.num_probs] += of_reason.examples
        return counts

    @property
    def num_rows(self) -> int:
        """Rows of the input."""
        return self.rows_by_num_probs.total()


_KEYS = {"rejection": "int", "num_probs": "int", "given": "int"}
_SUMS = ("examples", "whole", "high", "low")
_LOWEST = ("lowest", "least", "suspect_bound", "other_bound")
_TYPES = {
    **_KEYS,
    **dict.fromkeys(_SUMS, "bigint"),
    **dict.fromkeys(_LOWEST, "double"),
    "highest": "double",
}
_ARROW_TYPES = {"int": pa.int32(), "bigint": pa.int64(), "double": pa.float64()}


MIN_PARTITIONS = 8
"""Partitions of the aggregates of Spark tasks while they are added up. A session's 200 would have each task
write 200 files, which takes longer than to aggregate its rows.
"""

CLASSES_PER_PARTITION = 500
"""Classes of whose aggregates a partition is made, where there are many: each task may have some of all."""


def aggregate_classes(
    packed: DataFrame, listing: ListingPolicy, num_classes: int | None = None
) -> ClassAggregates:
    """Aggregate the evidence in one pass.

    Args:
        packed: packed blocks.
        listing: what the evidence lists.
        num_classes: K, if it is known.
    """
    num_partitions = max(MIN_PARTITIONS, (num_classes or 0) // CLASSES_PER_PARTITION)
    rows = (
        map_blocks(packed, ClassSums(listing), ddl(_TYPES))
        .repartition(num_partitions, *_KEYS)
        .groupBy(*_KEYS)
        .agg(
            *[F.sum(name).alias(name) for name in _SUMS],
            *[F.min(name).alias(name) for name in _LOWEST],
            F.max("highest").alias("highest"),
        )
        .collect()
    )
    usable = [row for row in rows if row["rejection"] == RejectionReason.NONE]
    rejected = [row for row in rows if row["rejection"] != RejectionReason.NONE]
    return ClassAggregates(
        [ClassAggregate(*(row[name] for name in ClassAggregate._fields)) for row in usable],
        [RejectedCount(*(row[name] for name in RejectedCount._fields)) for row in rejected],
    )


@dataclass(frozen=True)
class ClassSums:
    """Kernel: aggregates of a Spark task's rows by rejection, number of probabilities and given class."""

    listing: ListingPolicy

    def __call__(self, blocks: Iterator[Block]) -> Iterator[pa.RecordBatch]:
        """Aggregate the blocks of a Spark task."""
        sums_by_num_probs: dict[int, dict[str, Floats]] = {}
        rejected: Counter[tuple[int, int, int]] = Counter()
        for block in blocks:
            usable = block.usable
            num_probs = np.broadcast_to(np.int32(block.num_probs), len(block))
            if block.rejection is not None:
                # labels that can be no class are counted together: there may be as many as rows
                given = np.minimum(block.given, MAX_CLASSES + 1)
                kinds = np.stack([block.rejection, num_probs, given])[:, ~usable]
                found, counts = np.unique(kinds, axis=1, return_counts=True)
                rejected.update(dict(zip(map(tuple, found.T.tolist()), counts.tolist(), strict=True)))
            for length in np.unique(num_probs[usable]).tolist():
                sums = sums_by_num_probs.setdefault(length, make_empty_sums(length))
                add_rows(sums, block, usable & (num_probs == length), length, self.listing)
        for length, sums in sums_by_num_probs.items():
            keys = {"rejection": 0, "num_probs": length, "given": np.arange(length)}
            classes = pd.DataFrame({**keys, **sums})
            yield to_aggregate_batch(classes[classes["examples"] > 0])
        rejections = pd.DataFrame(list(rejected), columns=list(_KEYS))
        yield to_aggregate_batch(rejections.assign(examples=list(rejected.values())))


def make_empty_sums(num_probs: int) -> dict[str, Floats]:
    """Make the aggregates of no rows, one array of (num_probs,) for each."""
    sums: dict[str, Floats] = {name: np.zeros(num_probs, dtype=np.int64) for name in _SUMS}
    sums |= {name: np.full(num_probs, np.inf) for name in _LOWEST}
    return sums | {"highest": np.full(num_probs, -np.inf)}


def add_rows(
    sums: dict[str, Floats], block: Block, rows: Bools, num_probs: int, listing: ListingPolicy
) -> None:
    """Add some rows of a block, all with as many probabilities, to the aggregates of their given classes."""
    given, value = block.given[rows], block.self_confidence[rows].astype(np.float64)
    sums["examples"] += np.bincount(given, minlength=num_probs)
    # Sums of one block are whole numbers below 2^53, and so exact though bincount adds doubles.
    for name, limb in zip(("whole", "high", "low"), split_limbs(value), strict=True):
        sums[name] += np.bincount(given, limb, minlength=num_probs).astype(np.int64)
    is_suspect, bound = block.suspects[rows], block.least_score[rows]
    is_without_array = is_suspect & ~listing.keeps_array(
        block.max_prob[rows], block.unlisted_max_prob[rows], num_probs
    )
    np.minimum.at(sums["lowest"], given, value)
    min_prob = 0.0 if block.min_prob is None else block.min_prob[rows].astype(np.float64)
    np.minimum.at(sums["least"], given, np.minimum(min_prob, 0))
    np.minimum.at(sums["suspect_bound"], given[is_without_array], bound[is_without_array])
    np.minimum.at(sums["other_bound"], given[~is_suspect], bound[~is_suspect])
    np.maximum.at(sums["highest"], given, block.max_prob[rows].astype(np.float64))


def to_aggregate_batch(frame: pd.DataFrame) -> pa.RecordBatch:
    """Convert aggregates to a record batch; columns the frame lacks are null."""
    columns = {
        name: pa.array(frame[name].to_numpy(), _ARROW_TYPES[kind])
        if name in frame
        else pa.nulls(len(frame), _ARROW_TYPES[kind])
        for name, kind in _TYPES.items()
    }
    return pa.RecordBatch.from_pydict(columns)
