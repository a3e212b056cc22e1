"""`fit_non_decreasing` against scikit-learn and at its edges."""

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression

from cl_spark.kernels.isotonic import fit_non_decreasing


@pytest.mark.parametrize("seed", range(20))
def test_the_fit_is_that_of_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    size = int(rng.integers(1, 300))
    means = np.round(rng.random(size) + rng.random() * np.linspace(0, 2, size), int(rng.integers(1, 6)))
    weights = rng.integers(1, 50, size).astype(float)
    expected = IsotonicRegression().fit_transform(np.arange(size), means, sample_weight=weights)
    fitted = fit_non_decreasing(means, weights)
    np.testing.assert_allclose(fitted, expected, atol=1e-12)
    assert (np.diff(fitted) >= 0).all()


def test_values_that_rise_stay_and_values_that_fall_become_their_mean() -> None:
    rising, falling, ones = np.array([0.1, 0.2, 0.7]), np.array([0.9, 0.4, 0.2]), np.ones(3)
    np.testing.assert_allclose(fit_non_decreasing(rising, ones), rising)
    np.testing.assert_allclose(fit_non_decreasing(falling, ones), [0.5] * 3)
    np.testing.assert_allclose(fit_non_decreasing(falling, np.array([1.0, 1.0, 2.0])), [0.425] * 3)


def test_nothing_is_fitted_to_nothing() -> None:
    assert fit_non_decreasing(np.empty(0), np.empty(0)).tolist() == []


def test_ten_thousand_falling_means_are_quick() -> None:
    fitted = fit_non_decreasing(np.linspace(1, 0, 10_000), np.ones(10_000))
    np.testing.assert_allclose(fitted, 0.5)
