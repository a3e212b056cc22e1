"""Test tables: arrays to DataFrames and back."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pyspark.sql import DataFrame, Row, SparkSession

from cl_spark.runs.history import find_baseline
from cl_spark.tables.finished_run import Run
from cl_spark.tables.results import ResultTables
from cl_spark.tables.schema import REJECTED, runs_table
from cl_spark.tasks.label_audit.config import AuditConfig
from cl_spark.tasks.label_audit.tables import NUMBERS, TABLES
from cl_spark.tasks.label_audit.task import AuditResult, run_audit

EVERY_TABLE = (*TABLES, REJECTED, runs_table(NUMBERS))
"""What a label audit writes."""


def predictions(
    spark: SparkSession,
    labels: Any,
    probs: Any,
    *,
    partitions: int = 3,
    seed: int = 0,
    element: str = "double",
) -> DataFrame:
    """A predictions table with ids 0.., its rows shuffled over partitions so that order bugs show."""
    order = np.random.default_rng(seed).permutation(len(labels))
    frame = pd.DataFrame(
        {"id": order, "label": np.asarray(labels)[order], "pred_probs": np.asarray(probs)[order].tolist()}
    )
    return spark.createDataFrame(frame, f"id long, label int, pred_probs array<{element}>").repartition(
        partitions
    )


def content(tables: ResultTables, run_id: str) -> dict[str, list[str]]:
    """All rows of a run by table, but for the times in `runs`."""
    volatile = ["started", "finished", "parameters"]
    attempt = tables.recorded_attempt(run_id)
    return {
        table.name: sorted(map(str, tables.read_run(table, run_id, attempt).drop(*volatile).collect()))
        for table in EVERY_TABLE
        if tables.has(table)
    }


def ids(issues: DataFrame) -> set[int]:
    """The ids of an issues table."""
    return {row.id for row in issues.select("id").collect()}


def dense(cells: DataFrame, value: str, classes: int) -> np.ndarray:
    """A cell table as a K×K array [given, true]."""
    array = np.zeros((classes, classes))
    for row in cells.select("given_label", "true_label", value).collect():
        array[row.given_label, row.true_label] = row[value]
    return array


def by_class(table: DataFrame, value: str, key: str = "class") -> np.ndarray:
    """A column of a table of K rows, in the order of the classes."""
    return table.toPandas().sort_values(key)[value].to_numpy()


def audit(spark: SparkSession, predictions: str, output: Path | str, **values: Any) -> AuditResult:
    """A run of the label audit, into Parquet unless told otherwise."""
    options = {"predictions": predictions, "output": str(output), "format": "parquet", **values}
    return run_audit(spark, AuditConfig(**options))


def baseline_of(tables: ResultTables, source: str, run_id: str) -> Run | None:
    """The baseline of a run of a source."""
    return find_baseline(tables, Run(run_id, Row(source=source, task="label_audit"), tables))


HOSTILE = [
    "<img src=x onerror=window.hacked=1>",
    "</script><script>window.hacked=1</script>",
    "{{ 7 * 7 }} '\"&\u2028",
]
"""Texts of data that must stay texts on a page."""
