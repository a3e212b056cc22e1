"""The names of columns of the review queue and of answers, each written once."""

from cl_spark.tables import columns as c

# The review queue
ISSUE_RANK = "issue_rank"
PLACE = "place"
STRATUM = "stratum"
INCLUSION_PROBABILITY = "inclusion_probability"

TOP, FLAGGED, UNFLAGGED = "top", "flagged", "unflagged"
"""Strata of the queue."""

QUEUE_COLUMNS = (
    c.GIVEN_LABEL,
    c.SUGGESTED_LABEL,
    c.LABEL_QUALITY,
    ISSUE_RANK,
    PLACE,
    STRATUM,
    INCLUSION_PROBABILITY,
)
"""Columns of the queue, between the id columns and the review columns."""

# Answers
ANNOTATOR = "annotator"
ANSWER = "answer"
LABEL = "label"

GIVEN, SUGGESTED, BOTH, NEITHER = "given", "suggested", "both", "neither"
ANSWERS = (GIVEN, SUGGESTED, BOTH, NEITHER)
"""Answers to the question which of two labels is right."""

PRESENT, ABSENT = "present", "absent"
"""Labels of one class of an example, where it may have several: whether it has the class."""
