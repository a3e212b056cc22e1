"""INCV, iterative noisy cross-validation: examples are selected whose labels models predict that never saw
them.
"""

import logging
from dataclasses import dataclass
from functools import cached_property

from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F

from cl_spark.methods.classification.ranking import add_rank
from cl_spark.methods.learning.cross_validation import CrossValidation, check_predicted
from cl_spark.methods.learning.estimators import is_spark_estimator
from cl_spark.methods.learning.hash_cuts import HASH, STRATUM, WEIGHT, find_hash_cuts, hash_of
from cl_spark.methods.learning.model_tasks import IS_TEST, MESSAGE, TASK, check_memory, explain_failures
from cl_spark.methods.learning.spark_training import SparkTraining
from cl_spark.methods.learning.task_predictions import predict_in_tasks, predicted_class, raise_failures
from cl_spark.methods.learning.training_data import FEATURES, GROUP
from cl_spark.tables import columns as c

logger = logging.getLogger(__name__)

ITERATIONS = 4
"""Iterations, as in the authors' experiments."""

MOST_REMOVED = 2.0
"""Most examples that are removed for each that is selected, as in the authors' program."""

HALVES = 0x696E6376
"""Salt of the hash that halves the candidates, so that folds of the same seed are others."""

CANDIDATE, SELECTED, REMOVED = 0, 1, 2
"""Values of the column `STATUS`."""

STATUS, HALF, AGREES = "_status", "_half", "_agrees"
MANY_ISSUES = 1_000_000


@dataclass(frozen=True)
class NoisyCrossValidation:
    """Iterative noisy cross-validation of the labels of a table.

    Each iteration halves the candidates, at first all examples, by a hash of their ids. A model that was
    trained on one half and on the examples selected before judges the other half: it selects the examples
    that it predicts to have their given label, and removes those of lowest self-confidence: r times as many
    as it selects, where r = e / (1 - e) and e is the noise rate, estimated from the first iteration. What
    is not selected in the end are the label issues.

    Attributes:
        validation: knows the table and the estimator.
        iterations: most iterations; there are fewer where no candidates are left, or none is selected.

    Source: Chen, Liao, Chen, Zhang, "Understanding and Utilizing Deep Neural Networks Trained with Noisy
    Labels", ICML 2019, iterative noisy cross-validation. Its Co-teaching on what was selected is left out.
    """

    validation: CrossValidation
    iterations: int = ITERATIONS

    def find_label_issues(self) -> DataFrame:
        """Find the examples that are not selected.

        Returns:
            The id columns, given_label, suggested_label (the class that the last model that judged the
            example finds most probable), label_quality (its probability of the given label), rank (1 =
            worst; ties go to the lower id).

        Raises:
            EstimatorError: the estimator failed, with its message; or a stage of it drops rows.
            SourceChangedError: there are other examples than were counted.
        """
        data = self.validation.data
        found = self._judged.where(F.col(STATUS) != SELECTED)
        ranked = add_rank(found, c.SCORE, data.ids, c.RANK, few=data.profile.num_examples <= MANY_ISSUES)
        issues = ranked.select(
            *data.restore_ids(),
            data.show_class(F.col(c.LABEL)).alias(c.GIVEN_LABEL),
            data.show_class(F.col(c.PREDICTED)).alias(c.SUGGESTED_LABEL),
            F.col(c.SCORE).alias(c.LABEL_QUALITY),
            c.RANK,
        )
        object.__setattr__(issues, "_incv", self)  # keeps what it is computed from
        return issues

    @property
    def _groups(self) -> list[str]:
        """The column of groups, whose rows stay in one half; empty where there are none."""
        return [] if self.validation.data.group_col is None else [GROUP]

    @cached_property
    def _judged(self) -> DataFrame:
        """State of the examples after the last iteration: ids, class index, status, predicted, score.

        Raises:
            EstimatorError: the estimator failed, or drops rows.
            SourceChangedError: there are other examples than were counted.
        """
        data, storage = self.validation.data, self.validation.data.storage
        start = data.select_keys().select(
            *data.ids,
            c.LABEL,
            *self._groups,
            F.lit(CANDIDATE).alias(STATUS),
            F.lit(None).cast("int").alias(c.PREDICTED),
            F.lit(None).cast("double").alias(c.SCORE),
        )
        state, noise_rate = storage.cut(start), None
        candidates = data.profile.num_examples
        for iteration in range(self.iterations):
            salt = (self.validation.seed, iteration, HALVES)
            of_group = hash_of(self._groups or data.ids, *salt)
            halved = state.withColumn(HALF, of_group.bitwiseAND(F.lit(1)).cast("int"))
            judged = storage.cut(self._judge(halved, iteration))
            counts = {row[TASK]: row for row in _count(judged)}
            rows, agreeing = (sum(row[name] for row in counts.values()) for name in ("rows", "agreeing"))
            # one that no model judges would stay a candidate, and be an issue in the end
            check_predicted(data, self.validation.estimator, candidates, rows)
            if noise_rate is None:
                noise_rate = estimate_noise_rate(agreeing / rows, data.num_classes)
                logger.info("INCV: the noise rate is estimated as %.3f", noise_rate)
            share = min(MOST_REMOVED, noise_rate / (1 - noise_rate))
            wanted = {task: min(int(share * row["agreeing"]), row["rows"]) for task, row in counts.items()}
            state = storage.cut(_update(state, judged, wanted, [*data.ids]))
            candidates = state.where(F.col(STATUS) == CANDIDATE).count()
            if candidates < 2 or not agreeing:
                break
        return state

    def _judge(self, halved: DataFrame, iteration: int) -> DataFrame:
        """Train a model on either half and what is selected, and judge the other half.

        Returns:
            ids, class index, task, predicted, score (self-confidence), `AGREES`.
        """
        data, estimator = self.validation.data, self.validation.estimator
        marks = halved.where(F.col(STATUS) != REMOVED).select(*data.ids, STATUS, HALF)
        seed = self.validation.seed + 2 * iteration
        if is_spark_estimator(estimator):
            training = SparkTraining(data, estimator, seed)
            rows = training.arrange(training.select_examples().join(marks, data.ids))
            halves = [(_is_training(F.lit(half)), _is_test(F.lit(half))) for half in (0, 1)]
            predicted = training.predict_parts(rows, halves, [STATUS, HALF])
        else:
            check_memory(halved.sparkSession, data.profile.num_bytes, "each half", 2)
            rows = data.select_examples(data.features.select().alias(FEATURES)).join(marks, data.ids)
            tasks = rows.withColumn(TASK, F.explode(F.array(F.lit(0), F.lit(1))))
            tasks = tasks.withColumn(IS_TEST, _is_test(F.col(TASK)))
            used = tasks.where(F.col(IS_TEST) | _is_training(F.col(TASK)))
            kept = data.storage.persist(predict_in_tasks(data, estimator, used, 2, seed))
            with explain_failures(estimator):
                raise_failures(kept, estimator, 2)
            predicted = kept.where(F.col(MESSAGE).isNull())
        best = predicted_class("pred_probs")
        return predicted.select(
            *data.ids,
            c.LABEL,
            TASK,
            best.alias(c.PREDICTED),
            F.get("pred_probs", F.col(c.LABEL)).alias(c.SCORE),
            (best == F.col(c.LABEL)).alias(AGREES),
        )


