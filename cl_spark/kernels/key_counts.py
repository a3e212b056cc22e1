"""Counts of whole numbers."""

from collections.abc import Iterable

import numpy as np

from cl_spark.kernels.arrays import Int64s

Counts = tuple[Int64s, Int64s]
"""Keys in ascending order, and how often each occurs."""

BATCH_KEYS = 2**20
"""Keys that are counted together. A batch whose keys span no more than this is counted in an array over its
span."""


def count_keys(parts: Iterable[Int64s]) -> Counts:
    """Count how often each key occurs in arrays that come one after the other; keys may be negative.

    Memory grows with the number of different keys, not with the number of keys.

    Example:
        >>> [part.tolist() for part in count_keys([np.array([7, 3]), np.array([7, -4])])]
        [[-4, 3, 7], [1, 1, 2]]
    """
    counts = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    waiting: list[Int64s] = []
    size = 0
    for keys in parts:
        waiting.append(keys)
        size += len(keys)
        if size >= BATCH_KEYS:
            counts = _add_counts(counts, _count_batch(np.concatenate(waiting)))
            waiting, size = [], 0
    return _add_counts(counts, _count_batch(np.concatenate(waiting))) if waiting else counts


def _add_counts(ours: Counts, theirs: Counts) -> Counts:
    if not len(ours[0]):
        return theirs
    keys, place = np.unique(np.concatenate([ours[0], theirs[0]]), return_inverse=True)
    total = np.zeros(len(keys), dtype=np.int64)
    np.add.at(total, place, np.concatenate([ours[1], theirs[1]]))
    return keys, total


def _count_batch(keys: Int64s) -> Counts:
    lowest = keys.min(initial=0)
    if keys.max(initial=0) - lowest < BATCH_KEYS:
        # counting in an array takes a fraction of the time of sorting
        counts = np.bincount(keys - lowest)
        found = np.flatnonzero(counts)
        return found + lowest, counts[found]
    found, counts = np.unique(keys, return_counts=True)
    return found, counts
