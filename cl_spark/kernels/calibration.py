"""Calibration of the confident joint: rows scaled to the label counts, then rounded to integers (JAIR 2021, section 3.1).

The joint is sparse: three parallel arrays ``given, true, count`` of its non-zero cells. Every function here treats each
given class on its own, so it may be called with all classes at once or with any complete classes of a large joint.
"""

from collections.abc import Iterator

import numpy as np

from cl_spark.kernels import TINY
from cl_spark.kernels.arrays import Float64s, Int64s


def round_preserving_sum(values: Float64s) -> Int64s:
    """Round half to even, then move the entries with the largest remainders until the rounded sum is met.

    Where the sum must rise, the largest ``value - rounded`` are raised (ties: highest index first); where it must fall,
    the smallest are lowered (ties: lowest index first).

    Example:
        >>> round_preserving_sum(np.array([0.5, 0.5, 1.0])).tolist()
        [0, 1, 1]
    """
    rounded = np.rint(values)
    missing = round(float(values.sum())) - int(rounded.sum())
    while missing:
        order = np.argsort(values - rounded, kind="stable")
        chosen = order[::-1][:missing] if missing > 0 else order[:-missing]
        rounded[chosen] += np.sign(missing)
        missing -= int(np.sign(missing)) * len(chosen)
    return rounded.astype(np.int64)


def scaled_total(given: Int64s, true: Int64s, count: Int64s, class_counts: Int64s) -> float:
    """Sum of all cells after row scaling: the label count, but for rounding in the last digits.

    Those digits decide between exactly tied remainders, so up to the size where a dense K×K matrix is allowed the sum is
    taken in the reference's order (column-major, pairwise).
    """
    classes = len(class_counts)
    dense = np.zeros((classes, classes), order="F")
    dense[given, true] = count
    rows = np.maximum(dense.sum(axis=1), TINY)
    return float((dense.T / rows * class_counts).T.sum())


def classes_of(given: Int64s) -> Iterator[slice]:
    """The slices of equal values in a sorted array."""
    starts = np.flatnonzero(np.r_[True, given[1:] != given[:-1]]) if len(given) else np.array([], dtype=int)
    for start, stop in zip(starts, np.r_[starts[1:], len(given)], strict=True):
        yield slice(int(start), int(stop))


DENSE_CLASSES = 2000
"""Up to this K a class's row of the joint is treated whole, as the reference does, to the last digit of its sums; beyond it only
its non-zero cells are, so that the work grows with the cells."""


def rows_of(
    given: Int64s, true: Int64s, count: Int64s, classes: int
) -> Iterator[tuple[int, Int64s, Float64s]]:
    """Each given class with its columns and their counts; its diagonal is among them, sorted by column."""
    for cells in classes_of(given):
        k, columns, counts = int(given[cells.start]), true[cells], count[cells].astype(np.float64)
        if classes <= DENSE_CLASSES:
            row = np.zeros(classes)
            row[columns] = counts
            yield k, np.arange(classes), row
            continue
        place = int(np.searchsorted(columns, k))
        if place == len(columns) or columns[place] != k:
            columns, counts = np.insert(columns, place, k), np.insert(counts, place, 0.0)
        yield k, columns, counts


def calibrated(
    given: Int64s, true: Int64s, count: Int64s, class_counts: Int64s, total: float
) -> tuple[Int64s, Int64s, Int64s]:
    """The calibrated confident joint, ``given`` sorted ascending, as non-zero cells ``given, true, count``.

    Args:
        given: (cells,) given class of each cell, sorted; the classes present are complete.
        true: (cells,) true class.
        count: (cells,) examples counted.
        class_counts: (K,) examples per given class.
        total: what all cells sum to after row scaling (see `scaled_total`).

    Returns:
        The cells of the calibrated joint, whose row k sums to ``class_counts[k]``.

    Example:
        >>> zeros, ones = np.array([0, 0, 1]), np.array([0, 1, 1])
        >>> calibrated(zeros, ones, np.array([2, 1, 1]), np.array([6, 2]), 8.0)[2].tolist()
        [4, 2, 2]
    """
    classes, examples = len(class_counts), int(class_counts.sum())
    out_given, out_true, out_count = [], [], []
    for k, columns, counts in rows_of(given, true, count, classes):
        in_all = counts[counts > 0].sum()
        # Zero cells keep remainder 0 and so are never moved.
        rounded = round_preserving_sum(
            counts / max(in_all, TINY) * class_counts[k] / max(total, TINY) * examples
        )
        kept = np.flatnonzero(rounded)
        out_given.append(np.full(len(kept), k, dtype=np.int64))
        out_true.append(columns[kept].astype(np.int64))
        out_count.append(rounded[kept])
    if not out_given:
        empty = np.array([], dtype=np.int64)
        return empty, empty, empty
    return np.concatenate(out_given), np.concatenate(out_true), np.concatenate(out_count)
