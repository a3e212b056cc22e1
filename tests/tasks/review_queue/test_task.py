"""The review queue as a run: its table, its files, its report and its command come from the machinery."""

import json
import runpy
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as xml

import pytest
from pyspark.sql import DataFrame, SparkSession

from cl_spark import (
    ConfigurationError,
    InputError,
    OutputError,
    ReviewQueueConfig,
    Run,
    read_label_studio,
    read_run,
    review_queue,
    run_review_queue,
)
from cl_spark.runs.config import load_config
from cl_spark.runs.result import RunResult
from cl_spark.tables.schema import REJECTED
from cl_spark.tasks.registry import TASKS, write_report
from cl_spark.tasks.review_queue.exports import list_choices
from cl_spark.tasks.review_queue.tables import TABLES
from cl_spark.terminal.command_line import exit_code
from tests.frames import audit
from tests.tasks.review_queue.frames import OPTIONS, audited, with_notes

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("review")


@pytest.fixture(scope="module")
def run(spark: SparkSession, df: DataFrame, home: Path) -> Run:
    """The audit that is reviewed."""
    return audited(spark, with_notes(df), home, label_scores=True, run_id="night")


@pytest.fixture(scope="module")
def result(spark: SparkSession, run: Run, home: Path) -> RunResult:
    files = {"label_studio": "tasks.json", "csv": "review.csv", "page": "review.html"}
    exports = {key: str(home / name) for key, name in files.items()}
    return run_review_queue(spark, config(home, run="night", run_id="first", report=True, **exports))


def config(home: Path, **values: Any) -> ReviewQueueConfig:
    """A queue of 20 rows, in the results of the audit."""
    out = str(home / "out")
    keys = {"run_location": out, "budget": 20, "random_share": 0.2, "output": out, "format": "parquet"}
    return ReviewQueueConfig.model_validate({**keys, **values})


def rows(frame: DataFrame) -> list[Any]:
    return sorted(map(tuple, frame.collect()), key=repr)


def test_it_writes_the_queue_of_the_audit(result: RunResult, run: Run) -> None:
    table = result.run.table("review_queue")
    assert rows(table.drop("rank")) == rows(review_queue(run, 20, random_share=0.2))
    assert table.where("rank = place").count() == 20
    declared = [column.name for column in TABLES[0].columns if column.name[0] != "<"]
    assert ["run_id", "attempt", *table.drop("id", "note", "source").columns] == declared


def test_it_records_the_audit_and_the_rows_of_its_strata(result: RunResult, run: Run) -> None:
    record, issues, examples = result.run.record, run.record.num_issues, run.record.num_examples
    assert (record.audit_run, record.num_top) == ("night", 12)
    assert (record.num_flagged, record.num_unflagged) == (issues - 12, examples - issues)
    assert (record.num_read, record.num_examples, record.num_issues) == (examples, examples, 20)
    assert record.overall_health is None
    assert result.run.table(REJECTED.name).count() == 0
    assert record.source == f"run night in {run.tables.location}"
    assert record.source_version == run.record.attempt


def test_it_writes_the_files_that_people_review_with(result: RunResult, home: Path) -> None:
    tasks = json.loads((home / "tasks.json").read_text(encoding="utf-8"))
    assert len(tasks) == 20
    assert {task["data"]["run_id"] for task in tasks} == {"night"}
    view = xml.parse(home / "tasks.xml").getroot()
    (classes,) = (tag for tag in view.iter("Choices") if tag.get("name") == "label")
    assert [choice.get("value") for choice in classes] == ["0", "1", "2", "3"]
    assert "label_quality" not in (home / "review.csv").read_text(encoding="utf-8-sig")
    assert len((home / "review.csv").read_text(encoding="utf-8-sig").splitlines()) == 21
    assert "Review of run night" in (home / "review.html").read_text(encoding="utf-8")


def test_of_too_many_classes_annotators_choose_none(run: Run) -> None:
    assert list_choices(run, most=4) == ["0", "1", "2", "3"]
    assert list_choices(run, most=3) is None


def test_answers_join_the_written_table(result: RunResult, home: Path) -> None:
    tasks = json.loads((home / "tasks.json").read_text(encoding="utf-8"))
    chosen = {"from_name": "answer", "type": "choices", "value": {"choices": ["given"]}}
    annotated = [task | {"annotations": [{"id": 1, "completed_by": 3, "result": [chosen]}]} for task in tasks]
    path = home / "export.json"
    path.write_text(json.dumps(annotated), encoding="utf-8")
    table = result.run.table("review_queue")
    answers = read_label_studio(str(path), table)
    assert rows(answers.select("id")) == rows(table.select("id"))


def test_a_repetition_gives_the_same_tables(spark: SparkSession, run: Run, home: Path) -> None:
    values = {"run": run.run_id, "run_id": "repeated"}
    once = run_review_queue(spark, config(home, **values)).run
    before = rows(once.table("review_queue"))
    again = run_review_queue(spark, config(home, **values)).run
    assert rows(again.table("review_queue")) == before
    assert again.record.attempt > once.record.attempt


