"""The same answer whatever the partitioning and the order; statistics merge; passes are counted."""

import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession

from cl_spark import LabelAudit
from cl_spark.evidence.blocks import PARTS
from cl_spark.evidence.packing import unpack_blocks
from cl_spark.methods.classification.confident_joint import count_cells
from cl_spark.tables import columns as c
from tests.frames import predictions
from tests.oracle.datasets import dataset

pytestmark = pytest.mark.matrix
DATA = dataset(51, 900, 6, digits=3, imbalance=0.5)


def bytes_of(frame: DataFrame, *keys: str) -> bytes:
    rows = frame.orderBy(*keys).toPandas()
    return rows.to_csv().encode() + b"".join(
        column.to_numpy().tobytes() for _, column in rows.items() if column.dtype.kind in "fi"
    )


def answers(df: DataFrame, *, every_score: bool = True) -> dict[str, bytes]:
    with LabelAudit(df) as audit:
        health = audit.health_summary()
        scores = {
            "entropy": lambda: bytes_of(
                audit.label_quality_scores(method="confidence_weighted_entropy"), "id"
            ),
            "adjusted": lambda: bytes_of(audit.label_quality_scores(adjust_pred_probs=True), "id"),
        }
        return {name: score() for name, score in scores.items() if every_score} | {
            "issues": bytes_of(audit.find_label_issues(), "rank"),
            "by class": bytes_of(
                audit.find_label_issues(filter_by="prune_by_class", rank_by="normalized_margin"), "rank"
            ),
            "thresholds": bytes_of(audit.confident_thresholds(), "class"),
            "joint": bytes_of(audit.confident_joint_table(), "given_label", "true_label"),
            "classes": bytes_of(health.class_health, "class"),
            "pairs": bytes_of(health.overlapping_classes, "class_a", "class_b"),
        }


@pytest.mark.slow
def test_the_same_bytes_for_any_partitioning_and_order(spark: SparkSession) -> None:
    first = answers(predictions(spark, DATA.labels, DATA.probs, partitions=1, seed=0))
    for partitions, seed in ((2, 1), (7, 2)):
        assert (
            answers(predictions(spark, DATA.labels, DATA.probs, partitions=partitions, seed=seed)) == first
        ), partitions
    # scores are of single rows: 200 Python tasks for each would prove nothing more
    many = answers(predictions(spark, DATA.labels, DATA.probs, partitions=200, seed=3), every_score=False)
    assert many == {name: first[name] for name in many}


@pytest.mark.slow
def test_the_same_bytes_without_adaptive_execution(spark: SparkSession) -> None:
    df = predictions(spark, DATA.labels, DATA.probs)
    first = answers(df)
    spark.conf.set("spark.sql.adaptive.enabled", "false")
    try:
        assert answers(df) == first
    finally:
        spark.conf.unset("spark.sql.adaptive.enabled")


def test_sums_do_not_depend_on_the_order_of_addition(spark: SparkSession) -> None:
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.random(3000), rng.random(3000) * 1e-12, 1 - rng.random(3000) * 1e-12])
    probs, labels = np.stack([values, 1 - values], axis=1), np.zeros(len(values), dtype=int)
    exact = float(sum(map(__import__("fractions").Fraction, values.tolist())) / len(values))
    for seed in (1, 2):
        with LabelAudit(predictions(spark, labels, probs, seed=seed, partitions=5)) as audit:
            assert audit.statistics.thresholds()[0] == pytest.approx(exact, abs=1e-16)


def test_statistics_of_two_parts_add_up_to_those_of_the_whole(spark: SparkSession) -> None:
    def statistics(rows: slice) -> Any:
        with LabelAudit(
            predictions(spark, DATA.labels[rows], DATA.probs[rows]), class_names=list("abcdef")
        ) as audit:
            return audit.statistics

    a, b, whole = statistics(slice(0, 300)), statistics(slice(300, 900)), statistics(slice(0, 900))
    assert a + b == whole
    assert (a + b).thresholds().tolist() == whole.thresholds().tolist()


def test_joint_counts_of_two_parts_add_up_to_those_of_the_whole(spark: SparkSession) -> None:
    df = predictions(spark, DATA.labels, DATA.probs)
    with LabelAudit(df) as audit:
        thresholds = audit.statistics.thresholds().tolist()

    def counts(part: DataFrame) -> pd.Series:
        with LabelAudit(part, thresholds=thresholds, num_classes=6) as audit:
            return audit._scan.joint.counted.frame.set_index([c.GIVEN, c.CONFIDENT, "_suspect"])["count"]

    parts = counts(df.where("id < 200")).add(counts(df.where("id >= 200")), fill_value=0)
    pd.testing.assert_series_equal(parts.astype(int).sort_index(), counts(df).sort_index(), check_dtype=False)


