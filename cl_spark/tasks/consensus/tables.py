"""The tables of a consensus of several annotators, with the meaning of every column."""

from cl_spark.tables import columns as c
from cl_spark.tables.schema import ATTEMPT, ID_COLUMNS, RUN_ID, Column, Table

CONSENSUS_LABEL, CONSENSUS_QUALITY = "consensus_label", "consensus_quality"
ANNOTATOR_AGREEMENT, NUM_ANNOTATIONS = "annotator_agreement", "num_annotations"
ANNOTATOR, LABEL, QUALITY, SCORE = "annotator", "label", "quality", "score"
AGREEMENT, NUM_EXAMPLES, WORST_CLASS = "agreement_with_consensus", "num_examples", "worst_class"
ANNOTATIONS = "annotations"

_OF_EXAMPLE = (
    Column(CONSENSUS_LABEL, "label", "The label that annotators and models together find most probable"),
    Column(CONSENSUS_QUALITY, "double", "Probability that it is right, in [0, 1]; lower is worse"),
    Column(ANNOTATOR_AGREEMENT, "double", "Share of the example's annotations that give the consensus label"),
    Column(NUM_ANNOTATIONS, "long", "Annotations of the example that count"),
)

DISPUTED_EXAMPLES = Table(
    "disputed_examples",
    "example whose annotators do not all agree with the consensus (written by `consensus`)",
    (
        RUN_ID,
        ATTEMPT,
        ID_COLUMNS,
        *_OF_EXAMPLE,
        Column(c.RANK, "long", "1 is the lowest consensus_quality; ties go to the lower id"),
    ),
)
CONSENSUS = Table(
    "consensus",
    "example with annotations (written by `consensus`)",
    (RUN_ID, ATTEMPT, ID_COLUMNS, *_OF_EXAMPLE),
)
ANNOTATION_QUALITY = Table(
    "annotation_quality",
    "annotation that counts (written by `consensus`)",
    (
        RUN_ID,
        ATTEMPT,
        ID_COLUMNS,
        Column(ANNOTATOR, "as the input's", "The annotator"),
        Column(LABEL, "label", "The label that the annotator gave"),
        Column(c.LABEL_QUALITY, "double", "Probability that this label is right, in [0, 1]; lower is worse"),
    ),
)
ANNOTATORS = Table(
    "annotators",
    "annotator (written by `consensus`)",
    (
        RUN_ID,
        ATTEMPT,
        Column(ANNOTATOR, "as the input's", "The annotator"),
        Column(QUALITY, "double", "How far to trust the annotator, in [0, 1]"),
        Column(AGREEMENT, "double", "Share of the annotator's labels that are the consensus"),
        Column(NUM_EXAMPLES, "long", "Examples that the annotator labelled"),
        Column(
            WORST_CLASS, "label", "Of the labels that the annotator gives, the one that is least often right"
        ),
    ),
)
DISAGREEMENTS = Table(
    "disagreements",
    "consensus label and other label that annotators gave instead (written by `consensus`)",
    (
        RUN_ID,
        ATTEMPT,
        Column(CONSENSUS_LABEL, "label", "The consensus label"),
        Column(LABEL, "label", "Another label that annotators gave its examples"),
        Column(ANNOTATIONS, "long", "How often they did"),
        Column(c.EXAMPLES, "long", "Of how many examples"),
    ),
)
ACTIVE_LEARNING_SCORES = Table(
    "active_learning_scores",
    "example to label, first or once more (written by `consensus`, but not by dawid_skene)",
    (
        RUN_ID,
        ATTEMPT,
        ID_COLUMNS,
        Column(SCORE, "double", "How little another label would tell, in [0, 1]: label the lowest next"),
    ),
)
TABLES = (
    DISPUTED_EXAMPLES,
    CONSENSUS,
    ANNOTATION_QUALITY,
    ANNOTATORS,
    DISAGREEMENTS,
    ACTIVE_LEARNING_SCORES,
)
"""The tables of a run beside `rejected` and `runs`."""

NUMBERS = (
    Column("num_classes", "int", "Number of classes, K"),
    Column("num_annotated", "long", "Examples with annotations that count"),
    Column("num_annotations", "long", "Annotations that count"),
    Column("num_annotators", "long", "Annotators who gave them"),
    Column("mean_agreement", "double", "Mean of annotator_agreement over examples with several annotations"),
    Column("num_passes", "int", "Passes that Dawid-Skene made; null by other methods"),
)
"""Columns that a consensus adds to `runs`."""
