"""The nearest rows of a matrix: candidates by a product of matrices, then exact distances.

A product of matrices is quick, but its last digits depend on how many rows are multiplied at once. So it only
chooses candidates, with a bound of its error, or faiss does where it is installed; distances come from
differences of two rows each, are the same whatever stands beside them, and are rounded to 12 digits. Ties go
to the lower position.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from cl_spark.kernels.arrays import Bools, Float32s, Float64s, Floats, Int64s
from cl_spark.kernels.faiss_search import MORE, find_candidates, load_faiss
from cl_spark.kernels.proposal_limits import FAR, ProposalLimits

COSINE, EUCLIDEAN = "cosine", "euclidean"
METRICS = (COSINE, EUCLIDEAN)

DIGITS = 12
"""Significant digits of a distance. Beyond these, processors and versions of numpy may differ."""

COSINE_ZERO = 1e-14
"""Cosine distances below it are 0: what scaling two parallel vectors to length 1 leaves of rounding."""

GROUP, GROUPS_PER_NEIGHBOR = 16, 8
"""References of a group, whose least product is looked at first; and how many groups there are at least."""

VALUES_AT_ONCE = 2_000_000
"""Products that are held together: 8 MB."""

ROWS_OF_CENTER = 1_000
"""References, and up to twice as many, whose medians are the center and the width."""

QUERIES_AT_ONCE = 1_024
"""Queries of which faiss is asked, before it is told whether it is of use."""

MOST_BY_FAISS = 30
"""Neighbors up to which faiss is quicker."""


@dataclass(frozen=True)
class Nearest:
    """The nearest reference rows of each query row.

    Attributes:
        positions: (m, k) rows of the references, the nearest first; -1 where there are fewer than k.
        distances: (m, k) their distances; infinity where there are fewer than k.
    """

    positions: Int64s
    distances: Float64s


def to_unit_length(rows: Floats) -> Float64s:
    """Scale rows to length 1; rows of length 0 stay as they are.

    Example:
        >>> to_unit_length(np.array([[3.0, 4.0], [0.0, 0.0]])).tolist()
        [[0.6, 0.8], [0.0, 0.0]]
    """
    values = np.asarray(rows, dtype=np.float64)
    largest = np.abs(values).max(axis=1, keepdims=True, initial=0)
    scaled = values / np.where(largest > 0, largest, 1)  # squares neither overflow nor vanish
    length = np.sqrt((scaled * scaled).sum(axis=1, keepdims=True))
    return np.asarray(scaled / np.where(length > 0, length, 1))


def round_distances(distances: Float64s) -> Float64s:
    """Round to `DIGITS` significant digits.

    Example:
        >>> round_distances(np.array([0.0, 1 / 3, 2e5 / 3])).tolist()
        [0.0, 0.333333333333, 66666.6666667]
    """
    with np.errstate(divide="ignore"):
        exponent = np.floor(np.log10(distances, where=distances > 0, out=np.zeros_like(distances)))
    scale = 10.0 ** np.clip(DIGITS - 1 - exponent, -300, 300)
    return np.asarray(np.rint(distances * scale) / scale)


def find_nearest(
    queries: Floats, references: Floats, k: int, metric: str, own: Int64s | None = None
) -> Nearest:
    """Find the k nearest reference rows of each query row, exactly.

    Args:
        queries: (m, d) numbers; with cosine no row is zero.
        references: (n, d) numbers; with cosine no row is zero.
        k: how many.
        metric: one of `METRICS`: 1 - cosine of the angle, or the Euclidean distance.
        own: (m,) for each query the reference row that is the query itself, and is left out; -1 for none.
            Default: none for all.

    Example:
        >>> rows = np.array([[0.0, 0], [1, 0], [3, 0], [0, 2]])
        >>> nearest = find_nearest(rows, rows, 2, "euclidean", own=np.arange(4))
        >>> nearest.positions.tolist()
        [[1, 3], [0, 2], [1, 0], [0, 1]]
    """
    if metric == COSINE:
        queries, references = to_unit_length(queries), to_unit_length(references)
    own = np.full(len(queries), -1) if own is None else own
    if not len(queries) or not len(references):
        shape = (len(queries), k)
        return Nearest(np.full(shape, -1, dtype=np.int64), np.full(shape, np.inf))
    finder = _Finder.of(np.asarray(references, dtype=np.float64), k, metric)
    step = max(1, min(QUERIES_AT_ONCE, VALUES_AT_ONCE // max(queries.shape[1], k)))
    faiss = load_faiss() if k <= MOST_BY_FAISS else None
    parts = []
    for i in range(0, len(queries), step):
        some = slice(i, i + step)
        nearest, is_useful = finder.find(np.asarray(queries[some], dtype=np.float64), own[some], faiss)
        parts.append(nearest)
        faiss = faiss if is_useful else None  # among many copies it proves nothing
    return Nearest(
        np.concatenate([part.positions for part in parts]), np.concatenate([part.distances for part in parts])
    )


@dataclass(frozen=True)
class _Finder:
    """Finds the nearest of some references.

    Attributes:
        references: (n, d) rows, n > 0.
        k: how many.
        metric: one of `METRICS`; rows have length 1 with cosine.
        center: (d,) what is taken off all rows before they are multiplied: far from zero, squares of large
            numbers would hide small differences.
        width: what rows are divided by then: squares of most references neither overflow nor vanish.
        single: (n, d) the references in single precision, centered and divided.
        squares: (n,) their squared lengths.
        limits: bounds what single precision may hide.
    """

    references: Float64s
    k: int
    metric: str
    center: Float64s
    width: float
    single: Float32s
    squares: Float32s
    limits: ProposalLimits

    @staticmethod
    def of(references: Float64s, k: int, metric: str) -> "_Finder":
        with np.errstate(over="ignore", invalid="ignore"):
            some = references[:: max(1, len(references) // ROWS_OF_CENTER)]
            center = _find_center(some)
            width = _find_width(some - center)
            single = _to_single(references, center, width)
        squares = (single * single).sum(axis=1)
        longest = float(np.sqrt(squares.max().astype(np.float64)))
        least = 2 * COSINE_ZERO / width / width if metric == COSINE else 0.0  # less counts as 0
        limits = ProposalLimits(references.shape[1], longest, least, width, 10.0 ** (2 - DIGITS))
        return _Finder(references, k, metric, center, width, single, squares, limits)

    def find(self, queries: Float64s, own: Int64s, faiss: Any) -> tuple[Nearest, bool]:
        """Find the nearest of some queries, and tell whether faiss found those of most of them.

        Args:
            queries: (m, d) rows.
            own: (m,) as `find_nearest` takes it.
            faiss: the module, or None.
        """
        shape = (len(queries), self.k)
        nearest = Nearest(np.full(shape, -1, dtype=np.int64), np.full(shape, np.inf))
        rest = np.arange(len(queries))
        with np.errstate(over="ignore", invalid="ignore"):
            centered = _to_single(queries, self.center, self.width)
            if faiss is not None and len(self.single) >= 2 * (self.k + 1 + MORE):
                found = find_candidates(faiss, centered, self.single, self.k, own, self.limits)
                self._choose(nearest, queries, found.queries, found.references)
                rest = np.flatnonzero(~found.is_sure)
            step = max(1, VALUES_AT_ONCE // len(self.single))
            for some in (rest[i : i + step] for i in range(0, len(rest), step)):
                rows, candidates = self._multiply(centered[some], own[some])
                self._choose(nearest, queries, some[rows], candidates)
        return nearest, 2 * len(rest) < len(queries)

    def _choose(self, nearest: Nearest, queries: Float64s, rows: Int64s, candidates: Int64s) -> None:
        """Set the nearest of some queries, given all of their candidates."""
        distances = self._measure(queries, rows, candidates)
        order, is_near = merge_nearest(rows, candidates, distances, self.k)
        chosen = order[is_near]
        rows = rows[chosen]
        place = np.arange(len(rows)) - np.searchsorted(rows, rows)
        nearest.positions[rows, place] = candidates[chosen]
        nearest.distances[rows, place] = distances[chosen]

    def _multiply(self, centered: Float32s, own: Int64s) -> tuple[Int64s, Int64s]:
        """Find pairs of a query and a reference by all products: those that may be near, and few others."""
        products = self.squares - 2 * (centered @ self.single.T)
        has_own = np.flatnonzero(own >= 0)
        products[has_own, own[has_own]] = np.inf
        is_far = products > self._find_limits(products, centered)[:, None].astype(np.float32)
        is_far[has_own, own[has_own]] = True
        rows, candidates = np.nonzero(~is_far)
        return rows, candidates

    def _find_limits(self, products: Float32s, centered: Float32s) -> Float64s:
        """Find limits that the products of the k nearest rows of each query do not exceed.

        References are dealt to some groups. The k-th lowest of the least products of the groups is one that
        k of the products do not exceed; what single precision may hide is added.
        """
        num = products.shape[1]
        groups = max(GROUPS_PER_NEIGHBOR * self.k, num // GROUP)
        if num < 2 * groups:
            return np.full(len(products), np.inf)
        whole = num // groups * groups
        least = products[:, :whole].reshape(len(products), -1, groups).min(axis=1)
        least.partition(self.k - 1, axis=1)
        squares = (centered.astype(np.float64) ** 2).sum(axis=1)
        kth = least[:, self.k - 1] + squares
        return np.asarray(self.limits.find(kth, squares) - squares)

    def _measure(self, queries: Float64s, rows: Int64s, candidates: Int64s) -> Float64s:
        """Measure the distances of pairs of a query and a reference."""
        distances = np.empty(len(rows))
        step = max(1, VALUES_AT_ONCE // (4 * max(queries.shape[1], 1)))
        for i in range(0, len(rows), step):
            part = slice(i, i + step)
            difference = self.references[candidates[part]] - queries[rows[part]]
            distances[part] = _find_lengths(difference)
        if self.metric == EUCLIDEAN:
            return round_distances(distances)
        halved = distances**2 / 2  # |a - b|^2 = 2 - 2 cos, where both have length 1
        return round_distances(np.where(halved < COSINE_ZERO, 0.0, halved))


def _find_center(rows: Float64s) -> Float64s:
    """Find the medians of rows, which few far rows do not move."""
    middle = len(rows) // 2
    return np.asarray(np.partition(rows, middle, axis=0)[middle])


def _find_width(centered: Float64s) -> float:
    """Find the median of the widths of rows, of those at the center apart: few far rows do not move it."""
    widths = np.abs(centered).max(axis=1, initial=0)
    widths = widths[widths != 0]
    return float(np.partition(widths, len(widths) // 2)[len(widths) // 2]) if len(widths) else 1.0


def _to_single(rows: Float64s, center: Float64s, width: float) -> Float32s:
    """Turn rows into single precision, centered, divided, and cut to what `ProposalLimits` allow for."""
    centered = rows - center
    centered /= width
    return np.clip(centered, -FAR, FAR, out=centered).astype(np.float32)


def _find_lengths(rows: Float64s) -> Float64s:
    """Find the lengths of rows, also of those whose squares overflow or vanish.

    These are scaled by powers of two, which changes no digit.
    """
    with np.errstate(over="ignore", under="ignore"):
        squares = (rows * rows).sum(axis=1)
    lengths = np.sqrt(squares)
    is_extreme = ~((squares > 1e-280) & (squares < 1e280))
    if is_extreme.any():
        extreme = rows[is_extreme]
        _, exponent = np.frexp(np.abs(extreme).max(axis=1))
        scaled = np.ldexp(extreme, -exponent[:, None])
        lengths[is_extreme] = np.ldexp(np.sqrt((scaled * scaled).sum(axis=1)), exponent)
    return np.asarray(lengths)


def merge_nearest(queries: Int64s, ranks: Int64s, distances: Float64s, k: int) -> tuple[Int64s, Bools]:
    """Choose the k nearest of each query among neighbors that were found in several parts.

    Args:
        queries: (n,) the query that each neighbor is of, from 0.
        ranks: (n,) where the neighbor's id stands in the order of ids.
        distances: (n,) rounded distances.
        k: how many.

    Returns:
        (n,) an order of the neighbors, by query, distance and rank; and (n,) whether the neighbor at each
        place of this order is among the k nearest.

    Example:
        >>> order, is_near = merge_nearest(np.array([1, 0, 1]), np.array([5, 4, 3]), np.array([2.0, 1, 2]), 1)
        >>> order[is_near].tolist()
        [1, 2]
    """
    order = np.lexsort((ranks, distances, queries))
    of_query = queries[order]
    starts = np.flatnonzero(np.r_[True, of_query[1:] != of_query[:-1]])
    place = np.arange(len(order)) - np.repeat(starts, np.diff(np.r_[starts, len(order)]))
    return order, place < k
