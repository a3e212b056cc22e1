"""Reducing predicted probabilities to the classes that may become the consensus."""

import numpy as np

from cl_spark.kernels.arrays import Bools, Float64s, Int64s


def find_kept_votes(rows: Int64s, annotators: Int64s, labels: Int64s) -> Bools:
    """Mark the votes that count: (v,).

    Of several equal votes by an annotator for an example the first counts. Of votes for several classes none
    does: nobody knows which is meant.

    Args:
        rows: (v,) the example of each vote, ascending.
        annotators: (v,) ascending within an example.
        labels: (v,) ascending within an annotator of an example.

    Example:
        >>> find_kept_votes(*map(np.array, ([0, 0, 0, 0], [1, 1, 2, 2], [5, 5, 3, 4]))).tolist()
        [True, False, False, False]
    """
    begins = np.ones(len(rows), dtype=bool)
    begins[1:] = (rows[1:] != rows[:-1]) | (annotators[1:] != annotators[:-1])
    group = np.cumsum(begins) - 1
    differs = np.zeros(len(rows), dtype=bool)
    differs[1:] = ~begins[1:] & (labels[1:] != labels[:-1])
    has_several = np.bincount(group, weights=differs, minlength=len(rows)) > 0
    return np.asarray(begins & ~has_several[group])


def find_candidates(probs: Float64s, rows: Int64s, labels: Int64s, gold: Int64s) -> tuple[Int64s, Int64s]:
    """Find the candidates of each example: classes with votes, the gold class, and of the others the most
    probable one; with a second one of the same probability, if there is one, as ties are decided otherwise.

    No other class can come first: its votes are none, and its probability is no higher.

    Args:
        probs: (n, K) probabilities; zeros where there is no prediction.
        rows: (v,) the example of each vote.
        labels: (v,) its class.
        gold: (n,) the gold class, or -1.

    Returns:
        (c,) example and class of each candidate, ascending.
    """
    size, num_classes = probs.shape
    all_rows, with_gold = np.arange(size), np.flatnonzero(gold >= 0)
    others = probs.copy()
    others[rows, labels] = -1
    others[with_gold, gold[with_gold]] = -1
    keys = [rows * num_classes + labels, with_gold * num_classes + gold[with_gold]]
    highest = others.max(axis=1, initial=-1)
    for _ in range(2):
        classes = others.argmax(axis=1)
        is_highest = (others[all_rows, classes] == highest) & (highest >= 0)
        keys.append((all_rows * num_classes + classes)[is_highest])
        others[all_rows, classes] = -1
    return np.divmod(np.unique(np.concatenate(keys)), num_classes)
