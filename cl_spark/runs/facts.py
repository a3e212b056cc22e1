"""The facts of a run that every report shows: a bounded number of rows, whatever the size of the lake."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from cl_spark.errors import InputError
from cl_spark.tables import columns as c
from cl_spark.tables.finished_run import Run, finished_runs
from cl_spark.tables.schema import REJECTED, Table
from cl_spark.tables.times import zoned_column

TREND_RUNS, REASONS = 50, 100
"""How many runs and reasons a report shows, at most."""


@dataclass(frozen=True)
class RunFacts:
    """The facts of a finished run that every report shows.

    Attributes:
        run_id: the run.
        record: its row in `runs`.
        parameters: the configuration it ran with.
        trend: finished runs of the same task and source up to this one, earliest first: run_id, finished,
            overall_health, num_issues; times in UTC.
        rejected: reason, rows and a first id.
    """

    run_id: str
    record: dict[str, Any]
    parameters: dict[str, Any]
    trend: pd.DataFrame
    rejected: pd.DataFrame


def read_run_facts(run: Run) -> RunFacts:
    """Read the facts that every report shows."""
    same = finished_runs(run.tables).where(
        (F.col("source") == run.record["source"])
        & (F.col(c.TASK) == run.task)
        & (F.col("finished") <= run.record["finished"])
    )
    latest = same.orderBy(F.desc("finished"), c.RUN_ID).limit(TREND_RUNS)
    # seconds: as times they would lose their zone on the way to pandas
    seconds = F.col("finished").cast("long").alias("finished")
    trend = latest.select(c.RUN_ID, seconds, c.OVERALL_HEALTH, c.NUM_ISSUES).toPandas()[::-1]
    trend = trend.assign(finished=pd.to_datetime(trend["finished"], unit="s", utc=True))
    rejected = pd.DataFrame(columns=[c.REASON, "rows", "id"])
    if run.record["num_rejected"]:
        reasons = first_reasons(read_or_empty(run, REJECTED, run.id_columns), run.id_columns)
        rejected = reasons.limit(REASONS).toPandas()
    return RunFacts(run.run_id, run.record.asDict(), run.parameters, trend, rejected)


def first_rows(frame: DataFrame, rows: int, *order: Any) -> pd.DataFrame:
    """Read the first rows of a table in some order, as many as a page shows."""
    return frame.orderBy(*order).limit(rows).toPandas()


def tell_cut(shown: int, number: int, table: Table) -> list[str]:
    """Tell that a page shows the first rows of a table only; nothing where it shows all, or none.

    Args:
        shown: rows that are shown.
        number: rows that there are.
        table: the table.
    """
    if not 0 < shown < number:
        return []
    return [f"The first {shown:,} of {number:,}; the others are in the table {table.name}."]


def read_or_empty(run: Run, table: Table, more: Sequence[str] = ()) -> DataFrame:
    """Read the run's rows of a table; none where there is no such table, as in runs of earlier versions.

    Args:
        run: the run.
        table: the table.
        more: further columns that an empty one has, as text.
    """
    try:
        return run.table(table.name)
    except InputError:
        own = [
            column
            for column in table.columns
            if column.name not in (c.RUN_ID, c.ATTEMPT) and "<" not in column.name
        ]
        types = {column.name: "string" if column.type == "label" else column.type for column in own}
        types |= dict.fromkeys(more, "string")
        return run.tables.spark.createDataFrame([], ", ".join(f"{c.quoted(n)} {t}" for n, t in types.items()))


def first_reasons(rejected: DataFrame, id_columns: Sequence[str]) -> DataFrame:
    """Count rejected rows by reason, most frequent first, with an id of each (the first as text)."""
    ids = [zoned_column(rejected.schema[col]).cast("string") for col in id_columns]
    lowest = F.min(F.concat_ws(", ", *ids)).alias("id")
    reasons = rejected.groupBy(c.REASON).agg(F.count(F.lit(1)).alias("rows"), lowest)
    return reasons.orderBy(F.desc("rows"), c.REASON)
