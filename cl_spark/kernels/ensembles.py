"""Several models of the same examples: their losses, weights and margins (specification, section 5)."""

import numpy as np

from cl_spark.kernels.arrays import Float64s, Ints

TEMPERATURES = (1e-4, 1e-3, 0.01, 0.1, 1.0, 10.0, 100.0, 200.0)
"""How strongly log losses weigh models: the candidates of `weigh_by_log_loss`."""

MIN_PROB = 1e-6
"""Probabilities below count as this much in the log loss of a model."""


def log_loss(labels: Ints, pred_probs: Float64s) -> Float64s:
    """Compute the log loss of each row, of probabilities of at least 1e-6 that sum to 1.

    Args:
        labels: (n,) class indices.
        pred_probs: (n, K) probabilities of a model.

    Example:
        >>> log_loss(np.array([0]), np.array([[0.5, 0.5]])).round(6).tolist()
        [0.693147]
    """
    probs = np.maximum(pred_probs, MIN_PROB)
    return np.asarray(-np.log(probs[np.arange(len(labels)), labels] / probs.sum(axis=1)))


def log_loss_of_mean(labels: Ints, of_models: Float64s, weights: Float64s) -> Float64s:
    """Compute the log loss of each row, of weighted means of the models.

    Args:
        labels: (n,) class indices.
        of_models: (n, M, K) probabilities.
        weights: (T, M) weights of T means.

    Returns:
        (n, T) losses.

    Example:
        >>> probs, weights = np.array([[[0.2, 0.8], [0.6, 0.4]]]), np.array([[0.5, 0.5], [0.0, 1.0]])
        >>> log_loss_of_mean(np.array([0]), probs, weights).round(3).tolist()
        [[0.916, 0.511]]
    """
    of_label = of_models[np.arange(len(labels)), :, labels]
    # added in the order of the models: a product of matrices adds one row otherwise than several
    mean = np.zeros((len(labels), len(weights)))
    for of_model, weight in zip(of_label.T, weights.T, strict=True):
        mean += of_model[:, None] * weight
    eps = np.finfo(np.float64).eps
    return np.asarray(-np.log(mean.clip(eps, 1 - eps)))


def weigh_by_log_loss(log_losses: Float64s) -> Float64s:
    """Weigh models by ``exp(-T * log loss)``, for each T of `TEMPERATURES`.

    Args:
        log_losses: (M,) mean log losses.

    Returns:
        (T, M) weights, each row of sum 1.

    Example:
        >>> weigh_by_log_loss(np.array([0.1, 0.2]))[4].round(3).tolist()
        [0.525, 0.475]
    """
    relative = log_losses - log_losses.min()  # the same quotient, and the best model's never underflows
    weights = np.exp(-np.outer(TEMPERATURES, relative))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def margins(labels: Ints, of_models: Float64s) -> Float64s:
    """Compute ``p[label] - max of p over the other classes`` of each row and model.

    Args:
        labels: (n,) class indices.
        of_models: (n, M, K) probabilities, or scores of any scale.

    Returns:
        (n, M) margins.

    Example:
        >>> margins(np.array([1]), np.array([[[0.25, 0.75], [0.5, 0.5]]])).tolist()
        [[0.5, 0.0]]
    """
    rows = np.arange(len(labels))
    others = of_models.copy()
    others[rows, :, labels] = -np.inf
    return np.asarray(of_models[rows, :, labels] - others.max(axis=2))
