"""How many examples of each given class to remove towards each other class: the removal counts behind pruning."""

import numpy as np

from cl_spark.kernels.arrays import Int64s
from cl_spark.kernels.calibration import round_preserving_sum, rows_of


def removal_counts(
    given: Int64s,
    true: Int64s,
    count: Int64s,
    class_counts: Int64s,
    *,
    min_examples_per_class: int,
    frac_noise: float,
    num_to_remove_per_class: Int64s | None,
) -> tuple[Int64s, Int64s, Int64s]:
    """Removal counts of every off-diagonal cell, and per class in all (its diagonal cell), from the calibrated joint.

    The diagonal is raised to ``min_examples_per_class``, taken evenly from the class's other cells; the off-diagonals are
    multiplied by ``frac_noise`` and truncated. ``num_to_remove_per_class`` rescales them to sum to the number wanted for
    the given class, largest remainders first. A class with no more than ``min_examples_per_class`` examples, or with a
    single one, is never pruned.

    Args:
        given: (cells,) given class, sorted; the classes present are complete.
        true: (cells,) true class.
        count: (cells,) calibrated counts.
        class_counts: (K,) examples per given class.
        min_examples_per_class: examples each class keeps.
        frac_noise: share of the estimated noise to remove, in [0, 1].
        num_to_remove_per_class: (K,) number to remove of each given class, or None.

    Returns:
        Cells ``given, true, remove`` with ``remove > 0``. On the diagonal (``given == true``) stands the number that
        pruning by class removes from the class; off the diagonal what pruning by noise rate removes towards ``true``.

    Example:
        >>> cells = np.array([0, 0, 1]), np.array([0, 1, 1]), np.array([4, 2, 2])
        >>> options = dict(min_examples_per_class=1, frac_noise=1.0, num_to_remove_per_class=None)
        >>> [part.tolist() for part in removal_counts(*cells, np.array([6, 2]), **options)]
        [[0, 0], [0, 1], [2, 2]]
    """
    found: list[tuple[Int64s, Int64s, Int64s]] = []
    cells_of = dict(zip(*np.unique(given, return_counts=True), strict=True))
    for k, columns, row in rows_of(given, true, count, len(class_counts)):
        examples, own = int(class_counts[k]), int(np.searchsorted(columns, k))
        if examples <= max(min_examples_per_class, 1):
            continue
        diagonal = max(row[own], min_examples_per_class)
        share = (diagonal - row[own]) / max(cells_of[k] - 1, 1)
        row = np.maximum(row - share, 0)
        row[own] = diagonal
        kept = row * frac_noise
        kept[own] = row[own]
        kept[own] = diagonal + (row - kept).sum()
        remove = np.trunc(kept).astype(np.int64)
        remove[own] = examples - remove[own]
        if num_to_remove_per_class is not None:
            wanted = int(num_to_remove_per_class[k])
            remove[own] = 0
            towards = int(remove.sum())
            if towards:
                remove = round_preserving_sum(remove * wanted / towards)
            remove[own] = wanted
        some = np.flatnonzero(remove > 0)
        found.append((np.full(len(some), k, dtype=np.int64), columns[some], remove[some]))
    none = np.array([], dtype=np.int64)
    given, true, remove = (
        (np.concatenate([none, *parts]) for parts in zip(*found, strict=True)) if found else (none,) * 3
    )
    return given, true, remove
