"""The model that is trained last, on a whole table: in one Spark task, or by Spark ML."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pyspark import cloudpickle
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.pandas.functions import pandas_udf

from cl_spark.errors import ConfigurationError, EstimatorError
from cl_spark.evidence.class_columns import find_name
from cl_spark.evidence.workers import map_in_arrow
from cl_spark.methods.learning.estimators import predict_probs, train
from cl_spark.methods.learning.features import FeatureDecoder
from cl_spark.methods.learning.model_tasks import Rows, check_memory, explain_failures, run_guarded
from cl_spark.methods.learning.task_predictions import predicted_class
from cl_spark.tables.columns import quoted

MODEL_SCHEMA = "model binary, error string, warning string"


@dataclass(frozen=True)
class PickledModel:
    """Function of the record batches of one task: trains a model on all rows, and pickles it.

    Attributes:
        estimator: anything with fit and predict_proba.
        ids: id columns, whose order is that of the rows.
        decode: turns features into what the model takes.
        seed: of the model.
    """

    estimator: Any
    ids: Sequence[str]
    decode: FeatureDecoder
    seed: int

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Train, and yield one row."""
        rows = Rows.gather(batches, self.ids, self.decode)
        if rows is None:
            return
        outcome = run_guarded(self._train, rows)
        told = "; ".join(outcome.messages) or None
        failed = outcome.value is None
        values = [[outcome.value], [told if failed else None], [None if failed else told]]
        arrays = [pa.array(value, kind) for value, kind in zip(values, _MODEL_TYPES, strict=True)]
        yield pa.RecordBatch.from_arrays(arrays, names=["model", "error", "warning"])

    def _train(self, rows: Rows) -> bytes:
        model = train(self.estimator, rows.features, rows.labels, rows.weights, self.seed)
        return bytes(cloudpickle.dumps(model))  # type: ignore[no-untyped-call]


_MODEL_TYPES = (pa.binary(), pa.string(), pa.string())


def fit_in_task(
    rows: DataFrame, estimator: Any, ids: Sequence[str], decode: FeatureDecoder, seed: int, num_bytes: int
) -> tuple[Any, str | None]:
    """Train an estimator on all rows, in one Spark task.

    Args:
        rows: ids, class index, features, and weight if there are weights.
        estimator: anything with fit and predict_proba.
        ids: id columns.
        decode: turns features into what the model takes.
        seed: of the model.
        num_bytes: size of the features.

    Returns:
        The trained model, and what it warned of, if anything.

    Raises:
        ConfigurationError: the rows do not fit the memory of a worker.
        EstimatorError: the estimator failed.
    """
    check_memory(rows.sparkSession, num_bytes, "the model")
    function = PickledModel(estimator, ids, decode, seed)
    with explain_failures(estimator):
        trained = map_in_arrow(rows.repartition(1), function, MODEL_SCHEMA).collect()
    found = trained[0]
    if found.error is not None:
        raise EstimatorError(f"estimator: {type(estimator).__name__}: {found.error}")
    return cloudpickle.loads(bytes(found.model)), found.warning


class PredictedProbs:
    """Function of columns of features: the probabilities that a model predicts; null where features are not
    usable.

    Args:
        model: a trained model.
        decode: turns features into what the model takes.
        num_classes: K.
    """

    def __init__(self, model: Any, decode: FeatureDecoder, num_classes: int) -> None:
        self.model, self.decode, self.num_classes = model, decode, num_classes

    def as_function(self) -> Any:
        """Return it as a pandas UDF of the features, and of whether they are usable."""
        of_kind = self.predict_columns if self.decode.kind == "columns" else self.predict_column
        return pandas_udf(of_kind, "array<double>")  # type: ignore[call-overload]

    def predict_columns(self, features: pd.DataFrame, is_usable: pd.Series) -> pd.Series:
        """Predict the rows of a batch, whose features are columns."""
        usable = np.flatnonzero(is_usable.to_numpy())
        told = features.iloc[usable].set_axis(list(self.decode.cols), axis=1).reset_index(drop=True)
        return self._predict(told, usable, len(is_usable))

    def predict_column(self, features: pd.Series, is_usable: pd.Series) -> pd.Series:
        """Predict the rows of a batch, whose features are texts or arrays."""
        usable = np.flatnonzero(is_usable.to_numpy())
        values: Any = features.iloc[usable].to_numpy(dtype=object)
        if self.decode.kind != "text" and len(usable):
            values = np.stack(values).astype(np.float64)
        return self._predict(values, usable, len(is_usable))

    def _predict(self, features: Any, usable: Any, num_rows: int) -> pd.Series:
        found = np.full(num_rows, None, dtype=object)
        if len(usable):
            found[usable] = list(predict_probs(self.model, features, self.num_classes))
        return pd.Series(found)


def add_predictions(df: DataFrame, probs: Any, names: Sequence[str] | None) -> DataFrame:
    """Add the columns that a classifier of Spark ML adds: probability (ML vector) and prediction (class
    index as a double); and predicted_label, where classes have names.

    Args:
        df: the table.
        probs: column of arrays of K probabilities.
        names: names of the classes.

    Raises:
        ConfigurationError: the table has a column of such a name already.
    """
    taken = [name for name in ("probability", "prediction", "predicted_label") if name in df.columns]
    if taken:
        raise ConfigurationError(
            f"transform: the table has a column {taken[0]!r} already, which the model adds: drop or rename it"
        )
    from pyspark.ml.functions import array_to_vector  # slow to import

    with_probs = df.withColumn(_PROBS, probs)
    best = predicted_class(_PROBS).cast("double")
    filled = F.when(F.col(_PROBS).isNotNull(), array_to_vector(F.col(_PROBS)))
    added = with_probs.withColumn("probability", filled).withColumn("prediction", best).drop(_PROBS)
    return add_label_name(added, names, "prediction")


def add_label_name(df: DataFrame, names: Sequence[str] | None, prediction_col: str) -> DataFrame:
    """Add predicted_label, the name of the predicted class, where classes have names."""
    if names is None:
        return df
    return df.withColumn("predicted_label", find_name(F.col(quoted(prediction_col)), names))


_PROBS = "_cl_spark_probs"
