"""Candidates that a Spark task rules out, and rows on both sides of a cut."""

import numpy as np

from cl_spark.evidence.blocks import Block
from cl_spark.kernels.score_buckets import bucket_scores
from cl_spark.methods.classification.cuts import (
    BELOW_CUT,
    ELIGIBLE,
    GROUP,
    QUOTA,
    Candidates,
    CandidateTrimmer,
    CutBuckets,
    RowsUpToCuts,
)
from cl_spark.tables import columns as c


def entries(*found: tuple[int, int, float]) -> Candidates:
    group, row, score = zip(*found, strict=True)
    return Candidates(np.array(group), np.array(row), np.array(score))


def rows(found: Candidates) -> list[tuple[int, int]]:
    return list(zip(found.group.tolist(), found.row.tolist(), strict=True))


def test_candidates_beyond_the_quota_are_dropped_and_ties_stay() -> None:
    trimmer = CandidateTrimmer(np.array([2, 1]))
    found = trimmer.trim(entries((0, 0, 0.3), (0, 1, 0.1), (0, 2, 0.2), (0, 3, 0.2), (1, 0, 0.9)))
    assert rows(found) == [(0, 1), (0, 2), (0, 3), (1, 0)]


def test_earlier_blocks_rule_out_candidates_of_later_ones() -> None:
    trimmer = CandidateTrimmer(np.array([1, 5]))
    trimmer.trim(entries((0, 0, 0.2), (1, 0, 0.2)))
    assert rows(trimmer.trim(entries((0, 1, 0.3), (1, 1, 0.9)))) == [(1, 1)]
    assert rows(trimmer.trim(entries((0, 2, 0.1), (0, 3, 0.2)))) == [(0, 2)]


def test_rows_below_a_cut_come_once_and_those_at_it_are_not_to_come_again() -> None:
    block = Block(
        given=np.array([0, 0, 0], dtype=np.int32),
        predicted=np.array([1, 1, 0], dtype=np.int32),
        self_confidence=np.array([0.1, 0.2, 0.9]),
        max_prob=np.array([0.9, 0.8, 0.9]),
        second_max_prob=np.zeros(3),
        unlisted_max_prob=np.zeros(3),
        num_probs=2,
    )
    found = entries((0, 0, 0.1), (1, 0, 0.5), (0, 1, 0.5), (0, 2, 0.1), (1, 2, 0.5))
    cut = int(bucket_scores(np.array([0.5]))[0])
    cuts = CutBuckets(np.array([cut, cut]), np.array([1, 2]))
    kernel = RowsUpToCuts(lambda _: found, cuts, [c.GIVEN, c.EVIDENCE_SELF_CONFIDENCE], suspects_only=True)
    (batch,) = kernel(iter([block]))
    below = [row for row in batch.to_pylist() if row[GROUP] == BELOW_CUT]
    at_cut = [row for row in batch.to_pylist() if row[GROUP] != BELOW_CUT]
    assert [row[c.EVIDENCE_SELF_CONFIDENCE] for row in below] == [0.1]  # row 2 is no suspect
    assert [(row[GROUP], row[QUOTA], row[ELIGIBLE]) for row in at_cut] == [
        (1, 2, False),  # row 0 is chosen already
        (0, 1, True),
        (1, 2, False),  # row 2 fills the quota, but is no suspect
    ]
