"""The report of a consensus: annotators, disagreement, and the examples in dispute."""

from pyspark.sql import functions as F

from cl_spark.report.sections import KeyNumber, ReportColumn, ReportTable, Section
from cl_spark.runs.facts import first_rows, tell_cut
from cl_spark.tables import columns as c
from cl_spark.tables.finished_run import Run
from cl_spark.tasks.consensus import tables as t

ROWS = 1_000
"""Most rows of a table in the report."""

_ANNOTATOR_TEXT = (
    "Quality says how far to trust an annotator, from 0 to 1. Agreement is the share of the annotator's "
    "labels that are the consensus. The worst class is the label that the annotator gives and that is least "
    "often right: instructions may not be clear there. The worst annotators come first."
)
_DISAGREEMENT_TEXT = (
    "How often annotators gave another label than the consensus. Pairs of classes with many such labels are "
    "hard to tell apart, or the instructions leave it open."
)
_DISPUTED_TEXT = (
    "Examples whose annotators do not all agree with the consensus, the most doubtful first. Look at these "
    "again, or have them labelled once more."
)


def key_numbers(run: Run) -> list[KeyNumber]:
    """Return the numbers at the head of the report; each says what it counts."""
    record = run.record
    return [
        KeyNumber(
            "mean consensus quality", f"{100 * record[c.OVERALL_HEALTH]:.2f} %", "estimated right", "health"
        ),
        KeyNumber("disputed examples", f"{record.num_issues:,}", "annotators do not all agree"),
        KeyNumber("examples", f"{record.num_annotated:,}", "with annotations"),
        KeyNumber("annotations", f"{record.num_annotations:,}"),
        KeyNumber("annotators", f"{record.num_annotators:,}"),
        KeyNumber("classes", f"{record.num_classes:,}"),
        KeyNumber("rejected rows", f"{record.num_rejected:,}"),
    ]


def sections(run: Run, issues: int) -> list[Section]:
    """Return the sections.

    Args:
        run: the run.
        issues: how many disputed examples to list.
    """
    annotators = first_rows(run.table(t.ANNOTATORS.name), ROWS, t.QUALITY, t.ANNOTATOR)
    disagreements = run.table(t.DISAGREEMENTS.name)
    pairs = first_rows(disagreements, ROWS, F.desc(t.ANNOTATIONS), t.CONSENSUS_LABEL, t.LABEL)
    return [
        Section(
            "annotators-section",
            "Annotators",
            "Annotators",
            text=[_ANNOTATOR_TEXT, *tell_cut(ROWS, run.record.num_annotators, t.ANNOTATORS)],
            tables=[
                ReportTable(
                    "annotators",
                    [
                        ReportColumn.of(annotators, t.ANNOTATOR, "annotator", "text"),
                        ReportColumn.of(annotators, t.QUALITY, "quality", "score"),
                        ReportColumn.of(annotators, t.AGREEMENT, "agreement", "score"),
                        ReportColumn.of(annotators, t.NUM_EXAMPLES, "examples", "count"),
                        ReportColumn.of(annotators, t.WORST_CLASS, "worst class", "text"),
                    ],
                    rows_at_once=25,
                )
            ],
        ),
        Section(
            "disagreement-section",
            "Disagreement",
            "Where annotators disagree",
            text=[_DISAGREEMENT_TEXT, *tell_cut(ROWS, disagreements.count(), t.DISAGREEMENTS)],
            tables=[
                ReportTable(
                    "disagreements",
                    [
                        ReportColumn.of(pairs, t.CONSENSUS_LABEL, "consensus", "text"),
                        ReportColumn.of(pairs, t.LABEL, "other label", "text"),
                        ReportColumn.of(pairs, t.ANNOTATIONS, "annotations", "noise"),
                        ReportColumn.of(pairs, c.EXAMPLES, "examples", "count"),
                    ],
                )
            ],
            otherwise="All annotations are the consensus.",
        ),
        Section(
            "disputed-section",
            "Disputed examples",
            "Disputed examples",
            text=[_DISPUTED_TEXT, *tell_cut(issues, run.record.num_issues, t.DISPUTED_EXAMPLES)],
            tables=[_disputed_table(run, issues)],
            otherwise="No example is disputed.",
        ),
    ]


def _disputed_table(run: Run, issues: int) -> ReportTable:
    rows = first_rows(run.table(t.DISPUTED_EXAMPLES.name), issues, c.RANK)
    return ReportTable(
        "disputed",
        [
            ReportColumn.of(rows, c.RANK, "rank", "count"),
            *[ReportColumn.of(rows, col, col, "text") for col in run.id_columns],
            ReportColumn.of(rows, t.CONSENSUS_LABEL, "consensus", "text"),
            ReportColumn.of(rows, t.CONSENSUS_QUALITY, "quality", "score"),
            ReportColumn.of(rows, t.ANNOTATOR_AGREEMENT, "agreement", "score"),
            ReportColumn.of(rows, t.NUM_ANNOTATIONS, "annotations", "count"),
        ],
        rows_at_once=25,
    )
