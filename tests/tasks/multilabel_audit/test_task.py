"""The multi-label audit as a run: its tables, report and command come from the machinery."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import SparkSession

from cl_spark import (
    ConfigurationError,
    DoubtfulInputError,
    MultilabelAudit,
    MultilabelAuditConfig,
    run_multilabel_audit,
)
from cl_spark.runs.config import load_config
from cl_spark.runs.result import RunResult
from cl_spark.tables.pandas_frames import to_spark
from cl_spark.tasks.label_audit.check import check
from cl_spark.tasks.multilabel_audit.task import MULTILABEL_AUDIT
from cl_spark.terminal.command_line import exit_code

pytestmark = [pytest.mark.matrix, pytest.mark.tables]

NAMES = ["bird", "car", "dog", "sea"]


def photos(n: int = 300) -> pd.DataFrame:
    """Photos with tags, some of them wrong; two that cannot be used."""
    rng = np.random.default_rng(4)
    true = rng.random((n, 4)) < [0.2, 0.3, 0.4, 0.5]
    given = true ^ (rng.random((n, 4)) < 0.05)
    probs = 1 / (1 + np.exp(-rng.normal(np.where(true, 2.5, -2.5), 1)))
    frame = pd.DataFrame({"id": range(n), "source": np.where(rng.random(n) < 0.5, "a", "b")})
    frame["url"] = [f"http://host/{i}.png" for i in range(n)]
    frame["labels"] = [np.array(NAMES)[row].tolist() for row in given]
    frame["pred_probs"] = probs.round(4).tolist()
    frame.at[n - 1, "labels"] = ["bird", "cow"]
    frame.at[n - 2, "labels"] = None
    return frame


@pytest.fixture(scope="module")
def table(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = str(tmp_path_factory.mktemp("input") / "photos")
    to_spark(photos(), spark).repartition(3).write.parquet(path)
    return path


@pytest.fixture(scope="module")
def result(spark: SparkSession, table: str, tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    config = MultilabelAuditConfig(
        predictions=table, output=str(tmp_path_factory.mktemp("output")), run_id="first", class_names=NAMES,
        slice_by=["source"], label_scores=True, report=True, review_columns=["url"],
        gates=["multilabel_health.class_quality >= 0.99", "overall_health >= 0.1"],
    )  # fmt: skip
    return run_multilabel_audit(spark, config)


def lines(df: Any) -> list[str]:
    return sorted(map(str, df.collect()))


def test_it_writes_what_the_audit_answers(spark: SparkSession, table: str, result: RunResult) -> None:
    with MultilabelAudit(spark.read.parquet(table), class_names=NAMES, slice_by=["source"]) as audit:
        health = audit.health_summary()
        for name, expected in {
            "multilabel_issues": audit.find_label_issues(),
            "class_issues": audit.find_label_issues_per_class(),
            "multilabel_health": health.class_health,
            "missing_together": health.missing_together,
            "slice_health": audit.slice_health(),
            "multilabel_scores": audit.label_quality_scores(),
            "rejected": audit.rejected(),
        }.items():
            assert lines(result.run.table(name).select(expected.columns)) == lines(expected), name
        assert result.num_examples == audit.num_examples == 298
        assert result.overall_health == 1 - audit.num_label_issues() / 298
        slices = audit.slice_health().toPandas()
    assert slices["examples"].sum() == 298
    assert slices["off_diagonal_issues"].sum() == result.run.record.off_diagonal_issues > 0
    assert result.rejected == {"null label": 1, "unknown class name": 1}
    assert len(result.failed_gates) == 1
    assert result.run.table("multilabel_scores").where("is_issue").count() == result.num_issues > 0
    urls = photos().set_index("id")["url"]
    assert all(row.url == urls[row.id] for row in result.run.table("multilabel_issues").collect())


def test_the_report_shows_classes_and_issues(result: RunResult) -> None:
    page = Path(str(result.report)).read_text(encoding="utf-8")
    for heading in (
        "Multi-label audit",
        "Classes, most issues first",
        "Single labels",
        "Slices, surely worst",
    ):
        assert heading in page


def test_first_rows_can_be_looked_at(spark: SparkSession, table: str, tmp_path: Path) -> None:
    options = {"output": str(tmp_path / "o"), "class_names": NAMES, "max_rejected_fraction": 0.1}
    config = MultilabelAuditConfig(predictions=table, **options)
    checked = check(spark, config, 100, MULTILABEL_AUDIT)
    assert checked.rows == 100
    assert checked.num_classes == 4
    assert not checked.unknown_classes


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"adjust_pred_probs": True}, "adjust_pred_probs: not of sets of labels"),
        ({"num_to_remove_per_class": [1]}, "num_to_remove_per_class: not of sets of labels"),
        ({"num_issues": "off_diagonal"}, "num_issues: of sets of labels it is a number"),
        ({"predictions": None}, "predictions: needed"),
        ({"label_col": "labels"}, "label_col: unknown key"),
    ],
)
def test_options_of_other_tasks_are_refused(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        load_config(MultilabelAuditConfig, None, {"predictions": "./x", "output": "./o", **options})


def test_doubts_about_the_input_are_those_of_the_audit(spark: SparkSession, tmp_path: Path) -> None:
    rows = [(i, [i % 3 + 1], [0.5] * 3) for i in range(6)]
    df = spark.createDataFrame(rows, "id int, labels array<int>, pred_probs array<double>")
    df.write.parquet(f"{tmp_path}/in")
    config = MultilabelAuditConfig(
        predictions=f"{tmp_path}/in", output=f"{tmp_path}/out", on_warning="fail", max_rejected_fraction=0.5
    )
    with pytest.raises(DoubtfulInputError, match=r"labels look 1-based: .* \(labels_one_based\)"):
        run_multilabel_audit(spark, config)


def test_what_makes_no_sense_is_refused_before_anything_is_read(spark: SparkSession, table: str) -> None:
    config = MultilabelAuditConfig(
        predictions=table, output="./o", class_names=NAMES, filter_by="off_diagonal"
    )
    with pytest.raises(ConfigurationError, match="is not a filter of several labels"):
        run_multilabel_audit(spark, config)


@pytest.mark.classic
def test_the_command_takes_the_task(table: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = str(tmp_path / "out")
    flags = [
        "--task",
        "multilabel",
        "--predictions",
        table,
        "--class-names",
        ",".join(NAMES),
        "--output",
        where,
    ]
    assert exit_code(["audit", *flags, "--format", "parquet", "--max-rejected-fraction", "0.1"]) == 0
    shown = capsys.readouterr().out
    assert "Missing together" in shown
    assert "sets of labels are off the diagonal" in shown
    assert exit_code(["show", where, "--class", "bird", "--json"]) == 0
    rows = [row for row in json.loads(capsys.readouterr().out) if isinstance(row, dict)]
    assert {row["class"] for row in rows} == {"bird"}
    assert exit_code(["show", where, "--class", "cow"]) == 2
    assert "has no class 'cow'" in capsys.readouterr().err
    assert exit_code(["show", where, "--given", "bird"]) == 2
    review = ["review", "--run-location", where, "--budget", "5", "--output", where, "--format", "parquet"]
    assert exit_code(review) == 2
    assert "say id_col: [id, class]" in " ".join(capsys.readouterr().err.split())
