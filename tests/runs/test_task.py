"""A new task needs no copy of the run machinery: a toy one gets all of it."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

import cl_spark
from cl_spark import (
    ConfigurationError,
    InputError,
    RejectedRowsError,
    SourceChangedError,
    read_run,
    run_audit,
    write_report,
)
from cl_spark.runs.history import compare
from cl_spark.runs.result import RunResult
from cl_spark.runs.run import run_task
from cl_spark.tables.results import ResultTables
from cl_spark.tables.schema import RUNS, Table
from cl_spark.tasks.label_audit.config import AuditConfig
from cl_spark.tasks.label_audit.scoring import score_new
from cl_spark.tasks.label_audit.task import LABEL_AUDIT
from cl_spark.tasks.registry import TASKS
from cl_spark.terminal import command_line
from tests.runs.toy_task import REPEATED, REPEATED_TEXTS, TEXTS, RepeatedConfig, RepeatedExecution

pytestmark = [pytest.mark.matrix, pytest.mark.tables]


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The toy task as a new task is added: one entry in the registry, and its command from there."""
    monkeypatch.setitem(TASKS, REPEATED_TEXTS.name, REPEATED_TEXTS)
    command = command_line.task_command(REPEATED_TEXTS)
    monkeypatch.setitem(command_line.cli.commands, REPEATED_TEXTS.command, command)


