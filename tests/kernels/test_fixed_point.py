"""Sums of limbs are exact, whatever the order of their terms."""

from fractions import Fraction

import numpy as np
import pytest

from cl_spark.kernels.fixed_point import LIMB, exact_mean, split_limbs


def mean(values: np.ndarray) -> float:
    return exact_mean(*(int(limb.sum()) for limb in split_limbs(values)), len(values))


@pytest.mark.parametrize("scale", [1.0, 1e-12, 1e6])
def test_means_do_not_depend_on_the_order_of_addition(scale: float) -> None:
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.random(3000), 1 + rng.random(3000), 1 - rng.random(3000) * 1e-12]) * scale
    exact = float(sum(map(Fraction, values.tolist())) / len(values))
    found = {mean(rng.permutation(values)) for _ in range(3)}
    assert len(found) == 1
    assert found.pop() == pytest.approx(exact, abs=2.0**-59)


def test_limbs_are_whole_numbers_within_their_bounds() -> None:
    edges = [0.0, 1.0, -1.0, 0.5, 1 - 2.0**-53, -(2.0**-60), 2.0**-58, LIMB - 1, 1 - LIMB]
    whole, high, low = split_limbs(np.array(edges))
    for limb in (whole, high, low):
        assert (limb == np.rint(limb)).all()
    assert ((high >= 0) & (high <= LIMB)).all()
    assert ((low >= 0) & (low <= LIMB)).all()
    joined = [
        Fraction(w) + Fraction(h) / 2**29 + Fraction(x) / 2**58
        for w, h, x in zip(whole, high, low, strict=True)
    ]
    assert all(abs(ours - Fraction(x)) <= Fraction(1, 2**59) for ours, x in zip(joined, edges, strict=True))


def test_a_mean_is_rounded_once() -> None:
    assert exact_mean(1, 0, 0, 3) == 1 / 3
    assert exact_mean(10**18, 2**60, 2**60, 10**10) == float(
        (10**18 + Fraction(2**60, 2**29) + Fraction(2**60, 2**58)) / 10**10
    )


def test_scores_between_minus_one_and_zero_are_rounded_a_little_more() -> None:
    values = -np.random.default_rng(1).random(3000)
    exact = float(sum(map(Fraction, values.tolist())) / len(values))
    assert mean(values) == mean(values[::-1]) == pytest.approx(exact, abs=2.0**-54)
