"""Outlier scores; lower means more atypical (specification, section 16)."""

from collections.abc import Callable

import numpy as np

from cl_spark.kernels.arrays import Float64s
from cl_spark.kernels.nearest import COSINE

SMALLEST_SCALE = 1e-6
"""Scale of distances where half of the rows and more have duplicates."""

GEN_CLASSES, GEN_POWER = 100, 0.1
"""Parameters of the generalized entropy, as its paper has them."""


def distance_scores(distances: Float64s, scale: float, metric: str) -> Float64s:
    """Turn mean distances to the nearest neighbors into scores: exp(-distance / scale).

    Args:
        distances: (n,) mean distances.
        scale: the median of those of the rows that were learned from.
        metric: "cosine" or "euclidean", which says how small a distance counts as 0.

    Returns:
        (n,) scores in [0, 1]; 1 for a distance of 0.

    Example:
        >>> distance_scores(np.array([0.0, 1.0, 2.0]), 1.0, "euclidean").round(4).tolist()
        [1.0, 0.3679, 0.1353]
    """
    unit = 100 * float(np.finfo(np.float64).eps)
    zero = unit / 2 if metric == COSINE else np.sqrt(unit)
    scores = np.exp(-distances / max(scale, SMALLEST_SCALE))
    return np.asarray(np.where(distances < zero, 1.0, scores))


def entropy(pred_probs: Float64s) -> Float64s:
    """Compute 1 - the entropy of predicted probabilities, as a share of its greatest value.

    Args:
        pred_probs: (n, K).

    Example:
        >>> entropy(np.array([[1.0, 0.0], [0.5, 0.5]])).tolist()
        [1.0, 0.0]
    """
    logs = np.log(pred_probs, where=pred_probs > 0, out=np.zeros_like(pred_probs))
    return np.asarray(1 + (pred_probs * logs).sum(axis=1) / np.log(pred_probs.shape[1]))


def least_confidence(pred_probs: Float64s) -> Float64s:
    """Take the greatest probability.

    Example:
        >>> least_confidence(np.array([[0.3, 0.7]])).tolist()
        [0.7]
    """
    return np.asarray(pred_probs.max(axis=1))


def gen(pred_probs: Float64s) -> Float64s:
    """Compute 1 - the generalized entropy of the largest of the softmax of the probabilities.

    It is divided by `GEN_CLASSES` even where there are fewer classes, as the reference implementation does.

    Source: Liu, Lochman, Zach, "GEN: Pushing the Limits of Softmax-Based Out-of-Distribution Detection",
    2023.

    Example:
        >>> gen(np.array([[0.9, 0.1], [0.5, 0.5]])).round(4).tolist()
        [0.9829, 0.9826]
    """
    powers = np.exp(pred_probs - pred_probs.max(axis=1, keepdims=True))
    softmax = powers / powers.sum(axis=1, keepdims=True)
    if softmax.shape[1] > GEN_CLASSES:
        softmax = np.partition(softmax, -GEN_CLASSES, axis=1)[:, -GEN_CLASSES:]
    softmax = np.sort(softmax, axis=1)
    terms = softmax**GEN_POWER * (1 - softmax) ** GEN_POWER
    return np.asarray(1 - terms.sum(axis=1) / GEN_CLASSES)


PROB_SCORES: dict[str, Callable[[Float64s], Float64s]] = {
    "entropy": entropy,
    "least_confidence": least_confidence,
    "gen": gen,
}
"""Scores of predicted probabilities by name."""
