"""Label quality scores of rows: native expressions where scalars suffice, kernels over arrays where they do not."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from cl_spark import columns as c
from cl_spark.arrays import with_array_columns
from cl_spark.errors import ConfigurationError
from cl_spark.kernels.scores import METHODS, adjusted
from cl_spark.layouts import Layout


def margin() -> Column:
    """Normalized margin: the best other class is the predicted one, or where that is the given label, the second.

    Rows whose given label is the predicted class must know their second highest probability.
    """
    best_other = F.when(F.col(c.PREDICTED) != F.col(c.GIVEN), F.col(c.MAX_PROB)).otherwise(F.col(c.SECOND))
    return (F.col(c.SELF).cast("double") - best_other.cast("double") + 1) / 2


def needs_arrays(method: str, adjust_pred_probs: bool) -> bool:
    """Whether the score of every row, suspects too, is a function of its whole array."""
    return adjust_pred_probs or method == "confidence_weighted_entropy"


def check_method(method: str, adjust_pred_probs: bool, option: str) -> None:
    """Refuse a ranking that does not exist, or one that cannot be adjusted.

    Raises:
        ConfigurationError: naming the option.
    """
    if method not in METHODS:
        raise ConfigurationError(f"{option}={method!r} is not a label quality score; choose one of {', '.join(METHODS)}")
    if adjust_pred_probs and method == "confidence_weighted_entropy":
        raise ConfigurationError(
            f"adjust_pred_probs does not go with {option}='confidence_weighted_entropy': "
            "the entropy of adjusted probabilities has no meaning; choose another score or leave them unadjusted"
        )


def check_probabilities(are_probabilities: bool, lowest: float, highest: float, what: str) -> None:
    """Refuse a score that needs probabilities where the input holds scores or logits.

    Raises:
        ConfigurationError: with the values seen.
    """
    if not are_probabilities:
        raise ConfigurationError(
            f"{what} needs probabilities, but pred_probs range from {lowest:g} or less to {highest:g}: "
            "normalise them (softmax), or use self_confidence or normalized_margin without adjustment"
        )


def with_issue_flag(scores: DataFrame, issues: DataFrame, id_columns: Sequence[str]) -> DataFrame:
    """Scored examples, each with whether its id is among the issues."""
    flags = issues.select(*map(c.quoted, id_columns)).withColumn(c.IS_ISSUE, F.lit(True))
    return scores.join(flags, list(id_columns), "left").fillna(False, [c.IS_ISSUE])


def with_label_quality(
    rows: DataFrame, layout: Layout, method: str, adjust_pred_probs: bool, thresholds: NDArray[np.float64]
) -> DataFrame:
    """The rows with a `label_quality` column.

    Rows must carry their arrays wherever `needs_arrays`, and what `margin` needs for that.
    """
    if not needs_arrays(method, adjust_pred_probs):
        quality = F.col(c.SELF).cast("double") if method == "self_confidence" else margin()
        return rows.withColumn(c.LABEL_QUALITY, quality)
    score, classes = METHODS[method], len(thresholds)

    def kernel(labels: NDArray[np.int32], probs: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        return [score(labels, adjusted(probs, thresholds) if adjust_pred_probs else probs)]

    return with_array_columns(rows, layout, classes, {c.LABEL_QUALITY: "double"}, kernel)
