"""The command line: exit codes, messages, and what people and programs read."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from cl_spark import LabelAudit, read_run
from cl_spark.tables.card import card
from cl_spark.tasks.label_audit.config import AuditConfig
from cl_spark.tasks.label_audit.task import run_audit
from cl_spark.terminal.command_line import exit_code

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]


def config(**values: Any) -> AuditConfig:
    return AuditConfig.model_validate({"sample": "digits", **values})


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["audit", "--sample", "digits", "--output", "./o", "--frac-noise", "2"], 2, "frac_noise"),
        (["audit", "--config", "/no/such.yaml"], 2, "cannot read '/no/such.yaml'"),
        (["audit", "--nonsense"], 2, "No such option"),
        (["audit", "--sample", "digits", "--output", "./o", "--spark-conf", "x"], 2, "write KEY=VALUE"),
        (["audit", "--help"], 0, "--pred-probs-col"),
        (["--version"], 0, "0.1.0"),
    ],
)
def test_exit_codes_tell_what_happened(
    arguments: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(arguments) == code
    output = capsys.readouterr()
    assert message in output.out + output.err


def test_spark_submit_runs_the_job(tmp_path: Path) -> None:
    submit = Path(sys.executable).parent / "spark-submit"
    job, where = str(ROOT / "jobs" / "audit_labels.py"), str(tmp_path / "out")
    arguments = ["--config", str(ROOT / "conf" / "audit_digits.yaml"), "--output", where]
    done = subprocess.run(
        [str(submit), job, *arguments, "--profile"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    for shown in (
        "overall label health",
        "Most suspicious examples",
        "Worst classes",
        "Most confused pairs",
        "Where the time went",
    ):
        assert shown in done.stdout
    told = done.stdout + done.stderr
    assert re.search(r"INFO cl_spark.runs.steps: run [\w-]+: scanning the data \.\.\.", told)
    assert re.search(
        r"run [\w-]+: finished in .* s: overall health 9.*%, \d+ issues in 1,797 examples, 0 rows rejected",
        told,
    )
    assert (tmp_path / "out" / "runs" / "_delta_log").is_dir()


@pytest.fixture(scope="module")
def audits(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Two runs of the sample."""
    output = str(tmp_path_factory.mktemp("screen") / "audits")
    for run_id, filter_by in (("monday", "predicted_neq_given"), ("tuesday", "both")):
        run_audit(
            spark,
            config(
                output=output, format="parquet", run_id=run_id, filter_by=filter_by, review_columns=["image"]
            ),
        )
    return output


