"""Stage 1: per-class statistics of self-confidence, and the confident thresholds they give (JAIR 2021, equation 2)."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F

from cl_spark import columns as c
from cl_spark.errors import EmptyTableError, InputError, SingleClassError
from cl_spark.kernels import EPS
from cl_spark.kernels.fixed_point import LIMB, exact_mean
from cl_spark.predictions import REASONS, Refusal

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
    rejected: Counter[Refusal] = field(default_factory=Counter)

    def __add__(self, other: "ClassStatistics") -> "ClassStatistics":
        if self.num_classes != other.num_classes:
            raise InputError(f"statistics of {self.num_classes} and of {other.num_classes} classes do not add up")
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
    def class_counts(self) -> NDArray[np.int64]:
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

    def thresholds(self) -> NDArray[np.float64]:
        """(K,) confident thresholds: the mean self-confidence of the class's examples.

        A class no label carries gets a threshold nothing reaches: 2 for probabilities, infinity for scores. For
        probabilities the thresholds are at least 2e-6, so that they stay positive under the slack of 1e-6.
        """
        absent, floor = (2.0, 2 * EPS) if self.are_probabilities else (np.inf, -np.inf)
        thresholds = np.full(self.num_classes, absent)
        for k, (examples, whole, high, low) in self.sums.items():
            thresholds[k] = max(exact_mean(whole, high, low, examples), floor)
        return thresholds


def class_aggregates(examples: DataFrame, more: Sequence[Column]) -> list[Row]:
    """What is counted and summed of the evidence's examples in one pass: a row per class, refusal and array length.

    Args:
        examples: the rows of examples in the evidence.
        more: other aggregates of the same pass.
    """
    value = F.when(F.col(c.REFUSAL) == int(Refusal.NONE), F.col(c.SELF).cast("double"))  # a refused row's may be NaN
    whole = F.floor(value)
    scaled = (value - whole) * F.lit(LIMB)
    high = F.floor(scaled)
    low = F.rint((scaled - high) * F.lit(LIMB)).cast("long")
    return (
        examples.groupBy(c.REFUSAL, c.LENGTH, c.GIVEN)
        .agg(
            F.count(F.lit(1)).alias("examples"),
            F.sum(whole).alias("whole"),
            F.sum(high).alias("high"),
            F.sum(low).alias("low"),
            F.min(value).alias("lowest"),
            F.max(F.col(c.MAX_PROB).cast("double")).alias("highest"),
            *more,
        )
        .collect()
    )


def class_statistics(
    rows: Sequence[Row], known_classes: int | None, *, may_be_empty: bool = False
) -> tuple[ClassStatistics, list[Row]]:
    """The statistics in the aggregated rows, and which of these are of accepted examples.

    K is `known_classes`, or the length most rows have (the longer on a tie); rows of another length are refused.

    Raises:
        EmptyTableError: no row is left, unless that may be (where nothing is learnt of the rows).
        SingleClassError: there are fewer than two classes.
    """
    if not rows and not may_be_empty:
        raise EmptyTableError("the input has no rows")
    lengths: Counter[int] = Counter()
    for row in rows:
        if row[c.LENGTH] > 0:
            lengths[row[c.LENGTH]] += row.examples
    classes = known_classes or max(lengths, key=lambda length: (lengths[length], length), default=0)
    rejected: Counter[Refusal] = Counter()
    accepted = []
    for row in rows:
        reason = final_reason(row[c.REFUSAL], row[c.LENGTH], classes)
        if reason is Refusal.NONE:
            accepted.append(row)
        else:
            rejected[reason] += row.examples
    if not accepted and not may_be_empty:
        seen = ", ".join(f"{REASONS[reason]}: {times:,}" for reason, times in rejected.most_common())
        raise EmptyTableError(f"no row of the input can be used ({seen}); check label_col, pred_probs_col and class_names")
    if classes < 2:
        raise SingleClassError(f"pred_probs hold {classes} class per row; confident learning needs at least 2")
    statistics = ClassStatistics(
        classes,
        {row[c.GIVEN]: (row.examples, row.whole, row.high, row.low) for row in accepted},
        min((row.lowest for row in accepted), default=0.0),
        max((row.highest for row in accepted), default=0.0),
        rejected,
    )
    return statistics, accepted


LENGTH_FIRST = (Refusal.NONE, Refusal.LABEL_OUT_OF_RANGE, Refusal.TOO_LARGE, Refusal.NEGATIVE, Refusal.NO_DISTRIBUTION)
"""Findings that a wrong length explains."""


def final_reason(refusal: int, length: int, num_classes: int) -> Refusal:
    """Why a row is refused once K is known: a wrong length explains a label outside the array."""
    if refusal in LENGTH_FIRST and length != num_classes:
        return Refusal.WRONG_LENGTH
    return Refusal(refusal)
