"""Stage 1: per-class statistics of self-confidence, and the confident thresholds they give (JAIR 2021, equation 2)."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from cl_spark.errors import EmptyTableError, InputError, SingleClassError
from cl_spark.evidence.blocks import Block
from cl_spark.evidence.packing import ddl, map_blocks
from cl_spark.evidence.validity import REASONS, RejectionReason
from cl_spark.kernels import EPS
from cl_spark.kernels.arrays import Bools, Float64s, Floats, Int8s, Int64s
from cl_spark.kernels.fixed_point import LIMB, exact_mean
from cl_spark.kernels.row_evidence import ListingPolicy

Sums = tuple[int, int, int, int]
"""Of one class: examples, and the three limbs of the sum of their self-confidences."""


@dataclass(frozen=True)
class ClassStatistics:
    """What the thresholds need to know of a set of rows: a value that merges by ``+``, whatever the rows' partitioning.

    Attributes:
        num_classes: K.
        sums: examples and exact sum of self-confidences of each class that occurs (see `kernels.fixed_point`).
        lowest: lowest self-confidence of any row.
        highest: highest probability of any row and class.
        rejected: rows refused, by reason.

    Example:
        >>> a = ClassStatistics(2, {0: (1, 0, 2**28, 0)}, 0.5, 0.5)
        >>> b = ClassStatistics(2, {0: (1, 1, 0, 0)}, 1.0, 1.0)
        >>> (a + b).thresholds().tolist()
        [0.75, 2.0]
    """

    num_classes: int
    sums: dict[int, Sums]
    lowest: float
    highest: float
    rejected: Counter[RejectionReason] = field(default_factory=Counter)

    def __add__(self, other: "ClassStatistics") -> "ClassStatistics":
        if self.num_classes != other.num_classes:
            raise InputError(
                f"statistics of {self.num_classes} and of {other.num_classes} classes do not add up"
            )
        sums = dict(self.sums)
        for k, theirs in other.sums.items():
            ours = sums.get(k, (0, 0, 0, 0))
            sums[k] = (ours[0] + theirs[0], ours[1] + theirs[1], ours[2] + theirs[2], ours[3] + theirs[3])
        return ClassStatistics(
            self.num_classes,
            sums,
            min(self.lowest, other.lowest),
            max(self.highest, other.highest),
            self.rejected + other.rejected,
        )

    @property
    def class_counts(self) -> Int64s:
        """(K,) examples per given label."""
        counts = np.zeros(self.num_classes, dtype=np.int64)
        for k, (examples, *_) in self.sums.items():
            counts[k] = examples
        return counts

    @property
    def num_examples(self) -> int:
        """Rows accepted."""
        return sum(examples for examples, *_ in self.sums.values())

    @property
    def num_rejected(self) -> int:
        """Rows refused."""
        return self.rejected.total()

    @property
    def are_probabilities(self) -> bool:
        """Whether every self-confidence is at least 0 and no value is above 1 (plus 1e-6); else they are scores."""
        return self.lowest >= 0 and self.highest <= 1 + EPS

    def thresholds(self) -> Float64s:
        """(K,) confident thresholds: the mean self-confidence of the class's examples.

        A class no label carries gets a threshold nothing reaches: 2 for probabilities, infinity for scores. For
        probabilities the thresholds are at least 2e-6, so that they stay positive under the slack of 1e-6.
        """
        absent, floor = (2.0, 2 * EPS) if self.are_probabilities else (np.inf, -np.inf)
        thresholds = np.full(self.num_classes, absent)
        for k, (examples, whole, high, low) in self.sums.items():
            thresholds[k] = max(exact_mean(whole, high, low, examples), floor)
        return thresholds


@dataclass(frozen=True)
class MarginBounds:
    """Lower bounds on ``p_given - p_other`` over the classes that rows of each given class do not list; (K,) each.

    Attributes:
        suspect: of the suspects without a kept array.
        other: of the rows that are no suspects.
    """

    suspect: Float64s
    other: Float64s


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
        highest: highest probability of any class.
        suspect_bound: lower bound on the margins of suspects without a kept array (see `MarginBounds`).
        other_bound: lower bound on the margins of rows that are no suspects.
    """

    num_probs: int
    given: int
    examples: int
    whole: int
    high: int
    low: int
    lowest: float
    highest: float
    suspect_bound: float
    other_bound: float


