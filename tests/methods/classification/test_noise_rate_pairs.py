"""Candidates of pairs of classes, from listed classes and from kept arrays."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from cl_spark.evidence.blocks import Block, BlockParts, KeptArrays
from cl_spark.evidence.prob_formats import DenseProbs, ProbFormat, SparseProbs
from cl_spark.kernels.row_evidence import ListedProbs
from cl_spark.methods.classification.noise_rate_pairs import PairCandidates, Pairs
from cl_spark.tables import columns as c

PROBS = np.array(
    [
        [0.2, 0.5, 0.3],  # array kept
        [0.3, 0.1, 0.6],  # predicted class 2, lists class 0 only
        [0.6, 0.3, 0.1],  # no suspect, array kept
        [0.1, 0.1, 0.8],  # of class 2, which has no pairs
    ]
)
GIVEN = np.array([0, 0, 0, 2], dtype=np.int32)
DENSE = pa.array(PROBS[[0, 2]].tolist())
SPARSE = pa.array([[(0, 0.2), (1, 0.5), (2, 0.3)], [(0, 0.6), (1, 0.3)]], pa.map_(pa.int32(), pa.float64()))


def block(arrays: pa.Array) -> Block:
    order = np.sort(PROBS, axis=1)
    return Block(
        given=GIVEN,
        predicted=PROBS.argmax(axis=1).astype(np.int32),
        self_confidence=PROBS[np.arange(4), GIVEN],
        max_prob=order[:, -1],
        second_max_prob=order[:, -2],
        unlisted_max_prob=np.full(4, 0.2),
        num_probs=3,
        parts=BlockParts(
            listed=ListedProbs(np.array([1], dtype=np.int32), np.array([0], dtype=np.int32), np.array([0.3])),
            kept=KeptArrays(np.array([0, 2]), arrays),
        ),
    )


def pairs(*limits: float) -> Pairs:
    cells = pd.DataFrame({c.GIVEN: [0, 0, 1], c.TRUE: [1, 2, 0]})
    limit = np.array(limits) if limits else np.full(3, np.inf)
    return Pairs.select(cells, np.ones(3, dtype=bool), limit, 3)


def candidates(kernel: PairCandidates, arrays: pa.Array) -> set[tuple[int, int, float]]:
    found = kernel(block(arrays))
    return set(zip(found.group.tolist(), found.row.tolist(), found.score.round(9).tolist(), strict=True))


FORMATS = [(DenseProbs("double"), DENSE), (SparseProbs("double", 3, 0.1), SPARSE)]


@pytest.mark.parametrize(("prob_format", "arrays"), FORMATS)
def test_rows_are_candidates_of_what_their_evidence_holds(prob_format: ProbFormat, arrays: pa.Array) -> None:
    of_suspects = PairCandidates(pairs(), prob_format, suspects_only=True)
    assert candidates(of_suspects, arrays) == {(0, 0, -0.3), (1, 0, -0.1), (1, 1, -0.3)}
    of_all = PairCandidates(pairs(), prob_format, suspects_only=False)
    assert candidates(of_all, arrays) == {(0, 0, -0.3), (1, 0, -0.1), (1, 1, -0.3), (0, 2, 0.3), (1, 2, 0.5)}


@pytest.mark.parametrize(("prob_format", "arrays"), FORMATS)
def test_scores_beyond_the_limit_of_a_pair_are_left_out(prob_format: ProbFormat, arrays: pa.Array) -> None:
    kernel = PairCandidates(pairs(-0.3, -0.2, np.inf), prob_format, suspects_only=False)
    assert candidates(kernel, arrays) == {(0, 0, -0.3), (1, 1, -0.3)}


def test_pairs_keep_their_numbers_when_some_are_selected() -> None:
    cells = pd.DataFrame({c.GIVEN: [0, 0, 1], c.TRUE: [1, 2, 0]})
    selected = Pairs.select(cells, np.array([False, True, True]), np.array([1.0, 2.0, 3.0]), 3)
    assert selected.number.tolist() == [1, 2]
    assert selected.key.tolist() == [2, 3]
    assert selected.limit.tolist() == [2.0, 3.0]
    assert (selected.first.tolist(), selected.size.tolist()) == ([0, 1, 2], [1, 1, 0])
