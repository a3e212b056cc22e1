"""The sections of a label audit's report."""

import pandas as pd

from cl_spark.report.budget import show_cells, tell_left_out
from cl_spark.report.sections import KeyNumber, ReportColumn, ReportTable, Section
from cl_spark.runs.report import frame_report
from cl_spark.tables import columns as c
from cl_spark.tasks.label_audit.config import name_of_method
from cl_spark.tasks.label_audit.facts import Facts
from cl_spark.tasks.label_audit.tables import ISSUES

TITLE = "Label audit"


def render(facts: Facts) -> str:
    """Render the report of a label audit from its facts."""
    return frame_report(TITLE, facts, key_numbers(facts), sections(facts))


def key_numbers(facts: Facts) -> list[KeyNumber]:
    """Return the numbers at the head of the report; each says what it counts."""
    record = facts.record
    low, high = (f"{100 * end:.2f}" for end in facts.interval)
    off_diagonal = record.get(c.OFF_DIAGONAL_ISSUES)
    counted = "" if off_diagonal is None else f"; {off_diagonal:,} off the diagonal"
    return [
        KeyNumber(
            "labels that look right",
            f"{100 * record[c.OVERALL_HEALTH]:.2f} %",
            f"95 % interval {low} to {high} %{counted}",
            "health",
        ),
        KeyNumber("label issues", f"{record[c.NUM_ISSUES]:,}", f"by {name_of_method(facts.parameters)}"),
        KeyNumber("examples", f"{record['num_examples']:,}"),
        KeyNumber("classes", f"{record['num_classes']:,}"),
        KeyNumber("rejected rows", f"{record['num_rejected']:,}"),
    ]


def sections(facts: Facts) -> list[Section]:
    """Return the sections: classes, confusion, scores, issues, and slices where there are some."""
    from cl_spark.tasks.label_audit.charts import confusion_chart, distribution_chart  # Altair is of an extra

    found = [
        Section(
            "classes-section",
            "Classes",
            "Classes, worst labels first",
            text=_class_text(facts),
            tables=[_class_table(facts)],
        ),
        Section(
            "confusion-section",
            "Confusion",
            "Which classes are confused",
            charts=confusion_chart(facts),
            tables=[_pair_table(facts)],
            otherwise="No two classes are confused.",
        ),
        Section(
            "scores-section",
            "Scores",
            "How sure the model is of the given labels",
            charts=distribution_chart(facts),
            otherwise="The run was written by a version that did not keep this (table score_distribution).",
        ),
        Section(
            "issues-section",
            "Issues",
            "Issues, most suspicious first",
            text=_issue_text(facts),
            tables=[_issue_table(facts)],
            otherwise="No issue is listed." if facts.record[c.NUM_ISSUES] else "No label looks wrong.",
        ),
    ]
    if len(facts.slices):
        text = ["The share of labels that look right, with its 95 % interval. Few examples have a wide one."]
        found.append(
            Section(
                "slices-section",
                "Slices",
                "Slices, surely worst first",
                text=text,
                tables=[slice_table(facts.slices, "labels that look right", "confidently of another class")],
            )
        )
    return found


def _class_text(facts: Facts) -> list[str]:
    text = (
        "Label noise is the share of a class's labels that are probably wrong. Inverse label noise is the "
        "share of the examples of a class that probably carry another label. Both are estimated from the "
        "calibrated joint. Click a heading to sort."
    )
    if len(facts.classes) < facts.record["num_classes"]:
        text += (
            f" The worst {len(facts.classes):,} of {facts.record['num_classes']:,} classes are listed; "
            "the others are in the table class_health."
        )
    return [text]


def _issue_text(facts: Facts) -> list[str]:
    number = facts.record["num_issues"]
    if not len(facts.issues):
        return []
    text = []
    if len(facts.issues) < number:
        text.append(
            f"The first {len(facts.issues):,} of {number:,} issues; the others are in the table issues."
        )
    text += tell_left_out(facts.issues, facts.review_columns, ISSUES.name)
    return [" ".join([*text, "Type a class, an id or a text to search."])]


def _class_table(facts: Facts) -> ReportTable:
    return ReportTable(
        "classes",
        [
            ReportColumn.of(facts.classes, c.CLASS, "class", "text"),
            ReportColumn.of(facts.classes, c.CLASS_QUALITY, "class quality", "score"),
            ReportColumn.of(facts.classes, c.LABEL_NOISE, "label noise", "noise"),
            ReportColumn.of(facts.classes, c.INVERSE_LABEL_NOISE, "inverse label noise", "inverse"),
            ReportColumn.of(facts.classes, c.EXAMPLES, "examples", "count"),
            ReportColumn.of(facts.classes, c.ESTIMATED_LABEL_ISSUES, "wrong (est.)", "count"),
            ReportColumn.of(facts.classes, c.ESTIMATED_INVERSE_LABEL_ISSUES, "lost (est.)", "count"),
            ReportColumn.of(facts.classes, c.THRESHOLD, "threshold", "score"),
        ],
    )


def _pair_table(facts: Facts) -> ReportTable:
    return ReportTable(
        "pairs",
        [
            ReportColumn.of(facts.pairs, c.CLASS_A, "class", "text"),
            ReportColumn.of(facts.pairs, c.CLASS_B, "and class", "text"),
            ReportColumn.of(facts.pairs, c.EXAMPLES, "examples", "count"),
            ReportColumn.of(facts.pairs, c.JOINT_PROBABILITY, "of all examples", "score"),
        ],
        heading="Most overlapping classes",
    )


def _issue_table(facts: Facts) -> ReportTable:
    media = [ReportColumn(col, "media", show_cells(facts.issues, col)) for col in facts.review_columns]
    return ReportTable(
        "issues",
        [
            ReportColumn.of(facts.issues, c.RANK, "rank", "count"),
            *[ReportColumn.of(facts.issues, col, col, "text") for col in facts.id_columns],
            *media,
            ReportColumn.of(facts.issues, c.GIVEN_LABEL, "given label", "text"),
            ReportColumn.of(facts.issues, c.SUGGESTED_LABEL, "suggested label", "text"),
            ReportColumn.of(facts.issues, c.LABEL_QUALITY, "label quality", "score"),
            ReportColumn.of(facts.issues, c.SELF_CONFIDENCE, "self-confidence", "score"),
            ReportColumn.of(facts.issues, c.NORMALIZED_MARGIN, "normalized margin", "score"),
        ],
        rows_at_once=25,
    )


def slice_table(slices: pd.DataFrame, quality: str, off_diagonal: str) -> ReportTable:
    """Make the table of slices.

    Args:
        slices: rows of `slice_health`.
        quality: heading of the share that looks right.
        off_diagonal: heading of the others.
    """
    return ReportTable(
        "slices",
        [
            ReportColumn.of(slices, c.SLICE_COLUMN, "column", "text"),
            ReportColumn.of(slices, c.SLICE_VALUE, "value", "text"),
            ReportColumn.of(slices, c.SLICE_QUALITY, quality, "score"),
            ReportColumn.of(slices, c.LOWER, "at least", "score"),
            ReportColumn.of(slices, c.UPPER, "at most", "score"),
            ReportColumn.of(slices, c.EXAMPLES, "examples", "count"),
            ReportColumn.of(slices, c.OFF_DIAGONAL_ISSUES, off_diagonal, "count"),
        ],
    )
