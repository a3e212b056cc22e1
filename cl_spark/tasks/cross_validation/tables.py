"""The tables of a cross-validation, beside those of a label audit."""

from cl_spark.tables import columns as c
from cl_spark.tables.schema import ATTEMPT, ID_COLUMNS, RUN_ID, Column, Table
from cl_spark.tasks.label_audit.tables import NUMBERS as AUDIT_NUMBERS
from cl_spark.tasks.label_audit.tables import SLICE_HEALTH
from cl_spark.tasks.label_audit.tables import TABLES as AUDIT_TABLES

PRED_PROBS = Table(
    "pred_probs",
    "example, predicted by models that never saw it (written by `cross-validate` and `clean-learning`)",
    (
        RUN_ID,
        ATTEMPT,
        ID_COLUMNS,
        Column("label", "label", "The given label"),
        Column("fold", "int", "The part of the data that the example is in"),
        Column("pred_probs", "array<double>", "Out-of-sample probability of each class"),
    ),
)
FOLD_ACCURACY = Table(
    "fold_accuracy",
    "model of the cross-validation",
    (
        RUN_ID,
        ATTEMPT,
        Column("round", "int", "Round of cross-validation, from 0"),
        Column("fold", "int", "The part of the data that the model has not seen, and predicts"),
        Column(c.EXAMPLES, "long", "Examples of that part"),
        Column("accuracy", "double", "Share of these whose most probable class is the given label"),
    ),
)
TABLES = (*(table for table in AUDIT_TABLES if table is not SLICE_HEALTH), PRED_PROBS, FOLD_ACCURACY)
"""Tables of a cross-validation, beside `rejected` and `runs`."""

NUMBERS = (
    *AUDIT_NUMBERS,
    Column("accuracy", "double", "Share of the examples whose out-of-sample prediction is the given label"),
)
"""Columns that a cross-validation adds to `runs`."""
