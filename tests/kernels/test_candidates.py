"""Which votes count, and which classes may become the consensus, against loops over examples."""

import numpy as np
import pytest

from cl_spark.kernels.candidates import find_candidates, find_kept_votes


@pytest.mark.parametrize("seed", range(20))
def test_votes_that_count(seed: int) -> None:
    rng = np.random.default_rng(seed)
    votes = sorted(zip(*rng.integers(0, [[6], [3], [3]], (3, 40)).tolist(), strict=True))
    kept = []
    for i, (row, annotator, _) in enumerate(votes):
        of_pair = [label for other, who, label in votes if (other, who) == (row, annotator)]
        kept.append(len(set(of_pair)) == 1 and votes.index(votes[i]) == i)
    assert find_kept_votes(*(np.array(part) for part in zip(*votes, strict=True))).tolist() == kept


@pytest.mark.parametrize("seed", range(20))
def test_candidates_are_voted_for_or_gold_or_the_most_probable_others(seed: int) -> None:
    rng = np.random.default_rng(seed)
    probs = rng.integers(0, 4, (12, 5)) / 8  # many ties
    rows = np.sort(rng.integers(0, 12, 20))
    labels, gold = rng.integers(0, 5, 20), rng.integers(-1, 5, 12)
    expected = []
    for i in range(12):
        spoken = {int(k) for k in labels[rows == i]} | ({int(gold[i])} if gold[i] >= 0 else set())
        others = sorted((-probs[i, k], k) for k in range(5) if k not in spoken)
        best = [k for p, k in others if p == others[0][0]][:2]
        expected += [(i, k) for k in sorted(spoken | set(best))]
    found = find_candidates(probs, rows, labels, gold)
    assert list(zip(*(part.tolist() for part in found), strict=True)) == expected


def test_where_all_classes_have_votes_no_other_is_a_candidate() -> None:
    found = find_candidates(np.array([[0.5, 0.5]]), np.array([0, 0]), np.array([0, 1]), np.array([-1]))
    assert [part.tolist() for part in found] == [[0, 0], [0, 1]]
