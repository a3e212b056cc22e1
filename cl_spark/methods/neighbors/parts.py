"""Parts of the work: which references and queries a Spark task compares."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from cl_spark.kernels.arrays import Floats, Int64s
from cl_spark.kernels.cells import Cells

BYTES_OF_PART = 2**26
"""Bytes of the references of a part: they are held in memory together, several times."""

WORK_OF_TASK = 2e10
"""Products of numbers in a Spark task, some ten seconds."""


@dataclass(frozen=True)
class PartLists:
    """A list of parts for each row.

    Attributes:
        lengths: (n,) how many.
        parts: the lists, one after the other.
    """

    lengths: Int64s
    parts: Int64s


class Parts(Protocol):
    """Says which parts a row is in. A reference and a query that are to be compared share one part."""

    def of_references(self, rows: Floats, hashes: Int64s) -> PartLists:
        """Find the parts of reference rows.

        Args:
            rows: (n, d) features.
            hashes: (n,) hashes of their ids, at least 0.
        """

    def of_queries(self, rows: Floats, hashes: Int64s) -> PartLists:
        """Find the parts of query rows."""


@dataclass(frozen=True)
class AllPairs:
    """Compares each query with each reference: parts are the squares of a grid.

    Attributes:
        num_slices: into how many slices the references are cut.
        num_groups: into how many groups the queries are.
    """

    num_slices: int
    num_groups: int

    @staticmethod
    def of(num_references: int, num_queries: int, dimension: int, element_bytes: int) -> "AllPairs":
        """Choose the grid by size."""
        slices = -(-num_references * dimension * element_bytes // BYTES_OF_PART)
        work = num_references * num_queries * dimension / WORK_OF_TASK
        return AllPairs(slices, max(int(-(-work // slices)), 1))

    def of_references(self, rows: Floats, hashes: Int64s) -> PartLists:
        """Put a reference into all squares of its slice."""
        parts = (hashes % self.num_slices * self.num_groups)[:, None] + np.arange(self.num_groups)
        return PartLists(np.full(len(rows), self.num_groups), parts.ravel())

    def of_queries(self, rows: Floats, hashes: Int64s) -> PartLists:
        """Put a query into all squares of its group."""
        parts = (hashes % self.num_groups)[:, None] + np.arange(self.num_slices) * self.num_groups
        return PartLists(np.full(len(rows), self.num_slices), parts.ravel())


@dataclass(frozen=True)
class NearCells:
    """Compares each query with the references of its nearest cells.

    Attributes:
        cells: the cells.
        counts: (C,) references of each cell.
        num_probes: m, in how many cells near rows are looked for; in more where these have too few rows.
        num_wanted: so many references at least.
        rows_of_part: a cell with more references is cut into several parts.
    """

    cells: Cells
    counts: Int64s
    num_probes: int
    num_wanted: int
    rows_of_part: int

    @property
    def _num_parts(self) -> Int64s:
        return np.maximum(-(-self.counts // self.rows_of_part), 1)

    @property
    def _first_part(self) -> Int64s:
        ends: Int64s = np.cumsum(self._num_parts)
        return ends - self._num_parts

    def of_references(self, rows: Floats, hashes: Int64s) -> PartLists:
        """Put a reference into a part of its nearest cell."""
        cell = self.cells.nearest(rows, 1)[:, 0]
        return PartLists(
            np.ones(len(rows), dtype=np.int64), self._first_part[cell] + hashes % self._num_parts[cell]
        )

    def of_queries(self, rows: Floats, hashes: Int64s) -> PartLists:
        """Put a query into all parts of its nearest cells."""
        lengths = np.full(len(rows), min(self.num_probes, len(self.cells)))
        near = self.cells.nearest(rows, int(lengths.max(initial=1)))
        is_short = self.counts[near].sum(axis=1) < self.num_wanted
        if is_short.any():
            seen = np.cumsum(self.counts[self.cells.nearest(rows[is_short], len(self.cells))], axis=1)
            lengths[is_short] = np.minimum((seen < self.num_wanted).sum(axis=1) + 1, len(self.cells))
            near = self.cells.nearest(rows, int(lengths.max()))
        is_probed = np.arange(near.shape[1]) < lengths[:, None]
        row, probed = np.nonzero(is_probed)[0], near[is_probed]
        num_parts = self._num_parts[probed]
        place = np.arange(num_parts.sum()) - np.repeat(np.cumsum(num_parts) - num_parts, num_parts)
        totals = np.bincount(row, weights=num_parts, minlength=len(rows)).astype(np.int64)
        return PartLists(totals, np.repeat(self._first_part[probed], num_parts) + place)
