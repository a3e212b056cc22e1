"""What is kept of each row of probabilities: a few numbers, the classes worth listing, and the arrays of rows surely wrong."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from cl_spark.kernels import CACHED_VALUES, EPS
from cl_spark.kernels.arrays import Bools, Float64s, Floats, Int32s, Int64s, Ints

LOOKUP_SIZE = 2**21
"""Places a table of some rows × K holds: 16 MiB."""

SHORT_ARRAY = 64
"""Arrays up to this length are as cheap to keep as to list."""


@dataclass(frozen=True)
class ListingPolicy:
    """What the evidence lists. Any values give the same results: they only decide how often a row is read again.

    Attributes:
        runner_up: classes are listed from this probability up, or from half the highest if that is lower. Suspects without array
            list those from half their self-confidence up too: all that beat the label, and more.
        max_listed: a row where more classes than this would be listed lists none.
        surely_wrong: suspects with a self-confidence below this keep their array: where a quota outlasts the classes that beat
            the label, they are who it takes. Suspects with short arrays keep them in any case.
    """

    min_listed_prob: float = 0.2
    max_listed: int = 64
    keep_array_below: float = 0.05

    def keeps_array(self, self_confidence: Floats, length: Int32s | int) -> Bools:
        """Whether the evidence holds the array of each row, if that is a suspect."""
        return np.asarray((self_confidence < self.keep_array_below) | (np.asarray(length) <= SHORT_ARRAY))


@dataclass(frozen=True)
class ListedProbs:
    """Classes of rows with their values; (m,) each."""

    row: Int32s
    class_index: Int32s
    prob: Floats

    @staticmethod
    def concat(parts: "list[ListedProbs]") -> "ListedProbs":
        """One after the other."""
        return ListedProbs(
            *(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(ListedProbs))
        )

    def where(self, chosen: Bools) -> "ListedProbs":
        """Some of the entries."""
        return ListedProbs(self.row[chosen], self.class_index[chosen], self.prob[chosen])


@dataclass(frozen=True)
class RowEvidence:
    """Of n rows, (n,) each but for the entries.

    Attributes:
        predicted: the first class of the highest value.
        own: the value of the given class; NaN where that is none of the classes.
        best: the highest value: NaN if any is.
        second: the highest value of another class than `predicted`.
        lowest: the lowest value.
        bar: no class that is not listed has a higher value, but for `predicted`.
        listed: the other classes listed.
        total: the sum of the values where it was asked for.
    """

    predicted: Int32s
    self_confidence: Floats
    max_prob: Floats
    second_max_prob: Floats
    min_prob: Floats
    unlisted_max_prob: Floats
    listed: ListedProbs
    total: Float64s | None


def find_suspects(given: Int32s, predicted: Int32s, self_confidence: Floats, max_prob: Floats) -> Bools:
    """Whether each row could be an issue at all: another class beats the given label by more than the slack.

    This is ``argmax(p + 1e-6 at the label) != label`` from scalars alone. Only the label's entry changes, so the argmax is
    the label or stays `predicted`, the first maximum: the label wins where ``p[label] + eps`` is larger, or equal and the
    label comes first.

    Example:
        >>> find_suspects(np.array([0, 0]), np.array([1, 1]), np.array([0.4, 0.5]), np.array([0.6, 0.5])).tolist()
        [True, False]
    """
    handicapped, highest = self_confidence.astype(np.float64) + EPS, max_prob.astype(np.float64)
    beaten = (handicapped < highest) | ((handicapped == highest) & (predicted < given))
    return np.asarray((predicted != given) & beaten)


def listing_floors(
    given: Int32s,
    predicted: Int32s,
    self_confidence: Floats,
    max_prob: Floats,
    length: int,
    listing: ListingPolicy,
) -> Floats:
    """From which value on other classes are listed."""
    half = max_prob.dtype.type(0.5)
    unlisted_max_prob = np.minimum(max_prob.dtype.type(listing.min_listed_prob), max_prob * half)
    lower = find_suspects(given, predicted, self_confidence, max_prob) & ~listing.keeps_array(
        self_confidence, length
    )
    unlisted_max_prob = np.where(lower, np.fmin(unlisted_max_prob, self_confidence * half), unlisted_max_prob)
    return np.where(max_prob <= 0, max_prob, unlisted_max_prob)


def extract_dense(given: Int32s, probs: Floats, listing: ListingPolicy, *, with_totals: bool) -> RowEvidence:
    """The evidence of arrays of one length.

    Args:
        given: (n,) given classes; any number outside 0..K-1 is none.
        probs: (n, K) values.
        listing: what to list.
        with_totals: add up the values too.

    Example:
        >>> found = of_matrix(np.array([1]), np.array([[0.1, 0.3, 0.6]]), Listing(), with_totals=False)
        >>> found.predicted.tolist(), found.self_confidence.tolist(), found.second_max_prob.tolist(), found.listed.of_class.tolist()
        ([2], [0.3], [0.3], [1])
    """
    size, classes = probs.shape
    step = max(CACHED_VALUES // classes, 1)
    parts = [
        _of_chunk(given[start : start + step], probs[start : start + step], start, listing, with_totals)
        for start in range(0, max(size, 1), step)
    ]
    return parts[0] if len(parts) == 1 else _joined(parts)


def _of_chunk(
    given: Int32s, probs: Floats, start: int, listing: ListingPolicy, with_totals: bool
) -> RowEvidence:
    (size, classes), kind = probs.shape, probs.dtype
    rows = np.arange(size)
    total = probs.sum(axis=1, dtype=np.float64) if with_totals else None
    inside = (given >= 0) & (given < classes)
    self_confidence = np.where(inside, probs[rows, np.where(inside, given, 0)], kind.type(np.nan))
    if classes <= SHORT_ARRAY:  # numpy is slow along short rows, so these are turned
        columns = np.array(probs.T, order="C")
        max_prob, min_prob = columns.max(axis=0), columns.min(axis=0)
        predicted = columns.argmax(axis=0)
        columns[predicted, rows] = -np.inf
        second_max_prob, others = columns.max(axis=0), columns
    else:
        predicted = probs.argmax(axis=1)
        max_prob, min_prob = probs[rows, predicted], probs.min(axis=1)
        others = probs.copy()
        others[rows, predicted] = -np.inf
        second_max_prob = others.max(axis=1)
    unlisted_max_prob = listing_floors(given, predicted, self_confidence, max_prob, classes, listing)
    if classes <= SHORT_ARRAY:
        class_index, row = (
            np.divmod(np.flatnonzero(others >= unlisted_max_prob), size) if size else (rows, rows)
        )
        value = others[class_index, row]
    else:
        row, class_index = np.divmod(np.flatnonzero(others >= unlisted_max_prob[:, None]), classes)
        value = others[row, class_index]
    listed = ListedProbs((row + start).astype(np.int32), class_index.astype(np.int32), value)
    crowded = np.bincount(row, minlength=size) > listing.max_listed
    if crowded.any():
        unlisted_max_prob = np.where(crowded, max_prob, unlisted_max_prob)
        listed = listed.where(~crowded[row])
    return RowEvidence(
        predicted.astype(np.int32),
        self_confidence,
        max_prob,
        second_max_prob,
        min_prob,
        unlisted_max_prob,
        listed,
        total,
    )


def extract_sparse(
    given: Int32s,
    lengths: Int64s,
    classes: Int32s,
    values: Floats,
    num_classes: int,
    absent: float,
    listing: ListingPolicy,
    *,
    with_totals: bool,
) -> tuple[RowEvidence, Bools, Bools]:
    """The evidence of rows that list some classes; every class a row leaves out has the value ``absent``.

    Args:
        given: (n,) given classes; any number outside 0..K-1 is none.
        lengths: (n,) how many classes each row lists; none lists no class.
        classes: the classes listed, row by row.
        values: their values.
        num_classes: K.
        absent: value of the classes left out.
        listing: what to list.
        with_totals: add up the values too.

    Returns:
        The evidence; whether each row lists a class twice or one outside 0..K-1; and whether none is above ``absent``.

    Example:
        >>> classes, values = np.array([3, 1], dtype=np.int32), np.array([0.4, 0.6])
        >>> found, odd, flat = of_lists(np.array([3]), np.array([2]), classes, values, 9, 0.0, Listing(), with_totals=True)
        >>> found.predicted.tolist(), found.self_confidence.tolist(), found.total.tolist(), odd.tolist(), flat.tolist()
        ([1], [0.4], [1.0], [False], [False])
    """
    size, kind = len(lengths), values.dtype.type
    starts = np.cumsum(lengths) - lengths
    row = np.repeat(np.arange(size, dtype=np.int32), lengths)
    max_prob, min_prob = np.maximum.reduceat(values, starts), np.minimum.reduceat(values, starts)
    outside = (classes < 0) | (classes >= num_classes)
    odd = np.zeros(size, dtype=bool)
    odd[row[outside]] = True
    place = find_entries(row, np.where(outside, 0, classes), row, np.where(outside, 0, classes), num_classes)
    odd[row[place != np.arange(len(row))]] = True  # another entry stands in its place
    some_absent = lengths < num_classes

    at_best = np.flatnonzero(values == max_prob[row])
    predicted = np.full(size, num_classes, dtype=np.int32)
    np.minimum.at(predicted, row[at_best], classes[at_best])  # of ties the lowest class
    predicted[predicted == num_classes] = 0
    inside = (given >= 0) & (given < num_classes)
    self_confidence = np.where(inside, kind(absent), kind(np.nan))
    of_given = np.flatnonzero(classes == given[row])
    self_confidence[row[of_given]] = np.where(inside[row[of_given]], values[of_given], kind(np.nan))

    others = np.where(classes == predicted[row], kind(-np.inf), values)
    second_max_prob = np.maximum.reduceat(others, starts)
    second_max_prob = np.where(some_absent, np.maximum(second_max_prob, kind(absent)), second_max_prob)
    min_prob = np.where(some_absent, np.minimum(min_prob, kind(absent)), min_prob)
    unlisted_max_prob = listing_floors(given, predicted, self_confidence, max_prob, num_classes, listing)
    hits = np.flatnonzero(others >= unlisted_max_prob[row])
    listed = ListedProbs(row[hits], classes[hits].astype(np.int32), values[hits])
    unlisted_max_prob = np.where(some_absent, np.maximum(unlisted_max_prob, kind(absent)), unlisted_max_prob)
    total = None
    if with_totals:
        total = np.add.reduceat(values.astype(np.float64), starts) + (num_classes - lengths) * absent
    return (
        RowEvidence(
            predicted, self_confidence, max_prob, second_max_prob, min_prob, unlisted_max_prob, listed, total
        ),
        odd,
        max_prob <= kind(absent),
    )


def find_entries(row: Ints, class_index: Ints, rows: Ints, classes: Ints, num_classes: int) -> Int64s:
    """Where (rows, classes) stand among the entries (row, of_class), both in the order of the rows; -1 where they do not.

    A table of rows × K places is written and read without ever being cleared: what stands there by chance is seen to be wrong.
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
        place = table[wanted]
        known = (place >= 0) & (place < len(key))
        known[known] = key[place[known]] == wanted[known]
        found[there] = np.where(known, place + ours[i], -1)
    return found


def _joined(parts: list[RowEvidence]) -> RowEvidence:
    def whole(name: str) -> Any:
        values = [getattr(part, name) for part in parts]
        return (
            None
            if values[0] is None
            else ListedProbs.concat(values)
            if name == "listed"
            else np.concatenate(values)
        )

    return RowEvidence(*(whole(field.name) for field in fields(RowEvidence)))
