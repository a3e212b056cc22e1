"""A feed-forward network with one hidden layer, in numpy, with the interface of scikit-learn."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from scripts.noise_experiment.losses import Floats, Loss, cross_entropy, softmax

Augmentation = Callable[[Floats, Floats, np.random.RandomState], tuple[Floats, Floats]]
"""Makes other rows and targets from those of a batch: `augment(rows, targets, random)`."""


class Adam:
    """Steps of Adam on one array, which they change in place.

    Source: Kingma, Ba: Adam (ICLR 2015), algorithm 1, with its defaults for the decay of the two moments.
    """

    def __init__(self, parameters: Floats, learning_rate: float) -> None:
        self.parameters = parameters
        self.learning_rate = learning_rate
        self.mean = np.zeros_like(parameters)
        self.square = np.zeros_like(parameters)
        self.num_steps = 0

    def step(self, gradient: Floats) -> None:
        """Take one step down the gradient."""
        self.num_steps += 1
        self.mean += 0.1 * (gradient - self.mean)
        self.square += 0.001 * (gradient * gradient - self.square)
        deviation = np.sqrt(self.square / (1 - 0.999**self.num_steps)) + 1e-8
        self.parameters -= self.learning_rate / (1 - 0.9**self.num_steps) * self.mean / deviation


class Network(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Network with one hidden layer of rectified linear units and a softmax, trained by Adam on mini-batches.

    Inputs are standardised by the mean and deviation of the training rows. Every method of the experiment is
    this network, with another loss or another way to choose batches. `fit` is all that most need; the others
    call `initialise` once, then `batches` and `train_batch`, in `one_thread`. The hidden units, the learning
    rate and the penalty are by default those of scikit-learn's MLPClassifier.

    Args:
        hidden: units of the hidden layer.
        epochs: passes over the training rows; there is no early stopping.
        batch_size: rows of a batch.
        learning_rate: step size of Adam.
        l2: factor of half the squared weights (not of the biases) in the loss.
        num_classes: K, where labels are class indices 0 to K - 1 and some may not occur. None takes the
            classes from the labels.
        loss: see `losses`.
        augment: changes the rows and targets of each batch. None leaves them.
        random_state: seed of the first weights, the order of rows, and the augmentation.

    Attributes:
        classes_: (K,) labels in the order of the probabilities.

    Example:
        >>> X, y = np.array([[0.0], [1.0], [2.0], [3.0]]), np.array(["low", "low", "high", "high"])
        >>> Network(random_state=0).fit(X, y).predict([[-1.0], [4.0]]).tolist()
        ['low', 'high']
    """

    def __init__(
        self,
        *,
        hidden: int = 100,
        epochs: int = 100,
        batch_size: int = 64,
        learning_rate: float = 0.001,
        l2: float = 1e-4,
        num_classes: int | None = None,
        loss: Loss = cross_entropy,
        augment: Augmentation | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.hidden = hidden
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.l2 = l2
        self.num_classes = num_classes
        self.loss = loss
        self.augment = augment
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> "Network":
        """Train on rows and labels.

        Args:
            X: (n, d) rows.
            y: (n,) labels.
            sample_weight: (n,) weights of the rows' losses, not negative. Only their ratios count.

        Raises:
            ValueError: if the shapes do not fit, values are missing, labels are not class indices where
                `num_classes` is given, or weights are negative or all 0.
        """
        rows, targets = self.initialise(X, y)
        weights = relative_weights(sample_weight, len(rows))
        with one_thread():
            for _ in range(self.epochs):
                for batch in self.batches(len(rows)):
                    batch_rows, batch_targets = rows[batch], targets[batch]
                    if self.augment is not None:
                        batch_rows, batch_targets = self.augment(batch_rows, batch_targets, self.random_)
                    self.train_batch(batch_rows, batch_targets, self.loss, weights[batch])
        return self

    def predict_proba(self, X: ArrayLike) -> Floats:
        """Compute the probabilities of the classes, (n, K)."""
        return softmax(self.logits(self.standardise(X)))

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Find the most probable class of each row, (n,); of equal ones the first."""
        probs = self.predict_proba(X)
        predicted: NDArray[Any] = self.classes_[probs.argmax(axis=1)]
        return predicted

    def initialise(self, X: ArrayLike, y: ArrayLike) -> tuple[Floats, Floats]:
        """Draw the first weights, and forget any earlier training.

        Returns:
            The rows standardised, (n, d), and the labels one-hot, (n, K).
        """
        checked, labels = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(labels)
        self.classes_, given = encode_labels(labels, self.num_classes)
        self.random_ = check_random_state(self.random_state)
        self.mean_ = checked.mean(axis=0)
        deviation = checked.std(axis=0)
        self.scale_ = np.where(deviation > 0, deviation, 1.0)

        num_inputs, num_classes = checked.shape[1], len(self.classes_)
        shapes = [(num_inputs, self.hidden), (self.hidden,), (self.hidden, num_classes), (num_classes,)]
        self.parameters_ = np.zeros(sum(int(np.prod(shape)) for shape in shapes))
        self.layers_ = split_parameters(self.parameters_, shapes)
        into_hidden, _, into_output, _ = self.layers_
        into_hidden[:] = self.random_.normal(0.0, np.sqrt(2 / num_inputs), into_hidden.shape)
        into_output[:] = self.random_.normal(0.0, np.sqrt(1 / self.hidden), into_output.shape)
        self.optimizer_ = Adam(self.parameters_, self.learning_rate)
        return self.standardise(checked), np.eye(num_classes)[given]

    def standardise(self, X: ArrayLike) -> Floats:
        """Scale rows by the mean and deviation of the training rows."""
        check_is_fitted(self, "mean_")
        rows: Floats = (validate_data(self, X, reset=False, dtype=np.float64) - self.mean_) / self.scale_
        return rows

    def batches(self, num_rows: int) -> Iterator[NDArray[np.int64]]:
        """Deal out the indices of all rows once, in random order, a batch at a time."""
        order = self.random_.permutation(num_rows)
        for start in range(0, num_rows, self.batch_size):
            yield order[start : start + self.batch_size]

    def logits(self, rows: Floats) -> Floats:
        """Compute the logits of standardised rows, (n, K)."""
        into_hidden, hidden_bias, into_output, output_bias = self.layers_
        outputs: Floats = np.maximum(rows @ into_hidden + hidden_bias, 0) @ into_output + output_bias
        return outputs

    def train_batch(self, rows: Floats, targets: Floats, loss: Loss, weights: Floats | None = None) -> None:
        """Take one step of the optimizer on a batch of standardised rows.

        Args:
            rows: (n, d) standardised rows.
            targets: (n, K) distributions.
            loss: see `losses`.
            weights: (n,) weights of the rows' losses, 1 on average over all batches. None weighs them alike.
        """
        self.optimizer_.step(self.gradient(rows, targets, loss, weights)[1])

    def gradient(
        self, rows: Floats, targets: Floats, loss: Loss, weights: Floats | None = None
    ) -> tuple[float, Floats]:
        """Compute the mean loss of a batch, the penalty included, and its gradient by `parameters_`."""
        into_hidden, hidden_bias, into_output, output_bias = self.layers_
        activations = np.maximum(rows @ into_hidden + hidden_bias, 0)
        losses, by_logits = loss(activations @ into_output + output_bias, targets)
        shares = (np.ones(len(rows)) if weights is None else weights) / len(rows)
        by_logits = by_logits * shares[:, None]
        by_activations = (by_logits @ into_output.T) * (activations > 0)

        gradient = np.empty_like(self.parameters_)
        parts = split_parameters(gradient, [layer.shape for layer in self.layers_])
        np.matmul(rows.T, by_activations, out=parts[0])
        np.sum(by_activations, axis=0, out=parts[1])
        np.matmul(activations.T, by_logits, out=parts[2])
        np.sum(by_logits, axis=0, out=parts[3])
        parts[0] += self.l2 * into_hidden
        parts[2] += self.l2 * into_output
        penalty = self.l2 / 2 * (np.vdot(into_hidden, into_hidden) + np.vdot(into_output, into_output))
        return float(losses @ shares + penalty), gradient


def one_thread() -> AbstractContextManager[Any]:
    """Keep products of matrices to one thread while training.

    Those of a batch are so small that sharing them between threads takes several times as long; and their
    sums do not depend on the number of cores.
    """
    limits: AbstractContextManager[Any] = threadpool_limits(limits=1, user_api="blas")
    return limits


def encode_labels(labels: NDArray[Any], num_classes: int | None) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Find the classes, (K,), and each label's index among them, (n,)."""
    if num_classes is None:
        classes, given = np.unique(labels, return_inverse=True)
        return classes, given
    if not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"with num_classes, labels must be class indices; they are of type {labels.dtype}")
    if labels.min() < 0 or labels.max() >= num_classes:
        raise ValueError(
            f"labels must be from 0 to {num_classes - 1}; they are from {labels.min()} to {labels.max()}"
        )
    return np.arange(num_classes), labels.astype(np.int64)


def relative_weights(sample_weight: ArrayLike | None, num_rows: int) -> Floats:
    """Scale weights, (n,), to a mean of 1."""
    if sample_weight is None:
        return np.ones(num_rows)
    weights = np.asarray(sample_weight, dtype=np.float64)
    if weights.shape != (num_rows,):
        raise ValueError(
            f"sample_weight must have the shape ({num_rows},), one per row; it has {weights.shape}"
        )
    if not np.isfinite(weights).all() or weights.min() < 0 or weights.max() == 0:
        raise ValueError("sample_weight must be finite, not negative, and not zero for all rows")
    scaled: Floats = weights / weights.mean()
    return scaled


def split_parameters(parameters: Floats, shapes: list[tuple[int, ...]]) -> list[Floats]:
    """Make views of the given shapes into one flat array: one step of the optimizer changes them all."""
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes])
    parts = np.split(parameters, ends[:-1])
    return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]
