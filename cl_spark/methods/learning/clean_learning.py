"""`CleanLearning`: train out of sample, find label issues, prune them, and train again."""

import inspect
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from pyspark.ml import Estimator
from pyspark.ml.param import Param, Params
from pyspark.ml.util import MLReadable, MLWritable
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from cl_spark.errors import ConfigurationError
from cl_spark.methods.classification.filters import PRUNING, FilterOptions
from cl_spark.methods.classification.scores import check_method
from cl_spark.methods.learning.clean_learning_model import CleanLearningModel, TrainedOn, find_vector_col
from cl_spark.methods.learning.correction import Correction, Findings, How, check_issues
from cl_spark.methods.learning.cross_validation import CrossValidation, check_rounds
from cl_spark.methods.learning.estimators import (
    check_estimator,
    find_weight_argument,
    is_spark_estimator,
    own_params,
)
from cl_spark.methods.learning.final_model import fit_in_task
from cl_spark.methods.learning.given_probs import audit_given
from cl_spark.methods.learning.incv import NoisyCrossValidation
from cl_spark.methods.learning.persistence import DirectoryReader, DirectoryWriter, load_object, save_object
from cl_spark.methods.learning.spark_training import SparkTraining
from cl_spark.methods.learning.training_data import FEATURES, TrainingData
from cl_spark.tables import columns as c
from cl_spark.tables.pandas_frames import to_spark

logger = logging.getLogger(__name__)

METHODS = ("confident_learning", "incv")
HOW: tuple[How, ...] = ("prune", "reweight", "relabel")


