"""Estimates of how many labels are wrong, from samples of strata, with intervals. Numbers only, no Spark."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, lgamma, sqrt
from statistics import NormalDist

LEVEL = 0.95
"""Confidence level of all intervals."""

FEW_LEFT = 50
"""Where so few rows are left, an approximate interval is too narrow, and the exact one is quick."""


@dataclass(frozen=True)
class Stratum:
    """Rows of one kind, some of which people have decided about.

    Attributes:
        rows: N, rows of the stratum in the whole table.
        examined: n, those among them that have a verdict, a simple random sample (or all).
        errors: those of the examined rows whose label is wrong.
    """

    rows: int
    examined: int
    errors: int


@dataclass(frozen=True)
class Estimate:
    """An estimated number with its 95 % interval.

    Attributes:
        value: the estimate; None where nothing can be said, as part of the rows has no sample.
        lower: lower end of the interval.
        upper: upper end.
        examples: verdicts that it rests on.
    """

    value: float | None
    lower: float | None
    upper: float | None
    examples: int

    def scaled(self, factor: float) -> "Estimate":
        """Multiply the number, as to turn a count into a share."""
        if self.value is None or self.lower is None or self.upper is None:
            return self
        return Estimate(self.value * factor, self.lower * factor, self.upper * factor, self.examples)


def find_z(level: float) -> float:
    """Find the quantile of the normal distribution for a two-sided interval.

    Example:
        >>> round(find_z(0.95), 4)
        1.96
    """
    return NormalDist().inv_cdf((1 + level) / 2)


def find_share_interval(stratum: Stratum, level: float = LEVEL) -> tuple[float, float, float]:
    """Estimate the share of errors of a stratum, and its interval: Agresti and Coull's, with the finite
    population in the size of the sample; or the exact one, where few rows are left to examine.

    The sample counts as n (N - 1) / (N - n) rows, so that the interval of a stratum that is examined whole
    has no width, and others have one, even with no error among the examined rows, or nothing else. Errors
    that were found, and rows that were found right, bound it: it begins at errors / N or above.

    Args:
        stratum: at least one row of it is examined.
        level: confidence level.

    Returns:
        The share, its lower and its upper end, in [0, 1].

    Source: Agresti, Coull, "Approximate is better than 'exact' for interval estimation of binomial
    proportions", The American Statistician 52 (1998); sizes of samples as in Franco, Little, Louis, Slud,
    "Comparative study of confidence intervals for proportions in complex sample surveys", Journal of Survey
    Statistics and Methodology 7 (2019).

    Example:
        >>> [round(end, 3) for end in find_share_interval(Stratum(1000, 50, 0))]
        [0.0, 0.0, 0.081]
        >>> find_share_interval(Stratum(50, 50, 10))
        (0.2, 0.2, 0.2)
    """
    n, total, found = stratum.examined, stratum.rows, stratum.errors
    share = found / n
    if n >= total:
        return share, share, share
    if total - n <= FEW_LEFT:
        least, most = find_possible_errors(stratum, level)
        return share, min(least / total, share), max(most / total, share)
    z, size = find_z(level), n * (total - 1) / (total - n)
    centre = (share * size + z * z / 2) / (size + z * z)
    reach = z * sqrt(centre * (1 - centre) / (size + z * z))
    lower = max(centre - reach, found / total)
    upper = min(centre + reach, 1 - (n - found) / total)
    return share, min(lower, share), max(upper, share)


def find_possible_errors(stratum: Stratum, level: float) -> tuple[int, int]:
    """Find the numbers of errors in all rows of a stratum that do not contradict what was found.

    A number is possible if no more errors, and no fewer, than were found would be rarer than (1 - level) / 2
    in a sample. So the interval covers the true number at least as often as the level says.

    Args:
        stratum: few of its rows are not examined.
        level: confidence level.

    Returns:
        The lowest and the highest number.

    Source: Buonaccorsi, "A note on confidence intervals for proportions in finite populations", The American
    Statistician 41 (1987).

    Example:
        >>> find_possible_errors(Stratum(10, 9, 3), 0.95)
        (3, 4)
    """
    n, total, found = stratum.examined, stratum.rows, stratum.errors
    tail = (1 - level) / 2
    possible = []
    for errors in range(found, total - n + found + 1):
        chances = {
            hits: _choose(errors, hits) + _choose(total - errors, n - hits) - _choose(total, n)
            for hits in range(max(0, n - total + errors), min(n, errors) + 1)
        }
        at_least = sum(exp(chance) for hits, chance in chances.items() if hits >= found)
        at_most = sum(exp(chance) for hits, chance in chances.items() if hits <= found)
        if min(at_least, at_most) > tail:
            possible.append(errors)
    return possible[0], possible[-1]


def _choose(total: int, part: int) -> float:
    """Logarithm of the number of ways to choose some of all."""
    return lgamma(total + 1) - lgamma(part + 1) - lgamma(total - part + 1)


def estimate_errors(strata: Sequence[Stratum], level: float = LEVEL) -> Estimate:
    """Estimate the number of errors of several strata together.

    The estimate is the stratified one, ``sum of N x / n``. That is Horvitz and Thompson's, with n / N as the
    inclusion probability of the rows of a stratum. Its interval comes from the intervals of the strata by
    the method of variance estimates recovery (MOVER): the distances from the estimates to the ends are
    squared, added, and the root is taken. So it has a width wherever one of theirs has.

    Args:
        strata: the strata; one without rows does not count.
        level: confidence level.

    Returns:
        The number. Its value is None where rows of a stratum have no sample.

    Source: Zou, Huang, Zhang, "A note on confidence interval estimation for a linear function of binomial
    proportions", Computational Statistics & Data Analysis 53 (2009).

    Example:
        >>> found = estimate_errors([Stratum(100, 100, 60), Stratum(900, 50, 5)])
        >>> found.value, round(found.lower), round(found.upper)
        (150.0, 96, 252)
    """
    filled = [stratum for stratum in strata if stratum.rows]
    examples = sum(stratum.examined for stratum in filled)
    if any(stratum.examined == 0 for stratum in filled):
        return Estimate(None, None, None, examples)
    value, below, above = 0.0, 0.0, 0.0
    for stratum in filled:
        share, lower, upper = find_share_interval(stratum, level)
        value += stratum.rows * share
        below += (stratum.rows * (share - lower)) ** 2
        above += (stratum.rows * (upper - share)) ** 2
    least = sum(stratum.errors for stratum in filled)
    most = sum(stratum.rows - stratum.examined + stratum.errors for stratum in filled)
    return Estimate(value, max(value - sqrt(below), least), min(value + sqrt(above), most), examples)


def estimate_share(strata: Sequence[Stratum]) -> Estimate:
    """Estimate the share of errors of several strata together; of no rows there is none.

    Example:
        >>> estimate_share([Stratum(100, 100, 60)]).value
        0.6
    """
    rows = sum(stratum.rows for stratum in strata)
    if not rows:
        return Estimate(None, None, None, 0)
    return estimate_errors(strata).scaled(1 / rows)


def estimate_recall(flagged: Sequence[Stratum], others: Sequence[Stratum]) -> Estimate:
    """Estimate which share of all errors is among the flagged rows.

    The interval is conservative. Recall rises with the errors of flagged rows and falls with those of the
    others. So its ends are those of the two numbers put together: the lowest of the one with the highest of
    the other. By Bonferroni's inequality, both hold at once with at least 95 % if each holds with 97.5 %.
    A delta interval would have no width where no error was found among the other rows, which is usual.

    Args:
        flagged: strata of the flagged rows.
        others: strata of all other rows.

    Returns:
        The recall. Its value is None where a stratum has no sample, or nobody has found an error.

    Source: Bonferroni's inequality for two intervals, as in Miller, "Simultaneous Statistical Inference",
    2nd edition (1981), section 1.

    Example:
        >>> found = estimate_recall([Stratum(100, 100, 60)], [Stratum(900, 300, 0)])
        >>> found.value, round(found.lower, 2), found.upper
        (1.0, 0.87, 1.0)
    """
    uncertain = [any(part.examined < part.rows for part in strata) for strata in (flagged, others)]
    level = 1 - (1 - LEVEL) / max(1, sum(uncertain))
    hits, misses = estimate_errors(flagged, level), estimate_errors(others, level)
    examples = hits.examples + misses.examples
    if hits.value is None or misses.value is None or not hits.value + misses.value:
        return Estimate(None, None, None, examples)
    return Estimate(
        hits.value / (hits.value + misses.value),
        _divide(hits.lower or 0.0, misses.upper or 0.0),
        _divide(hits.upper or 0.0, misses.lower or 0.0),
        examples,
    )


def _divide(hits: float, misses: float) -> float:
    """Divide hits by hits and misses; without either, no error says anything against the flagged rows."""
    return hits / (hits + misses) if hits + misses else 1.0


def list_ks(rows: int) -> list[int]:
    """List the numbers k at which the precision of a ranking is told: 10, 20, 50, 100, ... up to all rows.

    Example:
        >>> list_ks(130)
        [10, 20, 50, 100]
    """
    ks, power = [], 10
    while power <= rows:
        ks += [k for k in (power, 2 * power, 5 * power) if k <= rows]
        power *= 10
    return ks
