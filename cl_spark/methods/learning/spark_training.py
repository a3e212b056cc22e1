"""Estimators of Spark ML: trained by all workers together, on a table as they expect it."""

import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from cl_spark.errors import ClSparkError, ConfigurationError, EstimatorError
from cl_spark.evidence.partitions import partitions_for
from cl_spark.methods.learning.estimators import find_classifier, find_stages, find_unset_seeds
from cl_spark.methods.learning.model_tasks import IS_ERROR, MESSAGE, TASK
from cl_spark.methods.learning.training_data import GROUP, WEIGHT, TrainingData
from cl_spark.tables import columns as c
from cl_spark.tables.columns import find_columns, is_case_sensitive, quoted
from cl_spark.tables.spark_errors import error_summary

BYTES_PER_PARTITION = 64 * 2**20
"""Size of a part of the training data: Spark ML passes over it many times."""

_WEIGHT = "cl_spark_weight"
"""Column of weights as the estimator sees it: a name that formulas can hold."""

_ALL_COLUMNS = re.compile(r"[~+\-:*^(\s]\.(?![\w.])")
"""The dot by which a formula takes all columns for features."""


@dataclass(frozen=True)
class SparkTraining:
    """An estimator of Spark ML on a table.

    A classifier alone gets the features as an ML vector; a Pipeline gets the columns of the table. Either
    gets the class index, as a double, in its labelCol.

    Attributes:
        data: the table.
        estimator: the classifier, or the pipeline that ends in it, or a search over either.
        seed: of every part that has a seed which the user did not set.

    Raises:
        ConfigurationError: its columns and those of the table do not fit.
    """

    data: TrainingData
    estimator: Any
    seed: int = 0

    def __post_init__(self) -> None:
        label, there = self.label_col, self.data.df.columns
        if label in there and label != self.data.label_col:
            raise ConfigurationError(
                f"estimator: its labelCol {label!r} is a column of the input, and label_col is "
                f"{self.data.label_col!r}: set labelCol={self.data.label_col!r}"
            )
        for stage in find_stages(self.estimator):
            if stage.hasParam("outputCol") and stage.isDefined("outputCol") and stage.getOutputCol() == label:
                raise ConfigurationError(
                    f"estimator: a stage of the Pipeline makes the labelCol {label!r}; leave that stage "
                    "out, as classes are turned into indices already, and set labelCol to another name"
                )
        if self.is_plain:
            features = self.classifier.getOrDefault("featuresCol")
            if features in there and [features] != list(self.data.features.cols):
                raise ConfigurationError(
                    f"estimator: its featuresCol {features!r} is a column of the input, and features_col is "
                    f"{self.data.features_col!r}: set featuresCol to that, or to a name that is free"
                )
            self.data.features.select_numbers()
        has_own = self.takes_weights and self.classifier.isSet("weightCol")
        own_weight = self.classifier.getWeightCol() if has_own else None
        if own_weight and own_weight != self.data.weight_col:
            raise ConfigurationError(
                f"estimator: its weightCol is {own_weight!r}, and weight_col is {self.data.weight_col!r}: "
                "name the column by weight_col"
            )
        if self.data.weight_col is not None and not self.takes_weights:
            raise ConfigurationError(
                f"weight_col: {type(self.classifier).__name__} has no weightCol: leave weight_col out, or "
                "take another estimator"
            )

    @property
    def classifier(self) -> Any:
        """The classifier itself."""
        return find_classifier(self.estimator)

    @property
    def is_plain(self) -> bool:
        """True if it is a classifier alone, without stages that read the columns of the table."""
        return not find_stages(self.estimator)

    @property
    def label_col(self) -> str:
        """The column in which it expects the class index."""
        return str(self.classifier.getOrDefault("labelCol"))

    @property
    def takes_weights(self) -> bool:
        """Tell whether it takes weights of examples."""
        return bool(self.classifier.hasParam("weightCol"))

    def prepare(self, df: DataFrame) -> DataFrame:
        """Give a table the features as the estimator expects them; all other columns stay."""
        if not self.is_plain:
            return df
        name = self.classifier.getOrDefault("featuresCol")
        if self.data.features.kind == "vector" and name in df.columns:
            return df
        from pyspark.ml.functions import array_to_vector  # slow to import

        numbers = self.data.features.select_numbers().cast("array<double>")
        return df.withColumn(name, array_to_vector(numbers))

    def select_examples(self) -> DataFrame:
        """Select the rows that can be used: ids, class index, weight, and what the estimator reads; by the
        hash of their ids in partitions, so that a model does not depend on where they were kept.
        """
        data = self.data
        cols = list(data.features.cols) if self.is_plain else data.df.columns
        sensitive = is_case_sensitive(data.df.sparkSession)
        # the formula "label ~ ." takes all columns for features: the given label must not be among them
        labels = (self.label_col, data.label_col)
        hidden = {col for label in labels for col in find_columns(label, cols, case_sensitive=sensitive)}
        kept = [F.col(quoted(col)) for col in dict.fromkeys(cols) if col not in hidden]
        index = self.label_with_classes(data.select_label())
        return self.prepare(data.select_examples(*kept, index))

    def label_with_classes(self, index: Column) -> Column:
        """Select the class index as the estimator expects it: a double that tells how many classes there are,
        which trees infer from a hundred only.
        """
        told = {"ml_attr": {"type": "nominal", "num_vals": self.data.num_classes}}
        return index.cast("double").alias(self.label_col, metadata=told)

    def arrange(self, rows: DataFrame) -> DataFrame:
        """Put rows into partitions by the hash of their ids, sorted by these, and keep them."""
        profile = self.data.profile
        parts = max(partitions_for(profile.num_examples), profile.num_bytes // BYTES_PER_PARTITION)
        arranged = rows.repartition(parts, *self.data.ids).sortWithinPartitions(*self.data.ids)
        return self.data.storage.persist(arranged)

    def fit(self, rows: DataFrame, weight: str | None = None) -> Any:
        """Train a copy of the estimator.

        Args:
            rows: as `select_examples` returns them.
            weight: column of weights, if there are some.

        Raises:
            EstimatorError: training failed.
        """
        extra: dict[Any, Any] = dict.fromkeys(find_unset_seeds(self.estimator), self.seed)
        # what is ours must not be among the features of a stage that takes all columns
        read = (*self.data.df.columns, self.label_col, self.classifier.getOrDefault("featuresCol"), weight)
        hidden = (*self.data.ids, c.LABEL, GROUP)
        readable = rows.select(*[quoted(col) for col in rows.columns if col in read and col not in hidden])
        if weight is not None:
            readable = readable.withColumnRenamed(weight, _WEIGHT)
            extra[self.classifier.getParam("weightCol")] = _WEIGHT
            extra |= {
                stage.getParam("formula"): f"{stage.getFormula()} - {_WEIGHT}"
                for stage in find_stages(self.estimator)
                if stage.hasParam("formula") and _ALL_COLUMNS.search(stage.getFormula())
            }
        try:
            with _as_view(readable) as view:
                return self.estimator.copy(extra).fit(view)
        except ClSparkError:
            raise
        except Exception as error:
            raise EstimatorError(
                f"estimator: {type(self.classifier).__name__} of Spark ML could not be trained: "
                f"{error_summary(error).rstrip('.')}{self._explain_gap()}"
            ) from error

    def _explain_gap(self) -> str:
        """Tell of a class without examples below others, which may be why training failed."""
        counts = self.data.profile.class_counts
        gaps = [index for index in range(max(counts)) if index not in counts]
        if not gaps:
            return ""
        return (
            f". No example is of class {self.data.class_name(gaps[0])}: some classifiers, such as "
            "SparkXGBClassifier, need examples of every class below the last that has some"
        )

    def predict_parts(
        self, rows: DataFrame, parts: Sequence[tuple[Column, Column]], drop: Sequence[str]
    ) -> DataFrame:
        """Train a model for each part, and predict the rows that it has not seen.

        Args:
            rows: as `arrange` returns them.
            parts: for each part, which rows the model is trained on, and which it predicts.
            drop: columns of `rows` that a model must not see.

        Returns:
            Predictions: ids, class index, the number of the part as task, pred_probs, and no messages.
        """
        weight = None if self.data.weight_col is None else WEIGHT
        predictions = []
        for task, (is_training, is_test) in enumerate(parts):
            model = self.fit(rows.where(is_training).drop(*drop), weight)
            found = model.transform(rows.where(is_test))
            predictions.append(found.select(*self.data.ids, c.LABEL, *_prediction(task, self.select_probs())))
        united: DataFrame = reduce(DataFrame.unionAll, predictions)
        return united

    def select_probs(self) -> Column:
        """Select predicted probabilities of all K classes from what the model adds to a table."""
        from pyspark.ml.functions import vector_to_array  # slow to import

        probs = vector_to_array(F.col(quoted(self.classifier.getOrDefault("probabilityCol"))))
        unseen = F.greatest(F.lit(self.data.num_classes) - F.size(probs), F.lit(0))
        return F.concat(probs, F.array_repeat(F.lit(0.0), unseen))


@contextmanager
def _as_view(rows: DataFrame) -> Iterator[DataFrame]:
    """Give a table a name for a while: Spark ML on Connect takes no plan that is nested as deeply as ours."""
    spark, name = rows.sparkSession, f"cl_spark_{uuid.uuid4().hex}"
    rows.createTempView(name)
    try:
        yield spark.table(name)
    finally:
        spark.catalog.dropTempView(name)


def _prediction(task: int, probs: Column) -> list[Column]:
    """Select the columns of a prediction after the class index."""
    values: Mapping[str, Column] = {
        TASK: F.lit(task),
        "pred_probs": probs,
        MESSAGE: F.lit(None).cast("string"),
        IS_ERROR: F.lit(False),
    }
    return [value.alias(name) for name, value in values.items()]
