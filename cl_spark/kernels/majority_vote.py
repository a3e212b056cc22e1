"""Majority vote, with ties decided by what models and other examples tell (specification, section 13)."""

from dataclasses import dataclass

import numpy as np

from cl_spark.kernels.arrays import Bools, Float64s, Int64s
from cl_spark.kernels.votes import VoteBlock, narrow_to_highest


@dataclass(frozen=True)
class TieBreak:
    """Criteria that decide between classes with equally many votes.

    Attributes:
        class_votes: (K,) votes for each class in the whole table: the class with fewer wins.
        agreement: (annotators,) share of examples decided by their votes alone on which an annotator agrees
            with the majority: the class whose voters agree most wins.
    """

    class_votes: Int64s
    agreement: Float64s


def find_most_voted(block: VoteBlock) -> Bools:
    """Mark the candidates with the most votes of their example: (c,)."""
    return block.is_highest(block.counts)


def decide_majority(block: VoteBlock, tie_break: TieBreak) -> Int64s:
    """Find the class with the most votes of each example.

    Ties go to the tied class of the highest predicted probability (mean of the models), then to the class
    with the fewest votes in the whole table, then to the class whose voters agree most with the majority
    elsewhere, then to the lower class.

    Args:
        block: the examples; each has votes.
        tie_break: what decides ties beyond the models.

    Returns:
        (n,) classes. A gold answer takes the place of the vote.
    """
    marked = find_most_voted(block)
    marked = narrow_to_highest(block, marked, block.probs.sum(axis=1))
    if (block.count_marked(marked) > 1).any():
        marked = narrow_to_highest(block, marked, -tie_break.class_votes[block.candidates].astype(float))
        agreements = np.bincount(
            block.vote_candidates,
            weights=tie_break.agreement[block.annotators],
            minlength=len(block.candidates),
        )
        marked = narrow_to_highest(block, marked, agreements / np.maximum(block.counts, 1))
    classes = block.first_by_row(marked)
    return np.where(block.gold >= 0, block.gold, classes)
