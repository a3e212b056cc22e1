"""The tables that a token audit adds to those of a label audit."""

from cl_spark.methods.tokens.entity_issues import (
    END,
    GIVEN_ENTITIES,
    KIND,
    NEXT_LABEL,
    PREVIOUS_LABEL,
    START,
    SUGGESTED_ENTITIES,
    TOKENS,
)
from cl_spark.methods.tokens.sentences import POSITION, TOKEN
from cl_spark.methods.tokens.token_audit import NUM_ISSUES
from cl_spark.tables import columns as c
from cl_spark.tables.schema import ATTEMPT, RUN_ID, Column, Table
from cl_spark.tasks.label_audit.tables import TABLES as AUDIT_TABLES

_SENTENCE = Column("<id column(s)>", "as the input's", "The sentence, under the input's own column name(s)")
_GIVEN = Column(c.GIVEN_LABEL, "label", "The label in the input, possibly wrong")

COMMON_ISSUES = Table(
    "common_issues",
    "text of a token with the same given and suggested label in `issues`",
    (
        RUN_ID,
        ATTEMPT,
        Column(TOKEN, "string", "The text"),
        _GIVEN,
        Column(c.SUGGESTED_LABEL, "label", "The suggested label"),
        Column(NUM_ISSUES, "long", "How many issues there are"),
    ),
)
SENTENCE_SCORES = Table(
    "sentence_scores",
    "sentence with an accepted token (written with label_scores)",
    (RUN_ID, ATTEMPT, _SENTENCE, Column(c.LABEL_QUALITY, "double", "The lowest score of its tokens")),
)
ENTITY_ISSUES = Table(
    "entity_issues",
    "entity, given or suggested, some of whose tags are issues (written with a scheme)",
    (
        RUN_ID,
        ATTEMPT,
        _SENTENCE,
        Column(START, "long", "Position of its first token"),
        Column(END, "long", "Position after its last token"),
        Column(TOKENS, "array<string>", "Texts of its tokens"),
        Column(GIVEN_ENTITIES, "array<struct>", "Entities that the given tags make: entity, start, end"),
        Column(SUGGESTED_ENTITIES, "array<struct>", "Entities with the suggested tags"),
        Column(KIND, "string", "missing, not_an_entity, type, boundary, type_and_boundary or tags"),
        Column(c.LABEL_QUALITY, "double", "The lowest score of its issues"),
        Column(c.RANK, "long", "1 is the most suspicious; ties go to the lower id and position"),
    ),
)
INVALID_TAGS = Table(
    "invalid_tags",
    "given tag that breaks the scheme (written with a scheme)",
    (
        RUN_ID,
        ATTEMPT,
        _SENTENCE,
        Column(POSITION, "long", "Position of the token"),
        Column(TOKEN, "string", "Its text"),
        Column(c.GIVEN_LABEL, "string", "Its tag"),
        Column(PREVIOUS_LABEL, "string", "The tag before; null where the sentence begins"),
        Column(NEXT_LABEL, "string", "The tag after; null where the sentence ends"),
        Column(c.REASON, "string", "What is wrong"),
    ),
)
TABLES = (*AUDIT_TABLES, COMMON_ISSUES, SENTENCE_SCORES, ENTITY_ISSUES, INVALID_TAGS)
"""The tables of a run beside `rejected` and `runs`."""
