"""Predictions of several models for the same examples: one table, and the faults of its rows."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, DataType, DoubleType, FloatType, StringType

from cl_spark.errors import ColumnTypeError, ConfigurationError, InputError, SourceChangedError
from cl_spark.evidence.validity import RejectionReason, explain_rejection
from cl_spark.methods.learning.reviewed_labels import GIVEN, ReviewedLabels
from cl_spark.tables import columns as c
from cl_spark.tables.columns import quoted
from cl_spark.tables.example_ids import ExampleIds, check_columns, find_types, show_id
from cl_spark.tables.ids import lacks_id
from cl_spark.tables.pandas_frames import to_spark
from cl_spark.tables.union import union_rows

MODEL, FAULT = "_model", "_fault"
"""Columns of the selected rows beside the ids and the probabilities `c.PROBS`."""

NULL_MODEL = 65
"""Code of a row that names no model, beside those of `RejectionReason`."""

MAX_TEXTS = 10
"""Faults that one message tells in full."""


@dataclass(frozen=True)
class ModelPredictions:
    """Predictions of several models, a row for each model and example.

    Attributes:
        rows: ids, `_model`, `c.PROBS` (arrays), `c.NUM_PROBS` (their lengths), and `_fault`: a code of
            `RejectionReason` or `NULL_MODEL` where the row cannot be used, else 0.
        ids: the id columns.
        models: names of the models, where the caller told them; each must have rows.
    """

    rows: DataFrame
    ids: ExampleIds
    models: tuple[str, ...]

    def explain_faults(
        self, labels: ReviewedLabels, num_classes: int, models: list[str], *, rows_are_faulty: bool
    ) -> InputError:
        """Count by model and reason what is wrong with the rows. It reads them again: only where something
        is.

        Args:
            labels: labels of the examples.
            num_classes: K.
            models: models that lack examples, or have several rows of one.
            rows_are_faulty: some rows cannot be used by themselves.
        """
        texts = self._find_uneven(labels, models) if models else []
        if rows_are_faulty:
            texts += self._find_faulty(labels, num_classes)
        if not texts:
            return SourceChangedError(
                "predictions or labels changed while they were read: what was counted first is not there any "
                "more. Compare tables that stay as they are, or persist them before"
            )
        more = f"; and {len(texts) - MAX_TEXTS:,} more" if len(texts) > MAX_TEXTS else ""
        return InputError(
            f"predictions: {'; '.join(texts[:MAX_TEXTS])}{more}. Every model needs one usable prediction of "
            "each example, or models would be compared on different test sets: add predictions, or leave "
            "rows, models or labels out"
        )

    def _find_uneven(self, labels: ReviewedLabels, models: list[str]) -> list[str]:
        ids, spark = self.ids.names, self.rows.sparkSession
        row_counts = (
            self.rows.where(F.col(MODEL).isin(models))
            .join(labels.rows.select(*ids), ids, "left_semi")
            .groupBy(MODEL, *ids)
            .agg(F.count(F.lit(1)).alias("rows"))
        )
        wanted = labels.rows.select(*ids).crossJoin(
            F.broadcast(spark.createDataFrame([(model,) for model in models], f"{MODEL} string"))
        )
        texts = []
        examples, example_id = F.count(F.lit(1)).alias("examples"), F.min(F.struct(*ids)).alias("id")
        lacking = wanted.join(row_counts, [MODEL, *ids], "left_anti").groupBy(MODEL).agg(examples, example_id)
        for row in lacking.orderBy(MODEL).collect():
            lacks = f"lacks {row.examples:,} of {labels.num_examples:,} examples"
            texts.append(f"model {row[MODEL]!r} {lacks}{show_id(row.id)}")
        repeated = row_counts.where("rows > 1").groupBy(MODEL).agg(examples, example_id)
        for row in repeated.orderBy(MODEL).collect():
            texts.append(
                f"model {row[MODEL]!r} has several rows of {row.examples:,} examples{show_id(row.id)}"
            )
        return texts

    def _find_faulty(self, labels: ReviewedLabels, num_classes: int) -> list[str]:
        ids = self.ids.names
        has_label, is_wrong_length = F.col(GIVEN).isNotNull(), F.col(c.NUM_PROBS) != num_classes
        fault = (
            F.when(F.col(FAULT).isin(int(RejectionReason.NULL_ID), NULL_MODEL), F.col(FAULT))
            .when(~has_label, int(RejectionReason.NO_LABEL))
            .when(F.col(FAULT) > 0, F.col(FAULT))
            .when(is_wrong_length, int(RejectionReason.WRONG_LENGTH))
        )
        found = (
            self.rows.join(labels.rows.select(*ids, GIVEN), ids, "left")
            .select(MODEL, *ids, c.NUM_PROBS, fault.alias(FAULT))
            .where(F.col(FAULT).isNotNull())
            .groupBy(MODEL, FAULT)
            .agg(
                F.count(F.lit(1)).alias("rows"),
                F.min(F.struct(*ids)).alias("id"),
                F.min(c.NUM_PROBS).alias("num_probs"),
            )
        )
        return [
            f"model {row[MODEL]!r}, {_explain(row[FAULT], row.num_probs, num_classes)}: {row.rows:,}"
            f"{show_id(row.id)}"
            for row in found.orderBy(MODEL, FAULT).collect()
        ]


def _explain(fault: int, num_probs: int, num_classes: int) -> str:
    if fault == NULL_MODEL:
        return "null model"
    text = explain_rejection(fault)
    is_length = fault == RejectionReason.WRONG_LENGTH
    return f"{text} = {num_classes}, such as {num_probs}" if is_length else text


def list_tables(predictions: Any, spark: SparkSession | None = None) -> dict[str | None, DataFrame]:
    """List the tables that hold predictions, by the model that each is about; None for a table of all models.

    Args:
        predictions: a table, or a mapping from names of models to tables.
        spark: the session; default the active one.

    Raises:
        ConfigurationError: a mapping is empty, a key is no name, or a value no DataFrame.
    """
    if not isinstance(predictions, Mapping):
        return {None: to_spark(predictions, spark, argument="predictions")}
    if not predictions:
        raise ConfigurationError("predictions maps no model to a table: give at least one")
    for model in predictions:
        if not isinstance(model, str):
            raise ConfigurationError(
                f"predictions must map names of models to tables, got {model!r} as a name"
            )
    return {
        model: to_spark(table, spark, argument=name_argument(model)) for model, table in predictions.items()
    }


def name_argument(model: str | None) -> str:
    """Name the argument that holds the table of a model, for messages.

    Example:
        >>> name_argument("resnet"), name_argument(None)
        ("predictions['resnet']", 'predictions')
    """
    return "predictions" if model is None else f"predictions[{model!r}]"


def select_predictions(
    tables: Mapping[str | None, DataFrame], ids: ExampleIds, model_col: str, pred_probs_col: str
) -> ModelPredictions:
    """Select the predictions of all models as one table, without reading it.

    Args:
        tables: as `list_tables` lists them.
        ids: the id columns, which have been checked.
        model_col: column of the model's name in a table of all models.
        pred_probs_col: column of the probabilities: arrays of float or double.

    Raises:
        MissingColumnError: a table lacks a column.
        ColumnTypeError: a column cannot hold models or probabilities.
    """
    selected = []
    for model, table in tables.items():
        argument, wanted = name_argument(model), {"pred_probs_col": [pred_probs_col]}
        check_columns(argument, table, wanted if model is not None else {"model_col": [model_col], **wanted})
        name = F.lit(model) if model is not None else _select_model(table, model_col)
        probs = _select_probs(argument, table, pred_probs_col)
        rows = table.select(*ids.select(table), name.alias(MODEL), probs.alias(c.PROBS))
        selected.append(_add_faults(rows, ids, probs_type=find_types(rows, [c.PROBS])[c.PROBS]))
    models = tuple(model for model in tables if model is not None)
    return ModelPredictions(union_rows(selected), ids, models)


def _select_model(df: DataFrame, model_col: str) -> Column:
    kind = find_types(df, [model_col])[model_col]
    if not isinstance(kind, StringType):
        raise ColumnTypeError(
            f"model_col: column {model_col!r} is {kind.simpleString()}; names of models are strings: cast it"
        )
    return F.col(quoted(model_col))


def _select_probs(argument: str, df: DataFrame, col: str) -> Column:
    kind = find_types(df, [col])[col]
    if not isinstance(kind, ArrayType) or not isinstance(kind.elementType, FloatType | DoubleType):
        raise ColumnTypeError(
            f"pred_probs_col: column {col!r} of {argument} is {kind.simpleString()}; it must be "
            "array<float> or array<double>"
        )
    return F.col(quoted(col))


def _add_faults(rows: DataFrame, ids: ExampleIds, probs_type: DataType) -> DataFrame:
    """Add the columns `_fault` and `c.NUM_PROBS`, the length of an array without fault, else 0."""
    probs, element = F.col(c.PROBS), probs_type.elementType.simpleString()  # type: ignore[attr-defined]
    # true where there is a NaN, else null where there is a null
    has_nan = F.array_contains(probs, F.lit(float("nan")).cast(element))
    is_infinite = (F.array_max(probs) == float("inf")) | (F.array_min(probs) == float("-inf"))
    fault = (
        F.when(lacks_id(rows, ids.names), int(RejectionReason.NULL_ID))
        .when(F.col(MODEL).isNull(), NULL_MODEL)
        .when(probs.isNull() | (F.size(probs) == 0), int(RejectionReason.NULL_PROBS))
        .when(has_nan.isNull(), int(RejectionReason.NULL_PROBABILITY))
        .when(has_nan | is_infinite, int(RejectionReason.NOT_FINITE))
        .otherwise(0)
    )
    faulty = rows.select("*", fault.alias(FAULT))
    return faulty.select("*", F.when(F.col(FAULT) == 0, F.size(probs)).otherwise(0).alias(c.NUM_PROBS))
