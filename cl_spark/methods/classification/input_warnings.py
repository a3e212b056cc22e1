"""Warnings about the input: labels and probabilities that seem to mean something else (specification, section
11).

They are told from the class statistics, and from cells that are counted with the confident joint.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from cl_spark.errors import one_line
from cl_spark.evidence.validity import RejectionReason
from cl_spark.kernels.arrays import Bools, Float64s, Int64s
from cl_spark.methods.classification.cells import CellTable
from cl_spark.methods.classification.thresholds import ClassStatistics
from cl_spark.tables import columns as c
from cl_spark.tables.schema import RunWarning

CLEAR_DEVIATIONS = 4.0
"""Standard deviations by which one count must exceed another to be clearly larger."""

CHANCE_DEVIATIONS, HIGHEST_CHANCE_KAPPA = 3.0, 0.3
"""Agreement may be chance if it exceeds that of shuffled labels by fewer standard deviations than this, and
kappa is surely below this."""

LEAST_CHANCE_DISAGREEMENTS = 100
"""Disagreements that shuffled labels must be expected to have: with fewer, agreement tells little."""

LEAST_SUSPICIOUS_EXAMPLES, SUSPICIOUS_DISAGREEMENT, SUSPICIOUS_CONFIDENCE = 500, 0.001, 0.8
"""Probabilities may be in-sample if there are at least so many examples, at most this share of their labels
disagrees, and their mean self-confidence is at least this."""

NAMED_CLASSES, ORDERED_CLASSES = 5, 50
"""Classes that a message names, and classes whose whole order it gives."""


@dataclass(frozen=True)
class GivenLabels:
    """The label column, and how its classes are shown.

    Attributes:
        column: name of the column.
        are_names: it holds class names, not indices.
        names: names of the K classes; None where results show indices.
    """

    column: str
    are_names: bool
    names: Sequence[str] | None

    def show(self, class_index: int) -> str:
        """Show a class as messages name it."""
        return str(class_index) if self.names is None else repr(one_line(self.names[class_index]))


@dataclass(frozen=True)
class Agreement:
    """Examples counted by class, to see whether given and predicted classes agree; (K,) each.

    Attributes:
        given: by given class.
        predicted: by predicted (or confident) class, as the cells have it; also below.
        agreeing: those whose predicted class is their given class.
        lowered: those whose predicted class is the one before their given class.
        nearest: the predicted class that most examples of a given class have, on a tie the given class
            itself; -1 without examples.
        largest: how many these are.
    """

    given: Int64s
    predicted: Float64s
    agreeing: Int64s
    lowered: Int64s
    nearest: Int64s
    largest: Int64s

    @staticmethod
    def of(predicted: CellTable) -> "Agreement":
        """Sum up the cells of given and predicted class."""
        of_given = predicted.map_given_classes(sum_up_given_classes, f"{c.GIVEN} long, {_SUMS_SCHEMA}")
        found = pd.concat(of_given.iter_frames()).set_index(c.GIVEN).astype(np.int64)
        sums = found.reindex(range(predicted.num_classes), fill_value=0)
        sums[c.TRUE] = found[c.TRUE].reindex(sums.index, fill_value=-1)
        return Agreement(
            given=sums[c.EXAMPLES].to_numpy(),
            predicted=predicted.sum_by_class(c.TRUE, c.COUNT),
            agreeing=sums[_AGREEING].to_numpy(),
            lowered=sums[_LOWERED].to_numpy(),
            nearest=sums[c.TRUE].to_numpy(),
            largest=sums[c.COUNT].to_numpy(),
        )


_AGREEING, _LOWERED = "_agreeing", "_lowered"
_SUMS_SCHEMA = ", ".join(f"{name} long" for name in (c.TRUE, c.COUNT, c.EXAMPLES, _AGREEING, _LOWERED))


def sum_up_given_classes(cells: pd.DataFrame) -> pd.DataFrame:
    """Find the largest cell of each given class, and sum up its cells.

    Kernel of `CellTable.map_given_classes`.
    """
    given, predicted, count = cells[c.GIVEN], cells[c.TRUE], cells[c.COUNT]
    # of equal cells the diagonal one counts
    largest = cells.loc[
        (2 * count + (given == predicted)).groupby(given).idxmax(), [c.GIVEN, c.TRUE, c.COUNT]
    ]
    counts = pd.DataFrame(
        {
            c.GIVEN: given,
            c.EXAMPLES: count,
            _AGREEING: count * (given == predicted),
            _LOWERED: count * (given == predicted + 1),
        }
    )
    return largest.merge(counts.groupby(c.GIVEN, as_index=False).sum(), on=c.GIVEN)


def find_input_warnings(
    statistics: ClassStatistics, predicted: CellTable, confident: CellTable, labels: GivenLabels
) -> list[RunWarning]:
    """Find what is doubtful about the labels and probabilities of an audit.

    Args:
        statistics: of its rows by given class.
        predicted: cells of given and predicted class: how many examples have both.
        confident: cells of given and confident class.
        labels: the label column.
    """
    agreement = Agreement.of(predicted)
    # labels that are off by one look permuted too, and permuted ones may agree as little as shuffled ones
    meaning = (
        warn_of_one_based_labels(statistics, agreement, labels)
        or warn_of_class_order(agreement, labels)
        or warn_of_chance(agreement, confident)
    )
    found = [
        meaning,
        warn_of_in_sample_probs(statistics, int(agreement.agreeing.sum())),
        warn_of_rejected_classes(statistics, labels),
        warn_of_unknown_names(statistics, labels),
    ]
    return [warning for warning in found if warning is not None]


# Meaning of the labels --------------------------------------------------------------------------------------


def is_clearly_more(more: ArrayLike, less: ArrayLike) -> Bools:
    """Tell whether counts are more than twice as large as others, by more than chance makes them."""
    difference, both = np.subtract(more, less), np.add(more, less)
    return np.asarray((difference > less) & (difference > CLEAR_DEVIATIONS * np.sqrt(both)))


def warn_of_one_based_labels(
    statistics: ClassStatistics, agreement: Agreement, labels: GivenLabels
) -> RunWarning | None:
    """Warn of class indices that seem to count from 1."""
    num_classes, rejected = statistics.num_classes, statistics.rejected_labels
    if labels.are_names or statistics.class_counts[0] or rejected[0]:
        return None
    agreeing, lowered = agreement.agreeing.sum(), agreement.lowered.sum()
    # a label K, and none beyond it, is what counting from 1 makes: then a few examples suffice
    is_last_seen = rejected[num_classes] > 0 and not rejected[num_classes + 1]
    if not (is_clearly_more(lowered, agreeing) or (is_last_seen and lowered > max(2 * agreeing, 4))):
        return None
    last = f", {rejected[num_classes]:,} rows with label {num_classes} are rejected" if is_last_seen else ""
    return RunWarning(
        "labels_one_based",
        f"labels look 1-based: none is 0{last}, and of {agreement.given.sum():,} labels the model agrees "
        f"with {agreeing:,} as they are, with {lowered:,} if each is lowered by one. Indices count "
        f"from 0: subtract 1 from column {one_line(labels.column)!r}",
    )


def warn_of_class_order(agreement: Agreement, labels: GivenLabels) -> RunWarning | None:
    """Warn of classes that seem to stand in another order in the probabilities than in the labels."""
    order = find_class_order(agreement)
    moved = np.flatnonzero(order != np.arange(len(order)))
    if not len(moved):
        return None
    rows, agreeing, more = (
        values[moved].sum() for values in (agreement.given, agreement.agreeing, agreement.largest)
    )
    if len(order) > ORDERED_CLASSES:
        pairs = [f"{labels.show(k)} at the place of {labels.show(order[k])}" for k in moved[:NAMED_CLASSES]]
        advice = f"the probabilities of {', '.join(pairs)}{_more_than(len(moved))}"
    elif labels.names is None:
        advice = f"pred_probs to {order.tolist()} (the probability of class k is now at the k-th of these)"
    else:
        advice = f"class_names to {', '.join(map(labels.show, np.argsort(order).tolist()))}"
    return RunWarning(
        "class_order_permuted",
        f"class order of the probabilities looks permuted: of {rows:,} labels of {len(moved):,} classes "
        f"the model agrees with {agreeing:,}, with {more:,} in another order. Reorder {advice}",
    )


def find_class_order(agreement: Agreement) -> Int64s:
    """Find the order of classes that explains how given and predicted classes go together.

    Greedy assignment is enough: where a permutation does, each given class has its largest cell in a column
    of its own.

    Returns:
        (K,) position of each class in the probabilities; its own where no other is clearly better.
    """
    nearest, classes = agreement.nearest, np.arange(len(agreement.nearest))
    if (nearest >= 0).sum() < 2:
        return classes
    # a class the model never predicts has its largest cell anywhere, maybe in a class without examples
    is_pair = (nearest >= 0) & (nearest[nearest] < 0) & ~np.isin(classes, nearest)
    nearest = np.where(is_pair & (3 * agreement.largest < 2 * agreement.given), classes, nearest)
    order = close_cycles(nearest)
    moved = order != classes
    if agreement.given[moved].sum() > agreement.given.sum() / 2 and is_clearly_more(
        agreement.largest[moved].sum(), agreement.agreeing[moved].sum()
    ):
        return order
    # among many classes some pairs look swapped by chance: each class must be clear by itself
    is_clear = is_clearly_more(agreement.largest, agreement.agreeing) | (nearest < 0)
    return close_cycles(np.where(is_clear, nearest, classes))


def close_cycles(nearest: Int64s) -> Int64s:
    """Keep the part of a mapping of classes that is a permutation.

    Args:
        nearest: (K,) a class for each class; -1 where it is unknown, and completes a chain to a cycle.

    Returns:
        (K,) permutation: classes that are in no cycle stay where they are.

    Example:
        >>> close_cycles(np.array([1, 0, 0, 4, -1])).tolist()
        [1, 0, 2, 4, 3]
    """
    targets, order = nearest.tolist(), list(range(len(nearest)))
    times = np.bincount(nearest[nearest >= 0], minlength=len(nearest))
    for start in np.flatnonzero((times == 0) & (nearest >= 0)).tolist():
        end = start
        while targets[end] >= 0 and times[targets[end]] == 1:
            end = targets[end]
        if targets[end] < 0:
            targets[end] = start
    seen: set[int] = set()
    for start in range(len(targets)):
        path, end = [], start
        while end not in seen and targets[end] >= 0:
            seen.add(end)
            path.append(end)
            end = targets[end]
        for member in path[path.index(end) :] if end in path else ():
            order[member] = targets[member]
    return np.array(order)


def warn_of_chance(agreement: Agreement, confident: CellTable) -> RunWarning | None:
    """Warn of labels that agree with the model as shuffled labels would.

    A model that is biased to some classes may predict no other; its confident classes tell more then.
    """
    expected = count_by_chance(agreement)
    if expected is None or count_by_chance(Agreement.of(confident)) is None:
        return None
    return RunWarning(
        "agreement_by_chance",
        f"the model agrees with the labels no better than chance: with {agreement.agreeing.sum():,} of "
        f"{agreement.given.sum():,}, where {expected:,.0f} are expected of shuffled labels. Check that a "
        "label and its probabilities belong to the same example (ids, order of rows), and the order of the "
        "classes",
    )


def count_by_chance(agreement: Agreement) -> float | None:
    """Count the examples that would agree if labels were shuffled; None where surely more agree, or too few
    examples tell.

    The variance of that number is the one of Cohen's kappa where there is no agreement (Fleiss, Cohen and
    Everitt 1969).
    """
    counted, agreeing = agreement.given.sum(), agreement.agreeing.sum()
    of_labels, of_model = (part / max(counted, 1) for part in (agreement.given, agreement.predicted))
    share = of_labels @ of_model
    variance = share + share**2 - (of_labels * of_model * (of_labels + of_model)).sum()
    expected, deviation = counted * share, np.sqrt(counted * max(variance, 0))
    # with one class on either side every order of the labels agrees alike
    if counted - expected < LEAST_CHANCE_DISAGREEMENTS or variance < 1e-9:
        return None
    highest_kappa = (agreeing - expected + CLEAR_DEVIATIONS * deviation) / (counted - expected)
    is_chance = agreeing - expected < CHANCE_DEVIATIONS * deviation and highest_kappa < HIGHEST_CHANCE_KAPPA
    return float(expected) if is_chance else None


# Probabilities ----------------------------------------------------------------------------------------------


def warn_of_in_sample_probs(statistics: ClassStatistics, agreeing: int) -> RunWarning | None:
    """Warn of a model that is so sure of its labels as models are of those they have learnt."""
    examples = statistics.num_examples
    if examples < LEAST_SUSPICIOUS_EXAMPLES or examples - agreeing > SUSPICIOUS_DISAGREEMENT * examples:
        return None
    confidence = reduce(add, statistics.sums.values()).mean
    if not statistics.are_probabilities or confidence < SUSPICIOUS_CONFIDENCE or len(statistics.sums) < 2:
        return None
    return RunWarning(
        "probabilities_in_sample",
        f"probabilities look in-sample: the model agrees with {agreeing:,} of "
        f"{examples:,} labels, at a mean self-confidence of {confidence:.3f}. A model that was trained on "
        "these labels, or suggested them, repeats the wrong ones, and they are not found: predict out of "
        "sample, by cross-validation. If it was neither, the labels may be as clean as that",
    )


# Rejected rows ----------------------------------------------------------------------------------------------


def warn_of_rejected_classes(statistics: ClassStatistics, labels: GivenLabels) -> RunWarning | None:
    """Warn of classes whose rows are rejected, all or most of them, where those of other classes are not."""
    accepted = statistics.class_counts
    rejected = np.array([statistics.rejected_labels[k] for k in range(len(accepted))])
    rows = accepted + rejected
    share = rejected / np.maximum(rows, 1)
    of_others = (rejected.sum() - rejected) / np.maximum(rows.sum() - rows, 1)
    # a class of few rows may lose them by chance, and of many classes some do
    is_lost = (rejected > 0) & (accepted == 0) & (len(rows) * of_others**rows < 1e-3)
    is_mostly = (rejected >= 10) & (share >= 0.5) & (of_others <= share / 10)
    found = np.flatnonzero(is_lost | is_mostly).tolist()
    if not found:
        return None
    named = [
        f"all rows of class {labels.show(k)} are rejected ({rejected[k]:,})"
        if is_lost[k]
        else f"{rejected[k]:,} of {rows[k]:,} rows of class {labels.show(k)} are rejected"
        for k in found[:NAMED_CLASSES]
    ]
    return RunWarning(
        "class_rejected",
        f"{'; '.join(named)}{_more_than(len(found))}. Nothing is found in a class without examples: see why "
        "in table rejected, and mend these rows",
    )


def warn_of_unknown_names(statistics: ClassStatistics, labels: GivenLabels) -> RunWarning | None:
    """Warn of class names that no label carries while labels carry unknown ones: spelled in two ways."""
    unknown = statistics.rejected[RejectionReason.UNKNOWN_CLASS]
    without = np.flatnonzero(statistics.class_counts == 0).tolist()
    without = [k for k in without if not statistics.rejected_labels[k]]
    # where many classes have no examples, it is usual that a class has none
    if not unknown or not without or len(without) > max(1, statistics.num_classes // 10):
        return None
    named = ", ".join(map(labels.show, without[:NAMED_CLASSES]))
    return RunWarning(
        "class_names_unknown",
        f"{unknown:,} rows are rejected for a class name that class_names lacks, while no label is "
        f"{named}{_more_than(len(without))}: give class_names as column {one_line(labels.column)!r} spells "
        "them",
    )


def _more_than(number: int) -> str:
    """Say how many classes a message does not name."""
    return f" and {number - NAMED_CLASSES:,} more" if number > NAMED_CLASSES else ""
