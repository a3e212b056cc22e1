"""`CleanLearningModel`: a trained model, and what was found wrong in the data it was trained on."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pyspark.ml import Model
from pyspark.ml.util import MLReadable, MLWritable
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from cl_spark.classification.noise import NoiseRates
from cl_spark.errors import MissingColumnError
from cl_spark.learning.estimators import find_classifier
from cl_spark.learning.features import Features
from cl_spark.learning.final_model import PredictedProbs, add_label_name, add_predictions
from cl_spark.learning.persistence import (
    DirectoryReader,
    DirectoryWriter,
    load_object,
    load_table,
    save_object,
    save_table,
)
from cl_spark.learning.training_data import TrainingData
from cl_spark.tables.columns import find_columns, is_case_sensitive, quoted

_VECTORS, _KEPT = "_vectors", "_kept_features"


@dataclass(frozen=True)
class TrainedOn:
    """What a model has to know of the table it was trained on.

    Attributes:
        features_col: column of the features, or list of columns.
        num_features: D, where they are an array or a vector; else 0.
        takes_missing: missing features can be used.
        num_classes: K.
        names: names of the classes; None where they have none.
        vector_col: column of ML vectors that the model reads, where it is a classifier of Spark ML alone.
    """

    features_col: str | Sequence[str]
    num_features: int
    takes_missing: bool
    num_classes: int
    names: Sequence[str] | None
    vector_col: str | None

    @staticmethod
    def describe(data: TrainingData, vector_col: str | None = None) -> "TrainedOn":
        """Describe training data.

        Args:
            data: the data.
            vector_col: as the attribute.
        """
        cols = data.features_col
        return TrainedOn(
            cols if isinstance(cols, str) else list(cols),
            data.profile.num_features,
            data.takes_missing,
            data.num_classes,
            data.names,
            vector_col,
        )

    def find_features(self, df: DataFrame) -> Features:
        """Find the features in another table.

        Raises:
            MissingColumnError: a column is missing.
        """
        cols = [self.features_col] if isinstance(self.features_col, str) else self.features_col
        types = {field.name: field.dataType for field in df.schema.fields}
        found = {
            col: find_columns(col, types, case_sensitive=is_case_sensitive(df.sparkSession)) for col in cols
        }
        missing = [col for col, names in found.items() if not names]
        if missing:
            raise MissingColumnError(
                f"features_col: no column {missing[0]!r} in the table; it has {', '.join(map(repr, types))}"
            )
        return Features.find(self.features_col, [types[found[col][0]] for col in cols])


class CleanLearningModel(Model, MLReadable, MLWritable):  # type: ignore[misc, type-arg, unused-ignore]
    """A model trained by `CleanLearning`, which transforms tables as the model it wraps does.

    `transform` adds the columns that a classifier of Spark ML adds: probability (ML vector) and prediction
    (class index, as a double); and predicted_label, the name of the predicted class, where classes have
    names. Rows whose features cannot be used get null there.

    Attributes:
        model: the model it wraps: a trained estimator of scikit-learn or like it, or a model of Spark ML.
        label_issues: the label issues of the training data, as `LabelAudit.find_label_issues` returns them.
        confident_thresholds: confident threshold of each class; None where the issues were given.
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

    def _transform(self, dataset: DataFrame) -> DataFrame:
        told = self.trained_on
        if not hasattr(self.model, "transform") or not hasattr(self.model, "hasParam"):
            features = told.find_features(dataset)
            is_usable = ~features.is_null() & ~features.is_unusable(takes_missing=told.takes_missing)
            is_usable = is_usable & (features.length() == told.num_features)
            predict = PredictedProbs(self.model, features.decoder, told.num_classes).as_function()
            probs = predict(features.select(), F.coalesce(is_usable, F.lit(False)))
            return add_predictions(dataset, probs, told.names)
        if told.vector_col is None:
            return add_label_name(self.model.transform(dataset), told.names)
        features = told.find_features(dataset)
        if features.kind == "vector" and features.cols == (told.vector_col,):
            return add_label_name(self.model.transform(dataset), told.names)
        from pyspark.ml.functions import array_to_vector  # slow to import

        # the model reads vectors in a column whose name may be that of the arrays
        vectors = array_to_vector(features.select_numbers().cast("array<double>"))
        renamed = dataset.withColumn(_VECTORS, vectors).withColumnRenamed(told.vector_col, _KEPT)
        found = self.model.transform(renamed.withColumnRenamed(_VECTORS, told.vector_col))
        found = found.drop(told.vector_col).withColumnRenamed(_KEPT, told.vector_col)
        added = [col for col in found.columns if col not in dataset.columns]
        return add_label_name(found.select(*map(quoted, [*dataset.columns, *added])), told.names)

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

    def _save_parts(self, path: str, mode: str) -> None:
        save_object(self.model, f"{path}/model", mode)
        save_table(self.label_issues, f"{path}/label_issues", mode)
        save_table(self.confident_thresholds, f"{path}/confident_thresholds", mode)
        if self.noise_rates is not None:
            save_table(self.noise_rates.rates, f"{path}/noise_rates", mode)
            save_table(self.noise_rates.prior, f"{path}/prior", mode)

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
    if estimator.hasParam("stages"):
        return None
    return str(find_classifier(estimator).getOrDefault("featuresCol"))
