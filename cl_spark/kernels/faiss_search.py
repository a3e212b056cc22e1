"""Rows that may be the nearest, found by faiss where it is installed; it need not be."""

import os
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from cl_spark.kernels.arrays import Bools, Float32s, Int64s
from cl_spark.kernels.proposal_limits import ProposalLimits

MORE = 8
"""Rows that are asked for beyond the k nearest: whether the last one lies beyond the limit is the proof that
no row within it is missing.
"""


class Candidates(NamedTuple):
    """Rows that may be the nearest of each query.

    Attributes:
        is_sure: (m,) whether none of a query's nearest is missing.
        queries: (c,) queries, each of which is sure.
        references: (c,) their candidates.
    """

    is_sure: Bools
    queries: Int64s
    references: Int64s


@cache
def load_faiss() -> Any:
    """Import faiss; None where it is not installed."""
    try:
        import faiss
    except ImportError:
        return None
    if "OMP_NUM_THREADS" not in os.environ:  # Spark says how many threads a task may have; elsewhere one
        faiss.omp_set_num_threads(1)
    return faiss


def find_candidates(
    faiss: Any, queries: Float32s, references: Float32s, k: int, own: Int64s, limits: ProposalLimits
) -> Candidates:
    """Find the references that may be the k nearest of each query.

    The k-th lowest distance that faiss finds gives a limit that none of the k nearest exceeds. All rows
    within it are found if the last that faiss found is not.

    Args:
        faiss: the module.
        queries: (m, d) rows.
        references: (n, d) rows, n > k + 1 + `MORE`.
        k: how many.
        own: (m,) the reference that is the query itself, and is left out; -1 for none.
        limits: bounds what single precision may hide.
    """
    squares, found = faiss.knn(np.ascontiguousarray(queries), references, k + 1 + MORE)
    is_other = found != own[:, None]
    place = np.cumsum(is_other, axis=1)  # of the others, from 1
    kth = squares[np.arange(len(squares)), np.argmax(place == k, axis=1)].astype(np.float64)
    limit = limits.find(kth, (queries.astype(np.float64) ** 2).sum(axis=1))
    is_sure = np.asarray(squares[:, -1] > limit)  # not where one of them is not a number
    rows, places = np.nonzero(is_other & (squares <= limit[:, None]) & is_sure[:, None])
    return Candidates(is_sure, rows, found[rows, places])
