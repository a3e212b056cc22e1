"""The tables of a data audit, with the meaning of every column."""

from cl_spark.methods.checks.check_columns import ISSUE_TYPE, SCORE, WHY
from cl_spark.methods.neighbors.duplicates import GROUP
from cl_spark.tables import columns as c
from cl_spark.tables.schema import ATTEMPT, ID_COLUMNS, RUN_ID, Column, Table

_TYPE = Column(
    ISSUE_TYPE,
    "string",
    "Kind of issue: `label`, `outlier`, `near_duplicate`, `class_imbalance`, `null`, `non_iid`, "
    "`underperforming_group` or `data_valuation`",
)
_SCORE = Column(SCORE, "double", "What the check of this kind says of the row, from 0 (bad) to 1")
_IS_ISSUE = Column(c.IS_ISSUE, "boolean", "Whether the row is an issue of this kind")
_WHY = Column(WHY, "string", "What is wrong, as a sentence; null where nothing is")

DATA_ISSUES = Table(
    "data_issues",
    "issue of an example; one with several kinds of issues is there once for each",
    (
        RUN_ID,
        ATTEMPT,
        _TYPE,
        ID_COLUMNS,
        _SCORE,
        _IS_ISSUE,
        _WHY,
        Column(
            GROUP,
            "as the ids",
            "Of a `near_duplicate`, the lowest id of the copies that belong together: all of them are here. "
            "Null of other kinds, and in runs of versions that had none",
        ),
        Column(c.RANK, "long", "The worst of each kind come first, then the second of each"),
        Column(c.GIVEN_LABEL, "label", "The label in the input; only where there is a column of labels"),
        Column("<review column(s)>", "any", "Column of the input that `review_columns` names"),
    ),
)
DATA_CHECKS = Table(
    "data_checks",
    "kind of issue",
    (
        RUN_ID,
        ATTEMPT,
        _TYPE,
        Column("examples", "long", "Examples that the check could judge; null where it was left out"),
        Column("unusable", "long", "Examples that it could not judge, such as those without features"),
        Column("issues", "long", "Issues among the examples"),
        Column(
            "note",
            "string",
            "Of a check that was left out, the columns that it needs; of one that could not be answered, why",
        ),
    ),
)
DATA_SCORES = Table(
    "data_scores",
    "example, as one check judges it (written on request)",
    (RUN_ID, ATTEMPT, _TYPE, ID_COLUMNS, _SCORE, _IS_ISSUE, _WHY),
)
TABLES = (DATA_ISSUES, DATA_CHECKS, DATA_SCORES)
"""The tables of a run beside `rejected` and `runs`."""
