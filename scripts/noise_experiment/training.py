"""Ways to train a classifier on noisy labels, given an audit of them; and their test accuracies."""

import warnings
from typing import Any
from unittest import mock

import numpy as np
from cleanlab.classification import CleanLearning as CleanlabLearning  # type: ignore[import-untyped]
from pyspark.sql import functions as F
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import precision_recall_fscore_support

from cl_spark import CleanLearning
from cl_spark.methods.learning.correction import How
from cl_spark.methods.learning.weights import importance_weights, invert_noise
from scripts.noise_experiment.losses import Floats
from scripts.noise_experiment.methods import Bools, methods_given, new_network
from scripts.noise_experiment.trials import MIN_EXAMPLES_PER_CLASS, Audited, NoisyData

FILTER = "prune_by_noise_rate"
"""Filter whose issues are pruned and relabelled: the default of `CleanLearning`, here and in cleanlab."""

HOWS: tuple[How, ...] = ("prune", "reweight", "relabel")

CONFIDENT_LEARNING = (
    "predicted_neq_given",
    "off_diagonal",
    "prune_by_class",
    "prune_by_noise_rate",
    "both",
)
"""Filters of the five ways of confident learning that the paper compares."""


def new_classifier() -> LogisticRegression:
    """Make the classifier of the first tables. It is deterministic."""
    return LogisticRegression(max_iter=1000)


def score_issues(is_issue: Bools, is_wrong: Bools) -> dict[str, float]:
    """Compute precision, recall and F1 of found label issues; 0 where nothing is found.

    Example:
        >>> score_issues(np.array([True, True, False]), np.array([True, False, False]))
        {'precision': 0.5, 'recall': 1.0, 'F1': 0.6666666666666666}
    """
    scores = precision_recall_fscore_support(is_wrong, is_issue, average="binary", zero_division=0)
    return dict(zip(("precision", "recall", "F1"), map(float, scores[:3]), strict=True))


def prune_weights(y_kept: Any, y_given: Any, noise_rates: Floats) -> Floats | None:
    """Weigh the examples that pruning leaves as `CleanLearning` does.

    Args:
        y_kept: labels of the examples left.
        y_given: labels of all examples.
        noise_rates: (K, K) p(given | true), [given, true].

    Returns:
        1 / p(given label = k | true class = k) for classes that lost examples, and 1 for others; None if none
        did.
    """
    num_classes = len(noise_rates)
    shrunk = np.bincount(y_kept, minlength=num_classes) < np.bincount(y_given, minlength=num_classes)
    if not shrunk.any():
        return None
    rates = noise_rates.diagonal()
    weights: Floats = np.ones(num_classes)
    np.divide(1.0, rates, out=weights, where=shrunk & (rates > 0))
    weights_kept: Floats = weights[y_kept]
    return weights_kept


def reweighting_weights(data: NoisyData, audited: Audited) -> Floats:
    """Weigh all examples as `CleanLearning` does to reweight them."""
    rates = audited.noise_rates.copy()
    empty = np.flatnonzero(rates.sum(axis=0) == 0)
    rates[empty, empty] = 1.0
    return importance_weights(audited.pred_probs, data.y_given, invert_noise(rates))


def train_each_way(data: NoisyData, audited: Audited) -> dict[str, float]:
    """Train the classifier on the labels as they are, corrected each way, and true: test accuracies."""
    X, given, is_issue = data.X_train, data.y_given, audited.is_issue[FILTER]
    kept = ~is_issue
    trained = {
        "all labels": new_classifier().fit(X, given),
        "prune": new_classifier().fit(
            X[kept], given[kept], prune_weights(given[kept], given, audited.noise_rates)
        ),
        "reweight": new_classifier().fit(X, given, reweighting_weights(data, audited)),
        "relabel": new_classifier().fit(X, np.where(is_issue, audited.suggested, given)),
        "true labels": new_classifier().fit(X, data.y_true),
    }
    return {way: data.accuracy(model.predict(data.X_test)) for way, model in trained.items()}


def new_cleanlab() -> Any:
    """Make cleanlab's CleanLearning."""
    return CleanlabLearning(new_classifier(), find_label_issues_kwargs={"filter_by": FILTER, "n_jobs": 1})


def train_by_cleanlab(data: NoisyData, audited: Audited) -> tuple[float, Bools]:
    """Train the classifier by cleanlab's CleanLearning, given the same probabilities.

    Returns:
        The test accuracy, and (n,) whether cleanlab took an example for a label issue.
    """
    learning = new_cleanlab()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="When X and pred_probs are both provided")
        learning.fit(data.X_train, data.y_given, pred_probs=audited.pred_probs)
    is_issue: Bools = learning.get_label_issues()["is_label_issue"].to_numpy()
    return data.accuracy(learning.predict(data.X_test)), is_issue


def find_by_stable_cleanlab(data: NoisyData, audited: Audited) -> Bools:
    """Find label issues by cleanlab, (n,), with sorts that decide for the lower row where values are equal.

    cleanlab's own sorts are unstable, so that equal values are ordered as the processor has it.
    """
    with mock.patch.object(np, "argsort", stable_argsort):
        found = new_cleanlab().find_label_issues(labels=data.y_given, pred_probs=audited.pred_probs)
    is_issue: Bools = found["is_label_issue"].to_numpy()
    return is_issue


_ARGSORT = np.argsort


def stable_argsort(a: Any, axis: int = -1, kind: Any = None, order: Any = None, **more: Any) -> Any:
    """Sort as `numpy.argsort` does, but always stably."""
    return _ARGSORT(a, axis=axis, kind="stable", order=order)


def fit_clean_learning(data: NoisyData, how: How, seed: int) -> float:
    """Train the classifier by `CleanLearning.fit` on the table alone, all in Spark: the test accuracy."""
    learning = CleanLearning(
        new_classifier(),
        how=how,
        filter_by=FILTER,
        min_examples_per_class=MIN_EXAMPLES_PER_CLASS,
        seed=seed,
    )
    model = learning.fit(data.table)
    rows = list(enumerate(data.X_test.tolist()))
    test = data.table.sparkSession.createDataFrame(rows, "id long, features array<double>")
    predicted = model.transform(test).select("id", F.col("prediction").cast("int")).toPandas()
    return data.accuracy(predicted.sort_values("id")["prediction"].to_numpy())


def train_networks(data: NoisyData, audited: Audited, noise: float, seed: int) -> dict[str, float]:
    """Train the network by each method, and on what each filter of confident learning leaves.

    Args:
        data: the labels and features.
        audited: the audit of the labels by the probabilities of the same network.
        noise: the true noise, which Co-teaching is told.
        seed: of the networks.

    Returns:
        Test accuracies by method, and by filter; and of the network that learns the true labels.
    """
    X, given, size = data.X_train, data.y_given, data.num_classes
    accuracies = {}
    for name, method in methods_given(noise).items():
        probs = method(X, given, size, seed).predict_proba(data.X_test)
        accuracies[name] = data.accuracy(probs.argmax(axis=1))
    for name in CONFIDENT_LEARNING:
        kept = ~audited.is_issue[name]
        accuracies[name] = data.accuracy(
            new_network(size, seed).fit(X[kept], given[kept]).predict(data.X_test)
        )
    accuracies["true_labels"] = data.accuracy(
        new_network(size, seed).fit(X, data.y_true).predict(data.X_test)
    )
    return accuracies
