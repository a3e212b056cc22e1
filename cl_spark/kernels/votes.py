"""Votes: the labels that several annotators gave the same examples, beside what models predict for them.

A block of examples is kept in flat arrays with offsets, as Arrow keeps lists. Of the K classes of an example
only its candidates are kept: those that a vote, a gold answer or the highest probability speaks for.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cl_spark.kernels.arrays import Bools, Float64s, Int64s

Numbers = Int64s | Float64s

NO_CLASS = -1
"""Class of what has none."""


@dataclass(frozen=True)
class VoteBlock:
    """n examples, their v votes and their c candidate classes, of M models.

    Attributes:
        vote_offsets: (n + 1,) where the votes of each example begin.
        annotators: (v,) codes of the annotators, ascending within an example.
        labels: (v,) classes that they chose.
        candidate_offsets: (n + 1,) where the candidates of each example begin; each example has some.
        candidates: (c,) classes, ascending within an example. All classes that are voted for are among them.
        probs: (c, M) predicted probabilities of the candidates; 0 where there is no prediction.
        has_prediction: (n,) whether the models predict the example.
        gold: (n,) classes that are known to be right, or `NO_CLASS`.
    """

    vote_offsets: Int64s
    annotators: Int64s
    labels: Int64s
    candidate_offsets: Int64s
    candidates: Int64s
    probs: Float64s
    has_prediction: Bools
    gold: Int64s

    @property
    def size(self) -> int:
        """Number of examples, n."""
        return len(self.has_prediction)

    @cached_property
    def num_votes(self) -> Int64s:
        """(n,) votes of each example."""
        return np.diff(self.vote_offsets)

    @cached_property
    def vote_rows(self) -> Int64s:
        """(v,) the example of each vote."""
        return np.repeat(np.arange(self.size), self.num_votes)

    @cached_property
    def candidate_rows(self) -> Int64s:
        """(c,) the example of each candidate."""
        return np.repeat(np.arange(self.size), np.diff(self.candidate_offsets))

    @cached_property
    def vote_candidates(self) -> Int64s:
        """(v,) the candidate that each vote is for, as a position in `candidates`."""
        return self.find_candidates(self.vote_rows, self.labels)

    @cached_property
    def counts(self) -> Int64s:
        """(c,) votes for each candidate."""
        return np.bincount(self.vote_candidates, minlength=len(self.candidates))

    def find_candidates(self, rows: Int64s, classes: Int64s) -> Int64s:
        """Find candidates by example and class, as positions in `candidates`; they have to be there."""
        width = int(self.candidates.max(initial=0)) + 1
        return np.searchsorted(self.candidate_rows * width + self.candidates, rows * width + classes)

    def max_by_row(self, values: Numbers) -> Numbers:
        """Find the highest of some values of candidates: (c,) -> (n,)."""
        highest: Numbers = np.maximum.reduceat(values, self.candidate_offsets[:-1]) if self.size else values
        return highest

    def sum_by_row(self, values: Float64s) -> Float64s:
        """Sum values of votes in the order of the annotators: (v,) -> (n,)."""
        return np.asarray(np.bincount(self.vote_rows, weights=values, minlength=self.size))

    def is_highest(self, values: Numbers) -> Bools:
        """Mark the candidates of highest value in their example: (c,) -> (c,)."""
        return np.asarray(values == self.max_by_row(values)[self.candidate_rows])

    def count_marked(self, marked: Bools) -> Int64s:
        """Count the marked candidates of each example: (c,) -> (n,)."""
        return np.bincount(self.candidate_rows[marked], minlength=self.size)

    def first_by_row(self, marked: Bools) -> Int64s:
        """Find the lowest class among the marked candidates of each example: (c,) -> (n,)."""
        classes = np.full(self.size, NO_CLASS, dtype=np.int64)
        positions = np.flatnonzero(marked)[::-1]  # the first is written last
        classes[self.candidate_rows[positions]] = self.candidates[positions]
        return classes

    def predicted(self, model: int) -> Int64s:
        """(n,) the class that a model finds most probable, or `NO_CLASS`. Ties go to the lower class."""
        classes = self.first_by_row(self.is_highest(self.probs[:, model]))
        return np.where(self.has_prediction, classes, NO_CLASS)


def narrow_to_highest(block: VoteBlock, marked: Bools, values: Float64s) -> Bools:
    """Keep of the marked candidates of each example those of highest value: (c,) -> (c,)."""
    among = np.where(marked, values, -np.inf)
    return marked & block.is_highest(among)
