"""Noise rates and priors, computed by hand for two classes."""

import numpy as np
import pandas as pd
import pytest

from cl_spark.errors import ConfigurationError
from cl_spark.methods.classification.cells import CellTable
from cl_spark.methods.classification.noise import (
    HIGHEST_RATE,
    PRIOR_METHODS,
    CountShares,
    NormalizedRates,
    divide_by_class_totals,
    estimate_noise_rates,
    estimate_prior,
    solve_for_prior,
)
from cl_spark.tables import columns as c

COUNTS = [(0, 0, 6), (0, 1, 4), (1, 0, 2), (1, 1, 8)]


def table(*cells: tuple[int, int, int], classes: int = 2) -> CellTable:
    frame = pd.DataFrame(cells, columns=[c.GIVEN, c.TRUE, c.COUNT])
    return CellTable(None, classes, frame)  # no session: nothing here is on a cluster


def rates_of(cells: CellTable) -> dict[tuple[int, int], tuple[float, float]]:
    columns = [cells.frame[name] for name in (c.GIVEN, c.TRUE, c.NOISE_RATE, c.INVERSE_NOISE_RATE)]
    return {(given, true): rates for given, true, *rates in zip(*columns, strict=True)}


def test_rates_are_shares_of_the_true_class_and_of_the_given_class() -> None:
    rates = rates_of(estimate_noise_rates(table(*COUNTS)))
    assert rates == {
        (0, 0): pytest.approx([6 / 8, 6 / 10]),
        (0, 1): pytest.approx([4 / 12, 4 / 10]),
        (1, 0): pytest.approx([2 / 8, 2 / 10]),
        (1, 1): pytest.approx([8 / 12, 8 / 10]),
    }


def test_rates_off_the_diagonal_are_clipped_before_they_are_normalised() -> None:
    cells = table((0, 1, 10), (1, 1, 0))
    clipped = rates_of(divide_by_class_totals(cells, HIGHEST_RATE))
    assert clipped[0, 1] == pytest.approx([0.9999, 0.9999], abs=0)
    assert rates_of(divide_by_class_totals(cells, 1.0))[0, 1] == pytest.approx([1, 1], abs=0)
    assert rates_of(estimate_noise_rates(cells))[0, 1] == pytest.approx([1, 1])


def test_rates_on_the_diagonal_are_not_clipped() -> None:
    cells = pd.DataFrame({c.GIVEN: [0, 0], c.TRUE: [0, 1], c.COUNT: [5, 5]})
    shares = CountShares(np.array([5.0, 1.0]), np.array([5.0, 5.0]), 0.9)(cells)
    assert shares[c.NOISE_RATE].tolist() == [1, 0.9]
    assert shares[c.INVERSE_NOISE_RATE].tolist() == [1, 0.9]


def test_normalised_rates_sum_to_one_by_true_class_and_by_given_class() -> None:
    cells = pd.DataFrame({c.GIVEN: [0, 1, 1], c.TRUE: [1, 0, 1]})
    cells[c.NOISE_RATE], cells[c.INVERSE_NOISE_RATE] = [0.2, 0.5, 0.3], [0.9, 0.2, 0.6]
    kernel = NormalizedRates(given_totals=np.array([0.9, 0.8]), true_totals=np.array([0.5, 0.5]))
    normal = kernel(cells)
    assert normal.groupby(c.TRUE)[c.NOISE_RATE].sum().tolist() == pytest.approx([1, 1])
    assert normal.groupby(c.GIVEN)[c.INVERSE_NOISE_RATE].sum().tolist() == pytest.approx([1, 1])


@pytest.mark.parametrize(
    ("method", "weights"),
    [
        # p(true = k | given = k) p(given = k) / p(given = k | true = k)
        ("cnt", [0.6 * 0.4 / 0.75, 0.8 * 0.6 / (2 / 3)]),
        # 3/4 x + 1/3 y = 0.4 and 1/4 x + 2/3 y = 0.6
        ("eqn", [4 / 25, 21 / 25]),
        ("marginal", [8, 12]),
        ("marginal_ps", [0.6 * 0.4 + 0.2 * 0.6, 0.4 * 0.4 + 0.8 * 0.6]),
    ],
)
def test_a_prior_is_estimated_from_the_joint_and_the_shares_of_the_given_labels(
    method: str, weights: list[float]
) -> None:
    prior = estimate_prior(table(*COUNTS), np.array([40, 60]), method)
    assert prior == pytest.approx(np.array(weights) / sum(weights))
    assert prior.sum() == pytest.approx(1)


@pytest.mark.parametrize("method", ["cnt", "marginal", "marginal_ps"])
def test_a_class_that_no_example_is_of_keeps_a_small_prior(method: str) -> None:
    prior = estimate_prior(table(*COUNTS, classes=3), np.array([40, 60, 0]), method)
    assert prior[2] == pytest.approx(1e-6, rel=0.1)
    assert prior.sum() == pytest.approx(1)


def test_a_prior_of_unknown_method_names_those_there_are() -> None:
    with pytest.raises(ConfigurationError, match=f"'no' is not a prior; .* {', '.join(PRIOR_METHODS)}"):
        estimate_prior(table(*COUNTS), np.array([40, 60]), "no")


def test_equations_without_one_solution_are_told() -> None:
    with pytest.raises(ConfigurationError, match="the noise matrix is singular"):
        estimate_prior(table(*COUNTS, classes=3), np.array([40, 60, 0]), "eqn")


def test_equations_of_too_many_classes_are_not_solved() -> None:
    with pytest.raises(ConfigurationError, match="a dense system of 2001 classes; the limit is 2000"):
        solve_for_prior(table(*COUNTS, classes=2_001), np.full(2_001, 1 / 2_001))
