"""The tables of a comparison of models, with the meaning of every column."""

from cl_spark.methods.learning import accuracy as a
from cl_spark.tables import columns as c
from cl_spark.tables.schema import ATTEMPT, ID_COLUMNS, RUN_ID, Column, Table
from cl_spark.tasks.label_audit.tables import NUMBERS as AUDIT_NUMBERS

CORRECTED_LABEL = "corrected_label"
FLIP_PREVALENCE, LAST_FLIP_PREVALENCE = "flip_prevalence", "last_flip_prevalence"
MODEL_A, MODEL_B, CHANGE = "model_a", "model_b", "change"

_MODEL = Column(a.MODEL, "string", "The model")
_TOP_K = Column(
    a.TOP_K,
    "long",
    "k: a prediction is correct if the label is among the k classes of highest probability; ties go to the "
    "lower class index",
)
_LABEL_KIND = Column(
    a.LABEL_KIND, "string", "The label that a prediction is compared with: `given` or `corrected`"
)
_SUBSET = Column(
    a.SUBSET,
    "string",
    "`all`: all examples with a right label; `corrected`: those whose corrected label differs from the given",
)
_CORRECT = Column(a.CORRECT, "long", "Those among them that the model predicts correctly")
_ACCURACY = Column(a.ACCURACY, "double", "correct / examples; null without examples")
_RANK_GIVEN = Column(
    a.RANK_GIVEN, "long", "Rank of the model by given labels; 1 is the best, ties go to the earlier name"
)
_RANK_CORRECTED = Column(a.RANK_CORRECTED, "long", "Rank of the model by corrected labels")

LABEL_CORRECTIONS = Table(
    "label_corrections",
    "example whose corrected label differs from the given one (written by `benchmark-models`)",
    (
        RUN_ID,
        ATTEMPT,
        ID_COLUMNS,
        Column(c.GIVEN_LABEL, "label", "The given label, which is wrong"),
        Column(CORRECTED_LABEL, "label", "The label that people have put in its place"),
        Column(c.RANK, "long", "Place in the order of the ids, from 1"),
    ),
)
MODEL_ACCURACY = Table(
    "model_accuracy",
    "label kind, subset, k and model (written by `benchmark-models`)",
    (
        RUN_ID,
        ATTEMPT,
        _LABEL_KIND,
        _SUBSET,
        _TOP_K,
        _MODEL,
        Column(c.EXAMPLES, "long", "Examples of the subset"),
        _CORRECT,
        _ACCURACY,
        Column(c.LOWER, "double", "Lower end of the 95 % Wilson interval of accuracy"),
        Column(c.UPPER, "double", "Upper end of that interval"),
        Column(
            c.RANK,
            "long",
            "Place of the model: 1 is the best, ties go to the earlier name; null without examples",
        ),
    ),
)
MODEL_CLASS_ACCURACY = Table(
    "model_class_accuracy",
    "label kind, model and class (written by `benchmark-models`)",
    (
        RUN_ID,
        ATTEMPT,
        _LABEL_KIND,
        _MODEL,
        Column(c.CLASS, "label", "The class"),
        Column(c.EXAMPLES, "long", "Examples with a right label whose label of that kind is the class"),
        Column(
            a.CORRECT,
            "long",
            "Those among them for which the class is the most probable one of the model (top 1)",
        ),
        _ACCURACY,
    ),
)
MODEL_RANK_CHANGES = Table(
    "model_rank_changes",
    "subset, k and model (written by `benchmark-models`)",
    (
        RUN_ID,
        ATTEMPT,
        _SUBSET,
        _TOP_K,
        _MODEL,
        _RANK_GIVEN,
        _RANK_CORRECTED,
        Column(
            CHANGE, "long", "rank_given - rank_corrected: positive for a model that corrected labels lift"
        ),
    ),
)
MODEL_PREVALENCE_ACCURACY = Table(
    "model_prevalence_accuracy",
    "k, noise prevalence and model (written by `benchmark-models`)",
    (
        RUN_ID,
        ATTEMPT,
        _TOP_K,
        Column(
            a.PREVALENCE,
            "double",
            "Noise prevalence: share of corrected examples, which rises as unchanged examples are removed",
        ),
        Column(c.EXAMPLES, "long", "Examples that are left"),
        _MODEL,
        Column(a.CORRECT_GIVEN, "long", "Those among them that the model predicts correctly by given labels"),
        Column(a.CORRECT_CORRECTED, "long", "Those that it predicts correctly by corrected labels"),
        Column("accuracy_given", "double", "correct_given / examples"),
        Column("accuracy_corrected", "double", "correct_corrected / examples"),
        _RANK_GIVEN,
        _RANK_CORRECTED,
    ),
)
MODEL_FLIP_PREVALENCES = Table(
    "model_flip_prevalences",
    "k and pair of models (written by `benchmark-models`)",
    (
        RUN_ID,
        ATTEMPT,
        _TOP_K,
        Column(MODEL_A, "string", "First model, the earlier name"),
        Column(MODEL_B, "string", "Second model"),
        Column(
            FLIP_PREVALENCE,
            "double",
            "Lowest noise prevalence at which given and corrected labels order the two models differently; "
            "null if there is none",
        ),
        Column(LAST_FLIP_PREVALENCE, "double", "Highest such noise prevalence"),
    ),
)
TABLES = (
    LABEL_CORRECTIONS,
    MODEL_ACCURACY,
    MODEL_CLASS_ACCURACY,
    MODEL_RANK_CHANGES,
    MODEL_PREVALENCE_ACCURACY,
    MODEL_FLIP_PREVALENCES,
)
"""Tables of a comparison of models, beside `rejected` and `runs`."""

NUMBERS = (
    *(column for column in AUDIT_NUMBERS if column.name == "num_classes"),
    Column("num_models", "int", "Number of models that were compared"),
    Column("num_reviewed", "long", "Examples that the table of corrected labels names"),
    Column("num_corrected", "long", "Examples whose corrected label differs from the given one"),
    Column(
        "num_without_right_label",
        "long",
        "Examples whose corrected label is null: no label is right, and models are compared on the others. "
        "overall_health = 1 - (num_corrected + this) / num_examples",
    ),
    Column(
        "noise_prevalence",
        "double",
        "Share of corrected examples among those with a right label: num_corrected / "
        "(num_examples - num_without_right_label)",
    ),
)
"""Columns that a comparison of models adds to `runs`."""
