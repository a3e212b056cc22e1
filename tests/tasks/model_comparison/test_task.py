"""The comparison of models as a run: its tables, its report and its command come from the machinery."""

import json
import runpy
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from cl_spark import (
    InputError,
    ModelComparison,
    ModelComparisonConfig,
    SourceChangedError,
    benchmark_models,
    read_run,
    run_model_comparison,
)
from cl_spark.methods.learning.hash_cuts import hash_of
from cl_spark.methods.learning.reviewed_labels import HASH
from cl_spark.runs.config import load_config
from cl_spark.runs.result import RunResult
from cl_spark.tables.pandas_frames import to_spark
from cl_spark.tables.schema import REJECTED
from cl_spark.tasks.model_comparison import corrections, report, task
from cl_spark.tasks.model_comparison.charts import prevalence_chart
from cl_spark.tasks.model_comparison.corrections import rank_by_id
from cl_spark.tasks.model_comparison.tables import TABLES
from cl_spark.tasks.model_comparison.task import MODEL_COMPARISON
from cl_spark.terminal.command_line import exit_code

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[3]
N, K, NAMES = 120, 3, ["cat", "dog", "eel"]
TRUE = np.arange(N) % K
GIVEN = np.where(np.arange(N) < 20, (TRUE + 1) % K, TRUE)
"""The labels of the first 20 examples are wrong; four of these examples have no right label."""

Inputs = dict[str, str]


@pytest.fixture(scope="module")
def frames(spark: SparkSession) -> dict[str, DataFrame]:
    """A model that predicts all given labels but three, and one that predicts all true ones but 13."""
    predicted = {"memory": np.where(np.arange(N) >= N - 3, (GIVEN + 1) % K, GIVEN), "honest": TRUE.copy()}
    predicted["honest"][30:43] = (TRUE[30:43] + 1) % K
    long = pd.concat(
        pd.DataFrame(
            {"id": range(N), "model": model, "pred_probs": (0.1 + 0.7 * np.eye(K)[classes]).tolist()}
        )
        for model, classes in predicted.items()
    )
    names = np.array(NAMES)
    reviewed = [(i, None if 16 <= i < 20 else str(names[TRUE[i]])) for i in range(30)]
    return {
        "predictions": to_spark(long, spark).repartition(3),
        "labels": to_spark(pd.DataFrame({"id": range(N), "label": names[GIVEN]}), spark).repartition(2),
        "corrected_labels": spark.createDataFrame(reviewed, "id long, corrected_label string"),
    }


