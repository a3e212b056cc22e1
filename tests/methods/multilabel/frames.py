"""Generated sets of labels, with probabilities of a model that is mostly right."""

import numpy as np
import numpy.typing as npt


def make_sets(
    seed: int,
    rows: int,
    classes: int,
    density: float = 0.3,
    noise: float = 0.08,
    decimals: int = 9,
) -> tuple[list[list[int]], npt.NDArray[np.float64]]:
    """Make sets of labels of which some are wrong; every class is given to some rows, and not to others.

    Args:
        seed: of the generator.
        rows: n.
        classes: K.
        density: share of the classes that an example has.
        noise: share of the memberships that are wrong.
        decimals: digits of the probabilities: few make ties.

    Returns:
        Given labels, and (n, K) probabilities.
    """
    rng = np.random.default_rng(seed)
    true = rng.random((rows, classes)) < density
    margin = rng.normal(1.6, 1.2, (rows, classes))
    probs = 1 / (1 + np.exp(-np.where(true, margin, -margin)))
    given = true ^ (rng.random((rows, classes)) < noise)
    given[0], given[1] = True, False
    return [np.flatnonzero(row).tolist() for row in given], probs.round(decimals)
