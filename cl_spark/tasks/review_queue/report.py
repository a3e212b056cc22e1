"""The section of a report on a review queue, read from its written table."""

import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from cl_spark.methods.review import columns as q
from cl_spark.report.sections import KeyNumber, ReportColumn, ReportTable, Section
from cl_spark.runs.facts import first_rows
from cl_spark.tables import columns as c
from cl_spark.tables.finished_run import Run
from cl_spark.tasks.review_queue.tables import AUDIT_RUN, NUM_FLAGGED, NUM_TOP, NUM_UNFLAGGED, REVIEW_QUEUE

_TEXT = (
    "Top rows are the issues that were taken by rank. Flagged rows are drawn at random from the issues that "
    "are left, and unflagged rows from the labels that are no issues. These random rows show how many "
    "issues are really wrong labels, and how many wrong labels are no issues. All stand in one random order, "
    "so that their place tells nothing of them."
)


def count_strata(queue: DataFrame) -> pd.DataFrame:
    """Count the rows of a queue by stratum: stratum, rows, inclusion_probability."""
    counts = queue.groupBy(q.STRATUM).agg(
        F.count(F.lit(1)).alias("rows"), F.max(q.INCLUSION_PROBABILITY).alias(q.INCLUSION_PROBABILITY)
    )
    order = F.when(F.col(q.STRATUM) == q.TOP, 0).when(F.col(q.STRATUM) == q.FLAGGED, 1).otherwise(2)
    return counts.orderBy(order).toPandas()


def key_numbers(run: Run) -> list[KeyNumber]:
    """Return the numbers at the head of the report; each says what it counts."""
    record = run.record
    return [
        KeyNumber("rows to look at", f"{record.num_issues:,}", f"of run {record[AUDIT_RUN]}"),
        KeyNumber("issues taken by rank", f"{record[NUM_TOP]:,}"),
        KeyNumber("other issues", f"{record[NUM_FLAGGED]:,}", "some are drawn"),
        KeyNumber("labels that are no issues", f"{record[NUM_UNFLAGGED]:,}", "some are drawn"),
    ]


def sections(run: Run, rows: int) -> list[Section]:
    """Return the section of the queue: its strata, and its first rows.

    Args:
        run: the run.
        rows: how many rows to list.
    """
    queue = run.table(REVIEW_QUEUE.name)
    strata = count_strata(queue)
    whole = {
        q.TOP: run.record[NUM_TOP],
        q.FLAGGED: run.record[NUM_FLAGGED],
        q.UNFLAGGED: run.record[NUM_UNFLAGGED],
    }
    strata["whole"] = strata[q.STRATUM].map(whole)
    # without the stratum: who reviews by the report should not see it
    shown = queue.select(
        *map(c.quoted, run.id_columns), c.GIVEN_LABEL, c.SUGGESTED_LABEL, c.LABEL_QUALITY, q.PLACE
    )
    first = first_rows(shown, rows, q.PLACE)
    return [
        Section(
            "queue-section",
            "Queue",
            "Rows to look at",
            text=[_TEXT],
            tables=[
                ReportTable(
                    "strata",
                    [
                        ReportColumn.of(strata, q.STRATUM, "stratum", "text"),
                        ReportColumn.of(strata, "rows", "rows to look at", "count"),
                        ReportColumn.of(strata, "whole", "rows of the stratum", "count"),
                        ReportColumn.of(strata, q.INCLUSION_PROBABILITY, "inclusion probability", "score"),
                    ],
                    heading="Strata",
                ),
                ReportTable(
                    "queue",
                    [
                        ReportColumn.of(first, q.PLACE, "place", "count"),
                        *[ReportColumn.of(first, col, col, "text") for col in run.id_columns],
                        ReportColumn.of(first, c.GIVEN_LABEL, "given label", "text"),
                        ReportColumn.of(first, c.SUGGESTED_LABEL, "suggested label", "text"),
                        ReportColumn.of(first, c.LABEL_QUALITY, "label quality", "score"),
                    ],
                    heading="First rows",
                    rows_at_once=25,
                ),
            ],
            otherwise="The queue has no rows.",
        )
    ]