def test_the_latest_run_that_has_issues_is_reviewed_unless_another_is_named(
    spark: SparkSession, run: Run, result: RunResult, home: Path
) -> None:
    later = audit(spark, str(home / "in"), home / "out", run_id="later", **OPTIONS).run
    latest = run_review_queue(spark, config(home))
    assert latest.run.record.audit_run == later.run_id
    named = run_review_queue(spark, config(home, run="night", seed=3))
    assert named.run.record.audit_run == "night"


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        (
            {"run": "first"},
            InputError,
            "run 'first' is of the task 'review_queue', which has no label issues",
        ),
        ({"run": "none"}, InputError, "there is no finished run 'none'"),
        ({"id_col": ["key"]}, ConfigurationError, r"id_col: run '\w+' has the id columns id, not key: say"),
        ({"page": "s3://lake/x.html"}, ConfigurationError, "page: .* is in a store that only Spark reaches"),
        ({"label_studio": "x.txt"}, ConfigurationError, r"label_studio: 'x.txt' must end in \.json"),
        ({"csv": "/proc"}, ConfigurationError, "csv: '/proc' is no file this user may write"),
    ],
)
def test_what_cannot_be_reviewed_is_an_error(
    spark: SparkSession, result: RunResult, home: Path, values: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        run_review_queue(spark, config(home, **values))


def test_a_csv_with_answers_stops_the_run_before_it_begins(
    spark: SparkSession, run: Run, home: Path, tmp_path: Path
) -> None:
    path = tmp_path / "review.csv"
    path.write_text("place,id,answer,label,annotator\n1,7,given,,ann\n", encoding="utf-8")
    with pytest.raises(OutputError, match=r"csv: '.*review\.csv' holds answers \(line 2 has 'answer'\)"):
        run_review_queue(spark, config(home, run="night", run_id="answered", csv=str(path)))
    assert "1,7,given,,ann" in path.read_text(encoding="utf-8")


def test_results_without_label_issues_are_an_error(
    spark: SparkSession, run: Run, home: Path, tmp_path: Path
) -> None:
    run_review_queue(spark, config(home, output=str(tmp_path / "queues")))
    with pytest.raises(InputError, match=r"there is no finished run with label issues in .*cl-spark audit"):
        run_review_queue(spark, config(home, run_location=str(tmp_path / "queues")))


def test_keys_that_do_not_fit_are_errors() -> None:
    keys = {"run_location": "./audits", "output": "./audits"}
    with pytest.raises(ConfigurationError, match="budget: needed; How many rows"):
        load_config(ReviewQueueConfig, None, keys)
    with pytest.raises(ConfigurationError, match=r"two of them name the same file: a\.json, a\.json"):
        load_config(ReviewQueueConfig, None, {**keys, "budget": 5, "label_studio": "a.json", "csv": "a.json"})
    with pytest.raises(ConfigurationError, match="random_share: Input should be less than or equal to 1"):
        load_config(ReviewQueueConfig, None, {**keys, "budget": 5, "random_share": 2})


def test_the_report_shows_strata_and_rows(result: RunResult) -> None:
    assert result.report is not None
    html = Path(result.report).read_text(encoding="utf-8")
    found = html.split('id="data-tables">')[1].split("</script>")[0]
    tables = json.loads(found)
    assert [row[:3] for row in tables["strata"]["rows"]] == [
        ["top", 12, 12],
        ["flagged", 4, result.run.record.num_flagged],
        ["unflagged", 4, result.run.record.num_unflagged],
    ]
    assert [row[0] for row in tables["queue"]["rows"]] == list(range(1, 21))


def test_a_gate_on_a_number_fails_the_run(spark: SparkSession, run: Run, home: Path) -> None:
    found = run_review_queue(spark, config(home, gates=["num_unflagged >= 1000000"]))
    assert len(found.failed_gates) == 1


def test_the_command_writes_and_shows_the_queue(
    run: Run, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(home / "out")
    flags = [
        "--run-location",
        out,
        "--run",
        "night",
        "--budget",
        "20",
        "--diversify-by",
        "given_label,source",
    ]
    target = ["--output", out, "--format", "parquet", "--run-id", "of-command"]
    assert exit_code(["review", *flags, *target, "--csv", str(tmp_path / "q.csv")]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "20 rows to look at, of run night (16 top, 2 flagged, 2 unflagged)" in told
    assert exit_code(["show", out, "of-command"]) == 0
    assert "Review queue of run of-command" in capsys.readouterr().out
    assert (tmp_path / "q.csv").is_file()


def test_the_job_has_the_flags_of_the_command(
    run: Run, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(home / "out")
    flags = ["--run-location", out, "--run", "night", "--budget", "5", "--output", out, "--format", "parquet"]
    monkeypatch.setattr(sys, "argv", ["review.py", *flags, "--json"])
    with pytest.raises(SystemExit) as exit_:
        runpy.run_path(str(ROOT / "jobs" / "review.py"), run_name="__main__")
    assert exit_.value.code == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["num_issues"] == 5


def test_every_key_is_in_the_configuration_file() -> None:
    text = (ROOT / "conf" / "review.yaml").read_text(encoding="utf-8")
    for name in ReviewQueueConfig.model_fields:
        assert f"\n{name}:" in text or f"\n# {name}:" in text, name
    settings = load_config(ReviewQueueConfig, str(ROOT / "conf" / "review.yaml"), {})
    assert (settings.budget, settings.page) == (500, "./review.html")


def test_the_registry_knows_the_task(spark: SparkSession, result: RunResult, tmp_path: Path) -> None:
    assert TASKS["review_queue"].command == "review"
    run = read_run(str(result.run.tables.location), "first", spark=spark)
    assert Path(write_report(run, str(tmp_path / "report.html"))).is_file()
