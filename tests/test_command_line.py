"""`cl-spark audit`: flags and file, exit codes, messages, and the tables it writes."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from pyspark.sql import SparkSession

from cl_spark import columns as c
from cl_spark.cli import audit as audit_command
from cl_spark.cli import exit_code
from cl_spark.config import AuditConfig, load_config
from cl_spark.errors import ConfigurationError, InputError, OutputError
from cl_spark.job import run_audit
from cl_spark.tables.results import ResultTables
from cl_spark.tables.source import read_source

ROOT = Path(__file__).resolve().parents[1]


def config(**values: Any) -> AuditConfig:
    return AuditConfig.model_validate({"sample": "digits", **values})


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["delta", "parquet"])
def test_an_audit_writes_every_table_and_a_rerun_replaces_its_rows(spark: SparkSession, tmp_path: Path, kind: str) -> None:
    where = str(tmp_path / "out put")
    first = run_audit(spark, config(output=where, format=kind, run_id="a", label_scores=True, slice_by=["true_label"]))
    other = run_audit(spark, config(output=where, format=kind, run_id="1e2", filter_by="predicted_neq_given"))
    again = run_audit(spark, config(output=where, format=kind, run_id="a", label_scores=True, slice_by=["true_label"]))
    tables = ResultTables(spark, where, kind)
    for table in c.TABLES:
        rows = tables.read(table)
        assert set(rows.columns) == {
            name for column in table.columns for name in (["id"] if column.name.startswith("<id") else [column.name])
        }, table.name
    assert first.num_issues == again.num_issues == tables.read_run(c.ISSUES, "a").count() > 0
    assert tables.read_run(c.ISSUES, "1e2").count() == other.num_issues > first.num_issues
    assert tables.read_run(c.LABEL_SCORES, "a").where("is_issue").count() == first.num_issues
    assert tables.read_run(c.LABEL_SCORES, "a").count() == 1797
    runs = {row.run_id: row for row in tables.read(c.RUNS).collect()}
    assert set(runs) == {"a", "1e2"}
    assert runs["a"].num_read == runs["a"].num_examples + runs["a"].num_rejected == 1797
    assert json.loads(runs["a"].parameters)["filter_by"] == "prune_by_noise_rate"
    assert 0.9 < runs["a"].overall_health < 1


def test_flipped_digits_are_found(spark: SparkSession, tmp_path: Path) -> None:
    result = run_audit(spark, config(output=str(tmp_path / "o"), format="parquet"))
    sample = spark.read.parquet(str(ROOT / "cl_spark" / "sample" / "digits.parquet"))
    flagged = result.issues().join(sample, "id")
    hits = flagged.where("label <> true_label").count()
    assert hits / result.num_issues > 0.8
    assert hits / sample.where("label <> true_label").count() > 0.8


@pytest.mark.slow
def test_results_may_go_into_a_schema_of_the_catalog(spark: SparkSession) -> None:
    spark.sql("CREATE SCHEMA IF NOT EXISTS audits")
    result = run_audit(spark, config(output="spark_catalog.audits", run_id="x"))
    assert spark.table("audits.issues").count() == result.num_issues
    named = run_audit(spark, config(output="audits"))
    assert spark.table("audits.runs").count() == 2
    assert named.num_issues == result.num_issues
    with pytest.raises(OutputError, match="takes format delta"):
        run_audit(spark, config(output="audits", format="parquet"))


@pytest.mark.slow
def test_a_relative_path_of_a_delta_table_gives_its_latest_rows(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for rows in (5, 3):
        spark.range(rows).write.format("delta").mode("overwrite").save(str(tmp_path / "table"))
    monkeypatch.chdir(tmp_path)
    source = read_source(spark, "./table", "predictions")
    assert (source.version, source.df.count()) == (1, 3)


@pytest.mark.slow
def test_input_may_be_a_path_or_a_table_in_parquet_or_delta(spark: SparkSession, tmp_path: Path) -> None:
    sample = spark.read.parquet(str(ROOT / "cl_spark" / "sample" / "digits.parquet"))
    sample.write.parquet(str(tmp_path / "p"))
    sample.write.format("delta").save(str(tmp_path / "d"))
    sample.select("id", "label").write.format("delta").save(str(tmp_path / "l"))
    sample.write.mode("overwrite").format("delta").saveAsTable("digits_table")
    found = set()
    for source in (str(tmp_path / "p"), str(tmp_path / "d"), "digits_table"):
        result = run_audit(spark, AuditConfig(predictions=source, output=str(tmp_path / "o"), format="parquet", run_id="r"))
        found.add(result.num_issues)
        version = result.tables.read_run(c.RUNS, "r").first().source_version
        assert ("files" in version) == source.endswith("p")
    two = AuditConfig(predictions=str(tmp_path / "p"), labels=str(tmp_path / "l"), output=str(tmp_path / "o"), format="parquet")
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
def test_unreadable_input_is_named(spark: SparkSession, values: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        run_audit(spark, AuditConfig(**values, output="./nowhere"))


def test_output_that_cannot_be_written_is_named(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write table 'issues'"):
        run_audit(spark, config(output=str(tmp_path / "file"), format="parquet"))


def test_every_key_is_a_flag_and_every_flag_a_key() -> None:
    flags = {parameter.name for parameter in audit_command.params}
    assert flags == set(AuditConfig.model_fields) | {"config"}
    for parameter in audit_command.params:
        assert parameter.opts[0] == f"--{parameter.name.replace('_', '-')}"


def test_flags_win_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(yaml.safe_dump({"sample": "digits", "output": "./a", "frac_noise": 0.5, "spark_conf": {"a": 1, "b": True}}))
    merged = load_config(str(path), {"output": "./b", "spark_conf": {"a": "2"}})
    assert (merged.output, merged.frac_noise, merged.spark_conf) == ("./b", 0.5, {"a": "2", "b": "true"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sample: digits\noutput: ./o\nfilter: x", "filter: unknown key; the keys are predictions, labels"),
        ("sample: digits\noutput: ./o\nfrac_noise: 3\nformat: csv", "frac_noise: .*got 3\nformat: .*got 'csv'"),
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
        load_config(str(path), {})


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
def test_exit_codes_tell_what_happened(arguments: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(arguments) == code
    output = capsys.readouterr()
    assert message in output.out + output.err


@pytest.mark.slow
def test_spark_submit_runs_the_job(tmp_path: Path) -> None:
    submit = Path(sys.executable).parent / "spark-submit"
    job, where = str(ROOT / "jobs" / "audit_labels.py"), str(tmp_path / "out")
    arguments = ["--config", str(ROOT / "conf" / "audit_digits.yaml"), "--output", where]
    done = subprocess.run([str(submit), job, *arguments, "--profile"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    for shown in (
        "overall label health",
        "Most suspicious examples",
        "Worst classes",
        "Most confused pairs",
        "Where the time went",
    ):
        assert shown in done.stdout
    assert "scanning the data ..." in done.stdout + done.stderr
    assert (tmp_path / "out" / "runs" / "_delta_log").is_dir()
    bad = subprocess.run(
        [str(submit), job, "--predictions", "/no/such", "--output", where], capture_output=True, text=True, check=False
    )
    assert bad.returncode == 2
    shown = bad.stdout + bad.stderr  # spark-submit may fold the two into one
    assert "predictions: there is no path '/no/such'" in shown
    assert "Traceback" not in shown


@pytest.mark.parametrize("path", sorted((ROOT / "conf").glob("audit*.yaml")), ids=lambda path: path.name)
def test_example_configurations_are_valid(path: Path) -> None:
    load_config(str(path), {})