class RejectedCount(NamedTuple):
    """How many rows were rejected for one reason, by their number of probabilities (-1 for null)."""

    rejection: int
    num_probs: int
    examples: int


class ClassAggregates(NamedTuple):
    """All that is aggregated of the evidence: sums of usable rows, and counts of rejected ones."""

    classes: list[ClassAggregate]
    rejected: list[RejectedCount]

    @property
    def rows_of_length(self) -> Counter[int]:
        """Rows by their number of probabilities, -1 for null."""
        counts: Counter[int] = Counter()
        for part in self.classes:
            counts[part.num_probs] += part.examples
        for found in self.rejected:
            counts[found.num_probs] += found.examples
        return counts

    @property
    def num_rows(self) -> int:
        """Rows of the input."""
        return sum(self.rows_of_length.values())


class ClassSummary(NamedTuple):
    """Aggregates of the accepted rows, once K is known."""

    statistics: ClassStatistics
    margin_bounds: MarginBounds


_KEYS = {"rejection": "int", "num_probs": "int", "given": "int"}
_SUMS = ("examples", "whole", "high", "low")
_LEAST = ("lowest", "suspect_bound", "other_bound")
_AGGREGATE_TYPES = {
    **_KEYS,
    **dict.fromkeys(_SUMS, "bigint"),
    **dict.fromkeys(_LEAST, "double"),
    "highest": "double",
}
_ARROW_TYPES = {"int": pa.int32(), "bigint": pa.int64(), "double": pa.float64()}


