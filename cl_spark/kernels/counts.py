"""Counts of whole numbers, added up block by block."""

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

Counts = tuple[Ints, Ints]
"""Keys in order, and how often each occurs."""

DENSE = 2**16
"""Keys below this are counted in an array of them all."""


def no_counts() -> Counts:
    """Nothing counted yet."""
    return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)


def counted(keys: Ints) -> Counts:
    """How often each key occurs; keys may be negative.

    Example:
        >>> [part.tolist() for part in counted(np.array([7, 3, 7]))]
        [[3, 7], [1, 2]]
    """
    if len(keys) and keys.min() >= 0 and keys.max() < DENSE:
        every = np.bincount(keys)
        found = np.flatnonzero(every)
        return found, every[found]
    found, counts = np.unique(keys, return_counts=True)
    return found, counts


def added(counts: Counts, keys: Ints) -> Counts:
    """The counts with more keys.

    Example:
        >>> [part.tolist() for part in added(counted(np.array([7, 3])), np.array([3, 4]))]
        [[3, 4, 7], [2, 1, 1]]
    """
    more = counted(keys)
    both, place = np.unique(np.concatenate([counts[0], more[0]]), return_inverse=True)
    total = np.zeros(len(both), dtype=np.int64)
    np.add.at(total, place, np.concatenate([counts[1], more[1]]))
    return both, total