@pytest.fixture(scope="module")
def inputs(frames: dict[str, DataFrame], tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    home = tmp_path_factory.mktemp("inputs")
    for name, frame in frames.items():
        frame.write.parquet(str(home / name))
    return {name: str(home / name) for name in frames}


@pytest.fixture(scope="module")
def expected(frames: dict[str, DataFrame]) -> ModelComparison:
    return benchmark_models(**frames, class_names=NAMES, top_k=[1, 2])


@pytest.fixture(scope="module")
def result(spark: SparkSession, inputs: Inputs, tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    output = tmp_path_factory.mktemp("compared")
    settings = config(inputs, output, report=True, gates=["noise_prevalence <= 0.1"], run_id="first")
    return run_model_comparison(spark, settings)


def config(inputs: Inputs, output: Path, **values: Any) -> ModelComparisonConfig:
    keys = {"output": str(output), "format": "parquet", "class_names": NAMES, "top_k": [1, 2]}
    return ModelComparisonConfig.model_validate({**inputs, **keys, **values})


def rows(frame: DataFrame) -> list[Any]:
    return sorted(map(tuple, frame.collect()), key=repr)


def test_it_writes_the_tables_of_the_comparison(result: RunResult, expected: ModelComparison) -> None:
    for name in ("accuracy", "class_accuracy", "rank_changes", "prevalence_accuracy", "flip_prevalences"):
        assert rows(result.run.table(f"model_{name}")) == rows(getattr(expected, name)), name
    for table in TABLES:
        declared = [column.name for column in table.columns if column.name[0] != "<"]
        assert ["run_id", "attempt", *result.run.table(table.name).drop("id").columns] == declared


def test_it_lists_every_corrected_label(result: RunResult) -> None:
    found, names = result.run.table("label_corrections"), np.array(NAMES)
    assert found.dtypes == [
        ("id", "bigint"),
        ("given_label", "string"),
        ("corrected_label", "string"),
        ("rank", "bigint"),
    ]
    assert [tuple(row) for row in found.orderBy("rank").collect()] == [
        (i, names[GIVEN[i]], names[TRUE[i]], i + 1) for i in range(16)
    ]


def test_its_numbers_are_recorded_and_gated(result: RunResult) -> None:
    record = result.run.record
    assert (record.num_read, record.num_examples, record.num_rejected, record.num_issues) == (N, N, 0, 16)
    assert (record.num_models, record.num_classes, record.num_reviewed) == (2, K, 30)
    assert (record.num_corrected, record.num_without_right_label) == (16, 4)
    assert record.noise_prevalence == 16 / 116
    assert record.overall_health == pytest.approx(100 / N), "an example without a right label is not healthy"
    assert result.failed_gates == ["noise_prevalence <= 0.1: it is 0.137931"]
    assert result.warnings == []
    assert result.run.table(REJECTED.name).columns == ["id", "reason", "row"]


def test_its_report_shows_accuracy_noise_classes_and_corrections(result: RunResult) -> None:
    page = Path(str(result.report)).read_text(encoding="utf-8")
    for name in ("accuracy-section", "prevalence-section", "chart-prevalence", "table-flips"):
        assert f'id="{name}"' in page
    for part in ("table-classes", "table-corrections", "given labels that stand"):
        assert part in page
    *_, last = report.sections(result.run, issues=5)
    assert "The first 5 of 16" in last.text[0]
    assert last.tables[0].columns[0].cells == [0, 1, 2, 3, 4]


def test_the_terminal_shows_accuracy_ranks_and_flips(result: RunResult) -> None:
    told = MODEL_COMPARISON.headline(result.run)
    assert told[0] == "13.79% noise prevalence (16 of 116 labels were corrected)"
    assert told[2] == "best by given labels: memory and corrected labels: honest (top 1)"
    accuracy, ranks, flips = (
        [tuple(row) for row in view.rows.select(*view.columns).collect()]
        for view in MODEL_COMPARISON.views(result.run)
    )
    assert accuracy == [
        ("honest", 87 / 116, 103 / 116, 2, 1),
        ("memory", 113 / 116, 97 / 116, 1, 2),
    ]
    assert ranks[:2] == [("all", 1, "honest", 2, 1, 1), ("all", 1, "memory", 1, 2, -1)]
    assert flips[0][:4] == (1, "honest", "memory", 16 / 116)


def test_the_command_runs_it_again_and_replaces_its_rows(
    spark: SparkSession, inputs: Inputs, result: RunResult, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = shutil.copytree(result.tables.location, tmp_path / "out")
    flags = [f"--{key.replace('_', '-')}={path}" for key, path in inputs.items()]
    flags += [f"--output={output}", "--format=parquet", f"--class-names={','.join(NAMES)}", "--quiet"]
    again = [*flags, f"--run-id={result.run_id}", "--top-k=1", "--prevalences=0.2,0.5", "--json"]
    assert exit_code(["benchmark-models", *again]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["num_models"], told["num_corrected"], told["num_issues"]) == (2, 16, 16)
    run = read_run(str(output), spark=spark)
    assert run.record.attempt > result.run.record.attempt
    assert run.table("label_corrections").count() == 16
    assert run.table("model_rank_changes").count() == 2 * 2, "no longer of two k"
    assert run.tables.read("runs").count() == 1
    assert exit_code(["benchmark-models", *flags, "--prevalences", "0.05"]) == 2
    assert "prevalences: 0.05 cannot be reached" in capsys.readouterr().err


def test_the_job_is_the_command_and_its_example_configuration_is_valid(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmark_models.py", "--help"])
    with pytest.raises(SystemExit) as done:
        runpy.run_path(str(ROOT / "jobs" / "benchmark_models.py"), run_name="__main__")
    assert done.value.code == 0
    assert "Usage: cl-spark benchmark-models" in capsys.readouterr().out
    example = load_config(ModelComparisonConfig, str(ROOT / "conf" / "benchmark_models.yaml"), {})
    assert list(example.sources) == ["predictions", "labels", "corrected_labels"]


def test_rows_that_cannot_be_used_fail_it_before_anything_is_written(
    spark: SparkSession, inputs: Inputs, frames: dict[str, DataFrame], tmp_path: Path
) -> None:
    few = str(tmp_path / "few")
    frames["predictions"].where("id > 4 OR model = 'honest'").write.parquet(few)
    with pytest.raises(InputError, match="model 'memory' lacks 5 of 120 examples"):
        run_model_comparison(spark, config({**inputs, "predictions": few}, tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_labels_that_change_meanwhile_fail_it(
    spark: SparkSession,
    inputs: Inputs,
    expected: ModelComparison,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(task, "benchmark_models", lambda *_, **__: replace(expected, num_corrected=17))
    with pytest.raises(SourceChangedError, match="17 corrected labels at first, later 16"):
        run_model_comparison(spark, config(inputs, tmp_path / "out"))


def test_labels_may_be_indices_and_corrections_that_correct_nothing_are_a_warning(
    spark: SparkSession, inputs: Inputs, frames: dict[str, DataFrame], tmp_path: Path
) -> None:
    index = F.array_position(F.array(*map(F.lit, NAMES)), F.col("label")) - 1
    given = frames["labels"].select(F.col("id").cast("int").alias("id"), index.alias("label"))
    given.write.parquet(str(tmp_path / "given"))
    given.limit(7).withColumnRenamed("label", "corrected_label").write.parquet(str(tmp_path / "same"))
    tables = {**inputs, "labels": str(tmp_path / "given"), "corrected_labels": str(tmp_path / "same")}
    found = run_model_comparison(spark, config(tables, tmp_path / "out", class_names=None, report=True))
    assert [warning.code for warning in found.warnings] == ["no_corrections"]
    types = dict(found.run.table("label_corrections").dtypes)
    assert types == {"id": "int", "given_label": "int", "corrected_label": "int", "rank": "bigint"}
    assert dict(found.run.table("model_class_accuracy").dtypes)["class"] == "int"
    assert (found.num_issues, found.overall_health) == (0, 1.0)
    page = Path(str(found.report)).read_text(encoding="utf-8")
    assert "No label was corrected" in page
    assert 'id="chart-prevalence"' not in page


@pytest.mark.parametrize("num_parts", [1, 30])
def test_ranks_by_id_are_the_same_whether_rows_are_sorted_together_or_in_parts(
    spark: SparkSession, num_parts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corrections, "NUM_PARTS", num_parts)
    ids = ["_id_0", "_id_1"]
    pictures = spark.range(200, numPartitions=3).select(
        F.concat(F.lit("picture "), F.col("id") % 20).alias("_id_0"), F.col("id").alias("_id_1")
    )
    hashed = pictures.select("*", hash_of(ids, 3).alias(HASH))
    together, apart = (
        rank_by_id(hashed, ids, num_rows=200, few=few).orderBy("rank").collect() for few in (True, False)
    )
    assert apart == together
    assert [row["rank"] for row in apart] == list(range(1, 201))
    assert apart == sorted(apart, key=lambda row: (row["_id_0"], row["_id_1"]))


def test_the_chart_draws_a_dashed_and_a_solid_line_of_each_model() -> None:
    points = pd.DataFrame({"prevalence": [0.1, 1.0] * 2, "examples": [40, 4] * 2})
    points = points.assign(model=["a\n", "a\n", "b", "b"], accuracy_given=[0.9, 0.5, 0.8, 0.5])
    points["accuracy_corrected"] = [0.7, 0.3, 0.8, 0.9]
    spec = prevalence_chart(points, ["b", "a\n"], 1)["prevalence"]
    drawn = next(iter(spec["datasets"].values()))
    assert len(drawn) == 8
    lines = {(row["model"], row["labels"]) for row in drawn}
    assert lines == {(model, kind) for model in (r"a\n", "b") for kind in ("given", "corrected")}
    encoding = spec["layer"][0]["encoding"]
    assert encoding["color"]["scale"]["domain"] == ["b", r"a\n"]
    dashes = encoding["strokeDash"]["scale"]
    assert dashes == {"domain": ["corrected", "given"], "range": [[1, 0], [5, 4]]}
    assert prevalence_chart(points[points["prevalence"] == 1], ["b", "a\n"], 1) == {}


def test_of_many_models_the_best_by_corrected_labels_are_drawn(
    result: RunResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "DRAWN_MODELS", 1)
    charts = next(section.charts for section in report.sections(result.run, issues=1) if section.charts)
    assert {row["model"] for row in next(iter(charts["prevalence"]["datasets"].values()))} == {"honest"}
