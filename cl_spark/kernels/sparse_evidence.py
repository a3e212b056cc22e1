"""The evidence of rows that list some of K classes, without ever holding a row × K array of probabilities."""

from dataclasses import dataclass

import numpy as np

from cl_spark.kernels.arrays import Bools, Floats, Int32s, Int64s, Ints
from cl_spark.kernels.row_evidence import ListedProbs, ListingPolicy, RowEvidence, find_listing_floors

LOOKUP_SIZE = 2**21
"""Entries of a lookup table of some rows × K classes: 16 MiB."""


@dataclass(frozen=True)
class SparseRows:
    """Rows that list some of K classes; every class a row leaves out has the same probability.

    Attributes:
        lengths: (n,) how many classes each row lists, at least 1.
        classes: (m,) the listed classes, row by row.
        probs: (m,) their probabilities.
        num_classes: K.
        absent_prob: probability of the classes left out.
    """

    lengths: Int64s
    classes: Int32s
    probs: Floats
    num_classes: int
    absent_prob: float


@dataclass(frozen=True)
class SparseEvidence:
    """The evidence of sparse rows, and what is wrong with them; (n,) each.

    Attributes:
        evidence: the evidence.
        has_bad_classes: the row lists a class twice, or one outside 0..K-1.
        none_above_absent: the row lists no class above the probability of absent ones.
    """

    evidence: RowEvidence
    has_bad_classes: Bools
    none_above_absent: Bools


def extract_sparse(
    given: Int32s, rows: SparseRows, policy: ListingPolicy, *, with_sums: bool
) -> SparseEvidence:
    """Extract the evidence of rows that list some classes.

    Args:
        given: (n,) given classes; any number outside 0..K-1 is none.
        rows: the n rows.
        policy: what to list.
        with_sums: sum the probabilities of each row too, absent ones included.

    Example:
        >>> classes, probs = np.array([3, 1], dtype=np.int32), np.array([0.4, 0.6])
        >>> rows = SparseRows(np.array([2]), classes, probs, num_classes=9, absent_prob=0.0)
        >>> found = extract_sparse(np.array([3]), rows, ListingPolicy(), with_sums=True)
        >>> found.evidence.predicted.tolist(), found.evidence.self_confidence.tolist()
        ([1], [0.4])
        >>> found.evidence.prob_sum.tolist(), found.has_bad_classes.tolist(), found.none_above_absent.tolist()
        ([1.0], [False], [False])
    """
    lengths, classes, probs, num_classes = rows.lengths, rows.classes, rows.probs, rows.num_classes
    size, kind = len(lengths), probs.dtype.type
    absent_prob = kind(rows.absent_prob)
    starts = np.cumsum(lengths) - lengths
    row = np.repeat(np.arange(size, dtype=np.int32), lengths)
    max_prob, min_prob = np.maximum.reduceat(probs, starts), np.minimum.reduceat(probs, starts)
    some_absent = lengths < num_classes

    predicted = _find_first_maximum(row, classes, probs == max_prob[row], size, num_classes)
    is_class = (given >= 0) & (given < num_classes)
    self_confidence = np.where(is_class, absent_prob, kind(np.nan))
    of_given = np.flatnonzero(classes == given[row])
    self_confidence[row[of_given]] = np.where(is_class[row[of_given]], probs[of_given], kind(np.nan))

    others = np.where(classes == predicted[row], kind(-np.inf), probs)
    second_max_prob = np.maximum.reduceat(others, starts)
    second_max_prob = np.where(some_absent, np.maximum(second_max_prob, absent_prob), second_max_prob)
    min_prob = np.where(some_absent, np.minimum(min_prob, absent_prob), min_prob)
    floor = find_listing_floors(given, predicted, self_confidence, max_prob, num_classes, policy)
    hits = np.flatnonzero(others >= floor[row])
    listed = ListedProbs(row[hits], classes[hits].astype(np.int32), probs[hits])
    unlisted_max_prob = np.where(some_absent, np.maximum(floor, absent_prob), floor)
    prob_sum = None
    if with_sums:
        num_absent = num_classes - lengths
        prob_sum = np.add.reduceat(probs.astype(np.float64), starts) + num_absent * rows.absent_prob
    return SparseEvidence(
        RowEvidence(
            predicted,
            self_confidence,
            max_prob,
            second_max_prob,
            min_prob,
            unlisted_max_prob,
            listed,
            prob_sum,
        ),
        _find_bad_classes(row, classes, size, num_classes),
        max_prob <= absent_prob,
    )


def _find_first_maximum(row: Int32s, classes: Int32s, is_max: Bools, size: int, num_classes: int) -> Int32s:
    """Find the lowest class of each row that has the highest probability; 0 where that is NaN."""
    hits = np.flatnonzero(is_max)
    predicted = np.full(size, num_classes, dtype=np.int32)
    np.minimum.at(predicted, row[hits], classes[hits])
    predicted[predicted == num_classes] = 0
    return predicted


def _find_bad_classes(row: Int32s, classes: Int32s, size: int, num_classes: int) -> Bools:
    """Find the rows that list a class twice, or one outside 0..K-1."""
    is_bad = np.zeros(size, dtype=bool)
    is_outside = (classes < 0) | (classes >= num_classes)
    is_bad[row[is_outside]] = True
    inside = np.where(is_outside, 0, classes)
    position = find_entries(row, inside, row, inside, num_classes)
    # of a class listed twice, only the last entry finds itself
    is_bad[row[position != np.arange(len(row))]] = True
    return is_bad


def find_entries(row: Ints, class_index: Ints, rows: Ints, classes: Ints, num_classes: int) -> Int64s:
    """Find the positions of some (row, class) pairs among the entries of a list.

    A lookup table of some rows × K classes is written and read without ever being cleared: what it holds by
    chance is recognised, because the entry it names is of another row or class. So the time grows with the
    entries, not with K.

    Args:
        row: (m,) row of each entry, ascending.
        class_index: (m,) class of each entry, in 0..K-1.
        rows: (q,) rows looked for, ascending.
        classes: (q,) classes looked for, in 0..K-1.
        num_classes: K.

    Returns:
        (q,) positions among the entries, -1 where there is no such entry.

    Example:
        >>> entries = np.array([0, 0, 1]), np.array([2, 1, 2])
        >>> find_entries(*entries, np.array([0, 1]), np.array([1, 0]), 3).tolist()
        [1, -1]
    """
    found = np.full(len(rows), -1, dtype=np.int64)
    if not len(row) or not len(rows):
        return found
    step = max(LOOKUP_SIZE // num_classes, 1)
    table = np.empty(step * num_classes, dtype=np.int64)
    starts = np.arange(0, int(max(row[-1], rows[-1])) + 1 + step, step)
    ours, theirs = np.searchsorted(row, starts), np.searchsorted(rows, starts)
    for i, start in enumerate(starts[:-1].tolist()):
        here, there = slice(ours[i], ours[i + 1]), slice(theirs[i], theirs[i + 1])
        key = (row[here].astype(np.int64) - start) * num_classes + class_index[here]
        table[key] = np.arange(len(key))
        wanted = (rows[there].astype(np.int64) - start) * num_classes + classes[there]
        position = table[wanted]
        is_known = (position >= 0) & (position < len(key))
        is_known[is_known] = key[position[is_known]] == wanted[is_known]
        found[there] = np.where(is_known, position + ours[i], -1)
    return found
