"""What a report says of a run, read from the written tables alone: a bounded number of rows, whatever the size of the lake."""

from dataclasses import dataclass
from typing import Any

import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from cl_spark.classification.health import interval
from cl_spark.errors import InputError
from cl_spark.tables import columns as c
from cl_spark.tables.finished_run import Run, finished_runs

RUNS, CLASSES, PAIRS, CELLS, SLICES, DISTRIBUTIONS = 50, 5_000, 1_000, 5_000, 1_000, 50
"""Most runs, classes, pairs, cells of the confusion map, slices, and classes whose scores are drawn."""


@dataclass(frozen=True)
class Facts:
    """What is known of a finished run.

    Attributes:
        run_id: the run.
        record: its row in `runs`.
        parameters: the configuration it ran with.
        id_columns: the columns that tell examples apart.
        review_columns: columns of the input that go with the issues.
        interval: 95 % interval of the overall health (Wilson).
        trend: finished runs of the same source up to this one, earliest first: run_id, finished, overall_health, num_issues.
        classes: `class_health`, worst first.
        pairs: `overlapping_classes`, most probable first.
        cells: off-diagonal cells of `confident_joint`, largest first.
        distribution: `score_distribution` of the worst classes.
        issues: the worst issues by rank.
        slices: `slice_health`, surely worst first; empty where the run had no slices.
        rejected: reason, rows and a first id.
    """

    run_id: str
    record: dict[str, Any]
    parameters: dict[str, Any]
    id_columns: list[str]
    review_columns: list[str]
    interval: tuple[float, float]
    trend: pd.DataFrame
    classes: pd.DataFrame
    pairs: pd.DataFrame
    cells: pd.DataFrame
    distribution: pd.DataFrame
    issues: pd.DataFrame
    slices: pd.DataFrame
    rejected: pd.DataFrame

    @staticmethod
    def of(run: Run, issues: int = 1_000) -> "Facts":
        """The facts of a finished run.

        Args:
            run: the run.
            issues: how many issues to list, the worst first.
        """
        record = run.record.asDict()
        quality = F.col(c.LABEL_QUALITY)
        classes = _first(_table(run, c.CLASS_HEALTH), CLASSES, quality, c.CLASS)
        of_source = finished_runs(run.tables).where(
            (F.col("source") == record["source"]) & (F.col("finished") <= record["finished"])
        )
        cells = _table(run, c.CONFIDENT_JOINT).where(F.col(c.GIVEN_LABEL) != F.col(c.TRUE_LABEL))
        spread = _table(run, c.SCORE_DISTRIBUTION).where(
            F.col(c.CLASS).isin(classes[c.CLASS].head(DISTRIBUTIONS).tolist())
        )
        refused = _table(run, c.REJECTED)
        example = F.min(F.concat_ws(", ", *[F.col(c.quoted(col)).cast("string") for col in run.id_columns]))
        reasons = refused.groupBy(c.REASON).agg(F.count(F.lit(1)).alias("rows"), example.alias("id"))
        listed = _table(run, c.ISSUES)
        return Facts(
            run_id=run.run_id,
            record=record,
            parameters=run.parameters,
            id_columns=run.id_columns,
            review_columns=[col for col in run.parameters.get("review_columns", []) if col in listed.columns],
            interval=interval(record["overall_health"], record["num_examples"]),
            trend=_first(
                of_source.select(c.RUN_ID, "finished", "overall_health", "num_issues"),
                RUNS,
                F.desc("finished"),
            )[::-1],
            classes=classes,
            pairs=_first(
                _table(run, c.OVERLAPPING_CLASSES), PAIRS, F.desc(c.JOINT_PROBABILITY), c.CLASS_A, c.CLASS_B
            ),
            cells=_first(cells, CELLS, F.desc(c.CALIBRATED_COUNT), c.GIVEN_LABEL, c.TRUE_LABEL),
            distribution=_first(spread, DISTRIBUTIONS * 1_000, c.CLASS, "lower"),
            issues=_first(listed, issues, c.RANK),
            slices=_first(_table(run, c.SLICE_HEALTH), SLICES, "upper", "slice_column", "slice_value"),
            rejected=_first(reasons, 100, F.desc("rows"), c.REASON),
        )


def _table(run: Run, table: c.Table) -> DataFrame:
    """The run's rows of a table; none where there is no such table, as in runs of earlier versions or without slices."""
    try:
        return run.table(table.name)
    except InputError:
        columns = [
            column for column in table.columns if column.name != c.RUN_ID and not column.name.startswith("<")
        ]
        kinds = {"label": "string"}
        schema = ", ".join(f"{column.name} {kinds.get(column.type, column.type)}" for column in columns)
        return run.tables.spark.createDataFrame([], schema)


def _first(frame: DataFrame, rows: int, *order: Any) -> pd.DataFrame:
    return frame.orderBy(*order).limit(rows).toPandas()
