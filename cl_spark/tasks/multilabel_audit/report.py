"""The report of a multi-label audit: classes, classes missing together, issues and slices."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from pyspark.sql import functions as F

from cl_spark.methods.multilabel.health import WRONGLY_GIVEN, WRONGLY_MISSING
from cl_spark.methods.multilabel.multilabel_audit import (
    GIVEN_FLAG,
    GIVEN_LABELS,
    SUGGESTED_FLAG,
    SUGGESTED_LABELS,
)
from cl_spark.report.budget import limit_bytes, show_cells
from cl_spark.report.sections import KeyNumber, ReportColumn, ReportTable, Section
from cl_spark.runs.facts import first_rows, tell_cut
from cl_spark.tables import columns as c
from cl_spark.tables.finished_run import Run
from cl_spark.tasks.label_audit.report import slice_table
from cl_spark.tasks.label_audit.tables import SLICE_HEALTH
from cl_spark.tasks.multilabel_audit.tables import (
    CLASS_ISSUES,
    MISSING_TOGETHER,
    MULTILABEL_HEALTH,
    MULTILABEL_ISSUES,
)

TITLE = "Multi-label audit"

ROWS = 1_000
"""Most rows of a table in the report."""

_CLASS_TEXT = (
    "A class is wrongly given where an example has it and probably should not, and wrongly missing where it "
    "is the other way round. Classes with the most of both come first."
)
_TOGETHER_TEXT = (
    "Classes that are forgotten in the same examples: one rule of the guidelines may be to blame."
)


def key_numbers(run: Run) -> list[KeyNumber]:
    """Return the numbers at the head of the report; each says what it counts."""
    record = run.record
    return [
        KeyNumber(
            "sets of labels that look right",
            f"{100 * record[c.OVERALL_HEALTH]:.2f} %",
            f"{record[c.OFF_DIAGONAL_ISSUES]:,} off the diagonal of a class",
            "health",
        ),
        KeyNumber("examples with an issue", f"{record.num_issues:,}", f"by {run.parameters['filter_by']}"),
        KeyNumber("examples", f"{record.num_examples:,}"),
        KeyNumber("classes", f"{record.num_classes:,}"),
        KeyNumber("rejected rows", f"{record.num_rejected:,}"),
    ]


def sections(run: Run, issues: int) -> list[Section]:
    """Return the sections.

    Args:
        run: the run.
        issues: how many issues to list.
    """
    health, pairs, by_class = (run.table(t.name) for t in (MULTILABEL_HEALTH, MISSING_TOGETHER, CLASS_ISSUES))
    classes = first_rows(health, ROWS, F.desc(F.col(WRONGLY_GIVEN) + F.col(WRONGLY_MISSING)), c.CLASS)
    together = first_rows(pairs, ROWS, F.desc(c.EXAMPLES), c.CLASS_A, c.CLASS_B)
    single = first_rows(by_class, issues, c.RANK)
    found = [
        Section(
            "classes-section",
            "Classes",
            "Classes, most issues first",
            text=[_CLASS_TEXT, *tell_cut(ROWS, run.record.num_classes, MULTILABEL_HEALTH)],
            tables=[
                ReportTable(
                    "classes",
                    [
                        ReportColumn.of(classes, c.CLASS, "class", "text"),
                        ReportColumn.of(classes, c.CLASS_QUALITY, "class quality", "score"),
                        ReportColumn.of(classes, c.EXAMPLES, "examples", "count"),
                        ReportColumn.of(classes, WRONGLY_GIVEN, "wrongly given", "count"),
                        ReportColumn.of(classes, WRONGLY_MISSING, "wrongly missing", "count"),
                        ReportColumn.of(classes, c.LABEL_NOISE, "wrongly given of all", "noise"),
                        ReportColumn.of(classes, c.INVERSE_LABEL_NOISE, "wrongly missing of all", "inverse"),
                        ReportColumn.of(classes, c.THRESHOLD, "threshold", "score"),
                    ],
                )
            ],
        ),
        Section(
            "together-section",
            "Missing together",
            "Classes that go missing together",
            text=[_TOGETHER_TEXT, *tell_cut(ROWS, pairs.count(), MISSING_TOGETHER)],
            tables=[
                ReportTable(
                    "together",
                    [
                        ReportColumn.of(together, c.CLASS_A, "class", "text"),
                        ReportColumn.of(together, c.CLASS_B, "and class", "text"),
                        ReportColumn.of(together, c.EXAMPLES, "examples", "count"),
                    ],
                )
            ],
            otherwise="No two classes are missing in the same example.",
        ),
        Section(
            "issues-section",
            "Issues",
            "Examples, most suspicious first",
            text=tell_cut(issues, run.record.num_issues, MULTILABEL_ISSUES),
            tables=[_issue_table(run, issues)],
            otherwise="No set of labels looks wrong.",
        ),
        Section(
            "single-section",
            "Single labels",
            "Single labels, most suspicious first",
            text=tell_cut(issues, by_class.count(), CLASS_ISSUES),
            tables=[
                ReportTable(
                    "single",
                    [
                        ReportColumn.of(single, c.RANK, "rank", "count"),
                        *[ReportColumn.of(single, col, col, "text") for col in run.id_columns],
                        ReportColumn.of(single, c.CLASS, "class", "text"),
                        ReportColumn.of(single, GIVEN_FLAG, "given", "text"),
                        ReportColumn.of(single, SUGGESTED_FLAG, "suggested", "text"),
                        ReportColumn.of(single, c.LABEL_QUALITY, "label quality", "score"),
                    ],
                    rows_at_once=25,
                )
            ],
            otherwise="No label looks wrong.",
        ),
    ]
    if run.parameters["slice_by"]:
        found.append(_slice_section(run))
    return found


def _issue_table(run: Run, issues: int) -> ReportTable:
    listed = run.table(MULTILABEL_ISSUES.name)
    review = [col for col in run.parameters["review_columns"] if col in listed.columns]
    rows = first_rows(limit_bytes(listed.orderBy(c.RANK).limit(issues), review, c.RANK), issues, c.RANK)
    for col in (GIVEN_LABELS, SUGGESTED_LABELS):
        rows[col] = rows[col].map(_show_labels)
    return ReportTable(
        "issues",
        [
            ReportColumn.of(rows, c.RANK, "rank", "count"),
            *[ReportColumn.of(rows, col, col, "text") for col in run.id_columns],
            *[ReportColumn(col, "media", show_cells(rows, col)) for col in review],
            ReportColumn.of(rows, GIVEN_LABELS, "given labels", "text"),
            ReportColumn.of(rows, SUGGESTED_LABELS, "suggested labels", "text"),
            ReportColumn.of(rows, c.LABEL_QUALITY, "label quality", "score"),
        ],
        rows_at_once=25,
    )


def _show_labels(labels: Sequence[Any]) -> str:
    return ", ".join(map(str, labels)) or "none"


def _slice_section(run: Run) -> Section:
    slices = run.table(SLICE_HEALTH.name)
    rows: pd.DataFrame = first_rows(slices, ROWS, c.UPPER, c.SLICE_COLUMN, c.SLICE_VALUE)
    return Section(
        "slices-section",
        "Slices",
        "Slices, surely worst first",
        text=["The share of examples that look right, with its 95 % interval.",
              *tell_cut(ROWS, slices.count(), SLICE_HEALTH)],
        tables=[slice_table(rows, "examples that look right", "off the diagonal of a class")],
    )  # fmt: skip
