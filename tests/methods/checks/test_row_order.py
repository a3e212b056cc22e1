"""The test of the order of rows, without Spark."""

import itertools

import numpy as np
import pytest

from cl_spark.methods.checks.row_order import OrderTest, estimate_p_value, find_statistic


def test_the_gaps_of_all_pairs_of_places_differ_from_chance_by_nothing() -> None:
    for num_rows in (2, 3, 10):
        gaps = [b - a for a, b in itertools.combinations(range(num_rows), 2)]
        assert find_statistic(np.array(gaps), num_rows) == pytest.approx(0, abs=1e-12)


def test_the_statistic_is_the_greatest_difference_of_two_distributions() -> None:
    rng = np.random.default_rng(1)
    gaps = rng.integers(1, 20, 30)
    all_gaps = np.array([b - a for a, b in itertools.combinations(range(20), 2)])
    differences = [abs((gaps <= x).mean() - (all_gaps <= x).mean()) for x in range(20)]
    assert find_statistic(gaps, 20) == pytest.approx(max(differences))


def test_values_by_chance_are_probable_and_others_are_not() -> None:
    chance = np.random.default_rng(2).normal(0.1, 0.01, 25)
    assert estimate_p_value(0.1, chance) == pytest.approx(0.5, abs=0.2)
    assert estimate_p_value(0.3, chance) < 1e-9
    assert estimate_p_value(0.0, chance) > 1 - 1e-9
    assert estimate_p_value(0.2, np.full(25, 0.1)) == 0
    assert OrderTest(0.3, 0.01).is_issue
    assert not OrderTest(0.1, 0.4).is_issue
