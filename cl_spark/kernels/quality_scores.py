"""Label quality scores; lower means that the label is more likely wrong (specification, section 5).

All scores take ``labels`` (n,) class indices and ``pred_probs`` (n, K) doubles, K at least 2, and return (n,)
doubles.
"""

from collections.abc import Callable

import numpy as np

from cl_spark.kernels import EPS
from cl_spark.kernels.arrays import Float64s, Ints


def self_confidence(labels: Ints, pred_probs: Float64s) -> Float64s:
    """Take the probability of the given label, ``p[label]``.

    Example:
        >>> self_confidence(np.array([1]), np.array([[0.2, 0.8]])).tolist()
        [0.8]
    """
    return np.asarray(pred_probs[np.arange(len(labels)), labels])


def normalized_margin(labels: Ints, pred_probs: Float64s) -> Float64s:
    """Compute ``(p[label] - max of p over the other classes + 1) / 2``.

    Example:
        >>> normalized_margin(np.array([1]), np.array([[0.25, 0.75]])).tolist()
        [0.75]
    """
    rows = np.arange(len(labels))
    others = pred_probs.copy()
    others[rows, labels] = -np.inf
    return np.asarray((pred_probs[rows, labels] - others.max(axis=1) + 1) / 2)


def confidence_weighted_entropy(labels: Ints, pred_probs: Float64s) -> Float64s:
    """Divide the normalised entropy by the probability of the label, and map the ratio into [0, 1].

    With ``H = -sum p log p / log K`` (``0 log 0 = 0``) and ``s = H / max(p[label], 1e-6)`` the score is
    ``log(1 + s) / max(s, 1e-6)``. A one-hot row scores 0, the worst, even where it agrees with its label: a
    known consequence of the formula, kept because results must equal those of the field's reference
    implementation.

    Values that rounding put outside [0, 1], by up to 1e-6, count as 0 or 1.

    Raises:
        ValueError: a value further outside [0, 1]; entropy is of probabilities, not of scores.

    Example:
        >>> confidence_weighted_entropy(np.array([0]), np.array([[0.5, 0.5]])).round(6).tolist()
        [0.549306]
    """
    lowest, highest = pred_probs.min(initial=0), pred_probs.max(initial=1)
    if lowest < -EPS or highest > 1 + EPS:
        raise ValueError(f"pred_probs range from {lowest} to {highest}; entropy needs values in [0, 1]")
    if lowest < 0 or highest > 1:
        pred_probs = pred_probs.clip(0, 1)
    logs = np.log(pred_probs, out=np.zeros_like(pred_probs), where=pred_probs > 0)
    entropy = -(pred_probs * logs).sum(axis=1) / np.log(pred_probs.shape[1])
    weighted = entropy / np.maximum(self_confidence(labels, pred_probs), 1e-6)
    return np.asarray(np.log1p(weighted) / np.maximum(weighted, 1e-6))


def adjust_probs(pred_probs: Float64s, thresholds: Float64s) -> Float64s:
    """Take the model's confidence in each class out of its probabilities.

    They become ``p - t + max(t)``, and each row is scaled to sum to 1.
    A class that no label carries has threshold 2, which moves all adjusted scores towards each other; it is
    kept, so that results equal those of the reference implementation.

    Args:
        pred_probs: (n, K) predicted probabilities.
        thresholds: (K,) confident thresholds.

    Returns:
        (n, K) adjusted probabilities.

    Example:
        >>> adjust_probs(np.array([[0.5, 0.5]]), np.array([0.8, 0.4])).round(6).tolist()
        [[0.357143, 0.642857]]
    """
    shifted = pred_probs - thresholds + thresholds.max()
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))


def threshold_cosine(labels: Ints, pred_probs: Float64s, thresholds: Float64s) -> Float64s:
    """Compare the probabilities, each over its class's confident threshold, with the given label.

    With ``r = p / t`` the score is ``r[label] / |r|``, the cosine of the angle between r and the direction of
    the label: 1 where no other class has any probability, and 0 where the label has none. What a model gives
    each class on average cancels out. Values that rounding put below 0 count as 0. It has no parameter, and
    is a score of this project.

    Args:
        labels: (n,) class indices.
        pred_probs: (n, K) probabilities.
        thresholds: (K,) confident thresholds, above 0.

    Returns:
        (n,) scores; 0 where all probabilities are 0.

    Example:
        >>> probs, thresholds = np.array([[0.6, 0.4]]), np.array([0.75, 0.5])
        >>> threshold_cosine(np.array([0]), probs, thresholds).round(6).tolist()
        [0.707107]
    """
    ratios = pred_probs.clip(0) / thresholds
    of_label = self_confidence(labels, ratios)
    length = np.sqrt((ratios * ratios).sum(axis=1))
    return np.asarray(of_label / np.where(length > 0, length, 1))


METHODS: dict[str, Callable[[Ints, Float64s], Float64s]] = {
    "self_confidence": self_confidence,
    "normalized_margin": normalized_margin,
    "confidence_weighted_entropy": confidence_weighted_entropy,
}
"""Label quality scores of probabilities alone, by the names that users give."""

THRESHOLD_COSINE = "threshold_cosine"
"""Name of the score that needs the confident thresholds too."""

METHOD_NAMES = (*METHODS, THRESHOLD_COSINE)
"""All label quality scores."""