@pytest.fixture(scope="module")
def texts(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> str:
    """200 rows: three texts that several share, and one row without."""
    path = str(tmp_path_factory.mktemp("texts") / "texts")
    text = F.expr(
        "CASE WHEN id = 7 THEN NULL WHEN id < 12 THEN concat('common ', id % 3) ELSE concat('own ', id) END"
    )
    spark.range(200).withColumn("text", text).write.parquet(path)
    return path


def run(spark: SparkSession, texts: str, output: Path, **values: Any) -> RunResult:
    options = {"texts": texts, "output": str(output), "format": "parquet", **values}
    return run_task(spark, REPEATED_TEXTS, RepeatedConfig(**options))


def rows(tables: ResultTables, table: Table, run_id: str) -> list[tuple[Any, ...]]:
    return sorted(map(tuple, tables.read_run(table, run_id).collect()))


@pytest.mark.parametrize("kind", ["parquet", pytest.param("delta", marks=pytest.mark.slow)])
def test_it_is_written_whole_and_a_rerun_replaces_it(
    spark: SparkSession, texts: str, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = run(spark, texts, tmp_path, format=kind, run_id="other")
    first = run(spark, texts, tmp_path, format=kind, run_id="x")
    tables = first.tables
    assert (first.num_issues, first.num_examples, first.rejected) == (11, 199, {"null text": 1})
    assert first.numbers == {"num_texts": 191}
    assert [row[0] for row in rows(tables, REPEATED, "x")] == [i for i in range(12) if i != 7]
    assert dict(rows(tables, TEXTS, "x")) == {"common 0": 4, "common 1": 3, "common 2": 4}
    record = read_run(str(tmp_path), "x", spark=spark).record
    assert (record.task, record.num_texts, record.num_read) == ("repeated_texts", 191, 200)
    assert read_run(str(tmp_path), "x", spark=spark).table("rejected").first().id == 7

    write = ResultTables.write

    def breaking(self: ResultTables, table: Table, frame: DataFrame, run_id: str, attempt: str) -> None:
        write(self, table, frame, run_id, attempt)
        if table is TEXTS:
            raise OSError("the writer died right after its commit")

    with monkeypatch.context() as patched:
        patched.setattr(ResultTables, "write", breaking)
        with pytest.raises(OSError, match="right after"):
            run(spark, texts, tmp_path, format=kind, run_id="x")
    earlier = read_run(str(tmp_path), "x", spark=spark)
    assert earlier.table(REPEATED.name).count() == 11, "as it was before"
    before = rows(tables, REPEATED, "other")
    again = run(spark, texts, tmp_path, format=kind, run_id="x", write_counts=False)
    assert again.num_issues == 11
    assert rows(tables, TEXTS, "x") == [], "rows of a table that is not written again must go"
    assert rows(tables, REPEATED, "other") == before
    assert other.tables.read(RUNS).count() == 2


def test_rows_and_gates_are_checked_as_for_every_task(
    spark: SparkSession, texts: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = r"1 of 200 rows \(0.50%\) cannot be used.*null text: 1 \(such as id '7'\)"
    with pytest.raises(RejectedRowsError, match=seen):
        run(spark, texts, tmp_path, on_bad_rows="fail")
    with pytest.raises(ConfigurationError, match=r"'overall_heath' is no metric; choose one of .*num_texts"):
        run(spark, texts, tmp_path, gates=["overall_heath > 1"])
    with monkeypatch.context() as patched:
        read = property(lambda _: 201, lambda *_: None)
        patched.setattr(RepeatedExecution, "num_read", read, raising=False)
        with pytest.raises(SourceChangedError, match="201 rows at first"):
            run(spark, texts, tmp_path)
    gates = ["text_counts.examples <= 3", "num_texts >= 1", "issues_new <= 0", "overall_health > 0.99"]
    failed = run(spark, texts, tmp_path, gates=gates).failed_gates
    assert failed == [
        "text_counts.examples <= 3: not so for 2 texts: common 0 (4), common 2 (4)",
        "overall_health > 0.99: it is 0.959799",
    ]


@pytest.mark.slow
def test_its_runs_are_shown_compared_and_reported(
    spark: SparkSession, texts: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def printed(*arguments: str, code: int = 0) -> str:
        capsys.readouterr()
        assert command_line.exit_code(arguments) == code
        told = capsys.readouterr()
        return told.err if code else told.out

    out = str(tmp_path)
    flags = ["find-repeated", "--texts", texts, "--output", out, "--format", "parquet", "--report"]
    text = printed(*flags, "--run-id", "monday")
    assert "Repeated texts" in text
    assert "95.98% overall health" in text
    assert "1 rows rejected: null text" in text
    found = json.loads(printed(*flags, "--run-id", "tuesday", "--json"))
    assert (found["run_id"], found["num_issues"], found["num_texts"]) == ("tuesday", 11, 191)
    run_audit(spark, AuditConfig(sample="digits", output=out, format="parquet", run_id="audit"))

    runs = json.loads(printed("history", out, "--json"))
    assert [run["task"] for run in runs] == ["label_audit", "repeated_texts", "repeated_texts"]
    assert [run["change"] for run in runs] == [None, 0.0, None], "runs of other tasks are not compared"
    assert "monday" in printed("history", out)
    change = json.loads(printed("compare", out, "monday", "tuesday", "--json"))
    assert (change["issues_new"], change["issues_persisting"]) == (0, 11)
    listed = json.loads(printed("show", out, "tuesday", "--json", "--rows", "3"))
    assert [row["rank"] for row in listed] == [1, 2, 3]
    assert "Issues of run tuesday: 2 of 11" in printed("show", out, "tuesday", "--rows", "2")
    assert "cannot be selected by class" in printed("show", out, "tuesday", "--class", "x", code=2)

    html = Path(found["report"]).read_text(encoding="utf-8")
    for part in (
        "<h1>Repeated texts</h1>",
        'id="repeated-section"',
        'id="table-rejected"',
        'id="chart-trend"',
        "null text",
    ):
        assert part in html
    monday = read_run(out, "monday", spark=spark)
    other = write_report(monday, f"{out}/other.html", issues=1)
    assert Path(other).read_text(encoding="utf-8").startswith("<!doctype html>")
    with pytest.raises(InputError, match=r"'monday' is of the task 'repeated_texts'.*do not compare"):
        compare(monday, read_run(out, "audit", spark=spark), LABEL_AUDIT)
    with pytest.raises(ConfigurationError, match="run_id: 'audit' is a run of the task 'label_audit'"):
        run(spark, texts, tmp_path, run_id="audit")
    assert read_run(out, "audit", spark=spark).table("rejected").isEmpty()
    run(spark, texts, tmp_path, run_id="wednesday")
    sample = str(Path(cl_spark.__file__).parent / "sample" / "digits.parquet")
    assert score_new(spark, out, sample, batch="new")[1] == 1797, "the latest label audit scores"
    with pytest.raises(InputError, match="is of the task 'later_task'"):
        write_report(replace(monday, record=Row(**{**monday.record.asDict(), "task": "later_task"})))


def test_its_flags_are_its_keys() -> None:
    command = command_line.cli.commands["find-repeated"]
    assert {parameter.name for parameter in command.params} == {
        *RepeatedConfig.model_fields,
        "config",
        "as_json",
    }
