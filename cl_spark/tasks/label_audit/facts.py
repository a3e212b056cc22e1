"""The facts that the report of a label audit shows: few rows, whatever the size of the lake."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from operator import methodcaller
from typing import Any

import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from cl_spark.methods.classification.health import wilson_interval
from cl_spark.report.budget import limit_bytes
from cl_spark.runs.facts import RunFacts, read_or_empty, read_run_facts
from cl_spark.runs.report import DEFAULT_ISSUES
from cl_spark.tables import columns as c
from cl_spark.tables.finished_run import Run
from cl_spark.tasks.label_audit.tables import (
    CLASS_HEALTH,
    CONFIDENT_JOINT,
    ISSUES,
    OVERLAPPING_CLASSES,
    SCORE_DISTRIBUTION,
    SLICE_HEALTH,
)

CLASSES, PAIRS, CELLS, SLICES, DISTRIBUTIONS = 5_000, 1_000, 5_000, 1_000, 50
"""Most classes, pairs, cells of the confusion map, slices, and classes whose scores are drawn."""


@dataclass(frozen=True)
class Facts(RunFacts):
    """The facts of a finished label audit, read from its written tables.

    Attributes:
        id_columns: the columns that tell examples apart.
        review_columns: columns of the input that go with the issues.
        interval: 95 % interval of the overall health (Wilson).
        classes: `class_health`, worst first.
        pairs: `overlapping_classes`, most probable first.
        cells: off-diagonal cells of `confident_joint`, largest first.
        distribution: `score_distribution` of the worst classes.
        issues: the worst issues by rank, without images beyond what a page takes.
        slices: `slice_health`, surely worst first; empty where the run had no slices.
    """

    id_columns: list[str]
    review_columns: list[str]
    interval: tuple[float, float]
    classes: pd.DataFrame
    pairs: pd.DataFrame
    cells: pd.DataFrame
    distribution: pd.DataFrame
    issues: pd.DataFrame
    slices: pd.DataFrame

    @staticmethod
    def of(run: Run, issues: int = DEFAULT_ISSUES, common: RunFacts | None = None) -> "Facts":
        """Read the facts of a finished run.

        Args:
            run: the run.
            issues: how many issues to list, the worst first.
            common: the facts that every report shows, if they have been read.
        """
        common = common or read_run_facts(run)
        health = read_or_empty(run, CLASS_HEALTH)
        classes = _first(health, CLASSES, F.desc(c.LABEL_NOISE), c.CLASS).toPandas()
        cells = read_or_empty(run, CONFIDENT_JOINT).where(F.col(c.GIVEN_LABEL) != F.col(c.TRUE_LABEL))
        drawn = classes[c.CLASS].head(DISTRIBUTIONS).tolist()
        spread = read_or_empty(run, SCORE_DISTRIBUTION).where(F.col(c.CLASS).isin(drawn))
        listed = read_or_empty(run, ISSUES)
        review = [col for col in run.parameters.get("review_columns", []) if col in listed.columns]
        pairs = read_or_empty(run, OVERLAPPING_CLASSES)
        slices = read_or_empty(run, SLICE_HEALTH)
        tables = {
            "pairs": _first(pairs, PAIRS, F.desc(c.JOINT_PROBABILITY), c.CLASS_A, c.CLASS_B),
            "cells": _first(cells, CELLS, F.desc(c.CALIBRATED_COUNT), c.GIVEN_LABEL, c.TRUE_LABEL),
            "distribution": _first(spread, DISTRIBUTIONS * 1_000, c.CLASS, c.LOWER),
            "issues": _first(
                limit_bytes(listed.orderBy(c.RANK).limit(issues), review, c.RANK), issues, c.RANK
            ),
            "slices": _first(slices, SLICES, c.UPPER, c.SLICE_COLUMN, c.SLICE_VALUE),
        }
        with ThreadPoolExecutor(2) as pool:  # reading a small table is mostly waiting
            read = dict(zip(tables, pool.map(methodcaller("toPandas"), tables.values()), strict=True))
        return Facts(
            **{field.name: getattr(common, field.name) for field in fields(RunFacts)},
            id_columns=run.id_columns,
            review_columns=review,
            interval=wilson_interval(run.record[c.OVERALL_HEALTH], run.record["num_examples"]),
            classes=classes,
            **read,
        )


def _first(frame: DataFrame, rows: int, *order: Any) -> DataFrame:
    return frame.orderBy(*order).limit(rows)