def estimate_noise_rate(agreement: float, num_classes: int) -> float:
    """Estimate the noise rate e from how often a model predicts the given label of an example it never saw.

    With uniform noise, and a model that confuses classes as the labels do, (1 - e)^2 + e^2 / (K - 1) of the
    predictions agree.

    Args:
        agreement: share of predictions that are the given label.
        num_classes: K.

    Returns:
        The lower solution, at least 0; (K - 1) / K, where labels say nothing, if there is none.

    Source: Chen et al., ICML 2019, the equation of the test accuracy of a model that memorized noisy labels.

    Example:
        >>> round(estimate_noise_rate(0.6**2 + 0.4**2 / 9, 10), 6)
        0.4
    """
    nothing = (num_classes - 1) / num_classes
    # e^2 K / (K - 1) - 2 e + 1 - agreement = 0
    root = 1 - (1 - agreement) / nothing
    return nothing if root < 0 else max(nothing * (1 - root**0.5), 0.0)


def _is_test(half: Column) -> Column:
    return (F.col(STATUS) == CANDIDATE) & (F.col(HALF) != half)


def _is_training(half: Column) -> Column:
    return (F.col(STATUS) == SELECTED) | ((F.col(STATUS) == CANDIDATE) & (F.col(HALF) == half))


def _count(judged: DataFrame) -> list[Row]:
    return (
        judged.groupBy(TASK)
        .agg(F.count(F.lit(1)).alias("rows"), F.count_if(AGREES).alias("agreeing"))
        .collect()
    )


def _update(state: DataFrame, judged: DataFrame, wanted: dict[int, int], ids: list[str]) -> DataFrame:
    """Update the state of the examples that were judged: selected, removed, or still a candidate.

    Args:
        state: as `NoisyCrossValidation._judged` describes it.
        judged: as `NoisyCrossValidation._judge` returns it.
        wanted: how many of lowest self-confidence each task removes; those that it selects stay.
        ids: id columns.
    """
    # a whole number that is ordered as the score is, to 40 bits; then by the id's hash, as many models give
    # the same few scores
    upper = F.shiftleft((F.col(c.SCORE) * F.lit(2.0**40)).cast("long"), 22)
    key = upper + hash_of(ids, HALVES).bitwiseAND(F.lit(2**22 - 1))
    elements = judged.select(F.col(TASK).alias(STRATUM), key.alias(HASH), F.lit(1).cast("long").alias(WEIGHT))
    cuts = find_hash_cuts(elements, {task: [number] for task, number in wanted.items() if number})
    is_low = F.lit(False)
    for task, (cut,) in cuts.items():
        is_low = is_low | ((F.col(TASK) == task) & (key <= cut))
    status = F.when(F.col(AGREES), SELECTED).when(is_low, REMOVED).otherwise(CANDIDATE)
    latest = judged.select(
        *ids, status.alias("_new"), F.col(c.PREDICTED).alias("_best"), F.col(c.SCORE).alias("_latest")
    )
    joined = state.join(latest, ids, "left")
    known = [name for name in state.columns if name not in (STATUS, c.PREDICTED, c.SCORE)]
    return joined.select(
        *known,
        F.coalesce("_new", STATUS).alias(STATUS),
        F.coalesce("_best", c.PREDICTED).alias(c.PREDICTED),
        F.coalesce("_latest", c.SCORE).alias(c.SCORE),
    )
