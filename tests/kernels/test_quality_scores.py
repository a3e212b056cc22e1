"""Label quality scores are those of their formulas, row by row."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cl_spark.kernels.quality_scores import (
    METHODS,
    adjust_probs,
    confidence_weighted_entropy,
    threshold_cosine,
)

RNG = np.random.default_rng(5)
PROBS = RNG.dirichlet(np.ones(4), 50)
LABELS = RNG.integers(0, 4, 50).astype(np.int32)


def score(method: str, label: int, row: list[float]) -> float:
    """The score of one row in plain Python."""
    if method == "self_confidence":
        return row[label]
    if method == "normalized_margin":
        return (row[label] - max(p for k, p in enumerate(row) if k != label) + 1) / 2
    entropy = -sum(p * math.log(p) for p in row if p > 0) / math.log(len(row))
    weighted = entropy / max(row[label], 1e-6)
    return math.log1p(weighted) / max(weighted, 1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_scores_are_those_of_single_rows(method: str) -> None:
    expected = [score(method, label, row) for label, row in zip(LABELS.tolist(), PROBS.tolist(), strict=True)]
    np.testing.assert_allclose(METHODS[method](LABELS, PROBS), expected, rtol=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_scores_leave_their_input_as_it_is(method: str) -> None:
    before = PROBS.copy()
    METHODS[method](LABELS, PROBS)
    assert np.array_equal(PROBS, before)


def test_entropy_of_a_one_hot_row_is_the_worst_score() -> None:
    one_hot = np.eye(3)
    assert confidence_weighted_entropy(np.arange(3), one_hot).tolist() == [0, 0, 0]


@pytest.mark.parametrize("value", [-0.1, 1.1])
def test_entropy_is_of_probabilities_only(value: float) -> None:
    with pytest.raises(ValueError, match=r"entropy needs values in \[0, 1\]"):
        confidence_weighted_entropy(np.array([0]), np.array([[value, 0.5]]))


def test_adjusted_rows_sum_to_one_and_lose_the_thresholds() -> None:
    thresholds = np.array([0.9, 0.3, 0.5, 0.7])
    adjusted = adjust_probs(PROBS, thresholds)
    np.testing.assert_allclose(adjusted.sum(axis=1), 1)
    shifted = PROBS - thresholds + 0.9
    np.testing.assert_allclose(adjusted, shifted / shifted.sum(axis=1, keepdims=True))


@settings(max_examples=500, deadline=None, database=None, derandomize=True)
@given(
    rows=st.integers(2, 6).flatmap(
        lambda k: st.lists(
            st.lists(st.floats(-1e6, 1e6, width=32), min_size=k, max_size=k), min_size=1, max_size=6
        )
    ),
    seed=st.integers(0, 2**16),
)
def test_scores_take_any_finite_rows(rows: list[list[float]], seed: int) -> None:
    probs = np.asarray(rows, dtype=np.float64)
    labels = np.random.default_rng(seed).integers(0, probs.shape[1], len(probs)).astype(np.int32)
    for name in ("self_confidence", "normalized_margin"):
        found = METHODS[name](labels, probs)
        assert found.shape == (len(probs),)
        assert np.isfinite(found).all()


def test_the_cosine_lies_between_0_and_1() -> None:
    probs = np.array([[-1e-6, 1.0], [0.0, 0.0], [1.0, 0.0]])
    scores = threshold_cosine(np.array([0, 0, 0]), probs, np.array([2e-6, 1.0]))
    assert scores.tolist() == [0, 0, 1]
