"""Cross-validation: out-of-sample predicted probabilities of every example, by an estimator of the user's."""

import logging
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import pandas as pd
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from cl_spark.errors import ConfigurationError, EstimatorError, SourceChangedError
from cl_spark.evidence.storage import Releasable, Storage
from cl_spark.methods.classification.label_audit import LabelAudit
from cl_spark.methods.learning.estimators import (
    check_estimator,
    check_weights,
    find_skipping_stages,
    find_stages,
    is_spark_estimator,
    takes_missing,
)
from cl_spark.methods.learning.folds import FOLDS, FoldPlan
from cl_spark.methods.learning.model_tasks import IS_TEST, MESSAGE, TASK, check_memory, explain_failures
from cl_spark.methods.learning.profile import Profile
from cl_spark.methods.learning.spark_training import SparkTraining
from cl_spark.methods.learning.task_predictions import predict_in_tasks, predicted_class, raise_failures
from cl_spark.methods.learning.training_data import FEATURES, TrainingData
from cl_spark.tables import columns as c
from cl_spark.tables.pandas_frames import to_spark
from cl_spark.tables.schema import RunWarning
from cl_spark.tables.spark_errors import SOURCE_CHANGED

logger = logging.getLogger(__name__)


class CrossValidation(Releasable):
    """Cross-validation of an estimator on a table: each example is predicted by models that never saw it.

    The first question trains the models and keeps the probabilities. Use it as a context manager, or call
    `release`, to free what it keeps.

    Args:
        df: any Spark DataFrame, classic or Connect, or a pandas DataFrame; one row per example.
        estimator: a classifier of scikit-learn or one that works like it (``fit(X, y)`` and
            ``predict_proba(X)``: pipelines, XGBoost, LightGBM, your own), of which each fold is trained in
            one Spark task; or a classifier of Spark ML, or a Pipeline that ends in one, trained by all
            workers. Where its ``random_state`` is None it gets a seed, so that the result can be repeated.
        features_col: features: an array of numbers, an ML vector or a text; or a list of columns of numbers,
            booleans or texts, of which scikit-learn's estimators get a pandas DataFrame. A Pipeline of Spark
            ML reads the columns of the table itself.
        label_col: given label: index of the class (whole number of any type, or boolean) or its name.
        id_col: id column, or a list of columns for a composite key. Rows that share an id cannot be used.
        folds: number of parts, each predicted by a model trained on the others. Default 5, as 80 % of the
            data train nearly as good a model as all of it.
        repeats: rounds of cross-validation with other folds each, whose probabilities are averaged. Default
            1; more smooth what depends on the cut, and cost as much again.
        seed: changes the folds, and seeds the models.
        group_col: column of groups, such as patients or near-duplicates: rows of one group stay in one fold,
            so that no model is tested on what it has seen in another row.
        weight_col: column of weights of the examples, for estimators that take some.
        class_names: names of the classes in the order of the probabilities. Default, for labels that are
            names: all there are, in alphabetical order.
        evidence_path: a directory to keep the probabilities in (Parquet), for sessions that refuse to cache.
        spark: the session that turns pandas DataFrames into Spark's; default the active one.

    Raises:
        ConfigurationError: the arguments contradict each other, or the estimator predicts no probabilities.
        InputError: a column is missing or unusable (at once), or the rows are (at the first question).

    Source: Northcutt, Jiang, Chuang, "Confident Learning", JAIR 2021, section 3: the predicted probabilities
    have to be out of sample.

    Example:
        >>> from sklearn.linear_model import LogisticRegression
        >>> with CrossValidation(training, LogisticRegression(), folds=3) as validation:
        ...     probs = validation.pred_probs().count()
        ...     accuracy = validation.fold_accuracy().count()
        >>> probs == training.count(), accuracy
        (True, 3)
    """

    def __init__(
        self,
        df: DataFrame | pd.DataFrame,
        estimator: Any,
        *,
        features_col: str | Sequence[str] = "features",
        label_col: str = "label",
        id_col: str | Sequence[str] = "id",
        folds: int = 5,
        repeats: int = 1,
        seed: int = 0,
        group_col: str | None = None,
        weight_col: str | None = None,
        class_names: Sequence[str] | None = None,
        evidence_path: str | None = None,
        spark: SparkSession | None = None,
    ) -> None:
        check_rounds(folds, repeats)
        check_estimator(estimator)
        self._storage = Storage(evidence_path)
        self._storage.release_with(self)
        self.data = TrainingData(
            to_spark(df, spark),
            id_col,
            label_col,
            features_col,
            group_col,
            weight_col,
            class_names,
            takes_missing(estimator),
            self._storage,
        )
        self.estimator = estimator
        self.folds, self.repeats, self.seed = folds, repeats, seed
        self._by_spark = SparkTraining(self.data, estimator, seed) if is_spark_estimator(estimator) else None
        if self._by_spark is None and weight_col is not None:
            check_weights(estimator)

    def release(self) -> None:
        """Free what is kept. Results already returned stay valid, and train the models again, except with
        `evidence_path`.
        """
        self._storage.release()

    def keep(self) -> None:
        """Keep the probabilities in Spark's cache until the session ends, or `release` is called: also where
        only DataFrames are left that were made from the answers.
        """
        self._storage.keep()

    @property
    def profile(self) -> Profile:
        """Counts of the rows: examples of each class, and rejected rows by reason."""
        return self.data.profile

    @property
    def num_classes(self) -> int:
        """K."""
        return self.data.num_classes

    def pred_probs(self) -> DataFrame:
        """Out-of-sample predicted probabilities of every example.

        Returns:
            The id columns, label (as in the input), fold (of the first round), pred_probs (array<double> of
            K; 0 for a class that a model has not seen).

        Raises:
            InputError: there are fewer examples than folds, or a class is missing from a training part.
            EstimatorError: the estimator failed, with its message; or a stage of it drops rows.
        """
        kept = self._predictions
        probs = kept.where(F.col(MESSAGE).isNull())
        if self.repeats > 1:
            ordered = F.sort_array(F.collect_list(F.struct(TASK, "pred_probs")))
            rounds = probs.groupBy(*self.data.ids, c.LABEL).agg(ordered.alias("rounds"))
            total = F.reduce(
                F.slice("rounds.pred_probs", 2, self.repeats), F.col("rounds.pred_probs")[0], _add_arrays
            )
            mean = F.transform(total, _DivideBy(self.repeats))
            probs = rounds.select(
                *self.data.ids, c.LABEL, F.col("rounds")[0][TASK].alias(TASK), mean.alias("pred_probs")
            )
        found = probs.select(
            *self.data.restore_ids(),
            self.data.show_label(F.col(c.LABEL)).alias("label"),
            (F.col(TASK) % self.folds).cast("int").alias("fold"),
            "pred_probs",
        )
        object.__setattr__(found, "_cross_validation", self)  # keeps what it is computed from
        return found

    def fold_accuracy(self) -> DataFrame:
        """Accuracy of the model of each fold on the given labels of the examples it has not seen.

        Returns:
            round, fold, examples, accuracy (share whose most probable class is the given label).
        """
        is_right = F.when(predicted_class("pred_probs") == F.col(c.LABEL), 1.0).otherwise(0.0)
        accuracy = (
            self._predictions.where(F.col(MESSAGE).isNull())
            .groupBy(
                F.floor(F.col(TASK) / self.folds).cast("int").alias("round"),
                (F.col(TASK) % self.folds).cast("int").alias("fold"),
            )
            .agg(F.count(F.lit(1)).alias(c.EXAMPLES), F.avg(is_right).alias("accuracy"))
        )
        object.__setattr__(accuracy, "_cross_validation", self)
        return accuracy

    def warnings(self) -> list[RunWarning]:
        """Warnings of the estimator, such as one that did not converge; trains the models, if need be."""
        _ = self._predictions
        counts = self.profile.class_counts
        if self.data.names is not None or 0 in counts or self.data.label_is_boolean:
            return self._warnings
        message = (
            f"no example carries the label 0, and labels are from {min(counts)} to {max(counts)}: do they "
            f"count from {min(counts)}? Then subtract {min(counts)}; class 0 has probability 0 everywhere"
        )
        return [*self._warnings, RunWarning("labels_without_zero", message)]

    def audit(self, **arguments: Any) -> LabelAudit:
        """Audit the given labels with these probabilities.

        Args:
            arguments: further arguments of `LabelAudit`.
        """
        return LabelAudit(
            self.pred_probs(),
            id_col=self.data.id_columns,
            class_names=self.data.names,
            check_ids=False,
            **arguments,
        )

    def rejected(self) -> DataFrame:
        """Rows that cannot be used: id columns, reason, and the row as JSON. Reads the data again."""
        return self.data.rejected()

    @cached_property
    def _predictions(self) -> DataFrame:
        """Predictions of all rounds: ids, class index, task (round * folds + fold), pred_probs, and messages.

        Raises:
            EstimatorError: the estimator failed, or drops rows.
            SourceChangedError: there are other examples than were counted.
        """
        plan = FoldPlan(self.data, self.folds, self.repeats, self.seed)
        plan.check()
        if self._by_spark is not None:
            found = self._predict_by_spark(self._by_spark, plan)
        else:
            found = self._predict_in_tasks(plan)
        kept = self._storage.persist(found)
        with explain_failures(self.estimator):
            self._warnings = raise_failures(kept, self.estimator, self.folds * self.repeats)
            counted = kept.where(F.col(MESSAGE).isNull()).groupBy().count().first()
        expected, predicted = self.profile.num_examples * self.repeats, counted[0] if counted else 0
        check_predicted(self.data, self.estimator, expected, predicted)
        return kept

    def _predict_in_tasks(self, plan: FoldPlan) -> DataFrame:
        """Train and predict each fold of each round in a Spark task of its own."""
        spark, num_tasks = self.data.df.sparkSession, self.folds * self.repeats
        predicted = self.profile.num_examples * self.num_classes * PREDICTION_BYTES // self.folds
        check_memory(spark, self.profile.num_bytes + predicted, "each fold", num_tasks)
        rows = plan.add_folds(self.data.select_examples(self.data.features.select().alias(FEATURES)))
        round_, fold = F.floor(F.col(TASK) / self.folds).cast("int"), F.col(TASK) % self.folds
        tasks = rows.withColumn(TASK, F.explode(F.sequence(F.lit(0), F.lit(num_tasks - 1))))
        tasks = tasks.withColumn(IS_TEST, F.get(FOLDS, round_) == fold)
        return predict_in_tasks(self.data, self.estimator, tasks, num_tasks, self.seed)

    def _predict_by_spark(self, training: SparkTraining, plan: FoldPlan) -> DataFrame:
        """Train and predict each fold of each round by all workers."""
        rows = training.arrange(plan.add_folds(training.select_examples()))
        rounds = [F.get(FOLDS, F.lit(round_)) for round_ in range(self.repeats)]
        tests = [fold_of == fold for fold_of in rounds for fold in range(self.folds)]
        return training.predict_parts(rows, [(~is_test, is_test) for is_test in tests], [FOLDS])


