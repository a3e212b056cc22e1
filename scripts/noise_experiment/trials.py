"""Noisy data sets of the experiment: drawn, cross-validated and audited by cl_spark, collected as arrays."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from sklearn.preprocessing import StandardScaler

from cl_spark.methods.learning.cross_validation import CrossValidation
from cl_spark.methods.learning.flip_labels import flip_labels
from cl_spark.methods.learning.noise_matrix import noise_bound, noise_matrix
from scripts.noise_experiment.datasets import load_split
from scripts.noise_experiment.losses import Floats
from scripts.noise_experiment.methods import Bools, Labels

PRUNING = ("prune_by_class", "prune_by_noise_rate", "both")
FILTERS = (
    *PRUNING,
    "confident_learning",
    "predicted_neq_given",
    "low_self_confidence",
    "low_normalized_margin",
    "off_diagonal",
)
"""All filters of `LabelAudit.find_label_issues`."""

MIN_EXAMPLES_PER_CLASS = 10
"""Examples that the pruning filters leave every class: the default of `CleanLearning`."""


@dataclass(frozen=True)
class Condition:
    """A condition of the experiment: a data set with an amount of noise and a sparsity.

    Attributes:
        dataset: its name.
        num_classes: K.
        noise: mean over the true classes of p(given label is wrong | true class).
        sparsities: shares of zeros off the diagonal of the noise matrix. Of few classes, several shares are
            the same number of zeros, so the same matrices, and one condition.
    """

    dataset: str
    num_classes: int
    noise: float
    sparsities: tuple[float, ...]

    @property
    def bound(self) -> float:
        """Noise that no noise matrix with a dominant diagonal reaches (see `noise_bound`)."""
        return noise_bound(self.num_classes, self.sparsities[0])

    @property
    def is_possible(self) -> bool:
        """Whether there is a noise matrix with so much noise and so many zeros."""
        return self.noise < self.bound

    @property
    def sparsity(self) -> str:
        """The sparsities, as the tables show them."""
        return ", ".join(f"{sparsity:g}" for sparsity in self.sparsities)

    def __str__(self) -> str:
        return f"{self.dataset} (noise {self.noise:g}, sparsity {self.sparsity})"


def list_conditions(
    num_classes: Mapping[str, int], noises: Sequence[float], sparsities: Sequence[float]
) -> list[Condition]:
    """List the conditions of data sets, possible or not: one for each number of zeros of the noise matrix.

    Args:
        num_classes: K of each data set, by its name.
        noises: amounts of noise.
        sparsities: shares of zeros.

    Example:
        >>> for condition in list_conditions({"wine": 3, "breast_cancer": 2}, [0.2], [0.0, 0.2]):
        ...     print(condition)
        wine (noise 0.2, sparsity 0)
        wine (noise 0.2, sparsity 0.2)
        breast_cancer (noise 0.2, sparsity 0, 0.2)
    """
    conditions = []
    for dataset, size in num_classes.items():
        same: dict[int, list[float]] = {}
        for sparsity in sparsities:
            same.setdefault(round(sparsity * size * (size - 1)), []).append(sparsity)
        conditions += [
            Condition(dataset, size, noise, tuple(shares)) for noise in noises for shares in same.values()
        ]
    return conditions


@dataclass(frozen=True)
class NoisyData:
    """Training rows with wrong labels, and test rows with right ones.

    Features are scaled to the mean 0 and the deviation 1 of the training rows.

    Attributes:
        num_classes: K.
        X_train: (n, d) features.
        y_true: (n,) true labels.
        y_given: (n,) given labels.
        X_test: (m, d) features.
        y_test: (m,) true labels.
        table: id (the position in the arrays), label (the given one) and features of the training rows.
    """

    num_classes: int
    X_train: Floats
    y_true: Labels
    y_given: Labels
    X_test: Floats
    y_test: Labels
    table: DataFrame

    @property
    def is_wrong(self) -> Bools:
        """(n,) whether the given label is wrong."""
        wrong: Bools = self.y_given != self.y_true
        return wrong

    def accuracy(self, predicted: NDArray[Any]) -> float:
        """Compute the share of the (m,) predicted test labels that are right."""
        return float(np.mean(predicted == self.y_test))


def draw_noise(spark: SparkSession, condition: Condition, seed: int) -> NoisyData:
    """Split a data set, draw a noise matrix, and flip training labels as it says.

    Args:
        spark: the session.
        condition: the data set and its noise.
        seed: of the split, of the matrix, and of the labels that are flipped.

    Raises:
        ConfigurationError: there is no matrix with so much noise.
    """
    split = load_split(condition.dataset, seed)
    matrix = noise_matrix(
        condition.num_classes, noise=condition.noise, sparsity=condition.sparsities[0], seed=seed
    )
    scaler = StandardScaler().fit(split.X_train)
    X_train: Floats = scaler.transform(split.X_train)
    true = pd.DataFrame({"id": np.arange(len(X_train)), "label": split.y_train})
    flipped = flip_labels(spark.createDataFrame(true), matrix, seed=seed)
    noisy = flipped.toPandas().sort_values("id", ignore_index=True)
    # the flipped labels are made into a table anew: later queries do not flip them again
    given = noisy[["id", "label"]].assign(features=X_train.tolist())
    return NoisyData(
        num_classes=condition.num_classes,
        X_train=X_train,
        y_true=split.y_train,
        y_given=noisy["label"].to_numpy(np.int64),
        X_test=scaler.transform(split.X_test),
        y_test=split.y_test,
        table=spark.createDataFrame(given, "id long, label int, features array<double>"),
    )


@dataclass(frozen=True)
class Audited:
    """Answers of the audit of given labels, as arrays.

    Attributes:
        pred_probs: (n, K) out-of-sample probabilities.
        is_issue: (n,) by each filter whether an example is a label issue.
        suggested: (n,) label that an issue of any filter is suggested; of other examples the given one.
        noise_rates: (K, K) estimated p(given label = row | true class = column); 0 where it has no cell.
    """

    pred_probs: Floats
    is_issue: Mapping[str, Bools]
    suggested: Labels
    noise_rates: Floats

    @property
    def is_dominant(self) -> bool:
        """Whether the diagonal has the highest noise rate of every true class."""
        off_diagonal = self.noise_rates - np.diag(self.noise_rates.diagonal())
        return bool(np.all(self.noise_rates.diagonal() > off_diagonal.max(axis=0)))


def audit_labels(data: NoisyData, estimator: Any, seed: int) -> Audited:
    """Cross-validate an estimator on given labels, and ask one audit for the issues of every filter.

    Args:
        data: the labels and features.
        estimator: as `CrossValidation` takes it.
        seed: of the folds.
    """
    with CrossValidation(data.table, estimator, seed=seed) as validation:
        probs = validation.pred_probs().toPandas().sort_values("id")
        with validation.audit() as audit:
            issues = reduce(DataFrame.unionByName, (_find_issues(audit, name) for name in FILTERS)).toPandas()
            rates = audit.noise_rates().rates.toPandas()
    is_issue = {name: np.zeros(len(data.y_given), dtype=bool) for name in FILTERS}
    for name, found in issues.groupby("filter"):
        is_issue[str(name)][found["id"]] = True
    suggested = data.y_given.copy()
    suggested[issues["id"]] = issues["suggested_label"]
    noise_rates = np.zeros((data.num_classes, data.num_classes))
    noise_rates[rates["given_label"], rates["true_label"]] = rates["noise_rate"]
    return Audited(np.stack(probs["pred_probs"].to_list()), is_issue, suggested, noise_rates)


def _find_issues(audit: Any, filter_by: str) -> DataFrame:
    """Find the issues by a filter: id, suggested_label, filter."""
    options = {"min_examples_per_class": MIN_EXAMPLES_PER_CLASS} if filter_by in PRUNING else {}
    issues: DataFrame = audit.find_label_issues(filter_by=filter_by, **options)
    return issues.select("id", "suggested_label", F.lit(filter_by).alias("filter"))
