"""The tables of a multi-label audit, with the meaning of every column."""

from cl_spark.methods.multilabel.health import WRONGLY_GIVEN, WRONGLY_MISSING
from cl_spark.methods.multilabel.multilabel_audit import (
    GIVEN_FLAG,
    GIVEN_LABELS,
    SUGGESTED_FLAG,
    SUGGESTED_LABELS,
    THRESHOLD_ABSENT,
)
from cl_spark.tables import columns as c
from cl_spark.tables.schema import ATTEMPT, ID_COLUMNS, RUN_ID, Column, Table
from cl_spark.tasks.label_audit.tables import SLICE_HEALTH

_SCORE = Column(c.LABEL_QUALITY, "double", "Label quality score by `rank_by`; lower is worse")

MULTILABEL_ISSUES = Table(
    "multilabel_issues",
    "example whose set of labels is probably wrong",
    (
        RUN_ID,
        ATTEMPT,
        ID_COLUMNS,
        Column(GIVEN_LABELS, "array", "The labels in the input"),
        Column(SUGGESTED_LABELS, "array", "The same with the classes changed that are issues"),
        _SCORE,
        Column(c.RANK, "long", "1 is the most suspicious example; ties go to the lower id"),
        Column("<review column(s)>", "any", "Column of the input that `review_columns` names"),
    ),
)
CLASS_ISSUES = Table(
    "class_issues",
    "single label that is probably wrong: given and should not be, or missing",
    (
        RUN_ID,
        ATTEMPT,
        ID_COLUMNS,
        Column(c.CLASS, "label", "The class"),
        Column(GIVEN_FLAG, "boolean", "Whether the example is given it"),
        Column(SUGGESTED_FLAG, "boolean", "The contrary"),
        _SCORE,
        Column(c.RANK, "long", "1 is the most suspicious; ties go to the lower id and class"),
    ),
)
MULTILABEL_SCORES = Table(
    "multilabel_scores",
    "accepted example (written on request)",
    (
        RUN_ID,
        ATTEMPT,
        ID_COLUMNS,
        _SCORE,
        Column(c.IS_ISSUE, "boolean", "Whether the example is in `multilabel_issues`"),
    ),
)
MULTILABEL_HEALTH = Table(
    "multilabel_health",
    "class of sets of labels",
    (
        RUN_ID,
        ATTEMPT,
        Column(c.CLASS, "label", "The class"),
        Column(c.EXAMPLES, "long", "Examples that are given it"),
        Column(WRONGLY_GIVEN, "long", "Issues among these"),
        Column(WRONGLY_MISSING, "long", "Issues among all others"),
        Column(c.LABEL_NOISE, "double", "wrongly_given as a share of all examples"),
        Column(c.INVERSE_LABEL_NOISE, "double", "wrongly_missing as a share of all examples"),
        Column(c.CLASS_QUALITY, "double", "1 - label_noise"),
        Column(c.THRESHOLD, "double", "Confident threshold of having it"),
        Column(THRESHOLD_ABSENT, "double", "Confident threshold of not having it"),
    ),
)
MISSING_TOGETHER = Table(
    "missing_together",
    "pair of classes that are missing in the same examples",
    (
        RUN_ID,
        ATTEMPT,
        Column(c.CLASS_A, "label", "First class, the lower index"),
        Column(c.CLASS_B, "label", "Second class"),
        Column(c.EXAMPLES, "long", "Examples in which both are missing and should be given"),
    ),
)
TABLES = (
    MULTILABEL_ISSUES,
    CLASS_ISSUES,
    MULTILABEL_SCORES,
    MULTILABEL_HEALTH,
    MISSING_TOGETHER,
    SLICE_HEALTH,
)
"""The tables of a run beside `rejected` and `runs`."""
