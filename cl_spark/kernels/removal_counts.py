"""Removal counts: how many examples pruning takes from classes or pairs of them (JAIR 2021, section 3.2)."""

import numpy as np

from cl_spark.kernels.arrays import Float64s, Int64s
from cl_spark.kernels.calibration import round_preserving_sum, split_by_given_class


def count_removals(
    given: Int64s,
    true: Int64s,
    count: Int64s,
    class_counts: Int64s,
    *,
    min_examples_per_class: int,
    frac_noise: float,
    num_to_remove_per_class: Int64s | None,
) -> tuple[Int64s, Int64s, Int64s]:
    """Count what to remove from each class and from each pair of classes (specification, section 4.4).

    The diagonal is raised to ``min_examples_per_class``, taken evenly from the class's other cells; the
    off-diagonals are multiplied by ``frac_noise`` and truncated. ``num_to_remove_per_class`` rescales them to
    sum to the number wanted for the given class, largest remainders first. A class with no more than
    ``min_examples_per_class`` examples, or with a single one, is never pruned.

    Args:
        given: (cells,) given class, sorted; the classes present are complete.
        true: (cells,) true class.
        count: (cells,) calibrated counts.
        class_counts: (K,) examples per given class.
        min_examples_per_class: examples each class keeps.
        frac_noise: share of the estimated noise to remove, in [0, 1].
        num_to_remove_per_class: (K,) number to remove of each given class, or None.

    Returns:
        Cells ``given, true, remove`` with ``remove > 0``. A diagonal cell (``given == true``) holds the
        number that pruning by class removes from the class; a cell off the diagonal holds the number that
        pruning by noise rate removes from the pair.

    Example:
        >>> cells = np.array([0, 0, 1]), np.array([0, 1, 1]), np.array([4, 2, 2])
        >>> options = dict(min_examples_per_class=1, frac_noise=1.0, num_to_remove_per_class=None)
        >>> [part.tolist() for part in count_removals(*cells, np.array([6, 2]), **options)]
        [[0, 0], [0, 1], [2, 2]]
    """
    found: list[tuple[Int64s, Int64s, Int64s]] = []
    num_cells = dict(zip(*np.unique(given, return_counts=True), strict=True))
    for k, columns, row in split_by_given_class(given, true, count, len(class_counts)):
        examples, diagonal = int(class_counts[k]), int(np.searchsorted(columns, k))
        if examples <= max(min_examples_per_class, 1):
            continue
        row = _raise_diagonal(row, diagonal, min_examples_per_class, num_cells[k] - 1)
        remove = _count_row(row, diagonal, examples, frac_noise)
        if num_to_remove_per_class is not None:
            remove = _rescale_row(remove, diagonal, int(num_to_remove_per_class[k]))
        some = np.flatnonzero(remove > 0)
        found.append((np.full(len(some), k, dtype=np.int64), columns[some], remove[some]))
    empty = np.array([], dtype=np.int64)
    given, true, remove = (
        (np.concatenate([empty, *parts]) for parts in zip(*found, strict=True)) if found else (empty,) * 3
    )
    return given, true, remove


def _raise_diagonal(row: Float64s, diagonal: int, least: int, num_others: int) -> Float64s:
    """Raise the diagonal of a row to the examples its class keeps, taken evenly from its other cells."""
    kept = max(row[diagonal], least)
    share = (kept - row[diagonal]) / max(num_others, 1)
    raised = np.maximum(row - share, 0)
    raised[diagonal] = kept
    return np.asarray(raised)


def _count_row(row: Float64s, diagonal: int, examples: int, frac_noise: float) -> Int64s:
    """Count what to remove towards each true class, and on the diagonal in all."""
    kept = row * frac_noise
    kept[diagonal] = row[diagonal]
    kept[diagonal] = row[diagonal] + (row - kept).sum()
    remove = np.trunc(kept).astype(np.int64)
    remove[diagonal] = examples - remove[diagonal]
    return remove


def _rescale_row(remove: Int64s, diagonal: int, wanted: int) -> Int64s:
    """Rescale what to remove of a given class to the number wanted."""
    remove[diagonal] = 0
    total = int(remove.sum())
    if total:
        remove = round_preserving_sum(remove * wanted / total)
    remove[diagonal] = wanted
    return remove
