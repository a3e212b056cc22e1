"""Pairs of a given class and another class, and the examples that pruning by noise rate may take for each."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa

from cl_spark.evidence.blocks import Block
from cl_spark.evidence.prob_formats import DenseProbs, ProbFormat
from cl_spark.kernels.arrays import Bools, Float64s, Floats, Int64s, Ints
from cl_spark.methods.classification.cuts import Candidates
from cl_spark.tables import columns as c

PAIR_PARTS = ("listed", "kept")
"""Parts of blocks that `PairCandidates` reads."""


@dataclass(frozen=True)
class PairEntries:
    """Probabilities of the other class of pairs, in m entries.

    Attributes:
        pair: (m,) positions of the pairs.
        row: (m,) rows of the block, whose given class is that of the pair.
        prob: (m,) probabilities of the other class.
    """

    pair: Int64s
    row: Int64s
    prob: Floats


@dataclass(frozen=True)
class Pairs:
    """P pairs (given class k, other class j) to find candidates for, sorted by (k, j).

    Attributes:
        num_classes: K.
        key: (P,) k times K plus j, ascending.
        number: (P,) group number of the candidates of each pair.
        limit: (P,) candidates with a higher score are not looked for.
        first: (K,) position of the first pair of each given class.
        size: (K,) number of pairs of each given class.
    """

    num_classes: int
    key: Int64s
    number: Int64s
    limit: Float64s
    first: Int64s
    size: Int64s

    @staticmethod
    def select(cells: pd.DataFrame, is_open: Bools, limit: Float64s, num_classes: int) -> "Pairs":
        """Select some of the off-diagonal cells as pairs.

        Args:
            cells: given and true class of each cell, sorted by both.
            is_open: which cells to select.
            limit: highest score of the candidates of each cell.
            num_classes: K.
        """
        number = np.flatnonzero(is_open)
        given, other = (cells[name].to_numpy(dtype=np.int64)[number] for name in (c.GIVEN, c.TRUE))
        size = np.bincount(given, minlength=num_classes)
        return Pairs(
            num_classes=num_classes,
            key=given * num_classes + other,
            number=number,
            limit=limit[number],
            first=np.cumsum(size) - size,
            size=size,
        )

    def by_given_class(self) -> dict[int, list[int]]:
        """List the other classes of the pairs of each given class that has any."""
        others = np.split(self.key % self.num_classes, self.first[1:])
        return {given: other.tolist() for given, other in enumerate(others) if len(other)}

    def match(self, given: Ints, row: Ints, class_index: Ints, prob: Floats) -> PairEntries:
        """Keep the entries (given class, row, other class, probability) that belong to one of the pairs."""
        key = given.astype(np.int64) * self.num_classes + class_index
        pair = np.minimum(np.searchsorted(self.key, key), len(self.key) - 1)
        belongs = self.key[pair] == key
        return PairEntries(pair[belongs], row[belongs], prob[belongs])


@dataclass(frozen=True)
class PairCandidates:
    """Candidate kernel: the rows of each pair (k, j) that the evidence knows, scored by ``p_k - p_j``.

    A row whose array is kept is a candidate of all pairs of its given class. Another one is a candidate of
    the pairs of its predicted class and of the classes it lists.

    Attributes:
        pairs: the pairs.
        prob_format: of kept arrays.
        suspects_only: find only suspects, and only scores below 0.
    """

    pairs: Pairs
    prob_format: ProbFormat
    suspects_only: bool

    def __call__(self, block: Block) -> Candidates:
        """Find the candidates of a block."""
        has_pairs = self.pairs.size[block.given] > 0
        if self.suspects_only:
            has_pairs &= block.suspects
        parts = self._read_kept(block, has_pairs), self._read_listed(block, has_pairs & block.without_array)
        pair = np.concatenate([part.pair for part in parts])
        row = np.concatenate([part.row for part in parts])
        prob = np.concatenate([part.prob for part in parts])
        score = block.self_confidence[row].astype(np.float64) - prob.astype(np.float64)
        is_candidate = score <= self.pairs.limit[pair]
        if self.suspects_only:
            is_candidate &= score < 0
        return Candidates(self.pairs.number[pair], row, score).take(is_candidate)

    def _read_listed(self, block: Block, chosen: Bools) -> PairEntries:
        """Read the predicted and the listed classes of some rows."""
        rows = np.flatnonzero(chosen)
        listed = block.listed.where(chosen[block.listed.row])
        row = np.concatenate([rows, listed.row])
        class_index = np.concatenate([block.predicted[rows], listed.class_index])
        prob = np.concatenate([block.max_prob[rows], listed.prob])
        return self.pairs.match(block.given[row], row, class_index, prob)

    def _read_kept(self, block: Block, chosen: Bools) -> PairEntries:
        """Read the kept arrays of some rows."""
        position = np.flatnonzero(chosen[block.kept.rows])
        # In a dense array one comparison finds the classes above the label, which are all that suspects are
        # asked for. In a sparse one absent classes may be above it.
        if self.suspects_only and isinstance(self.prob_format, DenseProbs):
            return self._read_above_given(self.prob_format, block, position)
        return self._read_all(block, position)

    def _read_all(self, block: Block, position: Int64s) -> PairEntries:
        """Read all pairs of the rows at some positions of the kept arrays."""
        given = block.given[block.kept.rows[position]]
        size = self.pairs.size[given]
        entry_position = np.repeat(position, size)
        offset = np.arange(len(entry_position)) - np.repeat(np.cumsum(size) - size, size)
        pair = np.repeat(self.pairs.first[given], size) + offset
        class_index = self.pairs.key[pair] % self.pairs.num_classes
        prob = self.prob_format.take_probs(block.kept.arrays, entry_position, class_index)
        return PairEntries(pair, block.kept.rows[entry_position], prob)

    def _read_above_given(self, prob_format: DenseProbs, block: Block, position: Int64s) -> PairEntries:
        """Read the pairs whose class has a higher probability than the given class."""
        rows, arrays = block.kept.rows[position], block.kept.arrays
        if len(rows) < len(arrays):
            arrays = arrays.take(pa.array(position))
        index, class_index, prob = prob_format.find_above(
            arrays, block.self_confidence[rows], self.pairs.num_classes
        )
        return self.pairs.match(block.given[rows[index]], rows[index], class_index, prob)
