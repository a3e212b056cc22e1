"""Methods that learn with noisy labels, each on the same network: same size, same epochs, same learning rate.

Hyper-parameters are those of the papers and are not tuned to the noise. Only Co-teaching is told the noise
rate (`methods_given`), as in its paper.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from scripts.noise_experiment.losses import (
    Floats,
    HardBootstrapping,
    NoiseAdaptationLayer,
    SoftBootstrapping,
    SymmetricCrossEntropy,
    cross_entropy,
)
from scripts.noise_experiment.network import Adam, Network, one_thread

Bools = NDArray[np.bool_]
Labels = NDArray[np.int64]

WARM_UP_EPOCHS = 10
"""T_k of Co-teaching: epochs until the whole forget rate is dropped (Han et al. 2018, section 4)."""

INCV_ITERATIONS = 4
"""Iterations of INCV, as in its authors' experiments."""

MOST_REMOVED = 2.0
"""Bound on INCV's remove ratio, as in its authors' program."""


class Classifier(Protocol):
    """A fitted model."""

    def predict_proba(self, X: Floats) -> Floats:
        """Compute the probabilities of the classes, (n, K)."""
        ...


class Method(Protocol):
    """A way to learn from noisy labels."""

    def __call__(self, X: Floats, y_noisy: Labels, num_classes: int, seed: int) -> Classifier:
        """Fit on rows, (n, d), and noisy labels, (n,), from 0 to num_classes - 1."""
        ...


@dataclass(frozen=True)
class AdaptedNetwork:
    """A network trained under a noise adaptation layer, which is left out when it predicts.

    Attributes:
        network: the network without the layer.
        noise_rates: (K, K) p(given label = column | true class = row) of the layer.
    """

    network: Network
    noise_rates: Floats

    def predict_proba(self, X: Floats) -> Floats:
        """Compute the probabilities of the true classes, (n, K)."""
        return self.network.predict_proba(X)


@dataclass(frozen=True)
class SelectiveNetwork:
    """A network trained on the rows whose labels a method trusts.

    Attributes:
        network: the network.
        selected: (n,) whether a training row is trusted (by Co-teaching: in the last epoch).
        noise_rate: the noise rate that the method reckons with.
    """

    network: Network
    selected: Bools
    noise_rate: float

    def predict_proba(self, X: Floats) -> Floats:
        """Compute the probabilities of the classes, (n, K)."""
        return self.network.predict_proba(X)


@dataclass(frozen=True)
class Mixup:
    """Mixes each row of a batch, and its target, with another row of the batch.

    Attributes:
        alpha: the share of the row itself is drawn from Beta(alpha, alpha), once per batch. 1, as the paper
            has it for CIFAR-10.

    Source: Zhang, Cisse, Dauphin, Lopez-Paz: mixup: Beyond Empirical Risk Minimization (ICLR 2018),
    section 2.
    """

    alpha: float = 1.0

    def __call__(self, rows: Floats, targets: Floats, random: np.random.RandomState) -> tuple[Floats, Floats]:
        """Mix the rows and targets of a batch."""
        share, other = random.beta(self.alpha, self.alpha), random.permutation(len(rows))
        return share * rows + (1 - share) * rows[other], share * targets + (1 - share) * targets[other]


def new_network(num_classes: int, seed: int, **settings: Any) -> Network:
    """Make the network of all methods, not yet fitted."""
    return Network(num_classes=num_classes, random_state=seed, **settings)


def baseline(X: Floats, y_noisy: Labels, num_classes: int, seed: int) -> Network:
    """Train by plain cross entropy, as if all labels were right."""
    return new_network(num_classes, seed).fit(X, y_noisy)


def mixup(X: Floats, y_noisy: Labels, num_classes: int, seed: int) -> Network:
    """Train on mixtures of rows (see `Mixup`)."""
    return new_network(num_classes, seed, augment=Mixup()).fit(X, y_noisy)


def symmetric_cross_entropy(X: Floats, y_noisy: Labels, num_classes: int, seed: int) -> Network:
    """Train by the symmetric cross entropy (see `losses.SymmetricCrossEntropy`)."""
    return new_network(num_classes, seed, loss=SymmetricCrossEntropy()).fit(X, y_noisy)


