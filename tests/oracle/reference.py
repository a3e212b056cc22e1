"""The whole audit in memory, from the specification and the kernels: quick enough to ask often."""

import numpy as np

from cl_spark.kernels import EPS
from cl_spark.kernels.calibration import calibrate as calibrate_cells
from cl_spark.kernels.calibration import sum_scaled_cells
from cl_spark.kernels.confident_class import NO_CLASS, choose_confident_class
from cl_spark.kernels.quality_scores import normalized_margin, self_confidence
from cl_spark.kernels.removal_counts import count_removals


def thresholds(labels: np.ndarray, probs: np.ndarray) -> np.ndarray:
    probs, classes = probs.astype(np.float64), probs.shape[1]
    probabilities = probs[np.arange(len(labels)), labels].min() >= 0 and probs.max() <= 1 + EPS
    found = np.full(classes, 2.0 if probabilities else np.inf)
    for k in np.unique(labels):
        mean = probs[labels == k, k].mean()
        found[k] = max(mean, 2 * EPS) if probabilities else mean
    return found


def suspects(labels: np.ndarray, probs: np.ndarray) -> np.ndarray:
    raised = probs.astype(np.float64)
    raised[np.arange(len(labels)), labels] += EPS
    return raised.argmax(axis=1) != labels


def counted(labels: np.ndarray, probs: np.ndarray) -> np.ndarray:
    """The confident joint as counted, before the diagonal is raised."""
    confident = choose_confident_class(probs, thresholds(labels, probs))
    joint = np.zeros((probs.shape[1],) * 2, dtype=np.int64)
    np.add.at(joint, (labels[confident != NO_CLASS], confident[confident != NO_CLASS]), 1)
    return joint


def raised_joint(labels: np.ndarray, probs: np.ndarray) -> np.ndarray:
    joint = counted(labels, probs)
    np.fill_diagonal(joint, np.maximum(joint.diagonal(), 1))
    return joint


def calibrate(joint: np.ndarray, class_counts: np.ndarray) -> np.ndarray:
    given, true = np.nonzero(joint)
    count = joint[given, true]
    total = sum_scaled_cells(given, true, count, class_counts)
    dense = np.zeros_like(joint)
    given, true, count = calibrate_cells(given, true, count, class_counts, total)
    dense[given, true] = count
    return dense


def issues(labels: np.ndarray, probs: np.ndarray, filter_by: str, **options: object) -> set[int]:
    probs = probs.astype(np.float64)
    n, classes = probs.shape
    suspect = suspects(labels, probs)
    confident = choose_confident_class(probs, thresholds(labels, probs))
    off_diagonal = (confident != NO_CLASS) & (confident != labels)
    if filter_by == "predicted_neq_given":
        return _ids(suspect)
    if filter_by == "off_diagonal":
        return _ids(off_diagonal)
    if filter_by == "confident_learning":
        return _ids(off_diagonal & suspect)
    if filter_by.startswith("low_"):
        score = (
            self_confidence(labels, probs)
            if filter_by == "low_self_confidence"
            else normalized_margin(labels, probs)
        )
        number = options.get("num_issues", int((off_diagonal & suspect).sum()))
        return set(np.argsort(score, kind="stable")[:number].tolist())
    if filter_by == "both":
        return issues(labels, probs, "prune_by_class", **options) & issues(
            labels, probs, "prune_by_noise_rate", **options
        )
    class_counts = np.bincount(labels, minlength=classes)
    joint = calibrate(raised_joint(labels, probs), class_counts)
    given, true = np.nonzero(joint)
    wanted = options.get("num_to_remove_per_class")
    removals = count_removals(
        given,
        true,
        joint[given, true],
        class_counts,
        min_examples_per_class=int(options.get("min_examples_per_class", 1)),
        frac_noise=float(options.get("frac_noise", 1.0)),
        num_to_remove_per_class=None if wanted is None else np.asarray(wanted),
    )
    flagged = np.zeros(n, dtype=bool)
    for k, j, number in zip(*removals, strict=True):
        rows = np.flatnonzero(labels == k)
        if (k == j) != (filter_by == "prune_by_class"):
            continue
        score = probs[rows, k] if k == j else probs[rows, k] - probs[rows, j]
        flagged[rows[np.argsort(score, kind="stable")[:number]]] = True
    return _ids(flagged & suspect)


def _ids(mask: np.ndarray) -> set[int]:
    return set(np.flatnonzero(mask).tolist())
