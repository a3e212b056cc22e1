"""Noise matrices for experiments: with a wanted amount of noise, and a wanted share of zeros."""

from collections.abc import Sequence
from numbers import Integral

import numpy as np

from cl_spark.errors import ConfigurationError, one_line
from cl_spark.kernels.arrays import Float64s, Int64s

SUM_TOLERANCE = 1e-6
"""How far the sum of a column of a noise matrix, or of a prior, may be from 1."""

LEAST_ROOM = 1e-9
"""Share of the possible noise that must stay free, so that rounding leaves the diagonal strictly greatest."""


def noise_matrix(num_classes: int, *, noise: float, sparsity: float = 0.0, seed: int = 0) -> Float64s:
    """Draw a random noise matrix with a given amount of noise.

    Entry [given, true] is p(given label | true class). In each column the diagonal is strictly the greatest
    entry. Classes differ in their noise, and given labels in their share of it.

    1. Off the diagonal, ``round(sparsity * K * (K - 1))`` random entries (half to even) are zero, and no
       others. A column may get zeros only: its class has no noise, and the other classes carry more.
    2. A column with m entries that are not zero can have a noise below m / (m + 1), its capacity. If the
       columns together cannot carry the noise, entries move from the column with the most to that with the
       least, until they can.
    3. The noise is split among the columns, then that of a column among its entries, by their capacities
       times random weights, uniform in (0, 1]. Where a part comes too close to its capacity, all parts move
       towards equal shares of their capacities, as far as needed. So no draw is ever repeated.

    Args:
        num_classes: K, at least 2.
        noise: mean over the true classes of p(given label is wrong | true class), in [0, 1). It is the share
            of wrong labels where classes are of equal size. 0 gives the identity, whatever the sparsity.
        sparsity: share of the off-diagonal entries that are zero, in [0, 1].
        seed: another seed gives another matrix.

    Returns:
        (K, K) matrix whose columns sum to 1.

    Raises:
        ConfigurationError: an argument is out of its range, or no matrix has as much noise with as many
            zeros (see `noise_bound`).

    Source:
        Northcutt, Jiang and Chuang, JAIR 2021, section 5: noise and sparsity of their experiments.

    Example:
        >>> matrix = noise_matrix(4, noise=0.3, sparsity=0.5)
        >>> matrix.shape, int((matrix == 0).sum()), round(1 - float(matrix.diagonal().mean()), 9)
        ((4, 4), 6, 0.3)
    """
    bound = noise_bound(num_classes, sparsity)
    check_seed(seed)
    if not 0 <= noise < 1:
        raise ConfigurationError(f"noise={noise} must be at least 0 and less than 1")
    if noise == 0:
        return np.eye(num_classes)
    if not _has_room(noise, bound):
        raise ConfigurationError(
            f"noise={noise:.6g} (trace {num_classes * (1 - noise):.6g}) is too much for {num_classes} "
            f"classes and sparsity={sparsity}: noise must be below {bound:.6g} (trace above "
            f"{num_classes * (1 - bound):.6g}), or some class is given a wrong label as often as its own"
        )
    random = np.random.default_rng(seed)
    num_noisy = _draw_pattern(num_classes, noise, sparsity, random)
    noises = np.zeros(num_classes)
    is_noisy, capacity = num_noisy > 0, num_noisy / (num_noisy + 1)
    noises[is_noisy] = _split(noise * num_classes, capacity[is_noisy], random)
    matrix = np.eye(num_classes)
    for true in np.flatnonzero(is_noisy).tolist():
        # positions among the K - 1 others; those from the diagonal on are one further down
        others = random.choice(num_classes - 1, num_noisy[true], replace=False)
        others += others >= true
        matrix[others, true] = _split(noises[true], np.full(len(others), 1 - noises[true]), random)
        matrix[true, true] = 1 - noises[true]
    return matrix


def noise_matrix_from_trace(
    num_classes: int,
    trace: float,
    *,
    prior: Sequence[float] | Float64s | None = None,
    sparsity: float = 0.0,
    seed: int = 0,
) -> Float64s:
    """Draw a random noise matrix with a given trace, the sum of its diagonal.

    It is the (K, K) matrix that `noise_matrix` draws for ``noise = 1 - trace / num_classes``.

    A `prior` does not change the matrix. It asks for a check: no label may be given to more examples of a
    wrong class than of its own, ``p(given=i, true=i) >= p(given=i, true=j)``, or a model would learn class j
    from label i. The check is of the matrix drawn, so another seed may pass where one does not; with a rare
    class beside a frequent one, only little noise passes.

    Args:
        num_classes: K, at least 2.
        trace: sum of p(given = k | true = k) over the classes, more than 0 and at most K.
        prior: (K,) shares of the true classes, which sum to 1; default no check.
        sparsity: share of the off-diagonal entries that are zero, in [0, 1].
        seed: another seed gives another matrix.

    Raises:
        ConfigurationError: an argument is out of its range, no matrix has such a trace with as many zeros,
            or the matrix fails the check.

    Source:
        Northcutt, Jiang and Chuang, JAIR 2021, section 5, where the trace sets the noise. The check is the
        condition of theorem 1 on rows, weighted by the prior.

    Example:
        >>> matrix = noise_matrix_from_trace(3, 2.4, prior=[0.4, 0.3, 0.3])
        >>> round(float(np.trace(matrix)), 9)
        2.4
    """
    if not 0 < trace <= num_classes:
        raise ConfigurationError(f"trace={trace} must be above 0 and at most num_classes={num_classes}")
    matrix = noise_matrix(num_classes, noise=1 - trace / num_classes, sparsity=sparsity, seed=seed)
    if prior is not None:
        _check_learnable(matrix, np.asarray(prior, dtype=np.float64))
    return matrix


