"""Label quality scores of rows, from the numbers of the evidence or from whole arrays."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from cl_spark.errors import ConfigurationError
from cl_spark.evidence.blocks import Block, Source
from cl_spark.evidence.packing import ddl
from cl_spark.evidence.prob_formats import ProbFormat, map_rows
from cl_spark.kernels import EPS
from cl_spark.kernels.arrays import Float64s, Int32s
from cl_spark.kernels.quality_scores import (
    METHOD_NAMES,
    METHODS,
    THRESHOLD_COSINE,
    adjust_probs,
    threshold_cosine,
)
from cl_spark.methods.classification.thresholds import ClassStatistics
from cl_spark.tables import columns as c
from cl_spark.tables.spark_errors import SOURCE_CHANGED

Score = Callable[[Block], Float64s]
"""A block -> (n,) label quality scores of its rows."""


def normalized_margin_column() -> Column:
    """Normalized margin as a column of the evidence's numbers, as `normalized_margins` computes it."""
    best_other = F.when(F.col(c.PREDICTED) != F.col(c.GIVEN), F.col(c.MAX_PROB)).otherwise(
        F.col(c.SECOND_MAX_PROB)
    )
    return (F.col(c.EVIDENCE_SELF_CONFIDENCE).cast("double") - best_other.cast("double") + 1) / 2


def normalized_margins(block: Block) -> Float64s:
    """Normalized margin of each row (specification, section 5).

    The highest probability of another class than the given one is that of the predicted class, or where that
    is the given class, the second highest.
    """
    is_other = block.predicted != block.given
    best_other = np.where(is_other, block.max_prob, block.second_max_prob).astype(np.float64)
    return np.asarray((block.self_confidence.astype(np.float64) - best_other + 1) / 2)


def self_confidences(block: Block) -> Float64s:
    """Self-confidence of each row of a block."""
    return block.self_confidence.astype(np.float64)


def needs_arrays(method: str, adjust_pred_probs: bool) -> bool:
    """Tell whether a score is a function of the whole array of a row, which the evidence may lack."""
    return adjust_pred_probs or method in ("confidence_weighted_entropy", THRESHOLD_COSINE)


def check_method(method: str, adjust_pred_probs: bool, option: str) -> None:
    """Check that a label quality score exists, and that it can be adjusted if it is to be.

    Args:
        method: name of the score.
        adjust_pred_probs: score adjusted probabilities.
        option: the option that holds `method`, for the message.

    Raises:
        ConfigurationError: unknown method, or one that cannot be adjusted.
    """
    if method not in METHOD_NAMES:
        raise ConfigurationError(
            f"{option}={method!r} is not a label quality score; choose one of {', '.join(METHOD_NAMES)}"
        )
    if adjust_pred_probs and method == THRESHOLD_COSINE:
        raise ConfigurationError(
            f"adjust_pred_probs does not go with {option}={method!r}, which takes the thresholds out of the "
            "probabilities itself"
        )
    if adjust_pred_probs and method == "confidence_weighted_entropy":
        raise ConfigurationError(
            f"adjust_pred_probs does not go with {option}='confidence_weighted_entropy': "
            "the entropy of adjusted probabilities has no meaning; "
            "choose another score or leave them unadjusted"
        )


def check_probabilities(statistics: ClassStatistics, option: str) -> None:
    """Check that the input holds probabilities, for an option that needs them.

    Args:
        statistics: of the input.
        option: the option that needs probabilities, for the message.

    Raises:
        ConfigurationError: it holds scores or logits.
    """
    lowest = min(statistics.lowest, statistics.least)
    if lowest < -EPS or statistics.highest > 1 + EPS:
        raise ConfigurationError(
            f"{option} needs probabilities, but pred_probs range from {lowest:g} to {statistics.highest:g}: "
            "normalise them (softmax), promise probabilities (probabilities: true) so that rows without are "
            "rejected, or use self_confidence or normalized_margin without adjustment"
        )


def check_thresholds(method: str, adjust_pred_probs: bool, thresholds: Float64s, option: str) -> None:
    """Check that scores can be computed with confident thresholds, which the caller may have given.

    Args:
        method: a label quality score.
        adjust_pred_probs: score adjusted probabilities.
        thresholds: (K,) thresholds.
        option: the option that needs them, for the message.

    Raises:
        ConfigurationError: one is not above 0, which the cosine divides by, or infinite, of which adjusted
            probabilities have no difference.
    """
    wrong, wanted = np.zeros(len(thresholds), dtype=bool), ""
    if method == "threshold_cosine":
        wrong, wanted = thresholds <= 0, "above 0"
    elif adjust_pred_probs:
        wrong, wanted = np.isinf(thresholds), "that are finite"
    if wrong.any():
        k = int(wrong.argmax())
        raise ConfigurationError(
            f"{option} needs thresholds {wanted}, but that of class {k} is {thresholds[k]:g}"
        )


