"""Predictions of models that are trained in a Spark task each, and what their estimator told meanwhile."""

import logging
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from cl_spark.errors import EstimatorError
from cl_spark.evidence.packing import ddl
from cl_spark.evidence.workers import map_in_arrow
from cl_spark.methods.learning.model_tasks import IS_ERROR, IS_TEST, MESSAGE, TASK, FoldModel, deal_to_tasks
from cl_spark.methods.learning.training_data import FEATURES, TrainingData
from cl_spark.tables import columns as c
from cl_spark.tables.schema import RunWarning

logger = logging.getLogger(__name__)

PREDICTION_TYPES = {
    c.LABEL: "int",
    TASK: "int",
    "pred_probs": "array<double>",
    MESSAGE: "string",
    IS_ERROR: "boolean",
}
"""Columns of a prediction of one model, beside the ids, and their types."""


def predict_in_tasks(
    data: TrainingData, estimator: Any, tasks: DataFrame, num_tasks: int, seed: int
) -> DataFrame:
    """Train a model in each Spark task, and predict the rows of the task that it has not seen.

    Args:
        data: the training data.
        estimator: anything with fit and predict_proba.
        tasks: rows of the data with their features, once for each task that they are in: `TASK`, `IS_TEST`.
        num_tasks: how many tasks there are.
        seed: of the model of the first task; each further task has the next one.

    Returns:
        Predictions: ids and the columns of `PREDICTION_TYPES`.
    """
    dealt = deal_to_tasks(tasks.select(*data.ids, c.LABEL, TASK, IS_TEST, *data.weights, FEATURES), num_tasks)
    model = FoldModel(estimator, tuple(data.ids), data.num_classes, data.features.decoder, seed)
    return map_in_arrow(dealt, model, ddl({**data.id_types, **PREDICTION_TYPES}))


def predicted_class(probs: str) -> Column:
    """Find the class of highest probability, the lowest index on ties, as int.

    Args:
        probs: name of a column of arrays of probabilities.
    """
    # Spark 3.5 takes a column as the second argument in SQL only
    return (F.expr(f"array_position({probs}, array_max({probs}))") - 1).cast("int")


def raise_failures(kept: DataFrame, estimator: Any, num_models: int) -> list[RunWarning]:
    """Raise what an estimator failed with; return and log what it warned of.

    Args:
        kept: predictions of models, with messages.
        estimator: the estimator.
        num_models: how many models there are.

    Raises:
        EstimatorError: it failed.
    """
    told = kept.where(F.col(MESSAGE).isNotNull())
    messages = told.groupBy(IS_ERROR, MESSAGE).agg(F.count(F.lit(1)).alias("models")).orderBy(MESSAGE)
    warnings = []
    for row in messages.collect():
        seen = f"{type(estimator).__name__}: {row[MESSAGE]}"
        if row[IS_ERROR]:
            raise EstimatorError(f"estimator: {seen}")
        of_models = f"{row.models} of {num_models} models; their probabilities may be poor"
        warnings.append(RunWarning("estimator", f"{seen} ({of_models})"))
        logger.warning("%s", warnings[-1].message)
    return warnings
