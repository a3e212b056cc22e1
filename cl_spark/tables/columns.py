"""Every column this package writes, named once, with its meaning: the product's real interface.

The constants are for code; the tables at the end are for people, and documentation is made from them.
"""

from dataclasses import dataclass

# What a user sees -----------------------------------------------------------------------------------------------------
RUN_ID = "run_id"
GIVEN_LABEL = "given_label"
SUGGESTED_LABEL = "suggested_label"
PREDICTED_LABEL = "predicted_label"
TRUE_LABEL = "true_label"
LABEL_QUALITY = "label_quality"
SELF_CONFIDENCE = "self_confidence"
NORMALIZED_MARGIN = "normalized_margin"
RANK = "rank"
IS_ISSUE = "is_issue"
CLASS = "class"
CLASS_A = "class_a"
CLASS_B = "class_b"
EXAMPLES = "examples"
THRESHOLD = "threshold"
LABEL_ISSUES = "label_issues"
INVERSE_LABEL_ISSUES = "inverse_label_issues"
LABEL_NOISE = "label_noise"
INVERSE_LABEL_NOISE = "inverse_label_noise"
JOINT_PROBABILITY = "joint_probability"
COUNT = "count"
CALIBRATED_COUNT = "calibrated_count"
JOINT = "joint"
NOISE_RATE = "noise_rate"
INVERSE_NOISE_RATE = "inverse_noise_rate"
PRIOR = "prior"
REASON = "reason"
ROW = "row"

# The evidence: what is kept of each input row. Classes are indices here; a leading underscore keeps clear of user columns.
GIVEN = "_given"
PREDICTED = "_predicted"
EVIDENCE_SELF_CONFIDENCE = "_self_confidence"
MAX_PROB = "_max_prob"
SECOND_MAX_PROB = "_second_max_prob"  # the highest probability of another class than the predicted
LENGTH = "_length"
REJECTION = "_rejection"
LABEL = "_label"
PROBS = "_pred_probs"
REPEATED = "_is_repeated"
CONFIDENT = "_confident"
TRUE = "_true"
SCORE = "_score"


def quoted(name: str) -> str:
    """A column name as Spark reads it literally, whatever dots, spaces or backticks it holds."""
    return "`" + name.replace("`", "``") + "`"


@dataclass(frozen=True)
class Column:
    """One column of an output table."""

    name: str
    type: str
    meaning: str


@dataclass(frozen=True)
class Table:
    """One output table: what a row is, and its columns. ``label`` and ``id`` types follow the input's."""

    name: str
    row: str
    columns: tuple[Column, ...]


_run = Column(RUN_ID, "string", "The audit that wrote the row")
_id = Column("<id column(s)>", "as the input's", "The example, under the input's own column name(s)")
_given = Column(GIVEN_LABEL, "label", "The label in the input, possibly wrong")
_predicted = Column(PREDICTED_LABEL, "label", "The class the model finds most probable")
_refused = (Column(REASON, "string", "Why the row was refused"), Column(ROW, "string", "The row as JSON"))