def soft_bootstrapping(X: Floats, y_noisy: Labels, num_classes: int, seed: int) -> Network:
    """Train on labels mixed with the outputs (see `losses.SoftBootstrapping`)."""
    return new_network(num_classes, seed, loss=SoftBootstrapping()).fit(X, y_noisy)


def hard_bootstrapping(X: Floats, y_noisy: Labels, num_classes: int, seed: int) -> Network:
    """Train on labels mixed with the predicted labels (see `losses.HardBootstrapping`)."""
    return new_network(num_classes, seed, loss=HardBootstrapping()).fit(X, y_noisy)


def s_model(X: Floats, y_noisy: Labels, num_classes: int, seed: int) -> AdaptedNetwork:
    """Train a network together with a layer of noise rates that starts at the confusion of a first network.

    The second network starts anew, so that it is trained for as many epochs as those of the other methods.
    The authors' program goes on from the first one, which it stops early.

    Source: see `losses.NoiseAdaptationLayer`.
    """
    first = baseline(X, y_noisy, num_classes, seed)
    network = new_network(num_classes, seed)
    rows, targets = network.initialise(X, y_noisy)
    layer = NoiseAdaptationLayer.from_confusion(first.predict_proba(X), targets)
    layer_optimizer = Adam(layer.logits, network.learning_rate)
    with one_thread():
        for _ in range(network.epochs):
            for batch in network.batches(len(rows)):
                by_layer = layer.gradient(network.logits(rows[batch]), targets[batch])
                network.train_batch(rows[batch], targets[batch], layer)
                layer_optimizer.step(by_layer)
    return AdaptedNetwork(network, layer.noise_rates)


def co_teaching(
    X: Floats, y_noisy: Labels, num_classes: int, seed: int, forget_rate: float | None = None
) -> SelectiveNetwork:
    """Train two networks, each on the examples of a batch that have the smallest losses under the other.

    The first network predicts.

    Args:
        X: (n, d) rows.
        y_noisy: (n,) labels.
        num_classes: K.
        seed: of both networks and the batches.
        forget_rate: tau, the share of a batch that is dropped once `WARM_UP_EPOCHS` are over: the noise rate.
            None estimates it as INCV does.

    Source: Han et al.: Co-teaching: Robust Training of Deep Neural Networks with Extremely Noisy Labels
    (NeurIPS 2018), algorithm 1, where R(T) = 1 - min(T / T_k tau, tau) of a batch are kept in epoch T.
    """
    if forget_rate is None:
        first, second = split_in_halves(np.arange(len(X)), np.random.default_rng(seed))
        network = baseline(X[first], y_noisy[first], num_classes, seed)
        forget_rate = noise_rate_from_agreement(
            np.mean(network.predict(X[second]) == y_noisy[second]), num_classes
        )
    seeds = np.random.SeedSequence(seed).generate_state(2)
    network, peer = (new_network(num_classes, int(each)) for each in seeds)
    rows, targets = network.initialise(X, y_noisy)
    peer.initialise(X, y_noisy)
    selected = np.zeros(len(rows), dtype=bool)
    with one_thread():
        for epoch in range(1, network.epochs + 1):
            kept_share = 1 - forget_rate * min(epoch / WARM_UP_EPOCHS, 1.0)
            selected[:] = False
            for batch in network.batches(len(rows)):
                num_kept = max(1, int(kept_share * len(batch)))
                by_network = batch[smallest_losses(network, rows[batch], targets[batch], num_kept)]
                by_peer = batch[smallest_losses(peer, rows[batch], targets[batch], num_kept)]
                network.train_batch(rows[by_peer], targets[by_peer], cross_entropy)
                peer.train_batch(rows[by_network], targets[by_network], cross_entropy)
                selected[by_peer] = True
    return SelectiveNetwork(network, selected, forget_rate)


def smallest_losses(network: Network, rows: Floats, targets: Floats, num_kept: int) -> NDArray[np.int64]:
    """Find the examples of a batch with the smallest cross entropies; of equal ones the first."""
    losses, _ = cross_entropy(network.logits(rows), targets)
    return np.argsort(losses, kind="stable")[:num_kept]


