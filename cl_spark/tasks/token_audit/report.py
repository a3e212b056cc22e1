"""The sections of a token audit's report, beside those of a label audit."""

from collections.abc import Sequence
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from cl_spark.methods.tokens.entity_issues import (
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
from cl_spark.report.sections import ReportColumn, ReportTable, Section
from cl_spark.runs.facts import first_rows, tell_cut
from cl_spark.tables import columns as c
from cl_spark.tables.finished_run import Run
from cl_spark.tasks.token_audit.tables import COMMON_ISSUES, ENTITY_ISSUES, INVALID_TAGS

TITLE = "Token audit"

ROWS = 500
"""Most rows of a table in the report."""

_COMMON_TEXT = (
    "Tokens of one text that have the same given and suggested label. What recurs is often no slip: a rule "
    "that annotators read differently, or a text that the model has learnt wrongly."
)
_ENTITY_TEXT = "Entities as the given tags make them, and as they are with the suggested ones."
_TAG_TEXT = "Tags that contradict the tags around them. They are wrong whatever the model says."


def sections(run: Run) -> list[Section]:
    """Return the sections of recurring issues, and of entities and invalid tags where there is a scheme."""
    common = run.table(COMMON_ISSUES.name)
    rows = first_rows(common, ROWS, F.desc(NUM_ISSUES), TOKEN, c.GIVEN_LABEL, c.SUGGESTED_LABEL)
    found = [
        Section(
            "common-section",
            "Recurring",
            "Issues that recur",
            text=[_COMMON_TEXT, *tell_cut(ROWS, common.count(), COMMON_ISSUES)],
            tables=[
                ReportTable(
                    "common",
                    [
                        ReportColumn.of(rows, TOKEN, "token", "text"),
                        ReportColumn.of(rows, c.GIVEN_LABEL, "given label", "text"),
                        ReportColumn.of(rows, c.SUGGESTED_LABEL, "suggested label", "text"),
                        ReportColumn.of(rows, NUM_ISSUES, "issues", "count"),
                    ],
                )
            ],
            otherwise="No label looks wrong.",
        )
    ]
    if run.parameters["scheme"] is None or run.parameters["merge_tags"] or run.parameters["merge_classes"]:
        return found
    entities, invalid = run.table(ENTITY_ISSUES.name), run.table(INVALID_TAGS.name)
    return [*found, _entity_section(run, entities), _tag_section(run, invalid)]


def _entity_section(run: Run, entities: DataFrame) -> Section:
    rows = first_rows(entities, ROWS, c.RANK)
    rows[TOKENS] = rows[TOKENS].map(" ".join)
    for col in (GIVEN_ENTITIES, SUGGESTED_ENTITIES):
        rows[col] = rows[col].map(_show_entities)
    return Section(
        "entities-section",
        "Entities",
        "Entities, most suspicious first",
        text=[_ENTITY_TEXT, *tell_cut(ROWS, entities.count(), ENTITY_ISSUES)],
        tables=[
            ReportTable(
                "entities",
                [
                    ReportColumn.of(rows, c.RANK, "rank", "count"),
                    *[ReportColumn.of(rows, col, col, "text") for col in _sentence_ids(run)],
                    ReportColumn.of(rows, START, "position", "count"),
                    ReportColumn.of(rows, TOKENS, "tokens", "text"),
                    ReportColumn.of(rows, GIVEN_ENTITIES, "given", "text"),
                    ReportColumn.of(rows, SUGGESTED_ENTITIES, "suggested", "text"),
                    ReportColumn.of(rows, KIND, "what is wrong", "text"),
                    ReportColumn.of(rows, c.LABEL_QUALITY, "label quality", "score"),
                ],
            )
        ],
        otherwise="No entity looks wrong.",
    )


def _tag_section(run: Run, invalid: DataFrame) -> Section:
    ids = _sentence_ids(run)
    rows = first_rows(invalid, ROWS, *map(c.quoted, ids), POSITION)
    return Section(
        "tags-section",
        "Invalid tags",
        "Tags that break the scheme",
        text=[_TAG_TEXT, *tell_cut(ROWS, invalid.count(), INVALID_TAGS)],
        tables=[
            ReportTable(
                "tags",
                [
                    *[ReportColumn.of(rows, col, col, "text") for col in ids],
                    ReportColumn.of(rows, POSITION, "position", "count"),
                    ReportColumn.of(rows, TOKEN, "token", "text"),
                    ReportColumn.of(rows, PREVIOUS_LABEL, "tag before", "text"),
                    ReportColumn.of(rows, c.GIVEN_LABEL, "tag", "text"),
                    ReportColumn.of(rows, NEXT_LABEL, "tag after", "text"),
                    ReportColumn.of(rows, c.REASON, "what is wrong", "text"),
                ],
            )
        ],
        otherwise="All tags keep to the scheme.",
    )


def _sentence_ids(run: Run) -> list[str]:
    return list(run.parameters["id_col"])


def _show_entities(entities: Sequence[Any]) -> str:
    """Show entities as in "PER, LOC"."""
    return ", ".join(entity["entity"] for entity in entities) or "none"
