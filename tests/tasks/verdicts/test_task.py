"""Verdicts as a run: answers to a review queue become tables, estimates, a report and gates."""

import json
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from cl_spark import (
    ColumnTypeError,
    ConfigurationError,
    DoubtfulInputError,
    InputError,
    RejectedRowsError,
    ReviewQueueConfig,
    VerdictsConfig,
    decide_verdicts,
    read_run,
    run_review_queue,
    run_verdicts,
    validated_quality,
)
from cl_spark.runs.config import load_config
from cl_spark.runs.result import RunResult
from cl_spark.tasks.label_audit.config import AuditConfig
from cl_spark.tasks.label_audit.task import run_audit
from cl_spark.tasks.verdicts import report
from cl_spark.tasks.verdicts.tables import TABLES
from cl_spark.tasks.verdicts.task import VERDICTS_TASK
from cl_spark.terminal.command_line import exit_code

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def audits(spark: SparkSession, table: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An audit, and the review queue of it."""
    output = str(tmp_path_factory.mktemp("reviewed") / "audits")
    run_audit(spark, AuditConfig(predictions=table, output=output, format="parquet", run_id="audit"))
    config = {"run_location": output, "budget": 30, "random_share": 0.2, "run_id": "queue"}
    run_review_queue(spark, ReviewQueueConfig(**config, output=output, format="parquet"))
    return output


@pytest.fixture(scope="module")
def queue(spark: SparkSession, audits: str) -> DataFrame:
    return read_run(audits, "queue", spark=spark).table("review_queue")


def answer(queue: DataFrame, people: int = 3) -> DataFrame:
    """Answers: of issues, two thirds are errors; of other rows, those with an id that 3 divides."""
    is_error = F.when(F.col("issue_rank").isNotNull(), F.col("id") % 3 > 0).otherwise(F.col("id") % 3 == 0)
    given = F.when(~is_error, "given").when(F.col("id") % 2 == 0, "suggested").otherwise("neither")
    each = F.explode(F.array(*[F.lit(f"r{i + 1}") for i in range(people)]))
    return queue.select("id", each.alias("annotator"), given.alias("answer"))


@pytest.fixture(scope="module")
def answers(queue: DataFrame, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = str(tmp_path_factory.mktemp("answers") / "answers")
    answer(queue).write.parquet(path)
    return path


def config(audits: str, answers: Any, output: Path | str, **values: Any) -> VerdictsConfig:
    keys = {"run_location": audits, "answers": answers, "output": str(output), "format": "parquet"}
    return VerdictsConfig.model_validate({**keys, **values})


@pytest.fixture(scope="module")
def result(spark: SparkSession, audits: str, answers: str) -> RunResult:
    gates = ["precision_lower >= 0.99", "estimated_errors_upper <= 1000"]
    return run_verdicts(spark, config(audits, answers, audits, run_id="first", gates=gates, report=True))


def rows(frame: DataFrame) -> list[Any]:
    return sorted(map(str, frame.collect()))


def test_its_tables_are_those_of_the_library(
    spark: SparkSession, result: RunResult, queue: DataFrame, answers: str
) -> None:
    expected = decide_verdicts(spark.read.parquet(answers), queue)
    written = result.run.table("verdicts")
    votes = {
        f"{name}_votes": F.col(f"{name}_votes").cast("double")
        for name in ("given", "suggested", "both", "neither")
    }
    assert rows(written.drop("rank")) == rows(expected.verdicts.withColumns(votes))
    assert [row.rank for row in written.orderBy("id").collect()] == list(range(1, written.count() + 1))
    quality = validated_quality(expected, queue)
    assert rows(result.run.table("validated_quality")) == rows(quality.to_spark(spark))
    for declared in TABLES:
        names = [column.name for column in declared.columns if column.name[0] != "<"]
        assert ["run_id", "attempt", *result.run.table(declared.name).drop("id").columns] == names
    progress = {row.stratum: tuple(row)[1:] for row in result.run.table("review_progress").collect()}
    record = read_run(str(result.tables.location), "queue", spark=spark).record
    assert progress["top"] == (record.num_top, record.num_top, record.num_top, 0)
    assert progress["unflagged"][0] == record.num_unflagged


def test_its_numbers_are_recorded_and_gated(result: RunResult, queue: DataFrame) -> None:
    record = result.run.record
    assert (record.num_read, record.num_examples, record.num_rejected) == (90, 90, 0)
    assert (record.num_queued, record.num_pending, record.reviewed_run) == (30, 0, "queue")
    kinds = record.num_not_an_error + record.num_correct + record.num_prune + record.num_non_agreement
    assert kinds == 30 == record.num_issues
    assert 0 < record.precision_lower <= record.precision < 1
    assert 0 < record.recall_lower <= record.recall < 1
    assert record.estimated_errors < record.estimated_errors_upper
    assert result.overall_health == pytest.approx(1 - record.estimated_errors / 200)
    assert len(result.failed_gates) == 1
    assert "precision_lower" in result.failed_gates[0]
    assert result.warnings == []


def test_its_report_shows_quality_progress_and_verdicts(result: RunResult) -> None:
    page = Path(str(result.report)).read_text(encoding="utf-8")
    for part in (
        "table-quality",
        "table-progress",
        "table-verdicts",
        "table-errors",
        "precision of the issues",
    ):
        assert part in page
    quality, progress, verdicts, errors = report.sections(result.run, issues=2)
    assert quality.tables[0].columns[0].cells[:4] == [
        "precision",
        "recall",
        "estimated errors",
        "precision at 10",
    ]
    assert "%" in quality.tables[0].columns[1].cells[0]
    strata = progress.tables[0].columns[0].cells
    assert strata == [name for name in ("top", "flagged", "unflagged") if name in strata]
    assert {"top", "unflagged"} <= set(strata)
    assert set(verdicts.tables[0].columns[0].cells) == {"not an error", "correct", "prune"}
    assert len(errors.tables[0].columns[0].cells) == 2


def test_the_terminal_tells_verdicts_and_estimates(result: RunResult) -> None:
    decided, told = VERDICTS_TASK.headline(result.run)
    assert decided.startswith("30 of 30 rows decided: ")
    assert "0 pending" in decided
    assert told.startswith("at 95 %: precision ")
    wrong, quality = VERDICTS_TASK.views(result.run)
    assert wrong.rows.where("verdict = 'not_an_error'").count() == 0
    assert [row.metric for row in quality.rows.collect()][:3] == ["precision", "recall", "estimated_errors"]


def test_a_repetition_gives_the_same_tables(
    spark: SparkSession, result: RunResult, audits: str, answers: str, tmp_path: Path
) -> None:
    expected = {table.name: rows(result.run.table(table.name)) for table in TABLES}
    for _ in range(2):
        done = run_verdicts(spark, config(audits, answers, tmp_path, run_id="again"))
        assert {table.name: rows(done.run.table(table.name)) for table in TABLES} == expected


def test_answers_that_do_not_count_are_rejected(
    spark: SparkSession, audits: str, queue: DataFrame, tmp_path: Path
) -> None:
    bad = spark.createDataFrame(
        [(10**6, "x", "given"), (None, "x", "given")], "id long, annotator string, answer string"
    )
    path = str(tmp_path / "answers")
    answer(queue).unionByName(bad).write.format("delta").save(path)
    with pytest.raises(RejectedRowsError, match="example that the queue does not have: 1"):
        run_verdicts(spark, config(audits, path, tmp_path / "none"))
    done = run_verdicts(spark, config(audits, path, tmp_path / "out", max_rejected_fraction=0.1))
    assert done.rejected == {"example that the queue does not have": 1, "null id": 1}
    assert {row.reason for row in done.run.table("rejected").collect()} == set(done.rejected)


def test_skipped_and_repeated_answers_are_no_fault_of_the_file(
    spark: SparkSession, audits: str, queue: DataFrame, result: RunResult, tmp_path: Path
) -> None:
    skipped = queue.select("id", F.lit("r9").alias("annotator"), F.lit(None).cast("string").alias("answer"))
    path = str(tmp_path / "answers")
    answer(queue).unionByName(answer(queue)).unionByName(skipped).write.parquet(path)
    done = run_verdicts(spark, config(audits, path, tmp_path / "out", max_rejected_fraction=0))
    assert done.rejected == {"skipped: null answer": 30, "answer that its annotator gave before": 90}
    assert rows(done.run.table("verdicts").select("id", "verdict")) == rows(
        result.run.table("verdicts").select("id", "verdict")
    )


def test_rows_without_a_verdict_are_told(
    spark: SparkSession, audits: str, queue: DataFrame, tmp_path: Path
) -> None:
    path = str(tmp_path / "answers")
    answer(queue.where("place <= 20"), 2).write.parquet(path)
    with pytest.raises(DoubtfulInputError, match="10 of 30 rows"):
        run_verdicts(spark, config(audits, path, tmp_path / "none", quorum=2, on_warning="fail"))
    done = run_verdicts(spark, config(audits, path, tmp_path / "out", quorum=2))
    assert [warning.code for warning in done.warnings] == ["pending_rows"]
    nobody = run_verdicts(spark, config(audits, path, tmp_path / "nobody"))
    assert nobody.run.record.num_pending == 30
    assert nobody.run.record.precision is None
    assert nobody.overall_health is None
    assert nobody.run.table("validated_quality").count() == 0
    known = {row.stratum: row.rows for row in done.run.table("review_progress").collect()}
    assert {row.stratum: row.rows for row in nobody.run.table("review_progress").collect()} == known
    assert min(known.values()) > 0
    assert report.sections(nobody.run, 5)[0].shown_tables == []
    assert VERDICTS_TASK.headline(nobody.run)[1:] == []


def test_files_that_people_saved_do_as_well(
    spark: SparkSession, audits: str, queue: DataFrame, result: RunResult, tmp_path: Path
) -> None:
    files = []
    for person in ("r1", "r2", "r3"):
        given = answer(queue).where(F.col("annotator") == person).toPandas()
        files.append(str(tmp_path / f"{person}.csv"))
        given.to_csv(files[-1], index=False)
    done = run_verdicts(spark, config(audits, files, tmp_path / "out"))
    assert rows(done.run.table("verdicts")) == rows(result.run.table("verdicts"))
    assert done.run.record.source_version.startswith("3 files, ")
    # as a table, their ids are text that means the numbers of the queue
    one = str(tmp_path / "all.csv")
    answer(queue).toPandas().to_csv(one, index=False)
    table = run_verdicts(spark, config(audits, one, tmp_path / "table", answers_format="table"))
    assert rows(table.run.table("verdicts")) == rows(result.run.table("verdicts"))


def test_an_export_without_its_format_is_refused_at_once(
    spark: SparkSession, audits: str, queue: DataFrame, result: RunResult, tmp_path: Path
) -> None:
    one = str(tmp_path / "export.json")
    answer(queue).toPandas().to_json(one, orient="records", lines=True)
    with pytest.raises(ConfigurationError, match=r"export\.json' may be .*answers_format: label_studio"):
        run_verdicts(spark, config(audits, one, tmp_path / "none"))
    table = run_verdicts(spark, config(audits, one, tmp_path / "table", answers_format="table"))
    assert rows(table.run.table("verdicts")) == rows(result.run.table("verdicts"))


def test_votes_may_be_weighted_and_issues_of_an_audit_be_the_queue(
    spark: SparkSession, audits: str, tmp_path: Path
) -> None:
    issues = read_run(audits, "audit", spark=spark).issues
    path, quality = str(tmp_path / "answers"), str(tmp_path / "quality")
    answer(issues.withColumnRenamed("rank", "issue_rank")).write.parquet(path)
    (tmp_path / "quality").mkdir()
    (tmp_path / "quality" / "q.csv").write_text(
        "annotator,quality\nr1,0.9\nr2,0.8\nr3,0.1\n", encoding="utf-8"
    )
    options = {"run": "audit", "annotator_quality": quality, "answer_names": {"yes": "given"}}
    done = run_verdicts(spark, config(audits, path, tmp_path / "out", **options))
    record = done.run.record
    assert (record.num_queued, record.reviewed_run) == (issues.count(), "audit")
    assert record.precision == record.precision_lower
    assert (record.recall, record.estimated_errors) == (None, None)
    assert done.run.table("verdicts").agg(F.max("given_votes")).collect()[0][0] == pytest.approx(1.8)


def test_the_command_runs_it(
    spark: SparkSession, audits: str, answers: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    flags = ["--run-location", audits, "--answers", answers, "--output", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", ["verdicts.py", *flags, "--format", "parquet", "--json"])
    with pytest.raises(SystemExit) as left:
        runpy.run_path(str(ROOT / "jobs" / "verdicts.py"), run_name="__main__")
    assert left.value.code == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (told["num_queued"], told["num_pending"]) == (30, 0)
    assert exit_code(["show", str(tmp_path / "out"), "--rows", "3"]) == 0
    assert exit_code(["verdicts", *flags, "--format", "parquet", "--quorum", "0"]) == 2


def test_the_example_configuration_is_one() -> None:
    found = load_config(VerdictsConfig, str(ROOT / "conf" / "verdicts.yaml"), {})
    assert (found.quorum, found.kind, found.answers) == (3, "csv", ["ann.csv", "bob.csv"])


def test_what_cannot_be_decided_is_refused(
    spark: SparkSession, audits: str, answers: str, queue: DataFrame, tmp_path: Path
) -> None:
    for values in ({"num_reviewers": 2}, {"answer_names": {"x": "y"}}, {"quorum": 0}):
        with pytest.raises((ValidationError, ConfigurationError)):
            config(audits, answers, tmp_path, **values)
    with pytest.raises(ValidationError, match="a table is one"):
        config(audits, [answers, answers], tmp_path)
    with pytest.raises(ConfigurationError, match="say id_col"):
        run_verdicts(spark, config(audits, answers, tmp_path / "a", id_col=["nr"]))
    with pytest.raises(InputError, match="no finished run"):
        run_verdicts(spark, config(audits, answers, tmp_path / "b", run="nothing"))
    texts = str(tmp_path / "texts")
    answer(queue).withColumn("id", F.concat(F.lit("x"), "id")).write.parquet(texts)
    with pytest.raises(ColumnTypeError, match="do not compare"):
        run_verdicts(spark, config(audits, texts, tmp_path / "c"))
    with pytest.raises(InputError, match=r"^answers: cannot read .*ann\.csv"):
        run_verdicts(spark, config(audits, [f"{tmp_path}/ann.csv"], tmp_path / "d"))
