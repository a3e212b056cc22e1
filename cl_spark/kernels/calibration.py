"""Calibration of the confident joint: rows scaled to the label counts, then rounded (JAIR 2021, equation 3).

The joint is sparse: three parallel arrays ``given, true, count`` of its non-zero cells. Every function treats
each given class on its own, so it may be called with all classes at once or with any complete classes of a
large joint.
"""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from cl_spark.kernels import TINY
from cl_spark.kernels.arrays import Float64s, Int64s

DENSE_CLASSES = 2000
"""Up to this K, sums are taken over whole rows of the joint, zeros included, so that they equal those of a
dense matrix to the last digit (specification, section 3). Beyond it only non-zero cells are read, so that the
work grows with the cells."""


def round_preserving_sum(values: Float64s) -> Int64s:
    """Round to whole numbers with the same sum (specification, section 3).

    Every entry is rounded half to even. Where the sum must rise, the entries with the largest remainder,
    ``value - rounded``, are raised (ties: highest index first). Where it must fall, those with the smallest
    remainder are lowered (ties: lowest index first).

    Args:
        values: (m,) numbers.

    Returns:
        (m,) whole numbers whose sum is the rounded sum of the values.

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


def sum_scaled_cells(given: Int64s, true: Int64s, count: Int64s, class_counts: Int64s) -> float:
    """Sum all cells after row scaling, which gives the number of examples but for the last digits.

    Those digits decide between exactly tied remainders, so the sum is taken in the order of the reference
    implementation (a dense K×K matrix, column-major, pairwise).

    Args:
        given: (cells,) given class of each cell.
        true: (cells,) true class.
        count: (cells,) examples counted.
        class_counts: (K,) examples per given class; K is at most `DENSE_CLASSES`.

    Example:
        >>> cells = np.array([0, 0, 1]), np.array([0, 1, 1]), np.array([2, 1, 1])
        >>> sum_scaled_cells(*cells, np.array([6, 2]))
        8.0
    """
    classes = len(class_counts)
    dense = np.zeros((classes, classes), order="F")
    dense[given, true] = count
    rows = np.maximum(dense.sum(axis=1), TINY)
    return float((dense.T / rows * class_counts).T.sum())


def find_class_slices(given: Int64s) -> Iterator[slice]:
    """Find the slices of equal values in a sorted array.

    Example:
        >>> list(find_class_slices(np.array([0, 0, 3])))
        [slice(0, 2, None), slice(2, 3, None)]
    """
    if len(given):
        edges = np.flatnonzero(np.r_[True, given[1:] != given[:-1], True])
        for start, stop in pairwise(edges.tolist()):
            yield slice(start, stop)


def split_by_given_class(
    given: Int64s, true: Int64s, count: Int64s, num_classes: int
) -> Iterator[tuple[int, Int64s, Float64s]]:
    """Split cells into rows of the joint.

    Args:
        given: (cells,) given class of each cell, sorted.
        true: (cells,) true class, sorted within each given class.
        count: (cells,) examples counted.
        num_classes: K.

    Yields:
        Each given class with its true classes, sorted, and their counts. The diagonal is among them, and so
        are all zeros where K is at most `DENSE_CLASSES`.
    """
    for cells in find_class_slices(given):
        k, columns, counts = int(given[cells.start]), true[cells], count[cells].astype(np.float64)
        if num_classes <= DENSE_CLASSES:
            row = np.zeros(num_classes)
            row[columns] = counts
            yield k, np.arange(num_classes), row
            continue
        place = int(np.searchsorted(columns, k))
        if place == len(columns) or columns[place] != k:
            columns, counts = np.insert(columns, place, k), np.insert(counts, place, 0.0)
        yield k, columns, counts


def calibrate(
    given: Int64s, true: Int64s, count: Int64s, class_counts: Int64s, total: float
) -> tuple[Int64s, Int64s, Int64s]:
    """Calibrate the confident joint (specification, section 3).

    Args:
        given: (cells,) given class of each cell, sorted; the classes present are complete.
        true: (cells,) true class.
        count: (cells,) examples counted.
        class_counts: (K,) examples per given class.
        total: sum of all cells after row scaling (see `sum_scaled_cells`).

    Returns:
        Non-zero cells ``given, true, count`` of the calibrated joint, whose row k sums to
        ``class_counts[k]``.

    Example:
        >>> zeros, ones = np.array([0, 0, 1]), np.array([0, 1, 1])
        >>> calibrate(zeros, ones, np.array([2, 1, 1]), np.array([6, 2]), 8.0)[2].tolist()
        [4, 2, 2]
    """
    classes, examples = len(class_counts), int(class_counts.sum())
    out_given, out_true, out_count = [], [], []
    for k, columns, counts in split_by_given_class(given, true, count, classes):
        in_all = counts[counts > 0].sum()
        # Zero cells keep remainder 0 and so are never moved.
        rounded = round_preserving_sum(
            counts / max(in_all, TINY) * class_counts[k] / max(total, TINY) * examples
        )
        nonzero = np.flatnonzero(rounded)
        out_given.append(np.full(len(nonzero), k, dtype=np.int64))
        out_true.append(columns[nonzero].astype(np.int64))
        out_count.append(rounded[nonzero])
    if not out_given:
        empty = np.array([], dtype=np.int64)
        return empty, empty, empty
    return np.concatenate(out_given), np.concatenate(out_true), np.concatenate(out_count)
