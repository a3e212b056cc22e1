"""Temperature scaling against the sums written out, and against scipy's softmax."""

import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from cl_spark.kernels.temperature import COARSE, LEAST_PROB, cross_entropies, find_fine_grid, scale


@pytest.mark.parametrize("temperature", [0.1, 1.0, 5.0])
def test_scaled_probabilities_are_the_softmax_of_their_logarithms(temperature: float) -> None:
    probs = np.random.default_rng(1).dirichlet(np.ones(4), 30)
    np.testing.assert_allclose(scale(probs, temperature), softmax(np.log(probs) / temperature, axis=1))
    np.testing.assert_allclose(scale(probs, 1.0), probs)


def test_no_probability_of_0_makes_a_number_that_is_none() -> None:
    scaled = scale(np.array([[0.0, 1.0], [0.0, 0.0]]), 2.0)
    np.testing.assert_allclose(scaled, [[LEAST_PROB**0.5, 1.0], [0.5, 0.5]], atol=1e-20)
    found = cross_entropies(np.array([[0.0, 1.0]]), np.array([0]), np.array([0]), 1.0)
    np.testing.assert_allclose(found, [-np.log(LEAST_PROB) / np.log(2)])


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_cross_entropies_are_means_over_votes(temperature: float) -> None:
    rng = np.random.default_rng(2)
    probs = rng.dirichlet(np.ones(3), 10)
    rows = np.concatenate([np.arange(10), rng.integers(0, 10, 25)])
    labels = rng.integers(0, 3, len(rows))
    logs = log_softmax(np.log(probs) / temperature, axis=1)
    expected = [-logs[i, labels[rows == i]].mean() / np.log(3) for i in range(10)]
    np.testing.assert_allclose(cross_entropies(probs, rows, labels, temperature), expected)


@pytest.mark.parametrize("best", COARSE)
def test_the_fine_grid_holds_the_best_coarse_one_and_its_neighbours(best: float) -> None:
    grid, at = find_fine_grid(best), COARSE.index(best)
    assert best in grid
    assert min(grid) == COARSE[max(at - 1, 0)]
    assert max(grid) == COARSE[min(at + 1, len(COARSE) - 1)]
    assert grid == sorted(grid)
