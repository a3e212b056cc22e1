"""Memberships of dense and sparse rows: scores, suspects and counts, beside plain numpy and cleanlab."""

from typing import Any

import numpy as np
import pytest
from cleanlab.multilabel_classification import get_label_quality_scores
from hypothesis import given, settings
from hypothesis import strategies as st

from cl_spark.kernels.class_score_aggregates import Aggregate, MovingAverage, Softmin
from cl_spark.kernels.memberships import METHODS, ClassSums, DenseMemberships, Floors, SparseMemberships

AGGREGATES: dict[str, tuple[Aggregate, dict[str, Any]]] = {
    "average": (MovingAverage(), {"method": "exponential_moving_average", "alpha": 0.8}),
    "slow average": (MovingAverage(0.05), {"method": "exponential_moving_average", "alpha": 0.05}),
    "average by K": (MovingAverage(None), {"method": "exponential_moving_average", "alpha": None}),
    "worst": (MovingAverage(1.0), {"method": "exponential_moving_average", "alpha": 1.0}),
    "softmin": (Softmin(), {"method": "softmin", "temperature": 0.1}),
}


def make_rows(seed: int, size: int, classes: int) -> tuple[DenseMemberships, SparseMemberships, Any, Any]:
    """Make the same rows in both formats, their probabilities, and whether each class is given."""
    rng = np.random.default_rng(seed)
    probs = rng.random((size, classes))
    probs[probs < 0.4] = 0
    has = rng.random((size, classes)) < 0.3
    has[0], has[-1] = True, False
    row, class_index = np.nonzero(has)
    kept_row, kept_class = np.nonzero(has | (probs > 0))
    sparse = SparseMemberships(
        size, classes, kept_row, kept_class, probs[kept_row, kept_class], has[kept_row, kept_class]
    )
    return DenseMemberships(probs, row, class_index), sparse, probs, has


@pytest.mark.parametrize("name", AGGREGATES)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("classes", [2, 40])
def test_scores_are_those_of_cleanlab(name: str, method: str, classes: int) -> None:
    aggregate, options = AGGREGATES[name]
    dense, sparse, probs, has = make_rows(5, 200, classes)
    labels = [np.flatnonzero(row).tolist() for row in has]
    expected = get_label_quality_scores(labels, probs, method=method, aggregator_kwargs=options)
    for rows in (dense, sparse):
        assert np.abs(rows.score(method, aggregate) - expected).max() < 1e-9


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 60), st.integers(2, 12))
def test_both_formats_answer_as_plain_numpy(seed: int, size: int, classes: int) -> None:
    dense, sparse, probs, has = make_rows(seed, size, classes)
    of_given, other = np.where(has, probs, 1 - probs), np.where(has, 1 - probs, probs)
    raised = of_given + 1e-6
    suspect = (raised < other) | ((raised == other) & has)
    means = [
        [(1 - p)[~y].mean() if (~y).any() else 2, p[y].mean() if y.any() else 2]
        for p, y in zip(probs.T, has.T, strict=True)
    ]
    floors = Floors(*(np.maximum(means, 2e-6) - 1e-6).T)
    counts = np.zeros((classes, 2, 2), dtype=np.int64)
    for k in range(classes):
        for i in range(size):
            pair = (1 - probs[i, k], probs[i, k])
            sure = [j for j in (0, 1) if pair[j] >= (floors.has_not, floors.has)[j][k]]
            if sure:
                true = sure[0] if len(sure) == 1 else int(np.argmax(pair))
                counts[k, int(has[i, k]), true] += 1
    for rows in (dense, sparse):
        found = rows.find_suspects()
        assert list(zip(found.row, found.class_index, strict=True)) == list(
            zip(*np.nonzero(suspect), strict=True)
        )
        assert (found.given == has[suspect]).all()
        assert (found.prob == probs[suspect]).all()
        assert np.array_equal(rows.count_true(floors), counts)
        sums = ClassSums(classes)
        rows.add_to(sums)
        assert (sums.given == has.sum(axis=0)).all()
        total = sums.high / 2.0**29 + sums.low / 2.0**58
        assert np.allclose(total, probs.sum(axis=0), rtol=1e-14)
        of_has = sums.given_high / 2.0**29 + sums.given_low / 2.0**58
        assert np.allclose(of_has, np.where(has, probs, 0).sum(axis=0), rtol=1e-14)


def test_scores_of_a_row_do_not_depend_on_its_neighbours() -> None:
    _, sparse, probs, _ = make_rows(9, 60, 40)
    for aggregate, _ in AGGREGATES.values():
        together = sparse.score("self_confidence", aggregate)
        for i in range(len(probs)):
            mine = sparse.row == i
            alone = SparseMemberships(
                1,
                40,
                np.zeros(mine.sum(), dtype=np.int64),
                sparse.class_index[mine],
                sparse.prob[mine],
                sparse.given[mine],
            )
            assert alone.score("self_confidence", aggregate)[0] == together[i]
