"""Options of filters: each is checked when it is given, and belongs to some filters only."""

import numpy as np
import pandas as pd
import pytest

from cl_spark import ConfigurationError
from cl_spark.methods.classification.cells import CellTable
from cl_spark.methods.classification.cuts import QUOTA
from cl_spark.methods.classification.filters import FILTERS, PRUNING, FilterOptions, compute_removals
from cl_spark.tables import columns as c


@pytest.mark.parametrize("filter_by", FILTERS)
def test_every_filter_goes_without_options(filter_by: str) -> None:
    assert FilterOptions(filter_by).read_num_to_remove(3) is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"filter_by": "prune"}, "'prune' is not a filter; choose one of prune_by_noise_rate"),
        ({"frac_noise": 1.5}, r"must lie in \[0, 1\]"),
        ({"frac_noise": -0.1}, r"must lie in \[0, 1\]"),
        ({"min_examples_per_class": -1}, "must not be negative"),
        ({"num_issues": 5}, "num_issues has no effect with filter_by='prune_by_noise_rate'"),
        ({"filter_by": "low_self_confidence", "num_issues": -1}, "and not negative"),
        ({"filter_by": "low_self_confidence", "num_issues": 2.5}, "must be a whole number"),
        (
            {"filter_by": "low_self_confidence", "num_issues": "off_diagonal_custom"},
            "neither a number nor one",
        ),
        ({"filter_by": "confident_learning", "frac_noise": 0.5}, "frac_noise has no effect"),
        (
            {"filter_by": "off_diagonal", "num_to_remove_per_class": [1]},
            "num_to_remove_per_class has no effect",
        ),
        (
            {"filter_by": "confident_learning", "num_to_remove_per_class": np.array([1, 2])},
            "num_to_remove_per_class has no effect",
        ),
        (
            {"filter_by": "low_normalized_margin", "min_examples_per_class": 2},
            "min_examples_per_class has no",
        ),
    ],
)
def test_options_that_mean_nothing_are_rejected(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        FilterOptions(**options)


@pytest.mark.parametrize("filter_by", PRUNING)
def test_numbers_to_remove_are_whole_and_one_for_each_class(filter_by: str) -> None:
    options = FilterOptions(filter_by, num_to_remove_per_class=[2, 0, 1])
    assert options.read_num_to_remove(3).tolist() == [2, 0, 1]
    for numbers in ([1, 2], [1, 2, -3], [1.5, 2, 3], [[1, 2, 3]]):
        with pytest.raises(ConfigurationError, match="must be 3 whole numbers"):
            FilterOptions(filter_by, num_to_remove_per_class=numbers).read_num_to_remove(3)


def test_removal_counts_are_of_the_class_on_the_diagonal_and_of_pairs_off_it() -> None:
    cells = [(0, 0, 6), (0, 1, 3), (0, 2, 1), (1, 1, 5), (2, 2, 1)]
    calibrated = CellTable(None, 3, pd.DataFrame(cells, columns=[c.GIVEN, c.TRUE, c.COUNT]))
    counts = np.array([10, 5, 1])
    removals = compute_removals(calibrated, counts, FilterOptions())
    assert list(removals.frame) == [c.GIVEN, c.TRUE, QUOTA]
    assert removals.frame.to_numpy().tolist() == [[0, 0, 4], [0, 1, 3], [0, 2, 1]]
    halved = compute_removals(calibrated, counts, FilterOptions(frac_noise=0.5))
    assert halved.frame.to_numpy().tolist() == [[0, 0, 2], [0, 1, 1]]


@pytest.mark.parametrize("number", [5, np.int64(5), np.uint8(5)])
def test_a_number_of_issues_may_be_one_of_numpy(number: int) -> None:
    options = FilterOptions("low_self_confidence", num_issues=number)
    assert type(options.num_issues) is int
    assert options.num_issues == 5