def add_by_id(rows: DataFrame, read_again: DataFrame, id_columns: Sequence[str]) -> DataFrame:
    """Add columns that are read by another scan of the input to rows of the first one, by id.

    The query fails where a row is not found exactly once: the input has changed since, or several rows share
    an id that was not checked.

    Args:
        rows: rows of the first scan.
        read_again: id columns and the columns to add.
        id_columns: id columns of both.
    """
    ids = list(map(c.quoted, id_columns))
    joined = rows.join(read_again.withColumn("_is_found", F.lit(True)), list(id_columns), "left")
    matched = joined.withColumn("_matches", F.count("_is_found").over(Window.partitionBy(*ids)))
    told = F.concat(
        F.lit(
            f"{SOURCE_CHANGED}, or several rows share an id, which check_ids: false does not look for: id "
        ),
        F.concat_ws(", ", *[F.col(name).cast("string") for name in ids]),
        F.lit(" has "),
        F.col("_matches"),
        F.lit(" matches instead of 1"),
    )
    is_once = F.when(F.col("_matches") == 1, F.lit(True)).otherwise(F.raise_error(told).cast("boolean"))
    return matched.where(is_once).drop("_is_found", "_matches")


def add_issue_flag(scores: DataFrame, issues: DataFrame, id_columns: Sequence[str]) -> DataFrame:
    """Add `is_issue` to scored examples: true where the id is among the issues."""
    flags = issues.select(*map(c.quoted, id_columns)).distinct().withColumn(c.IS_ISSUE, F.lit(True))
    return scores.join(flags, list(id_columns), "left").fillna(False, [c.IS_ISSUE])


@dataclass(frozen=True)
class ArrayScores:
    """Score of blocks that hold the array of every row.

    Attributes:
        method: name of the score.
        adjust_pred_probs: score adjusted probabilities.
        thresholds: (K,) confident thresholds.
        prob_format: of the arrays.
    """

    method: str
    adjust_pred_probs: bool
    thresholds: Float64s
    prob_format: ProbFormat

    def __call__(self, block: Block) -> Float64s:
        """Score the rows of a block."""
        needs_thresholds = self.adjust_pred_probs or self.method == THRESHOLD_COSINE
        score = ScoresOfRows(self.method, block.given, self.thresholds if needs_thresholds else None)
        return map_rows(self.prob_format, block.kept.arrays, len(self.thresholds), score)


@dataclass(frozen=True)
class ScoresOfRows:
    """Kernel of `map_rows`: scores of rows of probabilities, with the thresholds where they matter."""

    method: str
    given: Int32s
    thresholds: Float64s | None

    def __call__(self, rows: slice, probs: Float64s) -> Float64s:
        """Score (m, K) probabilities."""
        if self.thresholds is not None:
            if self.method == THRESHOLD_COSINE:
                return threshold_cosine(self.given[rows], probs, self.thresholds)
            probs = adjust_probs(probs, self.thresholds)
        return METHODS[self.method](self.given[rows], probs)


@dataclass(frozen=True)
class ScoredColumns:
    """Kernel: columns of rows with their label quality score.

    Attributes:
        score: the score.
        columns: columns of each row.
        suspects_only: leave out rows that are no suspects.
    """

    score: Score
    columns: Sequence[str]
    suspects_only: bool

    def __call__(self, blocks: Iterator[Block]) -> Iterator[pa.RecordBatch]:
        """Score the rows of a Spark task."""
        for block in blocks:
            rows = block.where(block.suspects) if self.suspects_only else block
            yield rows.to_batch(np.arange(len(rows)), self.columns, {c.LABEL_QUALITY: self.score(rows)})


def score_rows(
    source: Source, score: Score, column_types: Mapping[str, str], *, suspects_only: bool = False
) -> DataFrame:
    """Score rows of the evidence.

    Args:
        source: the blocks.
        score: the score.
        column_types: columns wanted of each row, and their types.
        suspects_only: leave out rows that are no suspects.

    Returns:
        These columns and `label_quality`.
    """
    schema = ddl({**column_types, c.LABEL_QUALITY: "double"})
    return source(ScoredColumns(score, list(column_types), suspects_only), schema, ("ids",))
