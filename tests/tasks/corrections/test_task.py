"""Corrections as a run: labels are changed once, the record comes after, and `undo` takes them back."""

import json
import runpy
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from cl_spark import (
    ConfigurationError,
    CorrectionsConfig,
    DoubtfulInputError,
    InputError,
    VerdictsConfig,
    read_run,
    run_corrections,
    run_verdicts,
)
from cl_spark.runs.config import load_config
from cl_spark.runs.result import RunResult
from cl_spark.tables.results import ResultTables
from cl_spark.tasks.corrections.tables import CORRECTIONS
from cl_spark.tasks.corrections.task import CORRECTIONS_TASK, undo_run
from cl_spark.tasks.label_audit.config import AuditConfig
from cl_spark.tasks.label_audit.task import run_audit
from cl_spark.terminal.command_line import exit_code

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def judged(spark: SparkSession, table: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An audit, and verdicts on all of its issues: by id, correct, prune and not an error in turn."""
    output = str(tmp_path_factory.mktemp("judged") / "audits")
    run_audit(spark, AuditConfig(predictions=table, output=output, format="parquet", run_id="audit"))
    issues = read_run(output, "audit", spark=spark).issues
    said = F.element_at(
        F.array(F.lit("suggested"), F.lit("both"), F.lit("given")), (F.col("id") % 3 + 1).cast("int")
    )
    answers = f"{output}_answers"
    issues.select("id", F.lit("ann").alias("annotator"), said.alias("answer")).write.parquet(answers)
    keys = {"run_location": output, "answers": [answers], "output": output, "format": "parquet"}
    run_verdicts(
        spark, VerdictsConfig.model_validate({**keys, "quorum": 1, "run_id": "verdicts", "run": "audit"})
    )
    return output


@pytest.fixture
def labels(spark: SparkSession, df: DataFrame, tmp_path: Path) -> str:
    """The audited labels as a Delta table."""
    path = str(tmp_path / "labels")
    df.select("id", "label").write.format("delta").save(path)
    return path


def config(judged: str, labels: str, output: Path | str, **values: Any) -> CorrectionsConfig:
    keys = {
        "run_location": judged,
        "labels": labels,
        "output": str(output),
        "format": "parquet",
        "run_id": "june",
    }
    return CorrectionsConfig.model_validate({**keys, **values})


def read(spark: SparkSession, path: str) -> DataFrame:
    return spark.read.format("delta").load(path)


def rows(frame: DataFrame) -> list[Any]:
    return sorted(map(str, frame.collect()))


def count(result: RunResult) -> dict[str, int]:
    return {
        row.correction: row["count"]
        for row in result.run.table("corrections").groupBy("correction").count().collect()
    }


def test_it_corrects_in_place_and_records_every_correction(
    spark: SparkSession, judged: str, labels: str, tmp_path: Path
) -> None:
    before = rows(read(spark, labels))
    result = run_corrections(spark, config(judged, labels, tmp_path / "out", report=True))
    verdicts = {row.id: row for row in read_run(judged, "verdicts", spark=spark).table("verdicts").collect()}
    table = result.run.table("corrections")
    names = [column.name for column in CORRECTIONS.columns if column.name[0] != "<"]
    assert ["run_id", "attempt", *table.drop("id").columns] == names
    for row in table.collect():
        verdict = verdicts[row.id]
        wanted = {"correct": "corrected", "prune": "pruned", "not_an_error": "kept"}[verdict.verdict]
        label = verdict.suggested_label if wanted == "corrected" else verdict.given_label
        assert (row.correction, row.previous_label, row.label) == (wanted, verdict.given_label, label)
    record = result.run.record
    assert (record.num_labels_corrected, record.num_pruned, record.num_kept) == tuple(
        count(result)[name] for name in ("corrected", "pruned", "kept")
    )
    assert (record.labels_version, record.judged_run, record.num_conflicts) == (1, "verdicts", 0)
    assert (
        read(spark, labels).where("correction_run = 'june'").count()
        == record.num_labels_corrected + record.num_pruned
    )
    told = CORRECTIONS_TASK.headline(result.run)
    assert "pruned rows are still in" in told[-1]
    assert "pruned rows are still in" in Path(str(result.report)).read_text(encoding="utf-8")
    undone = undo_run(result.tables, "june")
    assert undone.how == "restored"
    assert rows(read(spark, labels)) == before


def test_a_run_that_broke_off_after_the_change_only_finishes(
    spark: SparkSession, judged: str, labels: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = ResultTables.write_all

    def breaks(self: ResultTables, *arguments: Any) -> None:
        raise OSError("killed")

    monkeypatch.setattr(ResultTables, "write_all", breaks)
    with pytest.raises(OSError, match="killed"):
        run_corrections(spark, config(judged, labels, tmp_path / "out"))
    monkeypatch.setattr(ResultTables, "write_all", write)
    corrected = rows(read(spark, labels))
    with pytest.raises(InputError):
        read_run(str(tmp_path / "out"), spark=spark)
    result = run_corrections(spark, config(judged, labels, tmp_path / "out", on_warning="fail"))
    assert rows(read(spark, labels)) == corrected
    assert (result.run.record.labels_version, result.run.record.num_conflicts) == (1, 0)
    recorded = rows(result.run.table("corrections"))
    again = run_corrections(spark, config(judged, labels, tmp_path / "out"))
    assert rows(again.run.table("corrections")) == recorded
    assert rows(read(spark, labels)) == corrected


def test_doubts_may_stop_it_before_anything_is_changed(
    spark: SparkSession, judged: str, labels: str, tmp_path: Path
) -> None:
    row = (
        read_run(judged, "verdicts", spark=spark)
        .table("verdicts")
        .where("verdict <> 'not_an_error'")
        .orderBy("id")
        .first()
    )
    spark.sql(f"UPDATE delta.`{labels}` SET label = (label + 1) % 4 WHERE id = {row.id}")
    before = rows(read(spark, labels))
    with pytest.raises(DoubtfulInputError, match="1 labels are not the ones that were judged"):
        run_corrections(spark, config(judged, labels, tmp_path / "out", on_warning="fail"))
    assert rows(read(spark, labels)) == before
    result = run_corrections(spark, config(judged, labels, tmp_path / "out", gates=["num_conflicts <= 0"]))
    assert [warning.code for warning in result.warnings] == ["num_conflicts"]
    assert result.failed_gates == ["num_conflicts <= 0: it is 1"]
    assert "not applied: 1 conflict" in CORRECTIONS_TASK.headline(result.run)


def test_a_new_table_leaves_the_labels_as_they_are(
    spark: SparkSession, judged: str, labels: str, tmp_path: Path
) -> None:
    before, out = rows(read(spark, labels)), str(tmp_path / "corrected")
    keys: dict[str, Any] = {"corrected_output": out, "corrected_format": "parquet", "corrected_by": "ann"}
    result = run_corrections(spark, config(judged, labels, tmp_path / "out", **keys))
    corrected = spark.read.parquet(out)
    assert corrected.count() == 200
    assert (
        corrected.where("corrected_by = 'ann'").count()
        == count(result)["corrected"] + count(result)["pruned"]
    )
    assert result.run.record.labels_version is None
    assert rows(read(spark, labels)) == before
    with pytest.raises(ConfigurationError, match="nothing to undo"):
        undo_run(result.tables, "june")


def test_issues_of_an_audit_are_taken_if_it_is_named(
    spark: SparkSession, judged: str, labels: str, tmp_path: Path
) -> None:
    keys: dict[str, Any] = {"run": "audit", "action": "prune"}
    result = run_corrections(spark, config(judged, labels, tmp_path / "out", **keys))
    assert set(count(result)) == {"pruned"}
    assert read(spark, labels).where("correction = 'pruned'").count() == result.num_issues


def test_the_commands_correct_and_undo(
    spark: SparkSession, judged: str, labels: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    before, out = rows(read(spark, labels)), str(tmp_path / "out")
    flags = ["--run-location", judged, "--labels", labels, "--output", out, "--run-id", "june"]
    monkeypatch.setattr(sys, "argv", ["correct.py", *flags])
    with pytest.raises(SystemExit) as left:
        runpy.run_path(str(ROOT / "jobs" / "correct.py"), run_name="__main__")
    assert left.value.code == 0
    assert "pruned rows are still in" in " ".join(capsys.readouterr().out.split())
    spark.sql(f"INSERT INTO delta.`{labels}` (id, label) VALUES (1000, 1)")
    assert exit_code(["undo", out, "june"]) == 0
    assert "rows set back" in capsys.readouterr().out
    assert rows(read(spark, labels).select("id", "label").where("id < 1000")) == before
    assert exit_code(["undo", out, "june", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["how"] == "nothing"
    assert exit_code(["undo", out, "july"]) == 2


def test_the_example_configuration_is_one() -> None:
    found = load_config(CorrectionsConfig, str(ROOT / "conf" / "correct.yaml"), {})
    assert (found.in_place, found.run_id) == (True, "corrected-2026-01-31")


def test_what_cannot_be_corrected_is_refused(
    spark: SparkSession, judged: str, labels: str, tmp_path: Path
) -> None:
    with pytest.raises(ValidationError, match="run_id: needed"):
        config(judged, labels, tmp_path, run_id=None)
    with pytest.raises(ValidationError, match="Parquet goes to a path"):
        config(judged, labels, tmp_path, corrected_output="t", corrected_format="parquet")
    with pytest.raises(ValidationError, match="corrected in place: name the corrected_output"):
        config(judged, labels, tmp_path, corrected_format="parquet")
    out = tmp_path / "out"
    for values, error, text in [
        ({"id_col": ["nr"]}, ConfigurationError, "say id_col"),
        ({"run": "nothing"}, InputError, "no finished run"),
        ({"output": labels}, ConfigurationError, "same place"),
        ({"corrected_output": labels}, ConfigurationError, "same place"),
        ({"label_col": "target"}, InputError, "target"),
        ({"class_names": ["a", "b", "a"]}, ConfigurationError, "'a' more than once"),
    ]:
        with pytest.raises(error, match=text):
            run_corrections(spark, config(judged, labels, **{"output": out, **values}))  # type: ignore[arg-type]
    shutil.rmtree(out, ignore_errors=True)
    run_corrections(spark, config(judged, labels, out))
    with pytest.raises(InputError, match="judges no labels"):
        run_corrections(spark, config(str(out), labels, tmp_path / "other", run="june"))
