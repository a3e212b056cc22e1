"""Weights of examples that make up for wrong labels, without Spark."""

import numpy as np
import pytest

from cl_spark.methods.learning.weights import importance_weights, invert_noise


@pytest.mark.parametrize("size", [1, 7])
def test_a_weight_depends_on_its_row_alone(size: int) -> None:
    random, classes = np.random.default_rng(0), 100
    noise = random.dirichlet(np.ones(classes), classes).T
    inverse = invert_noise(0.7 * np.eye(classes) + 0.3 * noise)
    probs, given = random.dirichlet(np.ones(classes), 50), random.integers(0, classes, 50)
    whole = importance_weights(probs, given, inverse)
    parts = [slice(start, start + size) for start in range(0, 50, size)]
    by_part = [importance_weights(probs[rows], given[rows], inverse) for rows in parts]
    np.testing.assert_array_equal(np.concatenate(by_part), whole)
