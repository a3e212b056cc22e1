"""The sections of a report on verdicts, read from the written tables."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from cl_spark.methods.review import columns as q
from cl_spark.methods.review import validated_quality as v
from cl_spark.methods.review.estimates import Estimate
from cl_spark.methods.review.validated_quality import show_estimate
from cl_spark.methods.review.verdicts import (
    CORRECTED_LABEL,
    DECIDED,
    NOT_AN_ERROR,
    NUM_ANSWERS,
    PENDING,
    QUEUED,
    VERDICT,
    VERDICTS,
    VOTES,
)
from cl_spark.report.sections import KeyNumber, ReportColumn, ReportTable, Section
from cl_spark.runs.facts import first_rows
from cl_spark.tables import columns as c
from cl_spark.tables.finished_run import Run
from cl_spark.tasks.verdicts.tables import (
    NUM_OF,
    NUM_PENDING,
    NUM_QUEUED,
    REVIEW_PROGRESS,
    ROWS,
    VALIDATED_QUALITY,
    VERDICT_TABLE,
)

_QUALITY_TEXT = (
    "Precision is the share of the issues whose label is wrong, recall the share of all wrong labels that "
    "are issues. Both are estimated for the whole table from the rows that people have decided about, with "
    "95 % intervals. Where part of the rows has no sample, nothing is known."
)
_VERDICT_TEXT = (
    "An answer decides if it has enough votes: given says that the label is not an error, suggested that the "
    "suggested label is right, both and neither that the example has no one right label (prune). Where no "
    "answer has enough, people do not agree: an error, too."
)
_SHOWN = (v.PRECISION, v.RECALL, v.ESTIMATED_ERRORS)


def order_estimates(run: Run) -> DataFrame:
    """Read the estimates in the order of the metrics; precision at k by k."""
    place = F.coalesce(
        *[F.when(F.col(v.METRIC) == name, F.lit(i)) for i, name in enumerate(_SHOWN)], F.lit(len(_SHOWN))
    )
    # of names that end with a number, the longer one has the greater number
    return run.table(VALIDATED_QUALITY.name).orderBy(place, F.length(v.METRIC), v.METRIC)


def read_estimates(run: Run) -> dict[str, Estimate]:
    """Read the estimates of a run by their metrics."""
    return {
        row[v.METRIC]: Estimate(row[v.VALUE], row[c.LOWER], row[c.UPPER], row[v.EXAMPLES])
        for row in order_estimates(run).collect()
    }


def key_numbers(run: Run) -> list[KeyNumber]:
    """Return the numbers at the head of the report; each says what it counts."""
    record, estimates = run.record, read_estimates(run)
    decided = record[NUM_QUEUED] - record[NUM_PENDING]
    titles = {
        v.PRECISION: "precision of the issues",
        v.RECALL: "recall of the issues",
        v.ESTIMATED_ERRORS: "wrong labels in the table",
    }
    shown = {name: show_estimate(estimates[name], name) for name in titles if name in estimates}
    return [
        *[
            KeyNumber(titles[name], text.partition(" (")[0], text.partition(" (")[2].rstrip(")"), name)
            for name, text in shown.items()
        ],
        KeyNumber("rows decided", f"{decided:,}", f"of {record[NUM_QUEUED]:,} in the queue"),
        *[KeyNumber(name.replace("_", " "), f"{record[NUM_OF[name]]:,}") for name in VERDICTS],
        KeyNumber("answers", f"{record.num_examples:,}", f"{record.num_rejected:,} more were rejected"),
    ]


def sections(run: Run, issues: int) -> list[Section]:
    """Return the sections: validated quality, progress of the review, verdicts, wrong labels.

    Args:
        run: the run.
        issues: how many wrong labels to list.
    """
    return [
        Section(
            "quality-section",
            "Quality",
            "Validated quality",
            text=[_QUALITY_TEXT],
            tables=[_quality_table(run)],
            otherwise="Nobody has decided about a row yet.",
        ),
        Section(
            "progress-section",
            "Progress",
            "Progress of the review",
            tables=[_progress_table(run)],
            otherwise="The queue has no rows.",
        ),
        Section(
            "verdicts-section", "Verdicts", "Verdicts", text=[_VERDICT_TEXT], tables=[_verdict_table(run)]
        ),
        Section(
            "errors-section",
            "Wrong labels",
            "Wrong labels",
            tables=[_error_table(run, issues)],
            otherwise="None is listed.",
        ),
    ]


def _quality_table(run: Run) -> ReportTable:
    rows = order_estimates(run).toPandas()
    texts = [show_estimate(one, name) for name, one in read_estimates(run).items()]
    return ReportTable(
        "quality",
        [
            ReportColumn("metric", "text", [str(name).replace("_", " ") for name in rows[v.METRIC]]),
            ReportColumn("estimate and 95 % interval", "text", list(texts)),
            ReportColumn.of(rows, v.EXAMPLES, "verdicts", "count"),
        ],
        rows_at_once=25,
    )


def _progress_table(run: Run) -> ReportTable:
    rows = run.table(REVIEW_PROGRESS.name).toPandas()
    order = {name: i for i, name in enumerate(v.STRATA)}
    rows = rows.sort_values(q.STRATUM, key=lambda names: names.map(order), ignore_index=True)
    return ReportTable(
        "progress",
        [
            ReportColumn.of(rows, q.STRATUM, "stratum", "text"),
            ReportColumn.of(rows, ROWS, "rows of the whole table", "count"),
            ReportColumn.of(rows, QUEUED, "in the queue", "count"),
            ReportColumn.of(rows, DECIDED, "decided", "count"),
            ReportColumn.of(rows, PENDING, "pending", "count"),
        ],
    )


def _verdict_table(run: Run) -> ReportTable:
    counts = run.table(VERDICT_TABLE.name).groupBy(VERDICT).pivot(q.STRATUM, list(v.STRATA)).count()
    rows = counts.na.fill(0).toPandas()
    rows = rows.sort_values(VERDICT, key=lambda names: names.map(VERDICTS.index), ignore_index=True)
    return ReportTable(
        "verdicts",
        [
            ReportColumn("verdict", "text", [str(name).replace("_", " ") for name in rows[VERDICT]]),
            *[ReportColumn.of(rows, name, name, "count") for name in v.STRATA],
        ],
    )


def _error_table(run: Run, issues: int) -> ReportTable:
    errors = run.table(VERDICT_TABLE.name).where(F.col(VERDICT) != NOT_AN_ERROR)
    rows = first_rows(errors, issues, F.asc_nulls_last(q.ISSUE_RANK), c.RANK)
    return ReportTable(
        "errors",
        [
            *[ReportColumn.of(rows, col, col, "text") for col in run.id_columns],
            ReportColumn.of(rows, c.GIVEN_LABEL, "given label", "text"),
            ReportColumn.of(rows, c.SUGGESTED_LABEL, "suggested label", "text"),
            ReportColumn("verdict", "text", [str(name).replace("_", " ") for name in rows[VERDICT]]),
            ReportColumn.of(rows, CORRECTED_LABEL, "corrected label", "text"),
            ReportColumn.of(rows, NUM_ANSWERS, "answers", "count"),
            *[ReportColumn.of(rows, col, col.replace("_", " "), "count") for col in VOTES.values()],
        ],
        rows_at_once=25,
    )
