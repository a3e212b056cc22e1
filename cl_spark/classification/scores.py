"""Label quality scores of rows: native expressions where scalars suffice, kernels over arrays where they do not."""

from collections.abc import Callable, Sequence

import numpy as np
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from cl_spark.errors import ConfigurationError
from cl_spark.evidence.blocks import Block
from cl_spark.evidence.prob_formats import ProbFormat, map_rows
from cl_spark.kernels.arrays import Float64s
from cl_spark.kernels.quality_scores import METHODS, adjusted
from cl_spark.tables import columns as c

Score = Callable[[Block], Float64s]
"""A label quality score of the rows of a block."""


def margin() -> Column:
    """Normalized margin: the best other class is the predicted one, or where that is the given label, the second."""
    best_other = F.when(F.col(c.PREDICTED) != F.col(c.GIVEN), F.col(c.MAX_PROB)).otherwise(
        F.col(c.SECOND_MAX_PROB)
    )
    return (F.col(c.EVIDENCE_SELF_CONFIDENCE).cast("double") - best_other.cast("double") + 1) / 2


def margins(block: Block) -> Float64s:
    """The same of a block."""
    best_other = np.where(block.predicted != block.given, block.max_prob, block.second_max_prob).astype(
        np.float64
    )
    return np.asarray((block.self_confidence.astype(np.float64) - best_other + 1) / 2)


def self_confidences(block: Block) -> Float64s:
    """The self-confidence of each row of a block."""
    return block.self_confidence.astype(np.float64)


def needs_arrays(method: str, adjust_pred_probs: bool) -> bool:
    """Whether the score of every row, suspects too, is a function of its whole array."""
    return adjust_pred_probs or method == "confidence_weighted_entropy"


def check_method(method: str, adjust_pred_probs: bool, option: str) -> None:
    """Refuse a ranking that does not exist, or one that cannot be adjusted.

    Raises:
        ConfigurationError: naming the option.
    """
    if method not in METHODS:
        raise ConfigurationError(
            f"{option}={method!r} is not a label quality score; choose one of {', '.join(METHODS)}"
        )
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


def add_issue_flag(scores: DataFrame, issues: DataFrame, id_columns: Sequence[str]) -> DataFrame:
    """Scored examples, each with whether its id is among the issues."""
    flags = issues.select(*map(c.quoted, id_columns)).withColumn(c.IS_ISSUE, F.lit(True))
    return scores.join(flags, list(id_columns), "left").fillna(False, [c.IS_ISSUE])


def array_scores(
    method: str, adjust_pred_probs: bool, thresholds: Float64s, prob_format: ProbFormat
) -> Score:
    """What scores blocks that hold the array of every row."""
    score, classes = METHODS[method], len(thresholds)

    def scored(block: Block) -> Float64s:
        def kernel(rows: slice, probs: Float64s) -> Float64s:
            return score(block.given[rows], adjusted(probs, thresholds) if adjust_pred_probs else probs)

        return map_rows(prob_format, block.kept.arrays, classes, kernel)

    return scored
