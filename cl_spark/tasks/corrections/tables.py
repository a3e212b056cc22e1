"""The table of corrections, with the meaning of every column."""

from cl_spark.methods.review.corrected_labels import PREVIOUS_LABEL
from cl_spark.methods.review.correction_run import LABEL
from cl_spark.methods.review.label_changes import (
    ALREADY_DONE,
    CONFLICT,
    CORRECTED,
    CORRECTION,
    KEPT,
    NULL_ID,
    PRUNED,
    REPEATED_ID,
    UNKNOWN_ID,
)
from cl_spark.methods.review.verdicts import VERDICT
from cl_spark.tables import columns as c
from cl_spark.tables.schema import ATTEMPT, ID_COLUMNS, RUN_ID, Column, Table

JUDGED_RUN, LABELS_VERSION = "judged_run", "labels_version"

CORRECTIONS = Table(
    "corrections",
    "verdict, or issue, that was to change a label (written by `correct`)",
    (
        RUN_ID,
        ATTEMPT,
        ID_COLUMNS,
        Column(
            PREVIOUS_LABEL,
            "label",
            "The given label that was judged; of a single label `present` or `absent`",
        ),
        Column(
            LABEL,
            "label",
            "The label after the correction; null where there is no such example, or several have the id",
        ),
        Column(
            CORRECTION,
            "string",
            "`corrected`, `pruned` (the label stays, and the row is marked), `kept` (not an error), "
            "`already_done` (an earlier run did the same; a single label of a set is so already), "
            "`conflict` (the label is another one than was judged, and was not touched), `unknown_id`, "
            "`repeated_id`, `null_id`",
        ),
        Column(VERDICT, "string", "The verdict; null where an issue was corrected without one"),
        Column(c.RANK, "long", "Place in the order of the ids, from 1"),
    ),
)
TABLES = (CORRECTIONS,)
"""Tables of corrections, beside `rejected` and `runs`."""

NUM_OF = {
    CORRECTED: "num_labels_corrected",
    PRUNED: "num_pruned",
    KEPT: "num_kept",
    ALREADY_DONE: "num_already_done",
    CONFLICT: "num_conflicts",
    UNKNOWN_ID: "num_unknown_ids",
    REPEATED_ID: "num_repeated_ids",
    NULL_ID: "num_null_ids",
}
"""Numbers in `runs`, by what became of a verdict."""

NUMBERS = (
    Column(JUDGED_RUN, "string", "The run of verdicts, or the audit, by which labels were corrected"),
    Column(
        LABELS_VERSION,
        "long",
        "Version of the Delta table of labels that the correction made; null in a new table, or if none was",
    ),
    Column(NUM_OF[CORRECTED], "long", "Examples that got another label"),
    Column(NUM_OF[PRUNED], "long", "Examples that are marked as pruned; they stay in the table of labels"),
    Column(NUM_OF[KEPT], "long", "Examples whose label is not an error"),
    Column(NUM_OF[ALREADY_DONE], "long", "Examples with which an earlier run did the same"),
    Column(NUM_OF[CONFLICT], "long", "Examples whose label is no longer the one that was judged"),
    Column(NUM_OF[UNKNOWN_ID], "long", "Verdicts about ids that the labels do not have"),
    Column(NUM_OF[REPEATED_ID], "long", "Verdicts about ids that several rows share"),
    Column(NUM_OF[NULL_ID], "long", "Verdicts without an id"),
)
"""Columns that corrections add to `runs`."""
