"""Outlier scores: extremes, and rows with many classes."""

import numpy as np

from cl_spark.kernels import outlier_scores as kernel


def test_distances_of_nearly_zero_count_as_zero() -> None:
    tiny = np.array([0.0, 1e-15, 1e-9])
    assert kernel.distance_scores(tiny, 0.0, "cosine")[:2].tolist() == [1.0, 1.0]
    assert kernel.distance_scores(tiny, 0.0, "euclidean").tolist() == [1.0, 1.0, 1.0]


def test_generalized_entropy_takes_the_largest_hundred() -> None:
    probs = np.random.default_rng(0).dirichlet(np.ones(300), size=5)
    powers = np.exp(probs)
    softmax = np.sort(powers / powers.sum(axis=1, keepdims=True), axis=1)[:, -100:]
    expected = 1 - (softmax**0.1 * (1 - softmax) ** 0.1).sum(axis=1) / 100
    assert np.allclose(kernel.gen(probs), expected, rtol=1e-12)


def test_entropy_of_certain_rows_is_one() -> None:
    assert kernel.entropy(np.eye(3)).tolist() == [1.0, 1.0, 1.0]
