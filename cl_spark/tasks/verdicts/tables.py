"""The tables of verdicts, with the meaning of every column."""

from cl_spark.methods.review import columns as q
from cl_spark.methods.review import validated_quality as v
from cl_spark.methods.review.verdicts import (
    CORRECTED_LABEL,
    DECIDED,
    NUM_ANSWERS,
    PENDING,
    QUEUED,
    VERDICT,
    VERDICTS,
    VOTES,
)
from cl_spark.tables import columns as c
from cl_spark.tables.schema import ATTEMPT, ID_COLUMNS, RUN_ID, Column, Table

REVIEWED_RUN = "reviewed_run"
NUM_QUEUED, NUM_PENDING = "num_queued", "num_pending"
NUM_OF = {verdict: f"num_{verdict}" for verdict in VERDICTS}
ROWS = "rows"

_STRATUM = Column(q.STRATUM, "string", "Stratum of the review queue: `top`, `flagged` or `unflagged`")

VERDICT_TABLE = Table(
    "verdicts",
    "example that people have decided about (written by `verdicts`)",
    (
        RUN_ID,
        ATTEMPT,
        ID_COLUMNS,
        Column(c.GIVEN_LABEL, "label", "The label that was judged; of sets `present` or `absent`"),
        Column(c.SUGGESTED_LABEL, "label", "The label it was compared with"),
        Column(
            VERDICT,
            "string",
            "`not_an_error`; `correct`: the suggested label is right; `prune`: both or neither are; "
            "`non_agreement`: no answer has enough votes. The last three are errors",
        ),
        Column(
            CORRECTED_LABEL,
            "label",
            "The given label of not_an_error, the suggested label of correct; null where none is right",
        ),
        Column(NUM_ANSWERS, "long", "Answers that count"),
        *[
            Column(
                col,
                "double",
                f"Votes for `{answer}`; the sum of the qualities of the annotators where votes are weighted",
            )
            for answer, col in VOTES.items()
        ],
        _STRATUM,
        Column(q.INCLUSION_PROBABILITY, "double", "How likely the row was to be asked about"),
        Column(q.ISSUE_RANK, "long", "Rank in `issues` of the audit; null where the row is no issue"),
        Column(c.LABEL_QUALITY, "double", "Label quality score of the audit"),
        Column(c.RANK, "long", "Place in the order of the ids, from 1"),
    ),
)
VALIDATED_QUALITY = Table(
    "validated_quality",
    "number that verdicts on a sample tell of the whole table (written by `verdicts`)",
    (
        RUN_ID,
        ATTEMPT,
        Column(
            v.METRIC,
            "string",
            "`precision`: share of the issues whose label is wrong; `recall`: share of the wrong labels that "
            "are issues; `estimated_errors`: wrong labels in the whole table; `precision_at_<k>`: precision "
            "of the k issues of lowest label quality",
        ),
        Column(v.VALUE, "double", "The estimate; null where part of the rows has no sample"),
        Column(c.LOWER, "double", "Lower end of its 95 % interval"),
        Column(c.UPPER, "double", "Upper end of its 95 % interval"),
        Column(v.EXAMPLES, "long", "Verdicts that it rests on"),
    ),
)
REVIEW_PROGRESS = Table(
    "review_progress",
    "stratum of the review queue (written by `verdicts`)",
    (
        RUN_ID,
        ATTEMPT,
        _STRATUM,
        Column(ROWS, "long", "Rows of the stratum in the whole table"),
        Column(QUEUED, "long", "Rows that people were asked about"),
        Column(DECIDED, "long", "Those that have a verdict"),
        Column(PENDING, "long", "Those that have too few answers for one"),
    ),
)
TABLES = (VERDICT_TABLE, VALIDATED_QUALITY, REVIEW_PROGRESS)
"""Tables of verdicts, beside `rejected` and `runs`."""

NUMBERS = (
    Column(REVIEWED_RUN, "string", "The run whose rows people were asked about"),
    Column(NUM_QUEUED, "long", "Rows that people were asked about"),
    Column(NUM_PENDING, "long", "Those that have no verdict yet"),
    *[Column(col, "long", f"Verdicts `{verdict}`") for verdict, col in NUM_OF.items()],
    Column(v.PRECISION, "double", "Estimated share of the issues of the audit whose label is wrong"),
    Column(f"{v.PRECISION}_lower", "double", "Lower end of its 95 % interval"),
    Column(v.RECALL, "double", "Estimated share of all wrong labels that are issues of the audit"),
    Column(f"{v.RECALL}_lower", "double", "Lower end of its 95 % interval"),
    Column(v.ESTIMATED_ERRORS, "double", "Estimated number of wrong labels in the whole table"),
    Column(f"{v.ESTIMATED_ERRORS}_upper", "double", "Upper end of its 95 % interval"),
)
"""Columns that verdicts add to `runs`."""
