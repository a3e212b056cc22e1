"""Passes of Dawid-Skene over blocks of votes, of sparse tables (specification, section 13).

Source: Dawid, Skene, "Maximum Likelihood Estimation of Observer Error-Rates Using the EM Algorithm", Applied
Statistics 28 (1979), section 3.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from cl_spark.kernels.arrays import Float64s, Int64s
from cl_spark.kernels.dense_probs import VALUES_AT_ONCE
from cl_spark.kernels.votes import VoteBlock


@dataclass(frozen=True)
class Ballots:
    """Labels of n examples by annotators and models, a model being one more annotator.

    Attributes:
        rows: (b,) the example of each ballot.
        codes: (b,) who gave it: annotators from 0 on, models from the number of annotators on.
        labels: (b,) the class.
        gold: (n,) classes that are known to be right, or -1.
    """

    rows: Int64s
    codes: Int64s
    labels: Int64s
    gold: Int64s

    @property
    def size(self) -> int:
        """Number of examples, n."""
        return len(self.gold)

    def split(self, num_classes: int) -> Iterator[tuple[int, "Ballots"]]:
        """Split into parts of few examples: the first example of each, and the part."""
        step = max(VALUES_AT_ONCE // num_classes, 1)
        for first in range(0, self.size, step):
            places = np.flatnonzero((self.rows >= first) & (self.rows < first + step))
            yield (
                first,
                Ballots(
                    self.rows[places] - first,
                    self.codes[places],
                    self.labels[places],
                    self.gold[first : first + step],
                ),
            )


def collect_ballots(block: VoteBlock, num_annotators: int) -> Ballots:
    """Collect the ballots of a block."""
    rows, codes, labels = [block.vote_rows], [block.annotators], [block.labels]
    for model in range(block.probs.shape[1]):
        predicted = np.flatnonzero(block.has_prediction)
        rows.append(predicted)
        codes.append(np.full(len(predicted), num_annotators + model))
        labels.append(block.predicted(model)[predicted])
    return Ballots(np.concatenate(rows), np.concatenate(codes), np.concatenate(labels), block.gold)


@dataclass(frozen=True)
class Confusion:
    """Logarithms of how often each annotator gives a label to a true class; classes never seen are left out.

    Attributes:
        keys: (k,) code x K + label, ascending.
        offsets: (k + 1,) where the true classes of each key begin.
        true: (t,) true classes.
        logs: (t,) logarithm of p(label | true class) of the annotator.
        log_priors: (K,) logarithm of how often each class is the true one; -inf where it never is.
    """

    keys: Int64s
    offsets: Int64s
    true: Int64s
    logs: Float64s
    log_priors: Float64s


@dataclass(frozen=True)
class Weights:
    """Probabilities of true classes of n examples; classes of probability 0 are left out.

    Attributes:
        rows: (w,) the example, ascending.
        true: (w,) the class, ascending within an example.
        values: (w,) its probability.
        log_likelihood: (examples,) logarithm of the probability of the ballots, where it is known.
    """

    rows: Int64s
    true: Int64s
    values: Float64s
    log_likelihood: Float64s


def share_votes(ballots: Ballots, num_classes: int) -> Weights:
    """Take the vote shares for the probabilities of the true classes."""
    size = ballots.size
    counts = np.bincount(ballots.rows * num_classes + ballots.labels, minlength=size * num_classes)
    shares = counts.reshape(size, num_classes) / np.bincount(ballots.rows, minlength=size)[:, None]
    return _keep(shares, ballots.gold, np.zeros(0))


def find_weights(ballots: Ballots, confusion: Confusion, num_classes: int) -> Weights:
    """Find the probabilities of the true classes from the confusion of the annotators.

    A class is possible if every annotator of the example has given this label to it before.
    """
    size = ballots.size
    keys = ballots.codes * num_classes + ballots.labels
    places = np.minimum(np.searchsorted(confusion.keys, keys), len(confusion.keys) - 1)
    lengths = np.where(confusion.keys[places] == keys, np.diff(confusion.offsets)[places], 0)
    of_ballot, entries = _expand(confusion.offsets[places], lengths)
    cells = ballots.rows[of_ballot] * num_classes + confusion.true[entries]
    logs = np.bincount(cells, weights=confusion.logs[entries], minlength=size * num_classes)
    found = np.bincount(cells, minlength=size * num_classes).reshape(size, num_classes)
    possible = found == np.bincount(ballots.rows, minlength=size)[:, None]
    with_gold = np.flatnonzero(ballots.gold >= 0)
    is_gold = np.zeros_like(possible)
    is_gold[with_gold, ballots.gold[with_gold]] = True
    possible[with_gold] &= is_gold[with_gold]
    scores = np.where(possible, logs.reshape(size, num_classes) + confusion.log_priors, -np.inf)
    top = scores.max(axis=1)
    is_known = np.isfinite(top)
    powers = np.exp(scores - np.where(is_known, top, 0)[:, None])
    total = np.zeros(size)
    for class_ in range(num_classes):  # in the order of the classes, whatever the size of the block
        total += powers[:, class_]
    weights = powers / np.where(is_known, total, 1)[:, None]
    return _keep(weights, ballots.gold, (np.where(is_known, top, 0) + np.log(np.maximum(total, 1)))[is_known])


def _keep(weights: Float64s, gold: Int64s, log_likelihood: Float64s) -> Weights:
    with_gold = np.flatnonzero(gold >= 0)
    weights[with_gold] = 0
    weights[with_gold, gold[with_gold]] = 1
    rows, true = np.nonzero(weights > 0)
    return Weights(rows, true, weights[rows, true], log_likelihood)


def pair(ballots: Ballots, weights: Weights) -> tuple[Int64s, Int64s]:
    """Pair each ballot with the weights of its example: places of ballots and of weights."""
    offsets = np.append(0, np.cumsum(np.bincount(weights.rows, minlength=ballots.size)))
    return _expand(offsets[ballots.rows], np.diff(offsets)[ballots.rows])


def _expand(starts: Int64s, lengths: Int64s) -> tuple[Int64s, Int64s]:
    """List for each range its number, and every place in it."""
    numbers = np.repeat(np.arange(len(lengths)), lengths)
    before = np.cumsum(lengths) - lengths
    return numbers, np.arange(len(numbers)) - before[numbers] + starts[numbers]