ISSUES = Table(
    "issues",
    "example whose label is probably wrong",
    (
        _run,
        _id,
        _given,
        Column(SUGGESTED_LABEL, "label", "The class the model finds most probable"),
        Column(LABEL_QUALITY, "double", "Score by `rank_by`; lower is worse"),
        Column(SELF_CONFIDENCE, "double", "Predicted probability of the given label"),
        Column(NORMALIZED_MARGIN, "double", "(p of the given label - the best other p + 1) / 2"),
        Column(RANK, "long", "1 is the most suspicious example; ties go to the lower id"),
        Column("<review column(s)>", "any", "Column of the input that `review_columns` names"),
    ),
)
LABEL_SCORES = Table(
    "label_scores",
    "accepted example (written on request)",
    (
        _run,
        _id,
        _given,
        _predicted,
        Column(LABEL_QUALITY, "double", "Score by `rank_by`; lower is worse"),
        Column(IS_ISSUE, "boolean", "Whether the example is in `issues`"),
    ),
)
CLASS_HEALTH = Table(
    "class_health",
    "class",
    (
        _run,
        Column(CLASS, "label", "The class"),
        Column(EXAMPLES, "long", "Examples that carry it as given label"),
        Column(THRESHOLD, "double", "Confident threshold: mean self-confidence of its examples"),
        Column(LABEL_ISSUES, "long", "Estimated examples of another class that carry this label"),
        Column(INVERSE_LABEL_ISSUES, "long", "Estimated examples of this class that carry another label"),
        Column(LABEL_NOISE, "double", "P(true class differs | given label is this class)"),
        Column(INVERSE_LABEL_NOISE, "double", "P(given label differs | true class is this class)"),
        Column(LABEL_QUALITY, "double", "1 - label_noise"),
    ),
)
OVERLAPPING_CLASSES = Table(
    "overlapping_classes",
    "unordered pair of classes that are confused with each other",
    (
        _run,
        Column(CLASS_A, "label", "First class, the lower index"),
        Column(CLASS_B, "label", "Second class"),
        Column(EXAMPLES, "long", "Estimated examples with one as given label and the other as true class"),
        Column(JOINT_PROBABILITY, "double", "The same as a share of all examples"),
    ),
)
CONFIDENT_JOINT = Table(
    "confident_joint",
    "non-zero cell of the confident joint",
    (
        _run,
        _given,
        Column(TRUE_LABEL, "label", "The estimated true class"),
        Column(COUNT, "long", "Examples counted; the diagonal is at least 1"),
        Column(CALIBRATED_COUNT, "long", "The count scaled so that each given class sums to its examples"),
        Column(JOINT, "double", "Estimated joint probability of (given, true)"),
        Column(NOISE_RATE, "double", "p(given | true)"),
        Column(INVERSE_NOISE_RATE, "double", "p(true | given)"),
    ),
)
SLICE_HEALTH = Table(
    "slice_health",
    "value of a slice column (written where `slice_by` names some)",
    (
        _run,
        Column("slice_column", "string", "The column of the input"),
        Column("slice_value", "string", "Its value; null is one too"),
        Column(EXAMPLES, "long", "Examples with the value"),
        Column(
            LABEL_ISSUES,
            "long",
            "Those among them whose true class is confidently another, as `overall_health` counts them",
        ),
        Column(LABEL_QUALITY, "double", "1 - label_issues / examples"),
        Column("lower", "double", "Lower end of its 95 % Wilson interval"),
        Column("upper", "double", "Upper end of its 95 % Wilson interval"),
    ),
)
SCORE_DISTRIBUTION = Table(
    "score_distribution",
    "class and range of self-confidence that some of its examples are in",
    (
        _run,
        Column(CLASS, "label", "The given label"),
        Column("lower", "double", "From this self-confidence on"),
        Column("upper", "double", "Up to this one; the last range includes it"),
        Column(EXAMPLES, "long", "Examples in the range"),
        Column(LABEL_ISSUES, "long", "Those among them in `issues`"),
    ),
)
REJECTED = Table(
    "rejected",
    "input row that could not be used",
    (
        _run,
        _id,
        *_refused,
    ),
)
SCORED = Table(
    "scored",
    "new example scored with a frozen run (`cl-spark score`, `jobs/score_stream.py`)",
    (
        Column(RUN_ID, "string", "The batch of new examples; a stream's batches have the stream's name"),
        _id,
        _given,
        _predicted,
        Column(LABEL_QUALITY, "double", "Score by `rank_by` of the frozen run; lower is worse"),
        Column(IS_ISSUE, "boolean", "Whether the frozen thresholds are confident of another class"),
        Column(
            INVERSE_NOISE_RATE, "double", "p(true class is the predicted | given label) by the frozen joint"
        ),
        Column("frozen_run", "string", "The run whose thresholds and joint judged it"),
    ),
)
SCORED_REJECTED = Table(
    "scored_rejected",
    "new row that could not be scored",
    (
        Column(RUN_ID, "string", "The batch of new examples"),
        _id,
        *_refused,
        Column("frozen_run", "string", "The run it was to be judged by"),
    ),
)
RUNS = Table(
    "runs",
    "finished audit; written last, so a run without a row here never happened",
    (
        _run,
        Column("started", "timestamp", "When the audit began"),
        Column("finished", "timestamp", "When its last table was written"),
        Column("status", "string", "`finished`"),
        Column("source", "string", "What was read, as configured"),
        Column(
            "source_version",
            "string",
            "Delta version of the source; or number and digest of its files; else null",
        ),
        Column("parameters", "string", "The whole configuration as JSON"),
        Column("library_versions", "string", "Versions of cl_spark, Spark and Python as JSON"),
        Column("num_read", "long", "Rows read = examples + rejected"),
        Column("num_examples", "long", "Rows accepted"),
        Column("num_rejected", "long", "Rows refused"),
        Column("num_issues", "long", "Rows in `issues`"),
        Column("num_classes", "int", "K"),
        Column("overall_health", "double", "1 - off-diagonal issues / examples"),
        Column("failed_gates", "string", "Gates the run did not pass, one per line; empty if it passed all"),
        Column("baseline", "boolean", "Whether later runs are compared with this one"),
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
    REJECTED,
    RUNS,
)
SCORES_OF_NEW_ROWS = (SCORED, SCORED_REJECTED)
