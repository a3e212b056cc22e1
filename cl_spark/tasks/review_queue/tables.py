"""The table of a review queue, with the meaning of every column."""

from dataclasses import replace

from cl_spark.methods.review import columns as q
from cl_spark.tables import columns as c
from cl_spark.tables.schema import ATTEMPT, ID_COLUMNS, RUN_ID, Column, Table

AUDIT_RUN = "audit_run"
NUM_TOP, NUM_FLAGGED, NUM_UNFLAGGED = "num_top", "num_flagged", "num_unflagged"

REVIEW_QUEUE = Table(
    "review_queue",
    "row that people look at (written by `review`)",
    (
        RUN_ID,
        ATTEMPT,
        replace(
            ID_COLUMNS,
            meaning=f"{ID_COLUMNS.meaning}; of sets of labels then `class`, the class that is asked for",
        ),
        Column(
            c.GIVEN_LABEL, "label", "The label in the input, possibly wrong; of sets `present` or `absent`"
        ),
        Column(
            c.SUGGESTED_LABEL,
            "label",
            "The label to compare it with: the predicted label, or where that is the given one, the class "
            "that is most often confused with it; of sets of labels the contrary",
        ),
        Column(c.LABEL_QUALITY, "double", "Label quality score of the audit; lower is worse"),
        Column(
            q.ISSUE_RANK,
            "long",
            "Rank in `issues` (of sets: `class_issues`) of the audit; null where the row is no issue",
        ),
        Column(q.PLACE, "long", "1 is looked at first; the order is random"),
        Column(
            q.STRATUM,
            "string",
            "`top`: an issue taken by rank; `flagged`: one drawn at random from the other issues; "
            "`unflagged`: an example (of sets: a single label) drawn from those that are no issues",
        ),
        Column(
            q.INCLUSION_PROBABILITY,
            "double",
            "Rows drawn / rows of the stratum in the whole table; 1 for top",
        ),
        Column(c.RANK, "long", "The place, under the name that every table of findings has"),
        Column("<review column(s)>", "any", "Column of the input that `review_columns` of the audit names"),
    ),
)
TABLES = (REVIEW_QUEUE,)
"""Tables of a review queue, beside `rejected` and `runs`."""

NUMBERS = (
    Column(AUDIT_RUN, "string", "The run whose issues are reviewed"),
    Column(NUM_TOP, "long", "Issues that are taken by rank: rows of the stratum `top`"),
    Column(
        NUM_FLAGGED, "long", "The other issues of the whole table: the stratum `flagged` is drawn of these"
    ),
    Column(
        NUM_UNFLAGGED,
        "long",
        "Examples of the whole table (of sets of labels: examples times classes) that are no issues: the "
        "stratum `unflagged` is drawn of these",
    ),
)
"""Columns that a review queue adds to `runs`."""