def incv(X: Floats, y_noisy: Labels, num_classes: int, seed: int) -> SelectiveNetwork:
    """Train on the examples whose labels are predicted by networks that were trained without them.

    Each iteration splits the candidates in two halves. A network trained on one half and all examples
    selected before selects those of the other half that it predicts to have their given label, and removes
    those with the largest losses: r times as many as it selects, where r = e / (1 - e) and e is the estimated
    noise rate. The last network is trained on the selected examples alone, by plain cross entropy.

    Three things are left out: Co-teaching on the selected examples and the candidates, which the paper adds;
    the choice of the best epoch by validation, made by the authors' program; and that this program removes
    no examples where it is told that noise is not uniform.

    Source: Chen, Liao, Chen, Zhang: Understanding and Utilizing Deep Neural Networks Trained with Noisy
    Labels (ICML 2019), iterative noisy cross-validation (INCV).
    """
    random = np.random.default_rng(seed)
    candidates = np.arange(len(X))
    selected = np.zeros(len(X), dtype=bool)
    noise_rate = np.nan
    for _ in range(INCV_ITERATIONS):
        if len(candidates) < 2:
            break
        halves = split_in_halves(candidates, random)
        trusted = np.flatnonzero(selected)
        removed = np.zeros(len(X), dtype=bool)
        for learnt, judged in (halves, halves[::-1]):
            learnt = np.concatenate([trusted, learnt])
            probs = baseline(X[learnt], y_noisy[learnt], num_classes, seed).predict_proba(X[judged])
            agreeing = probs.argmax(axis=1) == y_noisy[judged]
            if np.isnan(noise_rate):
                noise_rate = noise_rate_from_agreement(agreeing.mean(), num_classes)
            num_removed = int(remove_ratio(noise_rate) * agreeing.sum())
            self_confidences = probs[np.arange(len(judged)), y_noisy[judged]]
            selected[judged[agreeing]] = True
            removed[judged[np.argsort(self_confidences, kind="stable")[:num_removed]]] = True
        candidates = candidates[~selected[candidates] & ~removed[candidates]]
    network = baseline(X[selected], y_noisy[selected], num_classes, seed)
    return SelectiveNetwork(network, selected, noise_rate)


def split_in_halves(
    examples: NDArray[np.int64], random: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split examples in two halves at random."""
    shuffled = random.permutation(examples)
    return shuffled[: len(shuffled) // 2], shuffled[len(shuffled) // 2 :]


def noise_rate_from_agreement(agreement: float, num_classes: int) -> float:
    """Solve (1 - e)^2 + e^2 / (K - 1) = agreement for the noise rate e.

    This is how often a network trained on noisy labels predicts the noisy label of another example, if noise
    is uniform and the network confuses classes as the labels do.

    Args:
        agreement: share of examples, not trained on, whose predicted label is their given label.
        num_classes: K.

    Returns:
        The smaller solution, not below 0; (K - 1) / K, where labels say nothing, if there is none.

    Source: Chen et al. 2019 (see `incv`), test accuracy under symmetric noise.

    Example:
        >>> round(noise_rate_from_agreement(0.6**2 + 0.4**2 / 9, num_classes=10), 6)
        0.4
    """
    factor = num_classes / (num_classes - 1)
    return float((1 - np.sqrt(max(0.0, 1 - factor * (1 - agreement)))) / factor)


def remove_ratio(noise_rate: float) -> float:
    """Compute how many examples INCV removes for each that it selects."""
    return min(MOST_REMOVED, noise_rate / (1 - noise_rate))


METHODS: Mapping[str, Method] = {
    "baseline": baseline,
    "mixup": mixup,
    "symmetric_cross_entropy": symmetric_cross_entropy,
    "soft_bootstrapping": soft_bootstrapping,
    "hard_bootstrapping": hard_bootstrapping,
    "s_model": s_model,
    "co_teaching": co_teaching,
    "incv": incv,
}
"""All methods by name, none of which is told the noise rate."""


def methods_given(noise_rate: float) -> dict[str, Method]:
    """List all methods by name, with the noise rate told to the one that takes it: Co-teaching."""
    return {**METHODS, "co_teaching": partial(co_teaching, forget_rate=noise_rate)}
