"""How a budget is parted among the strata."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cl_spark import ConfigurationError
from cl_spark.tasks.review_queue.sizes import Strata, check_options, find_sizes


@pytest.mark.parametrize(
    ("budget", "share", "issues", "unflagged", "expected"),
    [
        (100, 0.1, 500, 900, (80, 10, 10)),
        (100, 0.1, 90, 900, (90, 0, 10)),  # all issues fit
        (100, 0.1, 91, 900, (80, 10, 10)),
        (100, 0.0, 500, 900, (100, 0, 0)),
        (20, 0.01, 500, 900, (18, 1, 1)),  # at least one
        (1, 0.1, 500, 900, (0, 0, 1)),
        (10, 1.0, 500, 900, (0, 0, 10)),
        (10, 0.5, 500, 900, (0, 5, 5)),
        (100, 0.1, 500, 3, (87, 10, 3)),  # fewer examples that are no issues than are to be drawn
        (100, 0.1, 0, 900, (0, 0, 10)),
    ],
)
def test_a_budget_is_parted_among_the_strata(
    budget: int, share: float, issues: int, unflagged: int, expected: tuple[int, int, int]
) -> None:
    sizes = find_sizes(budget, share, num_issues=issues, num_in_reach=issues, num_unflagged=unflagged)
    assert sizes.drawn == Strata(*expected)
    assert sizes.whole == Strata(expected[0], issues - expected[0], unflagged)


def test_issues_beyond_the_limit_of_a_class_are_drawn_at_random_even_if_all_would_fit() -> None:
    sizes = find_sizes(100, 0.1, num_issues=30, num_in_reach=25, num_unflagged=900)
    assert (sizes.drawn, sizes.whole) == (Strata(25, 5, 10), Strata(25, 5, 900))


@given(st.integers(1, 200), st.floats(0, 1), st.integers(0, 300), st.integers(0, 300), st.integers(0, 300))
def test_no_stratum_is_overdrawn_and_random_rows_can_come_from_all_that_is_left(
    budget: int, share: float, issues: int, beyond: int, unflagged: int
) -> None:
    in_reach = max(0, issues - beyond)
    sizes = find_sizes(budget, share, num_issues=issues, num_in_reach=in_reach, num_unflagged=unflagged)
    drawn, whole = sizes.drawn, sizes.whole
    assert 0 <= drawn.top <= in_reach
    assert 0 <= drawn.flagged <= whole.flagged
    assert 0 <= drawn.unflagged <= whole.unflagged
    assert drawn.top + drawn.flagged + drawn.unflagged <= budget
    assert whole.top + whole.flagged == issues
    if share > 0 and unflagged:
        assert drawn.unflagged


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ((0, None, 0.1), "budget must be a number of rows, at least 1, got 0"),
        ((5, 0, 0.1), "per_class must be a number of issues, at least 1, got 0"),
        ((5, None, 1.5), r"random_share must be between 0 and 1, got 1\.5"),
        ((5, None, float("nan")), "random_share must be between 0 and 1, got nan"),
    ],
)
def test_numbers_out_of_range_are_errors(values: tuple[int, int | None, float], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        check_options(*values)
