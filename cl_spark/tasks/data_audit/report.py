"""The report of a data audit: the checks, and the worst issues of each kind with what people look at.
Outliers and copies are in galleries.
"""

from collections.abc import Sequence

import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from cl_spark.methods.checks.check_columns import ISSUE_TYPE, SCORE, WHY
from cl_spark.methods.checks.issue_types import ISSUE_TYPES, NEAR_DUPLICATE, OUTLIER
from cl_spark.methods.neighbors.duplicates import GROUP
from cl_spark.report.budget import limit_bytes, show_cells, tell_left_out
from cl_spark.report.cards import CARDS, describe_values, make_cards
from cl_spark.report.gallery import Gallery
from cl_spark.report.sections import KeyNumber, ReportColumn, ReportTable, Section
from cl_spark.runs.facts import first_rows
from cl_spark.tables import columns as c
from cl_spark.tables.finished_run import Run
from cl_spark.tasks.data_audit.copies import make_groups, read_copies, tell_groups
from cl_spark.tasks.data_audit.tables import DATA_CHECKS, DATA_ISSUES

TITLE = "Data audit"

_FACTS = {c.GIVEN_LABEL: "label", SCORE: "score"}
"""Columns of an issue that its card names."""

MEANINGS = {
    "label": "labels that are probably wrong",
    "outlier": "rows unlike all others",
    "near_duplicate": "rows that are there several times",
    "class_imbalance": "examples of a class that has far too few",
    "null": "rows without any feature",
    "non_iid": "rows whose order tells what they are",
    "underperforming_group": "examples of a group of which the model knows little",
    "data_valuation": "labels that mislead those who learn from neighbors",
}
"""Kinds of issues in words."""


def key_numbers(run: Run) -> list[KeyNumber]:
    """Return the numbers at the head of the report; each says what it counts."""
    record = run.record
    return [
        KeyNumber("rows without an issue", f"{100 * record[c.OVERALL_HEALTH]:.2f} %", "", "health"),
        KeyNumber("issues", f"{record.num_issues:,}", "of all kinds"),
        KeyNumber("examples", f"{record.num_examples:,}"),
        KeyNumber("rejected rows", f"{record.num_rejected:,}"),
    ]


def sections(run: Run, issues: int) -> list[Section]:
    """Return the sections: all checks, then the issues of each kind that has some.

    Args:
        run: the run.
        issues: how many issues of a kind to list.
    """
    checks = first_rows(run.table(DATA_CHECKS.name), len(ISSUE_TYPES), ISSUE_TYPE)
    there = set(checks.loc[checks["issues"].fillna(0) > 0, ISSUE_TYPE])
    checks["meaning"] = [MEANINGS[kind] for kind in checks[ISSUE_TYPE]]
    table = ReportTable(
        "checks",
        [
            ReportColumn.of(checks, ISSUE_TYPE, "kind", "text"),
            ReportColumn.of(checks, "meaning", "what it is", "text"),
            ReportColumn.of(checks, "issues", "issues", "count"),
            ReportColumn.of(checks, "examples", "examples judged", "count"),
            ReportColumn.of(checks, "unusable", "not judged", "count"),
            ReportColumn.of(checks, "note", "note", "text"),
        ],
    )
    found = [Section("checks-section", "Checks", "What was looked for", tables=[table])]
    return [*found, *(_show_kind(run, kind, issues) for kind in ISSUE_TYPES if kind in there)]


def _show_kind(run: Run, kind: str, issues: int) -> Section:
    """Show the worst issues of a kind, with the columns for reviewers."""
    listed = run.table(DATA_ISSUES.name).where(F.col(ISSUE_TYPE) == kind)
    review = _pick_review_columns(run, listed)
    copies = read_copies(listed, run.id_columns, review, issues) if kind == NEAR_DUPLICATE else None
    if copies is not None:
        read, rows, heading = [copies.members, copies.others], copies.others, "Rows of the other groups"
        text = tell_groups(copies.num_groups, issues)
        gallery = Gallery(kind, groups=make_groups(copies, run.id_columns, review, _FACTS))
    else:
        found = first_rows(limit_bytes(listed.orderBy(c.RANK).limit(issues), review, c.RANK), issues, c.RANK)
        num_cards = CARDS if kind == OUTLIER and review else 0  # a table shows more where there is but text
        read, rows = [found], found[num_cards:]
        heading = "The next ones" if num_cards else ""
        text = f"The worst are listed, up to {issues:,}; the table data_issues holds all."
        gallery = Gallery(kind, make_cards(found[:num_cards], run.id_columns, review, _FACTS, WHY))
    return Section(
        f"{kind}-section",
        kind.replace("_", " ").capitalize(),
        f"{MEANINGS[kind].capitalize()}, worst first",
        text=[text, *tell_left_out(pd.concat(read), review, DATA_ISSUES.name)],
        galleries=[gallery],
        tables=[ReportTable(kind, _columns(run, rows, review), heading, rows_at_once=25)],
    )


def _pick_review_columns(run: Run, listed: DataFrame) -> list[str]:
    """Pick the columns for reviewers, but for the one that the issues have as given label, too."""
    told = run.parameters["label_col"] or "label" if c.GIVEN_LABEL in listed.columns else None
    return [col for col in run.parameters["review_columns"] if col in listed.columns and col != told]


def _columns(run: Run, rows: pd.DataFrame, review: Sequence[str]) -> list[ReportColumn]:
    """Show issues of a kind as columns of a table."""
    told = [(GROUP, "group")] if GROUP in rows.columns and rows[GROUP].notna().any() else []
    told += [(c.GIVEN_LABEL, "label")] if c.GIVEN_LABEL in rows.columns else []
    return [
        ReportColumn.of(rows, c.RANK, "rank", "count"),
        *[ReportColumn.of(rows, col, col, "text") for col in run.id_columns],
        *[ReportColumn(col, "media", show_cells(rows, col)) for col in review],
        *[ReportColumn(title, "text", describe_values(rows[col])) for col, title in told],
        ReportColumn.of(rows, WHY, "why", "text"),
        ReportColumn.of(rows, SCORE, "score", "score"),
    ]


def list_kinds(counts: Sequence[tuple[str, int]]) -> str:
    """List kinds of issues with their numbers, as in "3 outlier, 2 label"."""
    return ", ".join(f"{number:,} {kind}" for kind, number in counts if number) or "none"