def check_predicted(data: TrainingData, estimator: Any, expected: int, predicted: int) -> None:
    """Check that every example that models were asked about is predicted.

    Args:
        data: the table.
        estimator: the estimator.
        expected: number of predictions that models were asked for.
        predicted: number of predictions that they made.

    Raises:
        EstimatorError: a stage of a Pipeline of Spark ML drops rows.
        SourceChangedError: there are other examples than were counted.
    """
    if predicted == expected:
        return
    may_drop = is_spark_estimator(estimator) and bool(find_stages(estimator))
    # a table that has as many examples as before has not lost them; it is read again in this case only
    if predicted < expected and may_drop and data.select_examples().count() == data.profile.num_examples:
        skipping = find_skipping_stages(estimator)
        example = f", as {type(skipping[0]).__name__} does with handleInvalid='skip'" if skipping else ""
        raise EstimatorError(
            f"estimator: {type(estimator).__name__} made {predicted:,} of {expected:,} predictions: a stage "
            f"drops rows{example}. Set handleInvalid='keep', fill what is missing in a stage before, or "
            "leave such rows out of the table"
        )
    raise SourceChangedError(
        f"{SOURCE_CHANGED}: {expected:,} predictions were expected, and there are {predicted:,}. "
        "Run it again when nobody writes, or read a Delta table, which keeps its versions"
    )


