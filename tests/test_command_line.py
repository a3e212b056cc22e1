"""`cl-spark audit`: flags and file, exit codes, messages, and the tables it writes."""

import io
import json
import re
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from rich.console import Console

from cl_spark import LabelAudit, read_run
from cl_spark.errors import ConfigurationError, InputError, OutputError
from cl_spark.runs.config import load_config
from cl_spark.tables.card import card
from cl_spark.tables.input_table import read_source
from cl_spark.tables.results import ResultTables
from cl_spark.tables.schema import RUNS
from cl_spark.tasks.label_audit.config import AuditConfig
from cl_spark.tasks.label_audit.tables import ISSUES, LABEL_SCORES
from cl_spark.tasks.label_audit.task import run_audit
from cl_spark.terminal import progress
from cl_spark.terminal.command_line import cli, exit_code
from tests.frames import EVERY_TABLE

ROOT = Path(__file__).resolve().parents[1]


def config(**values: Any) -> AuditConfig:
    return AuditConfig.model_validate({"sample": "digits", **values})


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["delta", "parquet"])
def test_an_audit_writes_every_table_and_a_rerun_replaces_its_rows(
    spark: SparkSession, tmp_path: Path, kind: str
) -> None:
    where = str(tmp_path / "out put")
    first = run_audit(
        spark, config(output=where, format=kind, run_id="a", label_scores=True, slice_by=["true_label"])
    )
    other = run_audit(spark, config(output=where, format=kind, run_id="1e2", filter_by="predicted_neq_given"))
    again = run_audit(
        spark, config(output=where, format=kind, run_id="a", label_scores=True, slice_by=["true_label"])
    )
    tables = ResultTables(spark, where, kind)
    for table in EVERY_TABLE:
        rows = tables.read(table)
        assert set(rows.columns) == {name for column in table.columns for name in _columns(column.name)}, (
            table.name
        )
    assert first.num_issues == again.num_issues == tables.read_run(ISSUES, "a").count() > 0
    assert tables.read_run(ISSUES, "1e2").count() == other.num_issues > first.num_issues
    assert tables.read_run(LABEL_SCORES, "a").where("is_issue").count() == first.num_issues
    assert tables.read_run(LABEL_SCORES, "a").count() == 1797
    runs = {row.run_id: row for row in tables.read(RUNS).collect()}
    assert set(runs) == {"a", "1e2"}
    assert runs["a"].num_read == runs["a"].num_examples + runs["a"].num_rejected == 1797
    assert json.loads(runs["a"].parameters)["filter_by"] == "prune_by_noise_rate"
    assert 0.9 < runs["a"].overall_health < 1


def _columns(name: str) -> list[str]:
    """The names a declared column has in the table of the digits."""
    return {"<id column(s)>": ["id"], "<review column(s)>": []}.get(name, [name])


def test_flipped_digits_are_found(spark: SparkSession, tmp_path: Path) -> None:
    result = run_audit(spark, config(output=str(tmp_path / "o"), format="parquet"))
    sample = spark.read.parquet(str(ROOT / "cl_spark" / "sample" / "digits.parquet"))
    flagged = result.issues().join(sample, "id")
    hits = flagged.where("label <> true_label").count()
    assert hits / result.num_issues > 0.8
    assert hits / sample.where("label <> true_label").count() > 0.8


@pytest.mark.slow
def test_results_may_go_into_a_schema_of_the_catalog(spark: SparkSession) -> None:
    spark.sql("CREATE SCHEMA results_of_audits")
    result = run_audit(spark, config(output="spark_catalog.results_of_audits", run_id="x"))
    assert spark.table("results_of_audits.issues").count() == result.num_issues
    named = run_audit(spark, config(output="results_of_audits"))
    assert spark.table("results_of_audits.runs").count() == 2
    assert named.num_issues == result.num_issues
    with pytest.raises(OutputError, match="takes format delta"):
        run_audit(spark, config(output="results_of_audits", format="parquet"))


@pytest.mark.slow
def test_a_relative_path_of_a_delta_table_gives_its_latest_rows(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for rows in (5, 3):
        spark.range(rows).write.format("delta").mode("overwrite").save(str(tmp_path / "table"))
    monkeypatch.chdir(tmp_path)
    source = read_source(spark, "./table", "predictions")
    assert (source.version, source.df.count()) == (1, 3)
    spark.range(4).write.parquet(str(tmp_path / "files"))
    assert read_source(spark, "./files", "predictions").counted()[0] == 4


@pytest.mark.slow
def test_input_may_be_a_path_or_a_table_in_parquet_or_delta(spark: SparkSession, tmp_path: Path) -> None:
    sample = spark.read.parquet(str(ROOT / "cl_spark" / "sample" / "digits.parquet"))
    sample.write.parquet(str(tmp_path / "p"))
    sample.write.format("delta").save(str(tmp_path / "d"))
    sample.select("id", "label").write.format("delta").save(str(tmp_path / "l"))
    sample.write.mode("overwrite").format("delta").saveAsTable("digits_table")
    found = set()
    for source in (str(tmp_path / "p"), str(tmp_path / "d"), "digits_table"):
        result = run_audit(
            spark, AuditConfig(predictions=source, output=str(tmp_path / "o"), format="parquet", run_id="r")
        )
        found.add(result.num_issues)
        version = result.tables.read_run(RUNS, "r").first().source_version
        assert ("files" in version) == source.endswith("p")
    two = AuditConfig(
        predictions=str(tmp_path / "p"),
        labels=str(tmp_path / "l"),
        output=str(tmp_path / "o"),
        format="parquet",
    )
    found.add(run_audit(spark, two).num_issues)
    assert len(found) == 1


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ({"predictions": "/no/such/path"}, InputError, "predictions: there is no path '/no/such/path'"),
        ({"predictions": "no_such_table"}, InputError, "predictions: there is no catalog table"),
        ({"predictions": str(ROOT / "README.md")}, InputError, "predictions: cannot read"),
    ],
)
def test_unreadable_input_is_named(
    spark: SparkSession, values: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=re.escape(message)):
        run_audit(spark, AuditConfig(**values, output="./nowhere"))


