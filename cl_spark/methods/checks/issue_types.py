"""Kinds of issues that a data audit looks for."""

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
