"""Majority votes with their tie-breaks, one after the other, against a loop over examples."""

import numpy as np
import pytest

from cl_spark.kernels.majority_vote import TieBreak, decide_majority, find_most_voted
from cl_spark.kernels.votes import NO_CLASS, VoteBlock

K, ANNOTATORS, MODELS = 4, 5, 2


def make_block(rng: np.random.Generator, size: int, levels: int) -> VoteBlock:
    """Examples of one to five votes whose candidates are all K classes; few levels make many ties."""
    voters = [np.sort(rng.permutation(ANNOTATORS)[: rng.integers(1, ANNOTATORS + 1)]) for _ in range(size)]
    annotators = np.concatenate(voters)
    return VoteBlock(
        vote_offsets=np.concatenate([[0], np.cumsum([len(who) for who in voters])]),
        annotators=annotators,
        labels=rng.integers(0, K, len(annotators)),
        candidate_offsets=np.arange(size + 1) * K,
        candidates=np.tile(np.arange(K), size),
        probs=rng.integers(0, levels, (size * K, MODELS)) / 4,
        has_prediction=np.full(size, True),
        gold=np.where(rng.random(size) < 0.1, rng.integers(0, K, size), NO_CLASS),
    )


@pytest.mark.parametrize("levels", [1, 2, 1000])
@pytest.mark.parametrize("seed", range(10))
def test_ties_go_to_the_model_then_the_rarer_class_then_the_better_voters(seed: int, levels: int) -> None:
    rng = np.random.default_rng(seed)
    block = make_block(rng, 60, levels)
    tie_break = TieBreak(rng.integers(0, 2, K), rng.integers(0, 3, ANNOTATORS) / 2)
    found, most_voted = decide_majority(block, tie_break), find_most_voted(block).reshape(-1, K)
    for i in range(block.size):
        of_example = slice(block.vote_offsets[i], block.vote_offsets[i + 1])
        labels, who = block.labels[of_example], block.annotators[of_example]
        counts = np.bincount(labels, minlength=K)
        assert most_voted[i].tolist() == (counts == counts.max()).tolist()
        voters = [tie_break.agreement[who[labels == k]] for k in range(K)]
        agreement = [part.mean() if len(part) else 0 for part in voters]
        probs = block.probs[i * K : (i + 1) * K].sum(axis=1)
        places = [(counts[k], probs[k], -tie_break.class_votes[k], agreement[k], -k) for k in range(K)]
        expected = places.index(max(places)) if block.gold[i] == NO_CLASS else block.gold[i]
        assert found[i] == expected
