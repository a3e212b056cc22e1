"""The joint of given and true labels, the noise rates and the number of label issues, from features and
labels.
"""

from dataclasses import dataclass
from typing import Any

import pandas as pd
from pyspark.sql import DataFrame

from cl_spark.methods.classification.noise import NoiseRates
from cl_spark.methods.learning.cross_validation import CrossValidation


@dataclass(frozen=True)
class JointEstimate:
    """Estimate of how labels are confused, from cross-validated probabilities.

    Attributes:
        joint: a row per non-zero cell: given_label, true_label, count (confident joint), calibrated_count,
            joint (probability), noise_rate p(given | true), inverse_noise_rate p(true | given).
        noise_rates: noise rates, and the prior of the true classes.
        num_label_issues: estimated number of wrong labels: examples off the diagonal of the confident joint.
        num_examples: examples they were estimated from.
    """

    joint: DataFrame
    noise_rates: NoiseRates
    num_label_issues: int
    num_examples: int


def estimate_joint(df: DataFrame | pd.DataFrame, estimator: Any, **arguments: Any) -> JointEstimate:
    """Estimate how labels are confused, by cross-validation of a classifier.

    Args:
        df: ids, labels and features; one row per example.
        estimator: a classifier of scikit-learn or like it, or of Spark ML.
        arguments: further arguments of `CrossValidation`, such as features_col, label_col, id_col, folds.

    Returns:
        The estimate. Its DataFrames keep what they are computed from until they are garbage-collected.

    Raises:
        ConfigurationError: the arguments contradict each other, or the estimator predicts no probabilities.
        InputError: a column or the rows cannot be used.
        EstimatorError: the estimator failed; with its message.

    Source: Northcutt, Jiang, Chuang, "Confident Learning", JAIR 2021, section 3.1.

    Example:
        >>> from sklearn.linear_model import LogisticRegression
        >>> estimate = estimate_joint(training, LogisticRegression(), folds=3)
        >>> estimate.num_label_issues < estimate.num_examples
        True
    """
    audit = CrossValidation(df, estimator, **arguments).audit()
    return JointEstimate(
        audit.confident_joint_table(), audit.noise_rates(), audit.num_label_issues(), audit.num_examples
    )
