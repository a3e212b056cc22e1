"""Label quality scores of a batch of rows: lower means the label is more likely wrong.

All take ``labels`` (n,) class indices and ``pred_probs`` (n, K), and return (n,) doubles. K is at least 2.
"""

from collections.abc import Callable

import numpy as np

from cl_spark.kernels.arrays import Float64s, Ints


def self_confidence(labels: Ints, pred_probs: Float64s) -> Float64s:
    """The probability of the given label: ``p[label]``.

    Example:
        >>> self_confidence(np.array([1]), np.array([[0.2, 0.8]])).tolist()
        [0.8]
    """
    return np.asarray(pred_probs[np.arange(len(labels)), labels])


def normalized_margin(labels: Ints, pred_probs: Float64s) -> Float64s:
    """``(p[label] - max over the other classes of p + 1) / 2``.

    Example:
        >>> normalized_margin(np.array([1]), np.array([[0.25, 0.75]])).tolist()
        [0.75]
    """
    rows = np.arange(len(labels))
    others = pred_probs.copy()
    others[rows, labels] = -np.inf
    return np.asarray((pred_probs[rows, labels] - others.max(axis=1) + 1) / 2)


def confidence_weighted_entropy(labels: Ints, pred_probs: Float64s) -> Float64s:
    """Normalised entropy of the row over the probability of its label, squeezed into [0, 1].

    With ``H = -sum p log p / log K`` (``0 log 0 = 0``) and ``s = H / max(p[label], 1e-6)`` the score is
    ``log(1 + s) / max(s, 1e-6)``. A one-hot row scores 0, the worst, even where it agrees with its label: a known
    consequence of the formula, kept because results must equal the field's.

    Raises:
        ValueError: a value outside [0, 1]; entropy is of probabilities, not of scores.

    Example:
        >>> confidence_weighted_entropy(np.array([0]), np.array([[0.5, 0.5]])).round(6).tolist()
        [0.549306]
    """
    if pred_probs.size and (pred_probs.min() < 0 or pred_probs.max() > 1):
        raise ValueError(
            f"pred_probs range from {pred_probs.min()} to {pred_probs.max()}; entropy needs values in [0, 1]"
        )
    logs = np.log(pred_probs, out=np.zeros_like(pred_probs), where=pred_probs > 0)
    entropy = -(pred_probs * logs).sum(axis=1) / np.log(pred_probs.shape[1])
    weighted = entropy / np.maximum(self_confidence(labels, pred_probs), 1e-6)
    return np.asarray(np.log1p(weighted) / np.maximum(weighted, 1e-6))


def adjusted(pred_probs: Float64s, thresholds: Float64s) -> Float64s:
    """Probabilities with the model's confidence in each class taken out: ``p - t + max(t)``, rows summing to 1 again.

    A class no label carries has threshold 2, which squeezes all adjusted scores towards each other; kept for parity.

    Example:
        >>> adjusted(np.array([[0.5, 0.5]]), np.array([0.8, 0.4])).round(6).tolist()
        [[0.357143, 0.642857]]
    """
    shifted = pred_probs - thresholds + thresholds.max()
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))


METHODS: dict[str, Callable[[Ints, Float64s], Float64s]] = {
    "self_confidence": self_confidence,
    "normalized_margin": normalized_margin,
    "confidence_weighted_entropy": confidence_weighted_entropy,
}
