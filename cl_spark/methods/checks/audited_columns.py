"""Columns of a table that a data audit reads."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql.types import StringType

from cl_spark.errors import ColumnTypeError, ConfigurationError
from cl_spark.methods.checks.issue_types import (
    CLASS_IMBALANCE,
    DATA_VALUATION,
    ISSUE_TYPES,
    LABEL_CHECK,
    NEAR_DUPLICATE,
    NON_IID,
    NULL,
    OUTLIER,
    UNDERPERFORMING_GROUP,
)
from cl_spark.methods.checks.row_order import check_order
from cl_spark.methods.neighbors.features import select_features
from cl_spark.tables.columns import find_columns, is_case_sensitive, resolve_columns

_NEEDS = {
    LABEL_CHECK: "label_col, and pred_probs_col or features_col",
    OUTLIER: "features_col or pred_probs_col",
    NEAR_DUPLICATE: "features_col or text_col",
    CLASS_IMBALANCE: "label_col",
    NULL: "features_col",
    NON_IID: "features_col and order_col",
    UNDERPERFORMING_GROUP: "label_col and pred_probs_col, and slice_by or features_col",
    DATA_VALUATION: "label_col and features_col",
}


_USUAL = {"label_col": "label", "pred_probs_col": "pred_probs", "features_col": "features"}
"""Names of columns that are taken where nobody names another."""


@dataclass(frozen=True, eq=False)
class AuditedColumns:
    """Columns of a table that the checks of a data audit read; None stands for one that the table lacks.

    Attributes:
        id: column of ids.
        label: column of given labels.
        pred_probs: column of predicted probabilities.
        features_col: names of the feature columns: one of vectors, or a list of columns of numbers.
        features: the features of a row as one array.
        text: column of texts.
        order: column whose values tell the order in which rows came.
        slices: columns whose values are groups.
    """

    id: str
    label: str | None
    pred_probs: str | None
    features_col: str | Sequence[str] | None
    features: Column | None
    text: str | None
    order: str | None
    slices: Sequence[str]

    @classmethod
    def find(
        cls,
        df: DataFrame,
        id_col: str,
        *,
        label_col: str | None,
        pred_probs_col: str | None,
        features_col: str | Sequence[str] | None,
        text_col: str | None,
        order_col: str | None,
        slice_by: Sequence[str],
    ) -> "AuditedColumns":
        """Find the columns that somebody named, and those of the usual names.

        Args:
            df: the table.
            id_col: its id column.
            label_col: see `DataAudit`; None takes the column "label", if there is one.
            pred_probs_col: None takes "pred_probs".
            features_col: None takes "features".
            text_col: None takes none.
            order_col: None takes none.
            slice_by: columns whose values are groups.

        Raises:
            ConfigurationError: a name cannot be one of a column, or the columns allow no check.
            InputError: a column is missing, or is not of the type that it must have.
        """
        label = _find(df, "label_col", label_col)
        pred_probs = _find(df, "pred_probs_col", pred_probs_col)
        text = _find(df, "text_col", text_col)
        order = _find(df, "order_col", order_col)
        slices = [resolve_columns(df, "df", {"slice_by": col})["slice_by"] for col in slice_by]
        if features_col is None:
            features_col = _find(df, "features_col", None)
        features = None if features_col is None else select_features(df, features_col, "df")
        if order is not None:
            check_order(df, order)
        if text is not None and df.schema[text].dataType != StringType():
            kind = df.schema[text].dataType.simpleString()
            raise ColumnTypeError(f"text_col: column {text!r} is {kind}; it must be text")
        columns = cls(id_col, label, pred_probs, features_col, features, text, order, slices)
        if len(columns.left_out) == len(ISSUE_TYPES):
            raise ConfigurationError(
                "the columns of df allow no check: name label_col, features_col or text_col"
            )
        return columns

    @property
    def left_out(self) -> Mapping[str, str]:
        """Kinds of issues that the columns do not allow to look for, each with the columns that it needs."""
        features = self.features_col is not None
        allowed = {
            LABEL_CHECK: self.label and (self.pred_probs or features),
            OUTLIER: features or self.pred_probs,
            NEAR_DUPLICATE: features or self.text,
            CLASS_IMBALANCE: self.label,
            NULL: features,
            NON_IID: features and self.order,
            UNDERPERFORMING_GROUP: self.label and self.pred_probs and (self.slices or features),
            DATA_VALUATION: self.label and features,
        }
        return {kind: _NEEDS[kind] for kind, is_allowed in allowed.items() if not is_allowed}


def _find(df: DataFrame, argument: str, named: str | None) -> str | None:
    """Resolve a column; one that nobody named is not there, unless it has its usual name."""
    if named is None:
        usual = _USUAL.get(argument)
        if usual is None:
            return None
        found = find_columns(usual, df.columns, case_sensitive=is_case_sensitive(df.sparkSession))
        if not found:
            return None
        named = found[0]
    return resolve_columns(df, "df", {argument: named})[argument]