class CleanLearning(Estimator, MLReadable, MLWritable):  # type: ignore[misc, type-arg, unused-ignore]
    """Learning with noisy labels: a classifier that finds the wrong labels of its training data itself, and
    is trained without them.

    It is an estimator of Spark ML: `fit` returns a model that transforms tables; it goes into a Pipeline or a
    CrossValidator, is copied, saved and loaded. Its arguments are its Params, by the same names.

    Args:
        estimator: the classifier to train: of scikit-learn or like it, or of Spark ML; see `CrossValidation`.
        folds: number of parts of the cross-validation that predicts each example out of sample. Default 5.
        repeats: rounds of it that are averaged. Default 1.
        seed: changes the folds, and seeds the models.
        method: how label issues are found: "confident_learning" (default), or "incv", iterative noisy
            cross-validation, which trains eight models and has no filters: `filter_by` and what belongs to it
            do not go with it.
        how: what is done about the label issues. "prune" (default): they are left out, and the remaining
            examples of a class that lost some weigh 1 / p(given label = k | true label = k), where the
            estimator takes weights. "reweight": nothing is left out; each example weighs p(true label = given
            label | x) / p(given label | x), so the estimator has to take weights. "relabel": they get the
            suggested label.
        filter_by: which examples are issues: the filter of `LabelAudit.find_label_issues`.
        rank_by: label quality score that ranks them.
        frac_noise: share of the estimated noise to prune.
        min_examples_per_class: examples that pruning leaves every class; smaller classes are not pruned.
            Default 10, so that each can still be learnt.
        features_col: features: an array of numbers, an ML vector or a text; or a list of columns.
        label_col: given label: class index or name.
        id_col: id column, or a list of columns for a composite key.
        group_col: column of groups, which stay together in the folds.
        weight_col: column of weights of the examples, which are multiplied with those that `how` brings.
        class_names: names of the classes, in the order of the probabilities.
        evidence_path: a directory to keep probabilities in (Parquet), for sessions that refuse to cache.

    Raises:
        ConfigurationError: an argument is unknown or out of range, or does not go with the estimator.

    Source: Northcutt, Jiang, Chuang, "Confident Learning", JAIR 2021, sections 3.1 to 3.3. Weights of
    "prune": section 3.3. "reweight": Liu and Tao, TPAMI 2016.

    Example:
        >>> from sklearn.linear_model import LogisticRegression
        >>> model = CleanLearning(LogisticRegression(), folds=3).fit(training)
        >>> model.transform(training).select("id", "prediction").count() == training.count()
        True
    """

    estimator: Param[Any] = Param(Params._dummy(), "estimator", "the classifier to train")
    folds: Param[Any] = Param(Params._dummy(), "folds", "number of parts of the cross-validation")
    repeats: Param[Any] = Param(Params._dummy(), "repeats", "rounds of cross-validation that are averaged")
    seed: Param[Any] = Param(Params._dummy(), "seed", "changes the folds, and seeds the models")
    method: Param[Any] = Param(
        Params._dummy(), "method", "how label issues are found: confident_learning or incv"
    )
    how: Param[Any] = Param(
        Params._dummy(), "how", "what is done about label issues: prune, reweight or relabel"
    )
    filter_by: Param[Any] = Param(Params._dummy(), "filter_by", "which examples are issues")
    rank_by: Param[Any] = Param(Params._dummy(), "rank_by", "label quality score that ranks the issues")
    frac_noise: Param[Any] = Param(Params._dummy(), "frac_noise", "share of the estimated noise to prune")
    min_examples_per_class: Param[Any] = Param(
        Params._dummy(), "min_examples_per_class", "examples that pruning leaves every class"
    )
    features_col: Param[Any] = Param(
        Params._dummy(), "features_col", "column of features, or a list of columns"
    )
    label_col: Param[Any] = Param(Params._dummy(), "label_col", "column of the given label")
    id_col: Param[Any] = Param(Params._dummy(), "id_col", "id column, or a list of columns")
    group_col: Param[Any] = Param(Params._dummy(), "group_col", "column of groups, which stay in one fold")
    weight_col: Param[Any] = Param(Params._dummy(), "weight_col", "column of weights of the examples")
    class_names: Param[Any] = Param(Params._dummy(), "class_names", "names of the classes")
    evidence_path: Param[Any] = Param(
        Params._dummy(), "evidence_path", "directory to keep probabilities in, where a session does not cache"
    )

    def __init__(
        self,
        estimator: Any = None,
        *,
        folds: int = 5,
        repeats: int = 1,
        seed: int = 0,
        method: str = "confident_learning",
        how: How = "prune",
        filter_by: str = "prune_by_noise_rate",
        rank_by: str = "self_confidence",
        frac_noise: float = 1.0,
        min_examples_per_class: int = 10,
        features_col: str | Sequence[str] = "features",
        label_col: str = "label",
        id_col: str | Sequence[str] = "id",
        group_col: str | None = None,
        weight_col: str | None = None,
        class_names: Sequence[str] | None = None,
        evidence_path: str | None = None,
    ) -> None:
        super().__init__()
        arguments = {name: value for name, value in locals().items() if value is not None}
        if estimator is not None:
            check_estimator(estimator)
        self._setDefault(group_col=None, weight_col=None, class_names=None, evidence_path=None)
        for param in self.params:
            if param.name in arguments:
                self.set(param, arguments[param.name])
        self._check()

    def copy(self, extra: Mapping[Any, Any] | None = None) -> "CleanLearning":
        """Copy it, with other values of some Params: its own, or those of a classifier of Spark ML and of its
        stages, so that a search can tune both.

        Args:
            extra: values by Param. One of the class, such as `CleanLearning.how`, stands for that of a copy.
        """
        given = own_params(self, extra or {})
        copied: CleanLearning = super().copy(given)
        if copied.isDefined("estimator") and is_spark_estimator(copied.value("estimator")):
            copied.set(copied.estimator, copied.value("estimator").copy(given))
        return copied

    def value(self, name: str) -> Any:
        """Return the value of a Param by its name, as in ``learning.value("folds")``."""
        return self.getOrDefault(name)

    def _check(self) -> None:
        check_rounds(self.value("folds"), self.value("repeats"))
        if self.value("method") not in METHODS:
            raise ConfigurationError(
                f"method must be one of {', '.join(METHODS)}, got {self.value('method')!r}"
            )
        if self.value("method") == "incv":
            self._check_incv()
        if self.value("how") not in HOW:
            raise ConfigurationError(f"how must be one of {', '.join(HOW)}, got {self.value('how')!r}")

    def _check_incv(self) -> None:
        names = ("folds", "repeats", "filter_by", "rank_by", "frac_noise", "min_examples_per_class")
        wrong = [name for name in names if not self._is_default(name)]
        if wrong:
            raise ConfigurationError(f"{wrong[0]} does not go with method='incv', which has no such option")
        if self.value("how") == "reweight":
            raise ConfigurationError(
                "how: 'reweight' follows from noise rates, which method='incv' does not estimate: use "
                "how='prune'"
            )

    def find_label_issues(
        self, df: DataFrame | pd.DataFrame, pred_probs: DataFrame | None = None
    ) -> DataFrame:
        """Find the label issues of a table by cross-validation.

        Args:
            df: ids, labels and features.
            pred_probs: ids and out-of-sample probabilities, where they are known already: nothing is trained.

        Returns:
            The issues, as `LabelAudit.find_label_issues` returns them; by "incv" without self_confidence and
            normalized_margin.

        Raises:
            InputError: a column or the rows cannot be used.
            EstimatorError: the estimator failed; with its message.
        """
        return self._find(self._validation(to_spark(df)), pred_probs).issues

    def fit(  # type: ignore[override]
        self,
        dataset: DataFrame | pd.DataFrame,
        pred_probs: Any = None,
        label_issues: DataFrame | None = None,
        *,
        params: Any = None,
    ) -> Any:
        """Find the label issues, and train on what the labels can be trusted for.

        Args:
            dataset: ids, labels and features.
            pred_probs: ids and out-of-sample probabilities, where they are known already.
            label_issues: the issues, where they are known already: at least the id columns; to relabel,
                suggested_label too.
            params: Params to set in a copy first, as for any estimator of Spark ML; a list of them returns a
                list of models.

        Returns:
            A `CleanLearningModel`.

        Raises:
            ConfigurationError: `how` needs what was not given.
            InputError: a column or the rows cannot be used.
            EstimatorError: the estimator failed; with its message.
        """
        if isinstance(pred_probs, Mapping | list | tuple):  # where Spark ML passes params
            params, pred_probs = pred_probs, None
        if isinstance(params, list | tuple):
            return [self.fit(dataset, pred_probs, label_issues, params=one) for one in params]
        learning = self.copy(params) if params else self
        return learning._fit_clean(to_spark(dataset), pred_probs, label_issues)

    def _fit(self, dataset: DataFrame) -> "CleanLearningModel":
        return self._fit_clean(dataset, None, None)

    def _validation(self, df: DataFrame) -> CrossValidation:
        self._check()
        if not self.isDefined("estimator"):
            raise ConfigurationError(
                "estimator: pass the classifier to train, as in CleanLearning(classifier)"
            )
        names = ("features_col", "label_col", "id_col", "folds", "repeats", "seed", "group_col", "weight_col",
                 "class_names", "evidence_path")  # fmt: skip
        return CrossValidation(df, self.value("estimator"), **{name: self.value(name) for name in names})

    def _find(self, validation: CrossValidation, pred_probs: DataFrame | None) -> Findings:
        """Find the label issues, by cross-validation or from given probabilities."""
        if self.value("method") == "incv":
            if pred_probs is not None:
                raise ConfigurationError(
                    "pred_probs: method='incv' trains models of its own; leave pred_probs out"
                )
            return Findings(NoisyCrossValidation(validation).find_label_issues())
        check_method(self.value("rank_by"), False, "rank_by")
        options = FilterOptions(**self._filter_options)
        if pred_probs is None:
            probs, audit = validation.pred_probs(), validation.audit()
        else:
            probs, audit = audit_given(validation.data, to_spark(pred_probs, argument="pred_probs"))
        issues = audit.find_label_issues(rank_by=self.value("rank_by"), **vars(options))
        return Findings(issues, audit, probs)

    @property
    def _filter_options(self) -> dict[str, Any]:
        """The options of the filter; the default of one that only pruning has goes with pruning only."""
        names = ("filter_by", "frac_noise", "min_examples_per_class")
        options = {name: self.value(name) for name in names}
        if self.value("filter_by") not in PRUNING and self._is_default("min_examples_per_class"):
            del options["min_examples_per_class"]
        return options

    def _is_default(self, name: str) -> bool:
        return bool(self.value(name) == inspect.signature(CleanLearning).parameters[name].default)

    def _fit_clean(
        self, df: DataFrame, pred_probs: DataFrame | None, label_issues: DataFrame | None
    ) -> CleanLearningModel:
        with self._validation(df) as validation:
            self.check(validation.data)
            if label_issues is None:
                found = self._find(validation, pred_probs)
            elif self.value("how") == "reweight":
                raise ConfigurationError(
                    "label_issues: how='reweight' weighs all examples by their probabilities; leave "
                    "label_issues out"
                )
            else:
                found = self._take(validation.data, label_issues, pred_probs)
            model, _ = self.train(validation, found)
            model.keep_estimates()
            if found.audit is not None:
                found.audit.release()
        return model

    def _take(self, data: TrainingData, label_issues: DataFrame, pred_probs: DataFrame | None) -> Findings:
        """Take label issues that the user brings, and probabilities, for the noise rates, if there are
        some.
        """
        issues = to_spark(label_issues, argument="label_issues")
        check_issues(data, issues)
        if pred_probs is None:
            return Findings(issues)
        probs, audit = audit_given(data, to_spark(pred_probs, argument="pred_probs"))
        return Findings(issues, audit, probs)

    def check(self, data: TrainingData) -> None:
        """Check that the estimator can do what `how` asks of it.

        Raises:
            ConfigurationError: it takes no weights, and examples are to be reweighted.
        """
        if self.value("how") == "reweight" and not self._takes_weights(data):
            name = type(self.value("estimator")).__name__
            raise ConfigurationError(
                f"how: 'reweight' weighs examples, and {name} takes no weights: use how='prune'"
            )

    def _takes_weights(self, data: TrainingData) -> bool:
        estimator = self.value("estimator")
        if is_spark_estimator(estimator):
            return SparkTraining(data, estimator).takes_weights
        return find_weight_argument(estimator) is not None

    def train(self, validation: CrossValidation, found: Findings) -> tuple[CleanLearningModel, int]:
        """Train on what the labels can be trusted for.

        Args:
            validation: knows the table.
            found: its label issues.

        Returns:
            The model, and the number of examples it was trained on.

        Raises:
            InputError: a class loses all its examples.
            EstimatorError: the estimator failed; with its message.
        """
        data, estimator, how = validation.data, self.value("estimator"), self.value("how")
        correction = Correction(data, found, self._takes_weights(data))
        vector_col, prediction_col = None, "prediction"
        if is_spark_estimator(estimator):
            by_spark = SparkTraining(data, estimator, self.value("seed"))
            vector_col = find_vector_col(estimator)
            prediction_col = by_spark.classifier.getOrDefault("predictionCol")
            corrected = correction.apply(by_spark.select_examples(), how)
            label = by_spark.label_with_classes(F.col(c.LABEL))
            # by select: a column that withColumn adds on Connect loses the number of classes
            relabelled = corrected.rows.drop(by_spark.label_col).select("*", label)
            model = by_spark.fit(by_spark.arrange(relabelled), corrected.weight)
        else:
            features = data.features.select().alias(FEATURES)
            corrected = correction.apply(data.select_examples(features), how)
            weights = [] if corrected.weight is None else [corrected.weight]
            model, warning = fit_in_task(
                corrected.rows.select(*data.ids, c.LABEL, FEATURES, *weights),
                estimator,
                data.ids,
                data.features.decoder,
                self.value("seed"),
                data.profile.num_bytes,
            )
            if warning is not None:
                logger.warning("estimator: %s, trained last: %s", type(estimator).__name__, warning)
        thresholds = None if found.audit is None else found.audit.confident_thresholds()
        trained_on = TrainedOn.describe(data, vector_col, prediction_col)
        trained = CleanLearningModel(model, trained_on, found.issues, thresholds, found.noise_rates)
        return trained, corrected.num_rows

    def write(self) -> DirectoryWriter:
        """Return a writer: ``write().save(path)`` or ``write().overwrite().save(path)``."""
        values = {"is_spark": hasattr(self.value("estimator"), "write")}
        return DirectoryWriter(self, values, self._save_parts, skipped=("estimator",))

    def save(self, path: str) -> None:
        """Save to a directory that is not there yet."""
        self.write().save(path)

    def _save_parts(self, path: str) -> None:
        save_object(self.value("estimator"), f"{path}/estimator")

    @classmethod
    def read(cls) -> DirectoryReader:
        """Return a reader: ``read().load(path)``."""
        return DirectoryReader(_build_learning)

    @classmethod
    def load(cls, path: str) -> "CleanLearning":
        """Load from a directory. Estimators that are not of Spark ML are unpickled, which runs code: load
        only what you trust.
        """
        return cls.read().load(path)  # type: ignore[no-any-return]


def _build_learning(metadata: Mapping[str, Any], path: str) -> CleanLearning:
    return CleanLearning(load_object(f"{path}/estimator", metadata["values"]["is_spark"]))
