"""The consensus of annotators as a run: its tables, its report and its command come from the machinery."""

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from cl_spark import (
    AnnotatorAudit,
    ColumnTypeError,
    ConsensusConfig,
    RejectedRowsError,
    read_run,
    run_consensus,
)
from cl_spark.runs.config import load_config
from cl_spark.runs.result import RunResult
from cl_spark.tables.pandas_frames import to_spark
from cl_spark.tasks.consensus.report import sections
from cl_spark.tasks.consensus.task import CONSENSUS
from cl_spark.terminal.command_line import exit_code
from tests.methods.annotators.frames import make

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[3]
NAMES = ["cat", "dog", "eel", "fox"]
MADE = make(31, examples=60, annotators=8, labels=(1, 4))
ANNOTATIONS = MADE.annotations.assign(label=np.array(NAMES)[MADE.annotations["label"]])
MORE = make(32, examples=5).predictions.assign(id=range(900, 905))
PREDICTIONS = pd.concat([MADE.predictions, MORE], ignore_index=True)


@pytest.fixture(scope="module")
def inputs(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    home = tmp_path_factory.mktemp("inputs")
    gold = pd.DataFrame({"id": [0, 1], "label": [NAMES[MADE.true[0]], NAMES[MADE.true[1]]]})
    for name, frame in {"annotations": ANNOTATIONS, "predictions": PREDICTIONS, "gold": gold}.items():
        to_spark(frame, spark).repartition(3).write.parquet(str(home / name))
    return {name: str(home / name) for name in ("annotations", "predictions", "gold")}


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("output"))


@pytest.fixture(scope="module")
def result(spark: SparkSession, inputs: dict[str, str], output: str) -> RunResult:
    config = ConsensusConfig(
        **inputs,
        class_names=NAMES,
        output=output,
        run_id="first",
        report=True,
        gates=["annotators.quality >= 0.99", "mean_agreement >= 0.1"],
    )
    return run_consensus(spark, config)


def rows(df) -> list[tuple]:  # type: ignore[no-untyped-def]
    return sorted(map(tuple, df.collect()))


def test_it_writes_what_the_audit_answers(
    spark: SparkSession, result: RunResult, inputs: dict[str, str]
) -> None:
    gold = spark.read.parquet(inputs["gold"])
    with AnnotatorAudit(ANNOTATIONS, PREDICTIONS, class_names=NAMES, gold=gold, spark=spark) as audit:
        for name, expected in {
            "consensus": audit.consensus(),
            "annotation_quality": audit.annotation_quality(),
            "annotators": audit.annotators(),
            "active_learning_scores": audit.active_learning_scores(),
        }.items():
            assert result.run.table(name).columns == expected.columns
            assert rows(result.run.table(name)) == rows(expected)
        disputed = audit.consensus().where("annotator_agreement < 1").orderBy("consensus_quality", "id")
        assert [row.id for row in result.run.table("disputed_examples").orderBy("rank").collect()] == [
            row.id for row in disputed.collect()
        ]
        quality = audit.annotation_quality().join(audit.consensus(), "id").where("label != consensus_label")
        assert result.run.table("disagreements").agg(F.sum("annotations")).first()[0] == quality.count()


def test_its_numbers_are_recorded_and_gated(result: RunResult) -> None:
    record = result.run.record
    assert (record.num_annotations, record.num_annotated, record.num_annotators) == (
        len(ANNOTATIONS),
        60,
        ANNOTATIONS["annotator"].nunique(),
    )
    assert record.num_examples == len(ANNOTATIONS) + len(PREDICTIONS)
    assert (record.num_rejected, record.num_classes, record.num_passes) == (0, 4, None)
    assert 0.5 < record.overall_health < 1
    assert [gate.split(" ")[0] for gate in result.failed_gates] == ["annotators.quality"]


def test_its_report_shows_annotators_and_disputed_examples(result: RunResult) -> None:
    page = Path(str(result.report)).read_text(encoding="utf-8")
    for title in ("Annotators", "Where annotators disagree", "Disputed examples", "mean consensus quality"):
        assert title in page
    assert "a000" in page


