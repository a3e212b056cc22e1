"""How many rows of each stratum a budget takes."""

from dataclasses import dataclass

from cl_spark.errors import ConfigurationError


@dataclass(frozen=True)
class Strata:
    """Numbers of rows of the three strata of an audited table.

    Attributes:
        top: issues that are taken by rank.
        flagged: the other issues.
        unflagged: the examples, or single labels, that are no issues.
    """

    top: int
    flagged: int
    unflagged: int


@dataclass(frozen=True)
class QueueSizes:
    """The sizes of a queue.

    Attributes:
        drawn: rows of the queue, by stratum.
        whole: rows of the whole table, by stratum.
    """

    drawn: Strata
    whole: Strata


def check_options(budget: int, per_class: int | None, random_share: float) -> None:
    """Check the numbers that size a queue.

    Raises:
        ConfigurationError: one is out of range.
    """
    if budget < 1:
        raise ConfigurationError(f"budget must be a number of rows, at least 1, got {budget!r}")
    if per_class is not None and per_class < 1:
        raise ConfigurationError(f"per_class must be a number of issues, at least 1, got {per_class!r}")
    if not 0 <= random_share <= 1:
        raise ConfigurationError(f"random_share must be between 0 and 1, got {random_share!r}")


def find_share(budget: int, random_share: float) -> int:
    """Find how many rows of a budget are for a random sample: at least one, if the share is above 0.

    Example:
        >>> find_share(100, 0.1), find_share(3, 0.1), find_share(3, 0)
        (10, 1, 0)
    """
    return max(1, round(budget * random_share)) if random_share > 0 else 0


def find_sizes(
    budget: int,
    random_share: float,
    *,
    num_issues: int,
    num_in_reach: int,
    num_unflagged: int,
    num_drawable: int | None = None,
) -> QueueSizes:
    """Find how many rows of each stratum go into a queue.

    Some rows that are no issues are drawn at random. If the rest of the budget does not take all issues, as
    many of the issues that are left are drawn at random too.

    Args:
        budget: rows that people can look at.
        random_share: share of the budget for rows that are no issues. If it is above 0, at least one is
            drawn.
        num_issues: issues there are.
        num_in_reach: those among them that may be taken by rank, which a limit per class makes fewer.
        num_unflagged: examples, or single labels, that are no issues.
        num_drawable: those among them that a draw can reach; default all.

    Example:
        >>> find_sizes(100, 0.1, num_issues=500, num_in_reach=500, num_unflagged=9_500).drawn
        Strata(top=80, flagged=10, unflagged=10)
        >>> find_sizes(100, 0.1, num_issues=30, num_in_reach=30, num_unflagged=970).drawn
        Strata(top=30, flagged=0, unflagged=10)
    """
    share = find_share(budget, random_share)
    unflagged = min(share, num_unflagged if num_drawable is None else num_drawable)
    rest = budget - unflagged
    if num_issues == num_in_reach <= rest:
        flagged, top = 0, num_issues
    else:
        flagged = min(share, rest)
        top = min(rest - flagged, num_in_reach)
        flagged = min(flagged, num_issues - top)
    return QueueSizes(Strata(top, flagged, unflagged), Strata(top, num_issues - top, num_unflagged))
