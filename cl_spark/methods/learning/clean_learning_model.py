"""`CleanLearningModel`: a trained model, and what was found wrong in the data it was trained on."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from pyspark.ml import Model
from pyspark.ml.util import MLReadable, MLWritable
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from cl_spark.evidence.storage import Storage
from cl_spark.methods.classification.noise import NoiseRates
from cl_spark.methods.learning.estimators import find_classifier, find_stages
from cl_spark.methods.learning.features import Features
from cl_spark.methods.learning.final_model import PredictedProbs, add_label_name, add_predictions
from cl_spark.methods.learning.persistence import (
    DirectoryReader,
    DirectoryWriter,
    load_object,
    load_table,
    save_object,
    save_table,
)
from cl_spark.methods.learning.training_data import TrainingData
from cl_spark.tables.columns import is_case_sensitive, quoted, resolve_column
from cl_spark.tables.pandas_frames import to_spark

_VECTORS, _KEPT, _USABLE = "_vectors", "_kept_features", "_usable"


class _Kept:
    """Lives as long as some copy of a model."""


@dataclass(frozen=True)
class TrainedOn:
    """Facts about the table that a model was trained on, which it needs to read another one.

    Attributes:
        features_col: column of the features, or list of columns.
        num_features: D, where they are an array or a vector; else 0.
        takes_missing: missing features can be used.
        num_classes: K.
        names: names of the classes; None where they have none.
        vector_col: column of ML vectors that the model reads, where it is a classifier of Spark ML alone.
        prediction_col: column of the predicted class that the model adds.
    """

    features_col: str | Sequence[str]
    num_features: int
    takes_missing: bool
    num_classes: int
    names: Sequence[str] | None
    vector_col: str | None
    prediction_col: str = "prediction"

    @staticmethod
    def describe(
        data: TrainingData, vector_col: str | None = None, prediction_col: str = "prediction"
    ) -> "TrainedOn":
        """Describe training data.

        Args:
            data: the data.
            vector_col: as the attribute.
            prediction_col: as the attribute.
        """
        cols = data.features_col
        return TrainedOn(
            cols if isinstance(cols, str) else list(cols),
            data.profile.num_features,
            data.takes_missing,
            data.num_classes,
            data.names,
            vector_col,
            prediction_col,
        )

    def find_features(self, df: DataFrame) -> Features:
        """Find the features in another table.

        Raises:
            MissingColumnError: a column is missing.
        """
        cols = [self.features_col] if isinstance(self.features_col, str) else self.features_col
        types = {field.name: field.dataType for field in df.schema.fields}
        find = partial(
            resolve_column,
            "features_col",
            columns=list(types),
            case_sensitive=is_case_sensitive(df.sparkSession),
            table="the table",
        )
        return Features.find(self.features_col, [types[find(col)] for col in cols])


class CleanLearningModel(Model, MLReadable, MLWritable):  # type: ignore[misc, type-arg, unused-ignore]
    """A model trained by `CleanLearning`, which transforms tables as the model it wraps does.

    `transform` adds the columns that a classifier of Spark ML adds: probability (ML vector) and prediction
    (class index, as a double); and predicted_label, the name of the predicted class, where classes have
    names. Rows whose features cannot be used get null there.

    Attributes:
        model: the model it wraps: a trained estimator of scikit-learn or like it, or a model of Spark ML.
        label_issues: the label issues of the training data, as `LabelAudit.find_label_issues` returns them.
        confident_thresholds: confident threshold of each class; None where nothing estimated them: of
            given issues, and by "incv".
        noise_rates: noise rates of the classes; None where the issues were given.

    Example:
        >>> from sklearn.linear_model import LogisticRegression
        >>> model = CleanLearning(LogisticRegression(), folds=3).fit(training)
        >>> model.write().overwrite().save(f"{results}/model")
        >>> CleanLearningModel.load(f"{results}/model").label_issues.columns == model.label_issues.columns
        True
    """

    def __init__(
        self,
        model: Any,
        trained_on: TrainedOn,
        label_issues: DataFrame,
        confident_thresholds: DataFrame | None = None,
        noise_rates: NoiseRates | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.trained_on = trained_on
        self.label_issues = label_issues
        self.confident_thresholds = confident_thresholds
        self.noise_rates = noise_rates
        self._kept: _Kept | None = None
        self._release: Callable[[], None] | None = None

    def _transform(self, dataset: DataFrame) -> DataFrame:
        about, dataset = self.trained_on, to_spark(dataset)
        if not hasattr(self.model, "transform") or not hasattr(self.model, "hasParam"):
            predict = PredictedProbs(self.model, about.find_features(dataset).decoder, about.num_classes)
            features, is_usable = self._select_features(dataset)
            probs = predict.as_function()(features.select(), is_usable)
            return add_predictions(dataset, probs, about.names)
        if about.vector_col is None:
            return self._add_name(self.model.transform(dataset))
        features, is_usable = self._select_features(dataset)
        from pyspark.ml.functions import array_to_vector  # slow to import

        # Rows that cannot be used go through the model with zeros, and lose its answers again. The model
        # reads vectors in a column whose name may be that of the arrays.
        num_features = len(features.cols) if features.kind == "columns" else about.num_features
        zeros = F.array_repeat(F.lit(0.0), num_features)
        if features.kind == "vector":
            vectors = F.col(quoted(features.cols[0]))
        else:
            vectors = array_to_vector(features.select_numbers().cast("array<double>"))
        usable = F.when(is_usable, vectors).otherwise(array_to_vector(zeros))
        marked = dataset.withColumn(_VECTORS, usable).withColumn(_USABLE, is_usable)
        renamed = marked.withColumnRenamed(about.vector_col, _KEPT)
        found = self.model.transform(renamed.withColumnRenamed(_VECTORS, about.vector_col))
        added = [col for col in found.columns if col not in renamed.columns and col != about.vector_col]
        answers = [F.when(F.col(_USABLE), F.col(quoted(col))).alias(col) for col in added]
        kept = [_KEPT if col == about.vector_col else col for col in dataset.columns]
        shown = [F.col(quoted(name)).alias(col) for name, col in zip(kept, dataset.columns, strict=True)]
        return self._add_name(found.select(*shown, *answers))

    def _select_features(self, dataset: DataFrame) -> tuple[Features, Column]:
        """Find the features of a table, and which rows can be used."""
        about = self.trained_on
        features = about.find_features(dataset)
        is_usable = ~features.is_null() & ~features.is_unusable(takes_missing=about.takes_missing)
        is_usable = is_usable & (features.length() == about.num_features)
        return features, F.coalesce(is_usable, F.lit(False))

    def _add_name(self, df: DataFrame) -> DataFrame:
        return add_label_name(df, self.trained_on.names, self.trained_on.prediction_col)

    def keep_estimates(self) -> None:
        """Keep the label issues, thresholds and noise rates in Spark's cache, so that they need nothing of
        the training any more. They are freed with the last copy of the model, or by `release`.
        """
        storage = Storage()
        self.label_issues = storage.persist_now(self.label_issues)
        if self.confident_thresholds is not None:
            self.confident_thresholds = storage.persist_now(self.confident_thresholds)
        if self.noise_rates is not None:
            rates, prior = map(storage.persist_now, (self.noise_rates.rates, self.noise_rates.prior))
            self.noise_rates = NoiseRates(rates, prior)
        self._kept = _Kept()
        storage.release_with(self._kept)
        self._release = storage.release

    def release(self) -> None:
        """Free what is kept. The model still transforms; its label issues and estimates are computed again
        where they are asked for.
        """
        if self._release is not None:
            self._release()

    def write(self) -> DirectoryWriter:
        """Return a writer: ``write().save(path)`` or ``write().overwrite().save(path)``."""
        values = {
            "trained_on": asdict(self.trained_on),
            "is_spark": hasattr(self.model, "write"),
            "has_estimates": self.confident_thresholds is not None and self.noise_rates is not None,
        }
        return DirectoryWriter(self, values, self._save_parts)

    def save(self, path: str) -> None:
        """Save to a directory that is not there yet."""
        self.write().save(path)

    def _save_parts(self, path: str) -> None:
        save_object(self.model, f"{path}/model")
        save_table(self.label_issues, f"{path}/label_issues")
        save_table(self.confident_thresholds, f"{path}/confident_thresholds")
        if self.noise_rates is not None:
            save_table(self.noise_rates.rates, f"{path}/noise_rates")
            save_table(self.noise_rates.prior, f"{path}/prior")

    @classmethod
    def read(cls) -> DirectoryReader:
        """Return a reader: ``read().load(path)``."""
        return DirectoryReader(_build_model)

    @classmethod
    def load(cls, path: str) -> "CleanLearningModel":
        """Load from a directory. Models that are not of Spark ML are unpickled, which runs code: load only
        what you trust.
        """
        return cls.read().load(path)  # type: ignore[no-any-return]


def _build_model(metadata: Mapping[str, Any], path: str) -> CleanLearningModel:
    values = metadata["values"]
    thresholds, rates = None, None
    if values["has_estimates"]:
        thresholds = load_table(f"{path}/confident_thresholds")
        rates = NoiseRates(load_table(f"{path}/noise_rates"), load_table(f"{path}/prior"))
    return CleanLearningModel(
        load_object(f"{path}/model", values["is_spark"]),
        TrainedOn(**values["trained_on"]),
        load_table(f"{path}/label_issues"),
        thresholds,
        rates,
    )


def find_vector_col(estimator: Any) -> str | None:
    """Find the column of vectors that a classifier of Spark ML alone reads; None of a pipeline."""
    if find_stages(estimator):
        return None
    return str(find_classifier(estimator).getOrDefault("featuresCol"))