@pytest.mark.classic
def test_an_audit_runs_no_more_jobs_than_it_did(spark: SparkSession) -> None:
    """Raise a number only knowingly: each job is a pass over the evidence, or bookkeeping of a query."""
    tracker = spark.sparkContext.statusTracker()

    def jobs(name: str, action: Any) -> int:
        spark.sparkContext.setJobGroup(name, name)
        action()
        spark.sparkContext.setLocalProperty("spark.jobGroup.id", None)
        return len(tracker.getJobIdsForGroup(name))

    spark.conf.set("spark.sql.adaptive.enabled", "false")  # it splits a query into one job per stage
    try:
        with LabelAudit(predictions(spark, DATA.labels, DATA.probs)) as audit:
            # the sums, the ranges of ids, the ids; and in Spark 3.5 one for the cache
            assert jobs("statistics", lambda: audit.statistics) <= 3 + spark.version.startswith("3.")
            assert jobs("thresholds", lambda: audit.confident_thresholds().collect()) == 0
            assert jobs("joint", lambda: audit.confident_joint().collect()) <= 5  # with rows to examine
            assert jobs("again", lambda: audit.num_label_issues()) == 0
            assert jobs("health", lambda: audit.health_summary()) == 0
            assert jobs("issues", lambda: audit.find_label_issues().collect()) <= 7  # one tier of choices
            for name in ("prune_by_class", "low_self_confidence", "predicted_neq_given"):
                assert jobs(name, lambda kind=name: audit.find_label_issues(filter_by=kind).collect()) == 1
    finally:
        spark.conf.unset("spark.sql.adaptive.enabled")


@pytest.mark.classic
def test_the_evidence_reads_the_data_once_and_drops_the_arrays(spark: SparkSession, tmp_path: Any) -> None:
    path = str(tmp_path / "predictions")
    predictions(spark, DATA.labels, DATA.probs).write.parquet(path)
    with LabelAudit(spark.read.parquet(path)) as audit:
        issues = audit.find_label_issues()
        audit.health_summary()
        plan = issues._jdf.queryExecution().executedPlan().toString()
    assert "FileScan" not in plan.split("InMemoryRelation")[0], (
        "issues must come from the evidence, not from the table"
    )


@pytest.mark.slow
@pytest.mark.classic
def test_no_array_column_follows_the_evidence_projection(
    spark: SparkSession, tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(7)
    probs = rng.dirichlet(np.full(80, 0.05), 400)
    labels = np.where(rng.random(400) < 0.2, rng.integers(0, 80, 400), probs.argmax(axis=1))
    predictions(spark, labels, probs).write.parquet(str(tmp_path / "predictions"))
    with LabelAudit(spark.read.parquet(str(tmp_path / "predictions"))) as audit:
        kept = sum(
            len(block.kept.rows)
            for block in unpack_blocks(audit._scan.evidence.packed.select("rows", *PARTS)._collect_as_arrow())
        )
        assert kept < audit.num_examples / 2
        answers = {
            "statistics": audit._scan.evidence.packed,
            "scores": audit.label_quality_scores(),
            "joint": count_cells(
                audit._scan.blocks, audit._scan.thresholds, audit.predictions.prob_format, ("listed",), 3
            ),
            "issues": audit.find_label_issues(),
            "both": audit.find_label_issues(filter_by="both"),
            "by_class": audit.find_label_issues(filter_by="prune_by_class"),
            "entropy": audit.label_quality_scores(method="confidence_weighted_entropy"),
        }
        for name, answer in answers.items():
            answer.explain()
            lines = capsys.readouterr().out.splitlines()
            carriers = [
                re.sub(r"^\*\(\d+\) ", "", line.lstrip(" :+-")).split(" ")[0]
                for line in lines
                if c.PROBS in line
            ]
            maps = {"MapInArrow", "PythonMapInArrow"}
            assert set(carriers) <= {*maps, "Project"}, f"{name} carries arrays on"
            assert carriers[0] in maps, "what comes after the evidence carries no arrays"
            if name in ("scores", "joint"):
                assert not any("kept" in line for line in lines if "InMemoryTableScan" in line), (
                    f"{name} reads kept arrays"
                )