def test_output_that_cannot_be_written_is_named(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write table 'issues'"):
        run_audit(spark, config(output=str(tmp_path / "file"), format="parquet"))


def test_every_key_is_a_flag_and_every_flag_a_key() -> None:
    flags = {parameter.name for parameter in cli.commands["audit"].params}
    assert flags == set(AuditConfig.model_fields) | {"config", "as_json"}
    for parameter in cli.commands["audit"].params:
        if parameter.name == "as_json":
            continue
        assert parameter.opts[0] == f"--{parameter.name.replace('_', '-')}"


def test_flags_win_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(
        yaml.safe_dump(
            {"sample": "digits", "output": "./a", "frac_noise": 0.5, "spark_conf": {"a": 1, "b": True}}
        )
    )
    merged = load_config(AuditConfig, str(path), {"output": "./b", "spark_conf": {"a": "2"}})
    assert (merged.output, merged.frac_noise, merged.spark_conf) == ("./b", 0.5, {"a": "2", "b": "true"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sample: digits\noutput: ./o\nfilter: x", "filter: unknown key; the keys are predictions, labels"),
        (
            "sample: digits\noutput: ./o\nfrac_noise: 3\nformat: csv",
            "frac_noise: .*got 3\nformat: .*got 'csv'",
        ),
        ("output: ./o", "predictions: needed"),
        ("- a", "must hold keys and values, found list"),
        ("a: [", "is not YAML"),
        ("sample: digits\noutput: ./o\nrun_id: ../x", "run_id: .*got '../x'"),
        ("sample: digits\noutput: ./o\nx: !!python/object/apply:os.system [ls]", "is not YAML"),
    ],
)
def test_unusable_configuration_names_every_key(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=message):
        load_config(AuditConfig, str(path), {})


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["audit", "--sample", "digits", "--output", "./o", "--frac-noise", "2"], 2, "frac_noise"),
        (["audit", "--config", "/no/such.yaml"], 2, "cannot read '/no/such.yaml'"),
        (["audit", "--nonsense"], 2, "No such option"),
        (["audit", "--sample", "digits", "--output", "./o", "--spark-conf", "x"], 2, "is not key=value"),
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


@pytest.mark.slow
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


@pytest.mark.parametrize("path", sorted((ROOT / "conf").glob("audit*.yaml")), ids=lambda path: path.name)
def test_example_configurations_are_valid(path: Path) -> None:
    load_config(AuditConfig, str(path), {})


# What is seen on the screen ---------------------------------------------------------------------------------


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
    text = printed(capsys, "validate", "--predictions", where, "--output", out)
    assert "49 of the first 50 rows can be used; 10 classes" in text
    assert "1 would be rejected: null label (such as id 7)" in text
    assert not Path(out).exists()
    labels = str(tmp_path / "labels")
    sample.select("id", "label").where("id < 40").write.parquet(labels)
    checked = json.loads(
        printed(capsys, "validate", "--predictions", where, "--labels", labels, "--output", out, "--json")
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
        assert told in printed(capsys, "validate", "--predictions", where, "--output", output, code=1)


def test_a_terminal_sees_how_far_spark_is(spark: SparkSession) -> None:
    screen = io.StringIO()
    with progress.show_progress(spark, Console(file=screen, force_terminal=True, width=100)) as tell:
        tell("counting")
        assert spark.range(0, 12, 1, 12).mapInPandas(_slowly, "id long").count() == 12
    text = screen.getvalue()
    assert "counting" in text
    assert re.search(r"\d+/1[23]", text), text[-500:]


def _slowly(batches: Any) -> Any:
    for batch in batches:
        time.sleep(0.2)
        yield batch


def test_logs_tell_how_far_a_long_step_is(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(progress, "LINE_EVERY", 0.5)
    with (
        caplog.at_level("INFO", logger="cl_spark"),
        progress.show_progress(spark, Console(file=io.StringIO())) as tell,
    ):
        tell("counting")
        assert spark.range(0, 12, 1, 12).mapInPandas(_slowly, "id long").count() == 12
    assert re.search(r"counting: \d+ of 1[23] tasks", caplog.text)


def test_queries_at_once_on_connect_are_counted_together() -> None:
    calls: list[Any] = []
    server = type(
        "Server", (), {"registerProgressHandler": calls.append, "removeProgressHandler": calls.remove}
    )
    seen: list[tuple[int, int]] = []
    shown = SimpleNamespace(begin=lambda step: None, report=lambda *tasks: seen.append(tasks))
    with progress._watch_connect(server, progress._StageCounter(shown)):
        for operation, number, tasks, done in (
            ("a", 1, 3, False),
            ("b", 2, 1, False),
            ("a", 1, 8, False),
            ("b", 2, 5, True),
        ):
            stage = SimpleNamespace(stage_id=number, num_completed_tasks=tasks, num_tasks=10)
            calls[0]([stage], 1, operation, done)
    assert seen == [(3, 10), (4, 20), (9, 20), (18, 20)]
    assert not calls


def test_log_records_carry_the_run(
    spark: SparkSession, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", logger="cl_spark"):
        run_audit(spark, config(output=str(tmp_path / "o"), format="parquet", run_id="logged"))
    records = [record for record in caplog.records if record.name == "cl_spark.runs.steps"]
    assert {record.run_id for record in records} == {"logged"}
    assert "finished in" in records[-1].getMessage()


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