def printed(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    capsys.readouterr()
    assert exit_code(arguments) == code
    told = capsys.readouterr()
    return told.err if code else told.out


def test_issues_of_a_class_or_pair_are_shown(
    spark: SparkSession, audits: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = read_run(audits, spark=spark)
    issues = run.issues.orderBy("rank").collect()
    first = issues[0]
    given, suggested = str(first.given_label), str(first.suggested_label)
    expected = {
        (): issues,
        ("--class", given): [
            row for row in issues if given in (str(row.given_label), str(row.suggested_label))
        ],
        ("--given", given): [row for row in issues if str(row.given_label) == given],
        ("--given", given, "--suggested", suggested): [
            row for row in issues if (str(row.given_label), str(row.suggested_label)) == (given, suggested)
        ],
    }
    for flags, rows in expected.items():
        found = json.loads(printed(capsys, "show", audits, *flags, "--json", "--rows", "1000"))
        assert [row["id"] for row in found] == [row.id for row in rows], flags
    assert found[0]["image"].startswith("iVBOR")  # bytes are base64
    text = printed(capsys, "show", audits, "tuesday", "--rows", "5")
    assert f"Issues of run tuesday: 5 of {len(issues)}" in text
    told = printed(capsys, "show", audits, "--class", "cat", code=2)
    assert "run 'tuesday' has no class 'cat'" in told
    assert "Traceback" not in told


def test_programs_get_json(spark: SparkSession, audits: str, capsys: pytest.CaptureFixture[str]) -> None:
    runs = json.loads(printed(capsys, "history", audits, "--json"))
    assert [run["run_id"] for run in runs] == ["tuesday", "monday"]
    assert runs[0]["change"] == runs[0]["overall_health"] - runs[1]["overall_health"]
    assert runs[1]["change"] is None
    change = json.loads(printed(capsys, "compare", audits, "--json"))
    assert (change["earlier"], change["later"]) == ("monday", "tuesday")
    assert change["issues_new"] + change["issues_persisting"] == runs[0]["num_issues"]
    flags = ["--sample", "digits", "--output", f"{audits}2", "--format", "parquet"]
    result = json.loads(printed(capsys, "audit", *flags, "--json", "--profile"))
    assert result["num_examples"] == 1797
    assert result["failed_gates"] == []
    assert "scanning the data" in result["steps"]
    checked = json.loads(printed(capsys, "validate", *flags, "--json", "--rows", "300"))
    assert (checked["rows"], checked["accepted"], checked["num_classes"]) == (300, 300, 10)


def test_a_narrow_terminal_folds_the_history(
    audits: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    text = printed(capsys, "history", audits)
    assert all(len(line) <= 80 for line in text.splitlines())
    assert "monday" in text
    assert "tuesday" in text


def test_validate_tells_what_an_audit_would_do_and_writes_nothing(
    spark: SparkSession, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sample = spark.read.parquet(str(ROOT / "cl_spark" / "sample" / "digits.parquet")).limit(50)
    where, out = str(tmp_path / "in"), str(tmp_path / "out")
    sample.withColumn("label", F.when(F.col("id") != 7, F.col("label"))).coalesce(1).write.parquet(where)
    told = printed(capsys, "validate", "--predictions", where, "--output", out, code=2)
    assert "1 of 50 rows (2.00%) cannot be used, and max_rejected_fraction is 0.01: null label: 1" in told
    some = ("--max-rejected-fraction", "0.2")
    text = printed(capsys, "validate", "--predictions", where, "--output", out, *some)
    assert "49 of the first 50 rows can be used; 10 classes" in text
    assert "1 would be rejected: null label (such as id 7)" in text
    assert not Path(out).exists()
    labels = str(tmp_path / "labels")
    sample.select("id", "label").where("id < 40").write.parquet(labels)
    checked = json.loads(
        printed(
            capsys, "validate", "--predictions", where, "--labels", labels, "--output", out, *some, "--json"
        )
    )
    assert (checked["accepted"], checked["rows"]) == (40, 50)
    assert checked["rejected"]["prediction without a label"][0] == 10
    (tmp_path / "file").write_text("")
    for flags, told in (
        (["--label-col", "nothing"], "label_col: no column 'nothing'"),
        (["--labels", labels, "--id-col", "nothing"], "'nothing'"),
        (["--gates", "health > 1"], "'health' is no metric"),
        (["--review-columns", "nothing"], "review_columns: there is no column 'nothing'"),
        (["--predictions", "./no/such"], "there is no path './no/such'"),
    ):
        assert told in printed(capsys, "validate", "--predictions", where, "--output", out, *flags, code=2)
    for output, told in (
        (str(tmp_path / "file" / "x"), "is no directory"),
        ("no_such_schema", "there is no schema"),
    ):
        assert told in printed(capsys, "validate", "--predictions", where, "--output", output, code=2)


def test_objects_show_themselves_in_notebooks(spark: SparkSession, audits: str) -> None:
    df = spark.read.parquet(str(ROOT / "cl_spark" / "sample" / "digits.parquet"))
    with LabelAudit(df) as audit:
        assert "Not scanned yet" in audit._repr_html_()
        health = audit.health_summary()
        assert "1,797" in audit._repr_html_()
        assert f"{health.overall_health:.2%}" in health._repr_html_()
    assert "Run tuesday" in read_run(audits, spark=spark)._repr_html_()
    assert "&lt;script&gt;" in card("<script>", {}, bars=[("<script>", 0.5)])
    assert "<script>" not in card(
        "<script>", {"<script>": "<script>"}, bars=[("<script>", 0.5)], notes=["<script>"]
    )