def check_rounds(folds: Any, repeats: Any) -> None:
    """Check the numbers of folds and of rounds.

    Raises:
        ConfigurationError: one is out of range.
    """
    for name, value, least in (("folds", folds, 2), ("repeats", repeats, 1)):
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ConfigurationError(f"{name} must be a whole number of at least {least}, got {value!r}")


PREDICTION_BYTES = 16
"""Bytes that a predicted probability takes in a task: as it is predicted, and in the column of its class."""


def cross_val_pred_probs(
    df: DataFrame | pd.DataFrame,
    estimator: Any,
    *,
    features_col: str | Sequence[str] = "features",
    label_col: str = "label",
    id_col: str | Sequence[str] = "id",
    folds: int = 5,
    repeats: int = 1,
    seed: int = 0,
    group_col: str | None = None,
    class_names: Sequence[str] | None = None,
    **more: Any,
) -> DataFrame:
    """Predict the class probabilities of every example by models that never saw it, by cross-validation.

    The models are trained once, and the result stays in Spark's cache until the session ends;
    `CrossValidation` can free it. Rows that cannot be used are left out, and a warning tells how many and
    why; `CrossValidation`, which takes the same arguments, also returns them.

    Args:
        df: one row per example.
        estimator: a classifier of scikit-learn or like it, or of Spark ML.
        features_col: an array of numbers, an ML vector or a text; or a list of columns.
        label_col: class index or name.
        id_col: id column, or the columns of a composite key.
        folds: number of parts. Default 5.
        repeats: rounds that are averaged. Default 1.
        seed: changes the folds, and seeds the models.
        group_col: column of groups, which stay together.
        class_names: names of the classes, in the order of the probabilities.
        more: weight_col, evidence_path and spark, as for `CrossValidation`.

    Returns:
        The id columns, label, fold, pred_probs (array<double> of K): what `LabelAudit` takes.

    Raises:
        ConfigurationError: the arguments contradict each other, or the estimator predicts no probabilities.
        InputError: a column or the rows cannot be used.
        EstimatorError: the estimator failed; with its message.

    Example:
        >>> from sklearn.linear_model import LogisticRegression
        >>> cross_val_pred_probs(training, LogisticRegression(), folds=3).columns
        ['id', 'label', 'fold', 'pred_probs']
    """
    validation = CrossValidation(
        df,
        estimator,
        features_col=features_col,
        label_col=label_col,
        id_col=id_col,
        folds=folds,
        repeats=repeats,
        seed=seed,
        group_col=group_col,
        class_names=class_names,
        **more,
    )
    validation.keep()
    return validation.pred_probs()


def _add_arrays(left: Any, right: Any) -> Any:
    return F.zip_with(left, right, _add)


def _add(left: Any, right: Any) -> Any:
    return left + right


class _DivideBy:
    """Divides a column by a number."""

    def __init__(self, divisor: int) -> None:
        self.divisor = divisor

    def __call__(self, value: Any) -> Any:
        return value / self.divisor
