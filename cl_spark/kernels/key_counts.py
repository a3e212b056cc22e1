"""Counts of whole numbers."""

from collections.abc import Iterable

import numpy as np

from cl_spark.kernels.arrays import Int64s

Counts = tuple[Int64s, Int64s]
"""Keys in order, and how often each occurs."""

AT_ONCE = 2**20
"""Keys counted together. As many lie so near each other, or fewer, are counted in an array of them all."""


def count_keys(parts: Iterable[Int64s]) -> Counts:
    """How often each key occurs in arrays that come one after the other; keys may be negative.

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
        if size >= AT_ONCE:
            counts = _added(counts, np.concatenate(waiting))
            waiting, size = [], 0
    return _added(counts, np.concatenate(waiting)) if waiting else counts


def _added(counts: Counts, keys: Int64s) -> Counts:
    more = _of_one(keys)
    if not len(counts[0]):
        return more
    both, place = np.unique(np.concatenate([counts[0], more[0]]), return_inverse=True)
    total = np.zeros(len(both), dtype=np.int64)
    np.add.at(total, place, np.concatenate([counts[1], more[1]]))
    return both, total


def _of_one(keys: Int64s) -> Counts:
    lowest = keys.min(initial=0)
    if keys.max(initial=0) - lowest < AT_ONCE:
        every = np.bincount(keys - lowest)
        found = np.flatnonzero(every)
        return found + lowest, every[found]
    found, counts = np.unique(keys, return_counts=True)
    return found, counts
