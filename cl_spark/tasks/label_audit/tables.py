"""The tables of a label audit, with the meaning of every column."""

from cl_spark.tables import columns as c
from cl_spark.tables.schema import ATTEMPT, ID_COLUMNS, REASON, ROW, RUN_ID, Column, Table

_GIVEN = Column(c.GIVEN_LABEL, "label", "The label in the input, possibly wrong")
_PREDICTED = Column(c.PREDICTED_LABEL, "label", "The class the model finds most probable")
_SCORE = Column(c.LABEL_QUALITY, "double", "Label quality score by `rank_by`; lower is worse")
_BATCH = Column(c.RUN_ID, "string", "The batch of new rows; the batches of a stream have the stream's name")

ISSUES = Table(
    "issues",
    "example whose label is probably wrong",
    (
        RUN_ID,
        ATTEMPT,
        ID_COLUMNS,
        _GIVEN,
        Column(
            c.SUGGESTED_LABEL, "label", "The class the model finds most probable, offered as a correction"
        ),
        _SCORE,
        Column(c.SELF_CONFIDENCE, "double", "Predicted probability of the given label"),
        Column(c.NORMALIZED_MARGIN, "double", "(p of the given label - highest other p + 1) / 2"),
        Column(c.RANK, "long", "1 is the most suspicious example; ties go to the lower id"),
        Column("<review column(s)>", "any", "Column of the input that `review_columns` names"),
    ),
)
LABEL_SCORES = Table(
    "label_scores",
    "accepted example (written on request)",
    (
        RUN_ID,
        ATTEMPT,
        ID_COLUMNS,
        _GIVEN,
        _PREDICTED,
        _SCORE,
        Column(c.IS_ISSUE, "boolean", "Whether the example is in `issues`"),
    ),
)
CLASS_HEALTH = Table(
    "class_health",
    "class",
    (
        RUN_ID,
        ATTEMPT,
        Column(c.CLASS, "label", "The class"),
        Column(c.EXAMPLES, "long", "Examples that carry it as given label"),
        Column(c.THRESHOLD, "double", "Confident threshold: mean self-confidence of its examples"),
        Column(
            c.ESTIMATED_LABEL_ISSUES,
            "long",
            "Examples of another class that carry this label, estimated from the calibrated joint",
        ),
        Column(
            c.ESTIMATED_INVERSE_LABEL_ISSUES,
            "long",
            "Examples of this class that carry another label, estimated from the calibrated joint",
        ),
        Column(c.LABEL_NOISE, "double", "P(true class differs | given label is this class)"),
        Column(c.INVERSE_LABEL_NOISE, "double", "P(given label differs | true class is this class)"),
        Column(c.CLASS_QUALITY, "double", "1 - label_noise"),
    ),
)
OVERLAPPING_CLASSES = Table(
    "overlapping_classes",
    "unordered pair of classes that are confused with each other",
    (
        RUN_ID,
        ATTEMPT,
        Column(c.CLASS_A, "label", "First class, the lower index"),
        Column(c.CLASS_B, "label", "Second class"),
        Column(c.EXAMPLES, "long", "Estimated examples with one as given label and the other as true class"),
        Column(c.JOINT_PROBABILITY, "double", "The estimate as a share of all examples"),
    ),
)
CONFIDENT_JOINT = Table(
    "confident_joint",
    "non-zero cell of the confident joint",
    (
        RUN_ID,
        ATTEMPT,
        _GIVEN,
        Column(c.TRUE_LABEL, "label", "The estimated true class"),
        Column(c.COUNT, "long", "Examples counted; the diagonal is at least 1"),
        Column(c.CALIBRATED_COUNT, "long", "The count scaled so that each given class sums to its examples"),
        Column(c.JOINT, "double", "Estimated joint probability of (given, true)"),
        Column(c.NOISE_RATE, "double", "p(given | true)"),
        Column(c.INVERSE_NOISE_RATE, "double", "p(true | given)"),
    ),
)
SLICE_HEALTH = Table(
    "slice_health",
    "value of a slice column (written where `slice_by` names some)",
    (
        RUN_ID,
        ATTEMPT,
        Column(c.SLICE_COLUMN, "string", "The column of the input"),
        Column(c.SLICE_VALUE, "string", "Its value; null is one too"),
        Column(c.EXAMPLES, "long", "Examples with the value"),
        Column(
            c.OFF_DIAGONAL_ISSUES,
            "long",
            "Those among them that are confidently of another class, as `runs` counts them",
        ),
        Column(c.SLICE_QUALITY, "double", "1 - off_diagonal_issues / examples"),
        Column(c.LOWER, "double", "Lower end of the 95 % Wilson interval of slice_quality"),
        Column(c.UPPER, "double", "Upper end of that interval"),
    ),
)
SCORE_DISTRIBUTION = Table(
    "score_distribution",
    "class and range of self-confidence that some of its examples are in",
    (
        RUN_ID,
        ATTEMPT,
        Column(c.CLASS, "label", "The given label"),
        Column(c.LOWER, "double", "From this self-confidence on"),
        Column(c.UPPER, "double", "Up to this one; the last range includes it"),
        Column(c.EXAMPLES, "long", "Examples in the range"),
        Column(c.NUM_ISSUES, "long", "Those among them in `issues`"),
    ),
)
TABLES = (
    ISSUES,
    LABEL_SCORES,
    CLASS_HEALTH,
    OVERLAPPING_CLASSES,
    CONFIDENT_JOINT,
    SLICE_HEALTH,
    SCORE_DISTRIBUTION,
)
"""The tables of a run beside `rejected` and `runs`."""

NUMBERS = (
    Column("num_classes", "int", "Number of classes, K"),
    Column(
        c.OFF_DIAGONAL_ISSUES,
        "long",
        "Labels off the diagonal of the joint, whatever the filter: overall_health = 1 - this / num_examples",
    ),
)
"""Columns that a label audit adds to `runs`."""

SCORED = Table(
    "scored",
    "new row scored with a frozen run (`cl-spark score`, `jobs/score_stream.py`)",
    (
        _BATCH,
        ID_COLUMNS,
        _GIVEN,
        _PREDICTED,
        Column(
            c.LABEL_QUALITY, "double", "Label quality score by `rank_by` of the frozen run; lower is worse"
        ),
        Column(c.IS_ISSUE, "boolean", "Whether the frozen thresholds are confident of another class"),
        Column(
            c.INVERSE_NOISE_RATE,
            "double",
            "p(true class is the predicted | given label) by the frozen joint",
        ),
        Column(c.FROZEN_RUN, "string", "The run whose thresholds and joint judged the row"),
    ),
)
STREAMS = Table(
    "streams",
    "stream that scores new rows (`cl-spark score-stream`)",
    (
        Column(c.RUN_ID, "string", "The stream's name, which its rows in `scored` have"),
        Column(c.CHECKPOINT, "string", "Directory of its progress"),
        Column(c.FROZEN_RUN, "string", "The run that judges its rows, from its first start on"),
        Column(
            c.OF_ATTEMPT,
            "string",
            "The attempt at that run; null in streams of versions that did not record it",
        ),
    ),
)
SCORED_REJECTED = Table(
    "scored_rejected",
    "new row that could not be scored",
    (_BATCH, ID_COLUMNS, REASON, ROW, Column(c.FROZEN_RUN, "string", "The run that was to judge the row")),
)
