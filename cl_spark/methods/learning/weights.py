"""Weights of examples that make up for wrong labels."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from cl_spark.errors import ConfigurationError
from cl_spark.kernels import CACHED_VALUES
from cl_spark.kernels.arrays import Float64s

MAX_CLASSES = 2_000
"""Most classes whose noise rates are held as a dense matrix."""

IMPORTANCE = "_importance"
"""Column of the weights."""

MAX_WEIGHT = 10.0
"""Greatest weight of an example: an estimate from few examples may call for any."""


def check_dense(num_classes: int) -> None:
    """Check that the noise rates of all pairs of classes may be held as a dense matrix.

    Raises:
        ConfigurationError: there are too many classes.
    """
    if num_classes > MAX_CLASSES:
        raise ConfigurationError(
            f"how: 'reweight' holds a matrix of K x K noise rates, for up to {MAX_CLASSES:,} classes; there "
            f"are {num_classes:,}: use how='prune'"
        )


def invert_noise(noise_matrix: Float64s) -> Float64s:
    """Invert a noise matrix: it turns probabilities of given labels into probabilities of true ones.

    Args:
        noise_matrix: (K, K) p(given | true), [given, true].

    Raises:
        ConfigurationError: it is singular, as where two classes cannot be told apart.

    Example:
        >>> invert_noise(np.array([[0.8, 0.4], [0.2, 0.6]])).round(6).tolist()
        [[1.5, -1.0], [-0.5, 2.0]]
    """
    check_dense(len(noise_matrix))
    if np.linalg.cond(noise_matrix) > 1 / (len(noise_matrix) * np.finfo(np.float64).eps):
        raise ConfigurationError(
            "how: 'reweight' inverts the noise rates, which are singular here: by them, two classes get the "
            "same given labels. Use how='prune'"
        )
    return np.asarray(np.linalg.inv(noise_matrix), dtype=np.float64)


def importance_weights(probs: Float64s, given: Any, inverse: Float64s) -> Float64s:
    """Weigh examples by how much likelier their label is under the true classes than under the given ones.

    Training on given labels with these weights minimizes, in expectation, the loss on true labels.

    Args:
        probs: (n, K) out-of-sample probabilities of the given labels.
        given: (n,) class indices of the given labels.
        inverse: (K, K) inverse of the noise matrix.

    Returns:
        (n,) weights p(true label = given label | x) / p(given label | x), at least 0 and at most
        `MAX_WEIGHT`.

    Source: Liu and Tao, "Classification with Noisy Labels by Importance Reweighting", TPAMI 2016, section 3;
    with confident learning's estimate of the noise matrix.

    Example:
        >>> inverse = invert_noise(np.array([[0.8, 0.4], [0.2, 0.6]]))
        >>> probs = np.array([[0.8, 0.2], [0.6, 0.4]])
        >>> importance_weights(probs, np.array([0, 1]), inverse).round(6).tolist()
        [1.25, 1.25]
    """
    true = np.clip(_find_true_probs(probs, inverse), 0.0, None)
    total = true.sum(axis=1, keepdims=True)
    true = np.divide(true, total, out=np.zeros_like(true), where=total > 0)
    rows = np.arange(len(probs))
    own, of_given = true[rows, given], probs[rows, given]
    ratio = np.divide(own, of_given, out=np.zeros_like(own), where=of_given > 0)
    return np.asarray(np.minimum(ratio, MAX_WEIGHT), dtype=np.float64)


def _find_true_probs(probs: Float64s, inverse: Float64s) -> Float64s:
    """Multiply the probabilities of given labels by the inverse of the noise matrix: (n, K).

    The sums add class by class. A product of matrices adds in an order that depends on how many rows it is
    given, and so on the partitions of the table.
    """
    true, by_given = np.zeros_like(probs), np.ascontiguousarray(inverse.T)
    step = max(CACHED_VALUES // len(inverse), 1)
    for start in range(0, len(probs), step):
        rows = slice(start, start + step)
        for given, of_true in enumerate(by_given):
            true[rows] += probs[rows, given, None] * of_true
    return true


@dataclass(frozen=True)
class ImportanceWeights:
    """Function of record batches of ids, class index and probabilities: the ids and their weights.

    Attributes:
        inverse: (K, K) inverse of the noise matrix.
        ids: id columns.
        given: column of the class index.
    """

    inverse: Float64s
    ids: Sequence[str]
    given: str

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Weigh the rows of a Spark task."""
        for batch in batches:
            given = batch.column(self.given).to_numpy(zero_copy_only=False)
            lists = batch.column("pred_probs")
            probs = lists.flatten().to_numpy(zero_copy_only=False).reshape(len(given), -1)
            weights = importance_weights(probs.astype(np.float64), given, self.inverse)
            columns = [batch.column(name) for name in self.ids]
            yield pa.RecordBatch.from_arrays([*columns, pa.array(weights)], names=[*self.ids, IMPORTANCE])
