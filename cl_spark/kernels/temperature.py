"""Temperature scaling of predicted probabilities against the votes of annotators (specification, section 13).

Source: Guo, Pleiss, Sun, Weinberger, "On Calibration of Modern Neural Networks", ICML 2017, section 4.2.
"""

import numpy as np

from cl_spark.kernels.arrays import Float64s, Int64s

COARSE = (0.1, 0.2, 0.5, 0.8, 1.0, 2.0, 3.0, 5.0, 8.0)
"""Temperatures that are tried first."""

LEAST_PROB = 1e-30
"""Probabilities are not taken for less in logarithms."""


def find_fine_grid(best: float) -> list[float]:
    """List the temperatures to try around the best coarse one: 4 from its neighbour below on, 5 up to the one
    above.

    Example:
        >>> [round(temperature, 3) for temperature in find_fine_grid(1.0)]
        [0.8, 0.85, 0.9, 0.95, 1.0, 1.25, 1.5, 1.75, 2.0]
    """
    at = COARSE.index(best)
    below, above = COARSE[max(at - 1, 0)], COARSE[min(at + 1, len(COARSE) - 1)]
    grid = np.append(np.linspace(below, best, 4, endpoint=False), np.linspace(best, above, 5))
    return [float(temperature) for temperature in grid]


def cross_entropies(probs: Float64s, rows: Int64s, labels: Int64s, temperature: float) -> Float64s:
    """Compute the cross-entropy of each example between its vote shares and its scaled probabilities.

    Args:
        probs: (n, K) probabilities.
        rows: (v,) the example of each vote; each example has some.
        labels: (v,) the class of each vote.
        temperature: T.

    Returns:
        (n,) cross-entropies in units of log K.
    """
    num_votes = np.bincount(rows, minlength=len(probs))
    with np.errstate(divide="ignore"):
        scaled = np.log(probs) / temperature
    top = scaled.max(axis=1, keepdims=True)
    log_total = top[:, 0] + np.log(np.exp(scaled - top).sum(axis=1))
    logs = np.maximum(scaled[rows, labels] - log_total[rows], np.log(LEAST_PROB))
    sums = np.bincount(rows, weights=-logs, minlength=len(probs))
    return np.asarray(sums / num_votes / np.log(probs.shape[1]))


def scale(probs: Float64s, temperature: float) -> Float64s:
    """Scale probabilities, (n, K): softmax(log p / T), of p that is at least `LEAST_PROB`."""
    scaled = np.log(np.maximum(probs, LEAST_PROB)) / temperature
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))
