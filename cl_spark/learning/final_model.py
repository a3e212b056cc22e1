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
from pyspark.sql.pandas.functions import PandasUDFType, pandas_udf

from cl_spark.errors import EstimatorError
from cl_spark.evidence.workers import map_in_arrow
from cl_spark.learning.estimators import predict_probs, train
from cl_spark.learning.features import FeatureDecoder
from cl_spark.learning.model_tasks import Rows, check_memory, run_guarded

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
    trained = map_in_arrow(
        rows.repartition(1), PickledModel(estimator, ids, decode, seed), MODEL_SCHEMA
    ).collect()
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
        return pandas_udf(self, "array<double>", PandasUDFType.SCALAR)

    def __call__(self, features: Any, is_usable: Any) -> Any:
        """Predict the rows of a batch."""
        usable = np.flatnonzero(is_usable.to_numpy())
        found = np.full(len(is_usable), None, dtype=object)
        if len(usable):
            told = features.iloc[usable]
            if self.decode.kind == "columns":
                told = told.set_axis(list(self.decode.cols), axis=1).reset_index(drop=True)
            elif self.decode.kind == "text":
                told = told.to_numpy(dtype=object)
            else:
                told = np.stack(told.to_numpy()).astype(np.float64)
            found[usable] = list(predict_probs(self.model, told, self.num_classes))
        return pd.Series(found)


def add_predictions(df: DataFrame, probs: Any, names: Sequence[str] | None) -> DataFrame:
    """Add the columns that a classifier of Spark ML adds: probability (ML vector) and prediction (class
    index as a double); and predicted_label, where classes have names.

    Args:
        df: the table.
        probs: column of arrays of K probabilities.
        names: names of the classes.
    """
    from pyspark.ml.functions import array_to_vector  # slow to import

    with_probs = df.withColumn("_probs", probs)
    best = (F.array_position("_probs", F.array_max("_probs")) - 1).cast("double")
    filled = F.when(F.col("_probs").isNotNull(), array_to_vector(F.col("_probs")))
    added = with_probs.withColumn("probability", filled).withColumn("prediction", best).drop("_probs")
    return add_label_name(added, names)


def add_label_name(df: DataFrame, names: Sequence[str] | None) -> DataFrame:
    """Add predicted_label, the name of the predicted class, where classes have names."""
    if names is None:
        return df
    table = F.array(*map(F.lit, names))
    return df.withColumn("predicted_label", F.get(table, F.col("prediction").cast("int")))
