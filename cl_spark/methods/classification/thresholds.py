"""Confident thresholds, from per-class statistics of the self-confidence (JAIR 2021, equation 2)."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from cl_spark.errors import EmptyTableError, InputError, SingleClassError
from cl_spark.evidence.validity import RejectionReason, explain_rejection
from cl_spark.kernels import EPS
from cl_spark.kernels.arrays import Float64s, Int64s
from cl_spark.kernels.fixed_point import exact_mean
from cl_spark.methods.classification.class_aggregates import ClassAggregate, ClassAggregates
from cl_spark.methods.classification.rejection import find_final_reason


@dataclass(frozen=True)
class ConfidenceSum:
    """Number and exact sum of the self-confidences of some rows: a value that merges by ``+``.

    Attributes:
        examples: how many rows there are.
        whole: sum of the first limbs of their self-confidences (see `kernels.fixed_point`).
        high: sum of the second limbs.
        low: sum of the third limbs.
    """

    examples: int
    whole: int
    high: int
    low: int

    def __add__(self, other: "ConfidenceSum") -> "ConfidenceSum":
        return ConfidenceSum(
            self.examples + other.examples,
            self.whole + other.whole,
            self.high + other.high,
            self.low + other.low,
        )

    @property
    def mean(self) -> float:
        """Mean self-confidence, rounded once."""
        return exact_mean(self.whole, self.high, self.low, self.examples)


@dataclass(frozen=True)
class ClassStatistics:
    """Statistics of rows by given class: a value that merges by ``+``, whatever the rows' partitioning.

    Attributes:
        num_classes: K.
        sums: number and sum of the self-confidences of each class that occurs.
        lowest: lowest self-confidence of any row.
        highest: highest probability of any row and class.
        least: lowest probability of any row and class; 0 where none is below -1e-6.
        rejected: rejected rows by the code of their reason, which `explain_rejection` explains.
        rejected_labels: rejected rows by given class; K counts labels that would be the class after the last,
            K + 1 those beyond it, and -1 labels that name no class.

    Example:
        >>> a = ClassStatistics(2, {0: ConfidenceSum(1, 0, 2**28, 0)}, 0.5, 0.5)
        >>> b = ClassStatistics(2, {0: ConfidenceSum(1, 1, 0, 0)}, 1.0, 1.0)
        >>> (a + b).thresholds().tolist()
        [0.75, 2.0]
    """

    num_classes: int
    sums: dict[int, ConfidenceSum]
    lowest: float
    highest: float
    rejected: Counter[int] = field(default_factory=Counter)
    rejected_labels: Counter[int] = field(default_factory=Counter)
    least: float = 0.0

    def __add__(self, other: "ClassStatistics") -> "ClassStatistics":
        if self.num_classes != other.num_classes:
            raise InputError(
                f"statistics of {self.num_classes} and of {other.num_classes} classes do not add up"
            )
        sums = dict(self.sums)
        for k, theirs in other.sums.items():
            sums[k] = sums[k] + theirs if k in sums else theirs
        return ClassStatistics(
            self.num_classes,
            sums,
            min(self.lowest, other.lowest),
            max(self.highest, other.highest),
            self.rejected + other.rejected,
            self.rejected_labels + other.rejected_labels,
            min(self.least, other.least),
        )

    @property
    def class_counts(self) -> Int64s:
        """(K,) examples per given label."""
        counts = np.zeros(self.num_classes, dtype=np.int64)
        for k, of_class in self.sums.items():
            counts[k] = of_class.examples
        return counts

    @property
    def num_examples(self) -> int:
        """Number of accepted rows."""
        return sum(of_class.examples for of_class in self.sums.values())

    @property
    def num_rejected(self) -> int:
        """Number of rejected rows."""
        return self.rejected.total()

    @property
    def are_probabilities(self) -> bool:
        """True if no self-confidence is below -1e-6 and no value above 1 + 1e-6; else they are scores."""
        return self.lowest >= -EPS and self.highest <= 1 + EPS

    def thresholds(self) -> Float64s:
        """Confident thresholds: the mean self-confidence of each class's examples (specification, section 1).

        A class that no label carries gets a threshold that nothing reaches: 2 for probabilities, infinity for
        scores. For probabilities the thresholds are at least 2e-6, so that they stay positive under the slack
        of 1e-6.

        Returns:
            (K,) thresholds.
        """
        unreachable, floor = (2.0, 2 * EPS) if self.are_probabilities else (np.inf, -np.inf)
        thresholds = np.full(self.num_classes, unreachable)
        for k, of_class in self.sums.items():
            thresholds[k] = max(of_class.mean, floor)
        return thresholds


@dataclass(frozen=True)
class MarginBounds:
    """Lower bounds on ``p_given - p_other`` over the unlisted classes of rows of each given class; (K,) each.

    Attributes:
        suspect: of the suspects without a kept array; infinity where there are none.
        other: of the rows that are no suspects.
    """

    suspect: Float64s
    other: Float64s


@dataclass(frozen=True)
class ClassSummary:
    """Statistics and bounds of the accepted rows, once K is known.

    Attributes:
        statistics: statistics by given class.
        margin_bounds: bounds on what the evidence does not hold.
    """

    statistics: ClassStatistics
    margin_bounds: MarginBounds


def summarize_classes(
    aggregates: ClassAggregates,
    known_classes: int | None,
    *,
    may_be_empty: bool = False,
    options: tuple[str, str] = ("label_col", "pred_probs_col"),
) -> ClassSummary:
    """Summarize the accepted rows, which can be used and have K probabilities (specification, section 7).

    Args:
        aggregates: of all rows.
        known_classes: K, or None: then it is the number of probabilities that most rows have (the larger on a
            tie).
        may_be_empty: accept a table without usable rows, where nothing is learnt of them.
        options: the options that name the columns of labels and of probabilities, for messages.

    Raises:
        EmptyTableError: no row can be used.
        SingleClassError: there are fewer than two classes.
    """
    if not aggregates.num_rows and not may_be_empty:
        raise EmptyTableError("the input has no rows")
    num_classes = known_classes or find_usual_num_probs(aggregates.rows_by_num_probs)
    accepted = [part for part in aggregates.classes if part.num_probs == num_classes]
    rejected = count_rejected(aggregates, num_classes)
    if not accepted and not may_be_empty:
        seen = ", ".join(f"{explain_rejection(reason)}: {rows:,}" for reason, rows in rejected.most_common())
        raise EmptyTableError(
            f"no row of the input can be used ({seen}); check {', '.join(options)} and class_names"
        )
    if num_classes < 2:
        raise SingleClassError(
            f"pred_probs hold {num_classes} class per row; confident learning needs at least 2"
        )
    statistics = ClassStatistics(
        num_classes,
        {part.given: ConfidenceSum(part.examples, part.whole, part.high, part.low) for part in accepted},
        min((part.lowest for part in accepted), default=0.0),
        max((part.highest for part in accepted), default=0.0),
        rejected,
        count_rejected_labels(aggregates, num_classes),
        min((part.least for part in accepted), default=0.0),
    )
    return ClassSummary(statistics, find_margin_bounds(accepted, num_classes))


def find_usual_num_probs(rows_by_num_probs: Mapping[int, int]) -> int:
    """Find the number of probabilities that most rows have, the larger on a tie; 0 if none has any."""
    rows = {num_probs: rows for num_probs, rows in rows_by_num_probs.items() if num_probs > 0}
    return max(rows, key=lambda num_probs: (rows[num_probs], num_probs), default=0)


def count_rejected(aggregates: ClassAggregates, num_classes: int) -> Counter[int]:
    """Count the rejected rows by their final reason, now that K is known."""
    rejected: Counter[int] = Counter()
    for part in aggregates.rejected:
        rejected[find_final_reason(part.rejection, part.num_probs, num_classes)] += part.examples
    for of_class in aggregates.classes:
        if of_class.num_probs != num_classes:
            rejected[RejectionReason.WRONG_LENGTH] += of_class.examples
    return rejected


def count_rejected_labels(aggregates: ClassAggregates, num_classes: int) -> Counter[int]:
    """Count the rejected rows by given class, as `ClassStatistics.rejected_labels` has them."""
    labels: Counter[int] = Counter()
    for part in aggregates.rejected:
        labels[min(part.given, num_classes + 1)] += part.examples
    for of_class in aggregates.classes:
        if of_class.num_probs != num_classes:
            labels[min(of_class.given, num_classes + 1)] += of_class.examples
    return labels


def find_margin_bounds(accepted: Sequence[ClassAggregate], num_classes: int) -> MarginBounds:
    """Find the bounds of each given class in the aggregates of accepted rows."""
    suspect, other = np.full((2, num_classes), np.inf)
    for part in accepted:
        suspect[part.given], other[part.given] = part.suspect_bound, part.other_bound
    return MarginBounds(suspect, other)