def class_aggregates(packed: DataFrame, listing: ListingPolicy) -> ClassAggregates:
    """Aggregate the evidence in one pass.

    Args:
        packed: packed blocks.
        listing: what the evidence lists.
    """
    rows = (
        map_blocks(packed, _AggregateKernel(listing), ddl(_AGGREGATE_TYPES))
        .groupBy(*_KEYS)
        .agg(
            *[F.sum(name).alias(name) for name in _SUMS],
            *[F.min(name).alias(name) for name in _LEAST],
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
class _AggregateKernel:
    """Aggregates the blocks of a Spark task by rejection, number of probabilities and given class."""

    listing: ListingPolicy

    def __call__(self, blocks: Iterator[Block]) -> Iterator[pa.RecordBatch]:
        sums: dict[int, dict[str, Floats]] = {}
        rejected: Counter[tuple[int, int]] = Counter()
        for block in blocks:
            usable = block.usable
            num_probs = np.broadcast_to(np.int32(block.num_probs), len(block))
            if block.rejection is not None:
                kinds = np.stack([block.rejection[~usable], num_probs[~usable]])
                found, counts = np.unique(kinds, axis=1, return_counts=True)
                rejected.update(dict(zip(map(tuple, found.T.tolist()), counts.tolist(), strict=True)))
            for classes in np.unique(num_probs[usable]).tolist():
                of_length = sums.setdefault(classes, _nothing(classes))
                _add(of_length, block, usable & (num_probs == classes), classes, self.listing)
        for classes, columns in sums.items():
            keys = {"rejection": 0, "num_probs": classes, "given": np.arange(classes)}
            frame = pd.DataFrame({**keys, **columns})
            yield _to_batch(frame[frame["examples"] > 0])
        counted = pd.DataFrame(list(rejected), columns=["rejection", "num_probs"])
        yield _to_batch(counted.assign(examples=list(rejected.values())))


def _to_batch(frame: pd.DataFrame) -> pa.RecordBatch:
    """Convert to a record batch; columns the frame lacks are null."""
    columns = {
        name: pa.array(frame[name].to_numpy(), _ARROW_TYPES[kind])
        if name in frame
        else pa.nulls(len(frame), _ARROW_TYPES[kind])
        for name, kind in _AGGREGATE_TYPES.items()
    }
    return pa.RecordBatch.from_pydict(columns)


def _nothing(classes: int) -> dict[str, Floats]:
    sums: dict[str, Floats] = {name: np.zeros(classes, dtype=np.int64) for name in _SUMS}
    return sums | {name: np.full(classes, np.inf) for name in _LEAST} | {"highest": np.full(classes, -np.inf)}


def _add(sums: dict[str, Floats], block: Block, rows: Bools, classes: int, listing: ListingPolicy) -> None:
    """Add some rows of a block to the sums of their given classes."""
    given, value = block.given[rows], block.self_confidence[rows].astype(np.float64)
    whole = np.floor(value)
    scaled = (value - whole) * LIMB
    high = np.floor(scaled)
    low = np.rint((scaled - high) * LIMB)
    sums["examples"] += np.bincount(given, minlength=classes)
    # of one block the sums are whole numbers below 2^53, so exact
    for name, limb in (("whole", whole), ("high", high), ("low", low)):
        sums[name] += np.bincount(given, limb, minlength=classes).astype(np.int64)
    suspect, least = block.suspects[rows], block.least_score[rows]
    without = suspect & ~listing.keeps_array(block.self_confidence[rows], classes)
    np.minimum.at(sums["lowest"], given, value)
    np.minimum.at(sums["suspect_bound"], given[without], least[without])
    np.minimum.at(sums["other_bound"], given[~suspect], least[~suspect])
    np.maximum.at(sums["highest"], given, block.max_prob[rows].astype(np.float64))


def class_statistics(
    aggregates: ClassAggregates, known_classes: int | None, *, may_be_empty: bool = False
) -> ClassSummary:
    """Summarize the accepted rows: those that can be used and have K probabilities.

    K is `known_classes`, or the number of probabilities most rows have (the larger on a tie); other rows are rejected.

    Raises:
        EmptyTableError: no row is left, unless that may be (where nothing is learnt of the rows).
        SingleClassError: there are fewer than two classes.
    """
    if not aggregates.num_rows and not may_be_empty:
        raise EmptyTableError("the input has no rows")
    lengths = {length: rows for length, rows in aggregates.rows_of_length.items() if length > 0}
    classes = known_classes or max(lengths, key=lambda length: (lengths[length], length), default=0)
    accepted = [part for part in aggregates.classes if part.num_probs == classes]
    rejected: Counter[RejectionReason] = Counter()
    for found in aggregates.rejected:
        rejected[final_reason(found.rejection, found.num_probs, classes)] += found.examples
    for part in aggregates.classes:
        if part.num_probs != classes:
            rejected[RejectionReason.WRONG_LENGTH] += part.examples
    if not accepted and not may_be_empty:
        seen = ", ".join(f"{REASONS[reason]}: {times:,}" for reason, times in rejected.most_common())
        raise EmptyTableError(
            f"no row of the input can be used ({seen}); check label_col, pred_probs_col and class_names"
        )
    if classes < 2:
        raise SingleClassError(
            f"pred_probs hold {classes} class per row; confident learning needs at least 2"
        )
    statistics = ClassStatistics(
        classes,
        {part.given: (part.examples, part.whole, part.high, part.low) for part in accepted},
        min((part.lowest for part in accepted), default=0.0),
        max((part.highest for part in accepted), default=0.0),
        rejected,
    )
    return ClassSummary(statistics, _margin_bounds(accepted, classes))


def _margin_bounds(accepted: Sequence[ClassAggregate], num_classes: int) -> MarginBounds:
    suspect, other = np.full((2, num_classes), np.inf)
    for part in accepted:
        suspect[part.given], other[part.given] = part.suspect_bound, part.other_bound
    return MarginBounds(suspect, other)


LENGTH_FIRST = (
    RejectionReason.NONE,
    RejectionReason.LABEL_OUT_OF_RANGE,
    RejectionReason.TOO_LARGE,
    RejectionReason.NEGATIVE,
    RejectionReason.NO_DISTRIBUTION,
)
"""Findings that a wrong length explains."""


def final_reason(rejection: int, length: int, num_classes: int) -> RejectionReason:
    """Why a row is refused once K is known: a wrong length explains a label outside the array."""
    if rejection in LENGTH_FIRST and length != num_classes:
        return RejectionReason.WRONG_LENGTH
    return RejectionReason(rejection)


def final_reasons(block: Block, num_classes: int) -> Int8s:
    """The same of each row of a block."""
    codes = np.zeros(len(block), dtype=np.int8) if block.rejection is None else block.rejection.copy()
    codes[np.isin(codes, LENGTH_FIRST) & (block.num_probs != num_classes)] = RejectionReason.WRONG_LENGTH
    return codes