def test_its_report_says_what_it_leaves_out(result: RunResult, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not any("The first" in text for section in sections(result.run, 1_000) for text in section.text)
    monkeypatch.setattr("cl_spark.tasks.consensus.report.ROWS", 2)
    annotators, disagreement, disputed = [section.text[-1] for section in sections(result.run, 3)]
    assert annotators == "The first 2 of 8; the others are in the table annotators."
    assert disagreement.endswith("in the table disagreements.")
    assert disputed.endswith("in the table disputed_examples.")


def test_gold_indices_are_not_taken_for_names(
    spark: SparkSession, tmp_path: Path, inputs: dict[str, str]
) -> None:
    gold = tmp_path / "gold.csv"
    gold.write_text("id,label\n0,1\n1,2\n")
    config = ConsensusConfig(
        annotations=inputs["annotations"], gold=str(gold), output=str(tmp_path / "output"), format="parquet"
    )
    with pytest.raises(ColumnTypeError, match="gold: column 'label' is bigint in gold and string in"):
        run_consensus(spark, config)
    assert not (tmp_path / "output").exists()


def test_the_terminal_shows_disputed_examples_and_annotators(result: RunResult) -> None:
    titles = [view.title for view in CONSENSUS.views(result.run)]
    assert titles == ["Issues of run first", "Annotators, the least trusted first"]
    quality, disputed, counts = CONSENSUS.headline(result.run)
    assert "mean consensus quality" in quality
    assert disputed.endswith("of 60 examples are disputed")
    assert "4 classes, by best_quality" in counts
    assert CONSENSUS.worst(result.run)[0] in set(ANNOTATIONS["annotator"])  # type: ignore[index]


def test_the_command_writes_the_same_and_shows_it(
    inputs: dict[str, str], output: str, result: RunResult, capfd: pytest.CaptureFixture[str]
) -> None:
    expected = rows(result.run.table("consensus"))
    flags = [f"--{key}={value}" for key, value in inputs.items()]
    names = ["--class-names", ",".join(NAMES)]
    code = exit_code(["consensus", *flags, *names, f"--output={output}", "--run-id=by-command", "--json"])
    summary = json.loads(capfd.readouterr().out.strip().splitlines()[-1])
    assert (code, summary["run_id"]) == (0, "by-command")
    assert rows(read_run(output, "by-command").table("consensus")) == expected
    assert exit_code(["show", output, "by-command", "--json", "--rows=1"]) == 0
    shown = json.loads(capfd.readouterr().out.strip().splitlines()[-1])
    assert shown[0]["rank"] == 1


def test_dawid_skene_writes_no_scores_for_active_learning(
    spark: SparkSession, inputs: dict[str, str], output: str, result: RunResult
) -> None:
    config = ConsensusConfig(
        annotations=inputs["annotations"], output=output, run_id="second", consensus_method="dawid_skene"
    )
    run = run_consensus(spark, config).run
    assert run.record.num_passes > 1
    assert run.table("consensus").count() == 60
    assert run.table("active_learning_scores").count() == 0


def test_too_many_rejected_rows_fail_it_before_anything_is_written(
    spark: SparkSession, tmp_path: Path, inputs: dict[str, str]
) -> None:
    annotations = str(tmp_path / "annotations")
    extra = pd.DataFrame({"id": [1, 2], "annotator": ["a000", None], "label": ["cow", "cat"]})
    to_spark(pd.concat([ANNOTATIONS, extra]), spark).write.parquet(annotations)
    options = {"annotations": annotations, "predictions": inputs["predictions"], "class_names": NAMES}
    refused = ConsensusConfig(**options, output=str(tmp_path / "no"), on_bad_rows="fail")
    with pytest.raises(RejectedRowsError, match=r"null annotator: 1 .*unknown class name: 1"):
        run_consensus(spark, refused)
    assert not (tmp_path / "no").exists()
    run = run_consensus(spark, ConsensusConfig(**options, output=str(tmp_path / "yes"), format="parquet")).run
    assert run.record.num_rejected == 2
    assert sorted(row.reason for row in run.table("rejected").collect()) == [
        "null annotator",
        "unknown class name",
    ]


def test_the_job_is_the_command_and_its_example_configuration_is_valid(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = load_config(ConsensusConfig, str(ROOT / "conf" / "consensus.yaml"), {})
    assert (config.annotations, config.consensus_method) == ("/lake/annotations", "best_quality")
    monkeypatch.setattr(
        sys, "argv", ["consensus.py", "--output", "/tmp/none", "--annotations", "/tmp/missing"]
    )
    with pytest.raises(SystemExit) as left:
        runpy.run_path(str(ROOT / "jobs" / "consensus.py"), run_name="__main__")
    assert left.value.code == 2
