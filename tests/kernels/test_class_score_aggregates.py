"""Moving averages and softmins of class scores against sums written out, from whole rows and from entries."""

import numpy as np
import pytest

from cl_spark.kernels.class_score_aggregates import Aggregate, MovingAverage, ScoreEntries, Softmin


def average(scores: list[float], alpha: float | None) -> float:
    """The definition: from the best score to the worst, ``a = alpha s + (1 - alpha) a``."""
    alpha = 2 / (len(scores) + 1) if alpha is None else alpha
    best, *others = sorted(scores, reverse=True)
    value = best
    for score in others:
        value = alpha * score + (1 - alpha) * value
    return value


@pytest.mark.parametrize("alpha", [0.8, 0.1, None, 0.0, 1.0])
@pytest.mark.parametrize("num_classes", [1, 2, 7, 400])
def test_a_moving_average_is_its_recursion(num_classes: int, alpha: float | None) -> None:
    scores = np.random.default_rng(3).random((20, num_classes)).round(2)
    expected = [average(row, alpha) for row in scores.tolist()]
    np.testing.assert_allclose(MovingAverage(alpha).of_matrix(scores), expected, atol=1e-12)


def test_a_softmin_is_its_weighted_mean() -> None:
    scores = np.random.default_rng(4).random((20, 5))
    weights = np.exp((1 - scores) / 0.3)
    expected = (weights * scores).sum(axis=1) / weights.sum(axis=1)
    np.testing.assert_allclose(Softmin(0.3).of_matrix(scores), expected)
    assert Softmin(1e-6).of_matrix(scores) == pytest.approx(scores.min(axis=1))


@pytest.mark.parametrize(
    "aggregate", [MovingAverage(), MovingAverage(None), MovingAverage(1.0), Softmin(), Softmin(2.0)]
)
@pytest.mark.parametrize("absent", [1.0, 0.5, 0.0])
def test_entries_say_what_whole_rows_say(aggregate: Aggregate, absent: float) -> None:
    rng = np.random.default_rng(5)
    matrix = np.where(rng.random((30, 12)) < 0.3, rng.random((30, 12)).round(1), absent)
    matrix[0], matrix[1] = absent, rng.random(12)  # no entry, and nothing but entries
    listed = (matrix != absent) | (rng.random(matrix.shape) < 0.1)  # an entry may be as all others are
    listed[0], listed[1] = False, True
    row, column = np.nonzero(listed)
    entries = ScoreEntries(row, matrix[row, column], 30, 12, absent)
    np.testing.assert_allclose(aggregate.of_entries(entries), aggregate.of_matrix(matrix), atol=1e-12)
