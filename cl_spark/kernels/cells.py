"""Cells: parts of space around centroids, so that near rows are looked for in few of them."""

from dataclasses import dataclass

import numpy as np

from cl_spark.kernels.arrays import Float64s, Floats, Int64s

ROUNDS = 6
"""Rounds of k-means; more hardly change which cells are near."""

VALUES_AT_ONCE = 2_000_000

USUAL, ROOM = 0.99, 16.0
"""The grid reaches so many times as far as this share of the sample's numbers: few huge ones do not make
its steps wide.
"""


@dataclass(frozen=True)
class Cells:
    """Centroids on a grid of whole numbers, so that no distance to them depends on how it is summed.

    Attributes:
        offset: (d,) the origin of the grid.
        scale: the width of its steps.
        reach: largest whole number of a coordinate; what is beyond is cut to it.
        centroids: (C, d) whole numbers, which single precision holds.
    """

    offset: Float64s
    scale: float
    reach: float
    centroids: Floats

    def __len__(self) -> int:
        return len(self.centroids)

    def nearest(self, rows: Floats, number: int) -> Int64s:
        """Find the nearest cells of each row.

        Args:
            rows: (n, d) features.
            number: m, how many.

        Returns:
            (n, m) cells, the nearest first; equally near ones by their number.
        """
        step = max(1, VALUES_AT_ONCE // max(len(self), rows.shape[1]))
        parts = [self._nearest(rows[i : i + step], number) for i in range(0, len(rows), step)]
        return np.concatenate(parts) if parts else np.zeros((0, number), dtype=np.int64)

    def _nearest(self, rows: Floats, number: int) -> Int64s:
        grid = _to_grid(np.asarray(rows, dtype=np.float64), self.offset, self.scale, self.reach)
        # whole numbers below 2^53: exact in any order of summing
        centroids = self.centroids.astype(np.float64)
        distances = (centroids**2).sum(axis=1) - 2 * (grid @ centroids.T)
        if number == 1:
            return np.asarray(distances.argmin(axis=1)[:, None])
        if number < len(self):
            bound = np.partition(distances, number - 1, axis=1)[:, number - 1 : number]
            distances = np.where(distances <= bound, distances, np.inf)
        return np.argsort(distances, axis=1, kind="stable")[:, :number]


def _to_grid(rows: Float64s, offset: Float64s, scale: float, reach: float) -> Float64s:
    return np.asarray(np.clip(np.rint((rows - offset) / scale), -reach, reach))


def find_cells(sample: Floats, number: int) -> Cells:
    """Find cells by k-means on a sample.

    Args:
        sample: (s, d) features, in an order that does not change.
        number: how many cells; fewer where the sample has fewer different rows.

    Example:
        >>> cells = find_cells(np.array([[0.0, 0], [0, 1], [9, 9], [9, 8]]), 2)
        >>> cells.nearest(np.array([[0.0, 0.4], [8, 8]]), 1).ravel().tolist() in ([0, 1], [1, 0])
        True
    """
    values = np.asarray(sample, dtype=np.float64)
    offset = np.median(values, axis=0)
    single = (values - offset).astype(np.float32)
    different = np.unique(single, axis=0)
    picked = np.random.default_rng(0).permutation(len(different))[:number]
    centroids = different[np.sort(picked)]
    for _ in range(ROUNDS):
        centroids = _move(single, centroids)
    bits = (49 - int(np.ceil(np.log2(max(values.shape[1], 2))))) // 2
    reach = float(2**bits)
    usual = float(np.quantile(np.abs(single), USUAL)) or float(np.abs(single).max())
    scale = usual * ROOM / reach or 1.0
    grid = _to_grid(centroids.astype(np.float64) + offset, offset, scale, reach)
    return Cells(offset, scale, reach, np.unique(grid, axis=0).astype(np.float32))


def _move(rows: Floats, centroids: Floats) -> Floats:
    """Move centroids to the means of their rows; those without rows go."""
    squares = (centroids**2).sum(axis=1)
    step = max(1, VALUES_AT_ONCE // len(centroids))
    nearest = [
        (squares - 2 * (rows[i : i + step] @ centroids.T)).argmin(axis=1) for i in range(0, len(rows), step)
    ]
    cell = np.concatenate(nearest)
    order = np.argsort(cell, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(cell[order]) > 0])
    sums = np.add.reduceat(rows[order].astype(np.float64), starts, axis=0)
    return np.asarray(sums / np.diff(np.r_[starts, len(rows)])[:, None], dtype=np.float32)
