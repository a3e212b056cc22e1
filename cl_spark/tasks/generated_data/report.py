"""The report of judged generated rows: the prompts, and the rows to drop of each kind."""

from pyspark.sql import functions as F

from cl_spark.methods.generated.generated_data import (
    COPY_OF,
    COVERAGE,
    DIVERSITY,
    FIT,
    GENERATED,
    ISSUE_TYPE,
    ISSUE_TYPES,
    KEPT,
    NEARNESS,
    REALISM,
    REASON,
)
from cl_spark.report.budget import limit_bytes, show_cells, tell_left_out
from cl_spark.report.cards import CARDS, make_cards
from cl_spark.report.gallery import Gallery
from cl_spark.report.sections import KeyNumber, ReportColumn, ReportTable, Section
from cl_spark.runs.facts import first_rows, tell_cut
from cl_spark.tables import columns as c
from cl_spark.tables.finished_run import Run
from cl_spark.tasks.generated_data.tables import DROPPED_ROWS, PROMPT, PROMPTS

ROWS = 1_000
"""Most prompts in the report."""

TITLES = {
    "far": "Far from all real rows",
    "misfit": "Do not fit their prompt",
    "copy": "Copies of other rows",
}
"""Kinds of rows to drop in words."""

_PROMPTS_TEXT = (
    "Realism is about the share of real rows in both tables where generated rows look real. Fit is the share "
    "of rows that fit the prompt, diversity the share that are no copies, and coverage the share of real "
    "rows that have a generated row nearby. The prompts of which least is kept come first."
)


def key_numbers(run: Run) -> list[KeyNumber]:
    """Return the numbers at the head of the report; each says what it counts."""
    record = run.record
    return [
        KeyNumber("rows to keep", f"{100 * record[c.OVERALL_HEALTH]:.2f} %", "of generated rows", "health"),
        KeyNumber("rows to drop", f"{record.num_issues:,}"),
        KeyNumber("generated rows", f"{record.num_generated:,}", "that can be used"),
        *(
            []  # of one prompt there is none
            if record.prompt_fit is None
            else [KeyNumber("prompt fit", f"{100 * record.prompt_fit:.2f} %", "fit their prompt")]
        ),
        KeyNumber("diversity", f"{100 * record.diversity:.2f} %", "are no copies"),
        KeyNumber("coverage", f"{100 * record.coverage:.2f} %", "of real rows have one nearby"),
        KeyNumber("rejected rows", f"{record.num_rejected:,}", "of both tables"),
    ]


def sections(run: Run, issues: int) -> list[Section]:
    """Return the sections: the prompts, then the rows to drop of each kind that has some.

    Args:
        run: the run.
        issues: how many rows of a kind to list.
    """
    prompts = run.table(PROMPTS.name)
    kept = F.col(KEPT) / F.col(GENERATED)
    worst = first_rows(prompts, ROWS, kept.asc_nulls_last(), PROMPT)
    table = ReportTable(
        "prompts",
        [
            ReportColumn.of(worst, PROMPT, "prompt", "text"),
            ReportColumn.of(worst, GENERATED, "generated", "count"),
            ReportColumn.of(worst, KEPT, "to keep", "count"),
            ReportColumn.of(worst, REALISM, "realism", "score"),
            ReportColumn.of(worst, FIT, "fit", "score"),
            ReportColumn.of(worst, DIVERSITY, "diversity", "score"),
            ReportColumn.of(worst, COVERAGE, "coverage", "score"),
        ],
        rows_at_once=25,
    )
    text = [_PROMPTS_TEXT, *tell_cut(len(worst), prompts.count(), PROMPTS)]
    found = [Section("prompts-section", "Prompts", "Prompts", text=text, tables=[table])]
    counts = {row[0]: row[1] for row in run.table(DROPPED_ROWS.name).groupBy(ISSUE_TYPE).count().collect()}
    listed = [_list_kind(run, kind, counts[kind], issues) for kind in ISSUE_TYPES.values() if kind in counts]
    return [*found, *listed]


def _list_kind(run: Run, kind: str, number: int, issues: int) -> Section:
    """List the worst rows of a kind, with the columns for reviewers."""
    rows = run.table(DROPPED_ROWS.name).where(F.col(ISSUE_TYPE) == kind)
    review = [col for col in run.parameters["review_columns"] if col in rows.columns]
    worst = first_rows(limit_bytes(rows.orderBy(c.RANK).limit(issues), review, c.RANK), issues, c.RANK)
    num_cards = CARDS if review else 0  # a table shows more where there is but text
    cards, listed = worst[:num_cards], worst[num_cards:]
    columns = [
        ReportColumn.of(listed, c.RANK, "rank", "count"),
        *[ReportColumn.of(listed, col, col, "text") for col in run.id_columns],
        *[ReportColumn(col, "media", show_cells(listed, col)) for col in review],
        ReportColumn.of(listed, PROMPT, "prompt", "text"),
        ReportColumn.of(listed, REASON, "why", "text"),
        ReportColumn.of(listed, FIT, "fit", "score"),
        ReportColumn.of(listed, NEARNESS, "nearness", "score"),
        *([ReportColumn.of(listed, COPY_OF, "copy of", "text")] if kind == "copy" else []),
    ]
    return Section(
        f"{kind}-section",
        TITLES[kind],
        f"{TITLES[kind]}, worst first",
        text=[
            f"{number:,} rows.",
            *tell_cut(len(worst), number, DROPPED_ROWS),
            *tell_left_out(worst, review, DROPPED_ROWS.name),
        ],
        galleries=[Gallery(kind, make_cards(cards, run.id_columns, review, {PROMPT: "prompt"}, REASON))],
        tables=[ReportTable(kind, columns, "The next ones" if num_cards else "", rows_at_once=25)],
    )