def noise_bound(num_classes: int, sparsity: float = 0.0) -> float:
    """Compute the bound that the noise of a noise matrix stays below, if its diagonal is to dominate.

    A column with m entries that are not zero off the diagonal can have a noise of less than m / (m + 1). The
    mean over the columns is greatest where the entries are spread evenly.

    Args:
        num_classes: K, at least 2.
        sparsity: share of the off-diagonal entries that are zero, in [0, 1].

    Raises:
        ConfigurationError: an argument is out of its range.

    Example:
        >>> round(noise_bound(10), 9), round(noise_bound(10, 0.9), 9)
        (0.9, 0.45)
    """
    if not isinstance(num_classes, Integral) or num_classes < 2:
        raise ConfigurationError(f"num_classes={num_classes!r} must be a whole number of at least 2")
    if not 0 <= sparsity <= 1:
        raise ConfigurationError(f"sparsity={sparsity} must be from 0 to 1")
    least, more = divmod(_count_noisy(num_classes, sparsity), num_classes)  # `more` columns have one more
    capacity = more * (least + 1) / (least + 2) + (num_classes - more) * least / (least + 1)
    return float(capacity / num_classes)


def _count_noisy(num_classes: int, sparsity: float) -> int:
    """Count the off-diagonal entries that are not zero."""
    num_others = int(num_classes) * (int(num_classes) - 1)
    return num_others - round(sparsity * num_others)


def _has_room(noise: float, capacity: float) -> bool:
    """Tell whether a noise is below what is possible, by more than rounding takes."""
    return noise < capacity * (1 - LEAST_ROOM)


def _draw_pattern(num_classes: int, noise: float, sparsity: float, random: np.random.Generator) -> Int64s:
    """Draw the (K,) numbers of entries that are not zero, off the diagonal of each column."""
    places, total = np.full(num_classes, num_classes - 1), _count_noisy(num_classes, sparsity)
    num_noisy = np.asarray(random.multivariate_hypergeometric(places, total, method="marginals"))
    # Each move raises the capacity. It ends at the latest where columns differ by one entry, which is the
    # pattern with the greatest capacity, and that one is known to do.
    while np.ptp(num_noisy) > 1 and not _has_room(noise, (num_noisy / (num_noisy + 1)).mean()):
        num_noisy[num_noisy.argmax()] -= 1
        num_noisy[num_noisy.argmin()] += 1
    return num_noisy


def _split(total: float, capacity: Float64s, random: np.random.Generator) -> Float64s:
    """Split a total at random into (m,) positive parts, each strictly below its capacity.

    The total is less than the sum of the (m,) capacities, which are positive.
    """
    weights = capacity * (1 - random.random(len(capacity)))
    parts = weights * (total / weights.sum())
    even = total / capacity.sum()
    fullest, limit = float((parts / capacity).max()), (1 + even) / 2
    if fullest > limit:
        # equal shares are below the limit and the fullest part is above it: go as far as the limit
        step = (fullest - limit) / (fullest - even)
        parts = (1 - step) * parts + step * even * capacity
    return np.asarray(parts, dtype=np.float64)


def check_seed(seed: int) -> None:
    """Check that a seed is a whole number from 0 to 2^63 - 1.

    Raises:
        ConfigurationError: it is not.
    """
    if not isinstance(seed, Integral) or not 0 <= seed < 2**63:
        raise ConfigurationError(f"seed={seed!r} must be a whole number from 0 to 2^63 - 1")


def _check_learnable(matrix: Float64s, prior: Float64s) -> None:
    """Check a prior, and that no label is given to more examples of another class than of its own."""
    is_distribution = (prior >= 0).all() and abs(prior.sum() - 1) <= SUM_TOLERANCE
    if prior.shape != matrix.shape[:1] or not is_distribution:
        raise ConfigurationError(
            f"prior={one_line(prior)[:200]} must be {len(matrix)} shares, at least 0, that sum to 1"
        )
    joint = matrix * prior
    given, true = np.unravel_index(np.argmax(joint - joint.diagonal()[:, None]), joint.shape)
    wrong, right = joint[given, true], joint[given, given]
    if wrong > right:
        raise ConfigurationError(
            f"prior: label {given} would be given to more examples of true class {true} (a share of "
            f"{wrong:.4g}) than of its own ({right:.4g}), so that no model learns it: take a greater trace, "
            "a more even prior, or another seed"
        )
