"""Scores of the K classes of an example, made one score of the example (specification, section 14).

Sums are taken in an order that depends on the row alone, so that a row has the same score wherever it stands.
"""

from dataclasses import dataclass

import numpy as np

from cl_spark.kernels.arrays import Float64s, Int64s

NEGLIGIBLE = 2.0**-60
"""Weight below which a score cannot change a moving average."""


@dataclass(frozen=True)
class ScoreEntries:
    """Scores of n examples of K classes: of some classes each its own, and of all others the same.

    Attributes:
        row: (m,) row of each score, ascending.
        score: (m,) scores.
        size: n.
        num_classes: K.
        absent: score of each class that has none of its own.
    """

    row: Int64s
    score: Float64s
    size: int
    num_classes: int
    absent: float

    @property
    def num_absent(self) -> Int64s:
        """(n,) how many classes have no score of their own."""
        return self.num_classes - np.bincount(self.row, minlength=self.size).astype(np.int64)

    def sum(self, values: Float64s) -> Float64s:
        """(n,) sums of a value of each score."""
        return np.asarray(np.bincount(self.row, values, self.size))


@dataclass(frozen=True)
class MovingAverage:
    """Exponential moving average over the scores from best to worst: the worst one weighs most.

    With the scores sorted from the worst, ``s_0`` to ``s_(K-1)``, score i weighs ``alpha (1 - alpha)^i``, and
    the best one what is left, ``(1 - alpha)^(K-1)``.

    Attributes:
        alpha: weight of the worst score, in [0, 1]; None is 2 / (K + 1).
    """

    alpha: float | None = 0.8

    def of_matrix(self, scores: Float64s) -> Float64s:
        """Aggregate (n, K) scores.

        Example:
            >>> MovingAverage(0.5).of_matrix(np.array([[0.2, 1.0, 0.4]])).round(3).tolist()
            [0.45]
        """
        num_classes = scores.shape[1]
        weights = self._weigh(np.arange(num_classes), num_classes)
        heavy = int(np.searchsorted(-self._left(np.arange(num_classes), num_classes), -NEGLIGIBLE)) or 1
        if heavy < num_classes:
            scores, weights = np.partition(scores, heavy - 1, axis=1)[:, :heavy], weights[:heavy]
        return np.asarray((np.sort(scores, axis=1) * weights).sum(axis=1))

    def of_entries(self, entries: ScoreEntries) -> Float64s:
        """Aggregate scores of which most are the same.

        Example:
            >>> row, score = np.array([0, 0]), np.array([0.2, 0.4])
            >>> MovingAverage(0.5).of_entries(ScoreEntries(row, score, 1, 3, 1.0)).round(3).tolist()
            [0.45]
        """
        num_classes, num_absent = entries.num_classes, entries.num_absent
        order = np.lexsort((entries.score, entries.row))  # rows stay where they are
        score, row = entries.score[order], entries.row
        lengths = num_classes - num_absent
        place = np.arange(len(row)) - (np.cumsum(lengths) - lengths)[row]
        is_worse = score <= entries.absent
        place += np.where(is_worse, 0, num_absent[row])
        average = entries.sum(self._weigh(place, num_classes) * score)
        first = np.bincount(row[is_worse], minlength=entries.size)
        last = self._left(first + num_absent, num_classes)
        of_absent = self._left(first, num_classes) - np.where(first + num_absent < num_classes, last, 0)
        return np.asarray(average + np.where(num_absent > 0, of_absent * entries.absent, 0))

    def _left(self, place: Int64s, num_classes: int) -> Float64s:
        """Weight of the scores from some place on."""
        alpha = 2 / (num_classes + 1) if self.alpha is None else self.alpha
        return np.power(1.0 - alpha, place)

    def _weigh(self, place: Int64s, num_classes: int) -> Float64s:
        """Weight of the scores at some places."""
        left = self._left(place, num_classes)
        rest = np.where(place < num_classes - 1, self._left(place + 1, num_classes), 0)
        return np.asarray(left - rest)


@dataclass(frozen=True)
class Softmin:
    """Mean of the scores, weighted by ``softmax((1 - score) / temperature)``: the worst ones weigh most.

    Attributes:
        temperature: the lower, the nearer to the minimum; above 0.
    """

    temperature: float = 0.1

    def of_matrix(self, scores: Float64s) -> Float64s:
        """Aggregate (n, K) scores.

        Example:
            >>> Softmin(0.1).of_matrix(np.array([[0.2, 1.0]])).round(3).tolist()
            [0.2]
        """
        weights = np.exp((scores.min(axis=1, keepdims=True) - scores) / self.temperature)
        return np.asarray((weights * scores).sum(axis=1) / weights.sum(axis=1))

    def of_entries(self, entries: ScoreEntries) -> Float64s:
        """Aggregate scores of which most are the same.

        Example:
            >>> row, score = np.array([0, 0]), np.array([0.2, 1.0])
            >>> Softmin(0.1).of_entries(ScoreEntries(row, score, 1, 10, 1.0)).round(3).tolist()
            [0.202]
        """
        num_absent, absent = entries.num_absent, entries.absent
        lowest = np.where(num_absent > 0, absent, np.inf)
        np.minimum.at(lowest, entries.row, entries.score)
        weights = np.exp((lowest[entries.row] - entries.score) / self.temperature)
        of_absent = num_absent * np.exp((np.minimum(lowest, absent) - absent) / self.temperature)
        total = entries.sum(weights * entries.score) + of_absent * absent
        return np.asarray(total / (entries.sum(weights) + of_absent))


Aggregate = MovingAverage | Softmin
