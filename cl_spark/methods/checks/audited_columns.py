"""Columns of a table that checks read, and which checks they allow."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql.types import StringType

from cl_spark.errors import ColumnTypeError, ConfigurationError
from cl_spark.methods.checks.row_order import check_order
from cl_spark.methods.neighbors.features import select_features
from cl_spark.tables.columns import find_columns, is_case_sensitive, resolve_columns

LABEL_CHECK, OUTLIER, NEAR_DUPLICATE = "label", "outlier", "near_duplicate"
CLASS_IMBALANCE, NULL, NON_IID = "class_imbalance", "null", "non_iid"
UNDERPERFORMING_GROUP, DATA_VALUATION = "underperforming_group", "data_valuation"

ISSUE_TYPES = (
    LABEL_CHECK,
    OUTLIER,
    NEAR_DUPLICATE,
    CLASS_IMBALANCE,
    NULL,
    NON_IID,
    UNDERPERFORMING_GROUP,
    DATA_VALUATION,
)
"""Kinds of issues, by the names that cleanlab's Datalab gives them."""

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


@dataclass(frozen=True)
class AuditedColumns:
    """Columns of a table that checks read; None stands for one that the table lacks.

    Attributes:
        id: of ids.
        label: of given labels.
        pred_probs: of predicted probabilities.
        features: of features, as they were named: one of vectors, or several of numbers.
        vectors: the features as arrays.
        text: of texts.
        order: of what tells the order of rows.
        slices: whose values are groups.
    """

    id: str
    label: str | None
    pred_probs: str | None
    features: str | Sequence[str] | None
    vectors: Column | None
    text: str | None
    order: str | None
    slices: Sequence[str]

    @classmethod
    def find(
        cls,
        df: DataFrame,
        id_col: str,
        named: Mapping[str, str | None],
        features_col: str | Sequence[str] | None,
        slice_by: Sequence[str],
    ) -> "AuditedColumns":
        """Find the columns of a table.

        Args:
            df: the table.
            id_col: its id column.
            named: label_col, pred_probs_col, text_col and order_col, as somebody named them or None.
            features_col: columns of features; None takes "features", if there is one.
            slice_by: columns whose values are groups.

        Raises:
            ConfigurationError: the columns allow no check.
            InputError: a column is missing, or is not of the type that it must have.
        """
        if isinstance(slice_by, str):
            raise ConfigurationError(f"slice_by must be a list of columns, not the text {slice_by!r}")
        found = {argument: _find(df, argument, col) for argument, col in named.items()}
        features = _find(df, "features_col", None) if features_col is None else features_col
        columns = cls(
            id=id_col,
            label=found["label_col"],
            pred_probs=found["pred_probs_col"],
            features=features,
            vectors=None if features is None else select_features(df, features, "df"),
            text=found["text_col"],
            order=found["order_col"],
            slices=[resolve_columns(df, "df", {"slice_by": col})["slice_by"] for col in slice_by],
        )
        if columns.order is not None:
            check_order(df, columns.order)
        if columns.text is not None and df.schema[columns.text].dataType != StringType():
            kind = df.schema[columns.text].dataType.simpleString()
            raise ColumnTypeError(f"text_col: column {columns.text!r} is {kind}; it must be text")
        if len(columns.left_out) == len(ISSUE_TYPES):
            raise ConfigurationError(
                "the columns of df allow no check: name label_col, features_col or text_col"
            )
        return columns

    @property
    def left_out(self) -> Mapping[str, str]:
        """Kinds of issues that the columns do not allow to look for, each with the columns that it needs."""
        features = self.features is not None
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


_USUAL = {"label_col": "label", "pred_probs_col": "pred_probs", "features_col": "features"}
"""Names of columns that are taken where nobody names another."""


def _find(df: DataFrame, argument: str, named: str | None) -> str | None:
    """Resolve a column; one that nobody named is not there, unless it has its usual name."""
    if named is not None:
        return resolve_columns(df, "df", {argument: named})[argument]
    sensitive, usual = is_case_sensitive(df.sparkSession), _USUAL.get(argument)
    found = [] if usual is None else find_columns(usual, df.columns, case_sensitive=sensitive)
    return resolve_columns(df, "df", {argument: found[0]})[argument] if found else None
