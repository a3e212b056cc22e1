"""Losses per example with their gradients by the logits: cross entropy, and those made for noisy labels.

A loss takes logits and targets, both (n, K), the targets being distributions (one-hot for plain labels). It
returns the loss of each example, (n,), and its gradient by the logits, (n, K).
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LOWEST_PROB = 1e-12
"""Probabilities are raised to this before their logarithm is taken or they divide."""


class Loss(Protocol):
    """A differentiable loss of logits and targets."""

    def __call__(self, logits: Floats, targets: Floats) -> tuple[Floats, Floats]:
        """Compute the losses, (n,), and their gradients by the logits, (n, K)."""
        ...


def log_softmax(logits: Floats) -> Floats:
    """Compute the logarithms of the softmax of each row."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_probs: Floats = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return log_probs


def softmax(logits: Floats) -> Floats:
    """Compute the softmax of each row."""
    probs: Floats = np.exp(log_softmax(logits))
    return probs


def softmax_gradient(probs: Floats, gradient: Floats) -> Floats:
    """Carry a gradient by the softmax of some rows over to their logits."""
    by_logits: Floats = probs * (gradient - (probs * gradient).sum(axis=1, keepdims=True))
    return by_logits


def cross_entropy(logits: Floats, targets: Floats) -> tuple[Floats, Floats]:
    """Compute the cross entropy of the softmax and the targets.

    Example:
        >>> losses, gradient = cross_entropy(np.zeros((1, 2)), np.array([[1.0, 0.0]]))
        >>> losses.round(3).tolist(), gradient.tolist()
        ([0.693], [[-0.5, 0.5]])
    """
    log_probs = log_softmax(logits)
    return -(targets * log_probs).sum(axis=1), np.exp(log_probs) - targets


@dataclass(frozen=True)
class SymmetricCrossEntropy:
    """Weighted sum of the cross entropy and of its reverse, in which labels and outputs change places.

    Attributes:
        alpha: weight of the cross entropy. 0.1, as the paper has it for ten classes (CIFAR-10).
        beta: weight of the reverse cross entropy. 1, likewise.
        log_zero: A, the value that stands for log 0 of a target. -6, likewise.

    Source: Wang, Ma, Chen, Luo, Yi, Bailey: Symmetric Cross Entropy for Robust Learning with Noisy Labels
    (ICCV 2019), definition of the symmetric cross entropy.
    """

    alpha: float = 0.1
    beta: float = 1.0
    log_zero: float = -6.0

    def __call__(self, logits: Floats, targets: Floats) -> tuple[Floats, Floats]:
        """Compute alpha CE + beta RCE."""
        losses, gradient = cross_entropy(logits, targets)
        probs = softmax(logits)
        log_targets = np.full_like(targets, self.log_zero)
        np.log(targets, out=log_targets, where=targets > 0)
        reverse = -(probs * log_targets).sum(axis=1)
        reverse_gradient = softmax_gradient(probs, -log_targets)
        return self.alpha * losses + self.beta * reverse, self.alpha * gradient + self.beta * reverse_gradient


@dataclass(frozen=True)
class SoftBootstrapping:
    """Cross entropy with targets mixed with the output itself.

    Attributes:
        beta: share of the given label in the target. 0.95, as in the paper.

    Source: Reed, Lee, Anguelov, Szegedy, Erhan, Rabinovich: Training Deep Neural Networks on Noisy Labels
    with Bootstrapping (ICLR 2015 workshop), section 3.2, the soft loss. Its gradient also passes through the
    output in the target: the second term is the entropy of the output.
    """

    beta: float = 0.95

    def __call__(self, logits: Floats, targets: Floats) -> tuple[Floats, Floats]:
        """Compute -sum (beta t + (1 - beta) q) log q, where q is the output and t the target."""
        losses, gradient = cross_entropy(logits, targets)
        log_probs = log_softmax(logits)
        probs = np.exp(log_probs)
        entropy = -(probs * log_probs).sum(axis=1)
        entropy_gradient = softmax_gradient(probs, -log_probs)
        return (
            self.beta * losses + (1 - self.beta) * entropy,
            self.beta * gradient + (1 - self.beta) * entropy_gradient,
        )


@dataclass(frozen=True)
class HardBootstrapping:
    """Cross entropy with targets mixed with the predicted label.

    Attributes:
        beta: share of the given label in the target. 0.8, as in the paper.

    Source: Reed et al. (see `SoftBootstrapping`), section 3.2, the hard loss.
    """

    beta: float = 0.8

    def __call__(self, logits: Floats, targets: Floats) -> tuple[Floats, Floats]:
        """Compute -sum (beta t + (1 - beta) z) log q, where z is the predicted label, one-hot."""
        predicted = np.eye(logits.shape[1])[logits.argmax(axis=1)]
        return cross_entropy(logits, self.beta * targets + (1 - self.beta) * predicted)


@dataclass(frozen=True)
class NoiseAdaptationLayer:
    """Cross entropy of given labels and the softmax times a matrix of noise rates that is learnt.

    Attributes:
        logits: (K, K) parameters b, which an optimizer changes in place. The softmax of row i is
            p(given label | true class = i).

    Source: Goldberger, Ben-Reuven: Training Deep Neural-Networks Using a Noise Adaptation Layer (ICLR 2017),
    section 3, the simple noise model (S-model).
    """

    logits: Floats

    @classmethod
    def from_confusion(cls, probs: Floats, targets: Floats) -> "NoiseAdaptationLayer":
        """Start at the confusion of a network: p(given label | class), the class being as it predicts.

        Args:
            probs: (n, K) outputs of the network for the training rows.
            targets: (n, K) given labels, one-hot.
        """
        confusion = probs.T @ targets / np.maximum(probs.sum(axis=0), LOWEST_PROB)[:, None]
        return cls(np.log(np.maximum(confusion, LOWEST_PROB)))

    @property
    def noise_rates(self) -> Floats:
        """(K, K) p(given label = column | true class = row)."""
        return softmax(self.logits)

    def __call__(self, logits: Floats, targets: Floats) -> tuple[Floats, Floats]:
        """Compute -sum t log (q T), where q is the softmax and T the noise rates."""
        probs = softmax(logits)
        given_probs = np.maximum(probs @ self.noise_rates, LOWEST_PROB)
        by_probs = (-targets / given_probs) @ self.noise_rates.T
        return -(targets * np.log(given_probs)).sum(axis=1), softmax_gradient(probs, by_probs)

    def gradient(self, logits: Floats, targets: Floats) -> Floats:
        """Compute the gradient of the mean loss by the layer's own parameters, (K, K)."""
        probs, rates = softmax(logits), self.noise_rates
        given_probs = np.maximum(probs @ rates, LOWEST_PROB)
        return softmax_gradient(rates, probs.T @ (-targets / given_probs) / len(logits))
