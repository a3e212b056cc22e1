"""Runs that can be trusted: bad input, what is written when, and what readers see."""

import json
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from cl_spark import (
    ConfigurationError,
    DoubtfulInputError,
    InputError,
    LabelAudit,
    OutputError,
    RejectedRowsError,
    RunError,
    SourceChangedError,
    read_run,
)
from cl_spark.runs.run import run_task
from cl_spark.runs.steps import Steps
from cl_spark.tables.location import identifier
from cl_spark.tables.results import ResultTables
from cl_spark.tables.schema import REJECTED, RunWarning, Table
from cl_spark.tasks.label_audit.check import check
from cl_spark.tasks.label_audit.config import AuditConfig
from cl_spark.tasks.label_audit.tables import ISSUES, LABEL_SCORES
from cl_spark.tasks.label_audit.task import AuditExecution, run_audit
from cl_spark.terminal.command_line import exit_code
from tests.frames import audit, content, predictions
from tests.runs.toy_task import REPEATED_TEXTS, RepeatedConfig

pytestmark = [pytest.mark.matrix, pytest.mark.tables]


def test_too_many_bad_rows_fail_the_run_before_anything_is_written(
    spark: SparkSession, df: DataFrame, tmp_path: Path
) -> None:
    bad = df.where("id < 4").withColumns({"id": F.col("id") + 1000, "label": F.when(F.col("id") > 0, -1)})
    path = str(tmp_path / "in")
    df.unionByName(bad).write.parquet(path)
    expected = (
        r"4 of 204 rows \(1.96%\) cannot be used, and max_rejected_fraction is 0.01: "
        r"label outside 0..K-1: 3 .*null label: 1"
    )
    with pytest.raises(RejectedRowsError, match=expected):
        audit(spark, path, tmp_path / "out")
    with pytest.raises(RejectedRowsError, match="on_bad_rows is fail"):
        audit(spark, path, tmp_path / "out", on_bad_rows="fail", max_rejected_fraction=1)
    assert not (tmp_path / "out").exists()
    result = audit(spark, path, tmp_path / "out", max_rejected_fraction=0.02)
    assert (
        sum(result.rejected.values())
        == 4
        == read_run(str(tmp_path / "out"), spark=spark).table("rejected").count()
    )


def test_a_run_in_another_format_than_the_tables_there_is_refused_before_the_scan(
    spark: SparkSession, tmp_path: Path
) -> None:
    texts, out = str(tmp_path / "texts"), str(tmp_path / "out")
    spark.range(4).selectExpr("id", "'a' as text").write.parquet(texts)
    run_task(spark, REPEATED_TEXTS, RepeatedConfig(texts=texts, output=out, run_id="a"))
    other = RepeatedConfig(texts=texts, output=out, format="parquet", run_id="b")
    with pytest.raises(ConfigurationError, match=r"format: .* holds delta tables, and format is 'parquet'"):
        run_task(spark, REPEATED_TEXTS, other)
    assert not list((tmp_path / "out").glob("*/run_id=b"))


@pytest.fixture(scope="module")
def permuted(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Predictions whose classes stand in another order than in the labels."""
    labels = np.arange(300) % 3
    path = str(tmp_path_factory.mktemp("permuted") / "in")
    predictions(spark, labels, np.eye(3)[(labels + 1) % 3] * 0.7 + 0.1).write.parquet(path)
    return path


def test_a_doubtful_input_fails_the_run_before_anything_is_written_where_this_is_asked_for(
    spark: SparkSession, permuted: str, tmp_path: Path
) -> None:
    told = (
        r"on_warning is fail: class order .* looks permuted.* \(class_order_permuted\). Nothing was written"
    )
    with pytest.raises(DoubtfulInputError, match=told):
        audit(spark, permuted, tmp_path / "out", on_warning="fail")
    assert not (tmp_path / "out").exists()


def test_gates_without_a_baseline_do_not_fail_a_run_as_doubtful(
    spark: SparkSession, table: str, tmp_path: Path
) -> None:
    result = audit(spark, table, tmp_path / "out", on_warning="fail", gates=["issues_new <= 3"])
    assert [warning.code for warning in result.warnings] == ["gates_untested"]


def test_warnings_of_a_run_are_recorded_shown_and_read_again(
    spark: SparkSession, permuted: str, table: str, tmp_path: Path
) -> None:
    out = str(tmp_path / "out")
    result = audit(spark, permuted, out, run_id="doubtful")
    (warning,) = result.warnings
    assert warning.code == "class_order_permuted"
    assert "Reorder pred_probs to [1, 2, 0]" in warning.message
    assert result.summary()["warnings"] == [warning._asdict()]
    assert audit(spark, table, out, run_id="fine").warnings == []
    assert read_run(out, "doubtful", spark=spark).warnings == [warning]
    assert read_run(out, "fine", spark=spark).warnings == []
    runs = ResultTables.at(spark, out).read("runs")
    assert [row.code for row in runs.selectExpr("inline(warnings)").collect()] == [warning.code]
    assert "warning: class order" in result._repr_html_()
    assert "warning: class order" in read_run(out, "doubtful", spark=spark)._repr_html_()


def test_an_error_about_rejected_rows_tells_what_may_explain_them(
    spark: SparkSession, df: DataFrame, tmp_path: Path
) -> None:
    path = str(tmp_path / "in")
    df.withColumn("label", F.col("label") + 1).write.parquet(path)
    with pytest.raises(RejectedRowsError, match=r"label outside 0..K-1: .*\. Labels look 1-based: none is 0"):
        audit(spark, path, tmp_path / "out")


def test_rows_that_do_not_add_up_are_never_recorded(
    spark: SparkSession, table: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(AuditExecution, "num_read", property(lambda _: 201, lambda *_: None), raising=False)
    with pytest.raises(SourceChangedError, match="201 rows at first, later 200 accepted and 0 rejected"):
        audit(spark, table, tmp_path / "out")


def test_names_are_never_sql(spark: SparkSession, df: DataFrame, tmp_path: Path) -> None:
    odd = "a`b. c'; DROP TABLE \u00fc"
    path = str(tmp_path / "it's `in` here")
    named = {"id": odd, "label": "l.x", "pred_probs": "p p", "source": "s`s"}
    oddly = df.select(*[F.col(name).alias(alias) for name, alias in named.items()])
    oddly.write.format("delta").option("delta.columnMapping.mode", "name").save(path)
    spark.sql("CREATE SCHEMA IF NOT EXISTS odd_schema")
    for output in (str(tmp_path / "out`put's"), "spark_catalog.`odd_schema`"):
        result = audit(
            spark, path, output, format="delta" if "/" not in output else "parquet",
            id_col=odd, label_col="l.x", pred_probs_col="p p", slice_by="s`s",
        )  # fmt: skip
        assert odd in result.issues().columns
        assert result.num_issues == result.issues().count() > 0
    assert identifier("a.`b.c`") == "`a`.`b.c`"
    with pytest.raises(ConfigurationError, match="is no table name"):
        identifier("a..b")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["delta", "parquet"])
def test_a_run_that_breaks_off_never_happened_and_its_rerun_heals_it(
    spark: SparkSession, table: str, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, write, broken = str(tmp_path / "out"), ResultTables.write, []
    audit(spark, table, out, format=kind, run_id="other")
    undisturbed = audit(spark, table, out, format=kind, run_id="x", label_scores=True)
    before = content(undisturbed.tables, "x"), content(undisturbed.tables, "other")

    def breaking(self: ResultTables, table: Table, rows: DataFrame, run_id: str, attempt: str) -> None:
        write(self, table, rows, run_id, attempt)
        if table is broken[0] and not rows.isEmpty():
            raise OSError("the writer died right after its commit")

    for after in (ISSUES, REJECTED, LABEL_SCORES):
        broken[:] = [after]
        with monkeypatch.context() as patched:
            patched.setattr(ResultTables, "write", breaking)
            if after is not REJECTED:  # it has no rows here
                with pytest.raises(OSError, match="right after"):
                    audit(
                        spark,
                        table,
                        out,
                        format=kind,
                        run_id="x",
                        label_scores=True,
                        filter_by="predicted_neq_given",
                    )
                assert content(undisturbed.tables, "x") == before[0]
        assert read_run(out, spark=spark).run_id in ("other", "x")
    again = audit(spark, table, out, format=kind, run_id="x", label_scores=True)
    assert (content(again.tables, "x"), content(again.tables, "other")) == before
    without = audit(spark, table, out, format=kind, run_id="x")
    assert without.tables.read_run(LABEL_SCORES, "x").count() == 0, (
        "rows of a table that is not written again must go"
    )


def test_output_that_cannot_be_written_leaves_earlier_runs_alone(
    spark: SparkSession, table: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    result = audit(spark, table, out, run_id="first")
    before = content(result.tables, "first")
    (out / "slice_health").write_text("in the way")
    with pytest.raises(OutputError, match="cannot write table 'slice_health'"):
        audit(spark, table, out, run_id="second", slice_by=["source"])
    (out / "slice_health").unlink()
    assert content(result.tables, "first") == before
    assert read_run(str(out), spark=spark).run_id == "first"


@pytest.mark.slow
def test_a_full_disk_is_told_and_leaves_earlier_runs_alone(
    spark: SparkSession, table: str, df: DataFrame, tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(disk)]
    if subprocess.run(mounting, capture_output=True, check=False).returncode:
        pytest.skip("a small disk cannot be mounted here")
    try:
        result = audit(spark, table, disk / "out", run_id="first")
        before = content(result.tables, "first")
        (disk / "ballast").write_bytes(bytes(shutil.disk_usage(disk).free - 2**14))
        with pytest.raises(OutputError, match="cannot write table"):
            audit(spark, table, disk / "out", run_id="second")
        (disk / "ballast").unlink()
        assert content(result.tables, "first") == before
        assert read_run(str(disk / "out"), spark=spark).run_id == "first"
        assert audit(spark, table, disk / "out", run_id="second").num_issues == result.num_issues
    finally:
        # lazily: of a file whose checksum had no room, Hadoop leaves the data open until garbage is collected
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_a_failure_of_spark_says_during_what(spark: SparkSession, df: DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "in"
    df.repartition(3).write.parquet(str(path))
    largest = max(path.glob("*.parquet"), key=lambda file: file.stat().st_size)
    content = bytearray(largest.read_bytes())
    content[4 : len(content) // 2] = bytes(len(content) // 2 - 4)
    largest.write_bytes(content)
    for checksum in path.glob(".*.crc"):
        checksum.unlink()
    with pytest.raises(RunError, match=r"run 'r' failed while scanning the data: .*\.parquet"):
        audit(spark, str(path), tmp_path / "out", run_id="r")


def test_files_that_change_during_a_run_are_told_and_it_is_not_recorded(
    spark: SparkSession, df: DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, rejected = str(tmp_path / "in"), AuditExecution.rejected
    df.write.parquet(path)

    def changing(self: AuditExecution) -> DataFrame:  # asked for while the tables are written
        df.limit(1).write.mode("append").parquet(path)
        return rejected(self)

    with monkeypatch.context() as patched:
        patched.setattr(AuditExecution, "rejected", changing)
        with pytest.raises(SourceChangedError, match=r"was \d+ files, \w+ at first, later \d+ files"):
            audit(spark, path, tmp_path / "out")
    with pytest.raises(InputError):
        read_run(str(tmp_path / "out"), spark=spark)


def test_a_view_is_told_to_be_unpinned_and_its_rows_are_counted_again(
    spark: SparkSession,
    df: DataFrame,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    df.createOrReplaceTempView("unpinned")
    with caplog.at_level("INFO", logger="cl_spark"):
        run = audit(spark, "unpinned", tmp_path / "out", run_id="first").run
    assert run.record.source_version == "not pinned, 200 rows"
    assert "unpinned keeps no versions" in caplog.text
    warnings = AuditExecution.warnings

    def changing(self: AuditExecution, steps: Steps) -> Sequence[RunWarning]:
        df.where("id > 0").createOrReplaceTempView("unpinned")
        return warnings(self, steps)

    monkeypatch.setattr(AuditExecution, "warnings", changing)
    # A Connect server that analyses the view anew reads the evidence again: then that check tells first.
    with pytest.raises(SourceChangedError, match=r"200 rows .*at first, (later|and) .*199"):
        audit(spark, "unpinned", tmp_path / "out")
    assert read_run(str(tmp_path / "out"), spark=spark).run_id == "first"


def test_issues_that_a_join_multiplies_are_no_run(
    spark: SparkSession, table: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    issues = LabelAudit.find_label_issues

    def multiplying(self: LabelAudit, **options: object) -> DataFrame:
        found = issues(self, **options)  # type: ignore[arg-type]
        return found.unionAll(found)

    monkeypatch.setattr(LabelAudit, "find_label_issues", multiplying)
    with pytest.raises(SourceChangedError, match=r"\d+ issues were ranked, later \d+ are in issues"):
        audit(spark, table, tmp_path / "out")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"output": "no_such_audits", "format": "delta"},
            "output: there is no schema 'no_such_audits'.*as in ./no_such_audits",
        ),
        ({"output": "nosuch.schema", "format": "delta"}, "output: there is no schema 'nosuch.schema'"),
        ({"output": "{table}"}, "output: .* and predictions .* choose another output"),
        ({"output": "{table}/audits"}, "output: .* and predictions .* choose another output"),
        (
            {"output": "{tmp}/out", "evidence_path": "{table}/e"},
            "evidence_path: .* choose another",
        ),
        ({"output": "{tmp}/out", "report": "{table}/r.html"}, "report: .* and predictions .* choose another"),
        ({"output": "{tmp}/out", "labels": "{tmp}/out/labels"}, "output: .* and labels .* choose another"),
        ({"output": "{tmp}/file/out"}, "output: .*/file' is no directory"),
        ({"output": "{tmp}/out", "report": "{tmp}/file/r.html"}, "report: .* is no file this user may write"),
    ],
)
def test_what_cannot_be_written_is_told_before_the_scan_by_audit_and_validate(
    spark: SparkSession,
    table: str,
    tmp_path: Path,
    values: dict[str, str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(AuditExecution, "count_rows", lambda _: pytest.fail("it scans"))
    named = {key: value.format(table=table, tmp=tmp_path) for key, value in values.items()}
    config = AuditConfig(**{"predictions": table, "format": "parquet", **named})  # type: ignore[arg-type]
    for look in (run_audit, check):
        with pytest.raises(ConfigurationError, match=message):
            look(spark, config)


def fill_disk(path: str, html: str) -> str:
    raise OSError("disk full")


def test_a_report_that_cannot_be_made_is_no_failed_run(
    table: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = f"{tmp_path}/the out"
    arguments = ["audit", "--predictions", table, "--output", out, "--format", "parquet", "--run-id", "x"]
    with monkeypatch.context() as patched:
        patched.setattr("cl_spark.runs.run.write_page", fill_disk)
        assert exit_code([*arguments, "--report", "--json"]) == 4
    told = capsys.readouterr()
    assert "run 'x' is recorded, but its report could not be made: disk full" in told.err
    found = json.loads(told.out)
    assert (found["report"], found["num_examples"]) == (None, 200)
    command = found["failed_report"].split("Make it again with: cl-spark ")[1]
    assert exit_code(shlex.split(command)) == 0
    assert "Label audit" in Path(capsys.readouterr().out.strip()).read_text()


def test_passwords_in_spark_settings_are_written_nowhere(
    spark: SparkSession, table: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        result = audit(
            spark, table, tmp_path, spark_conf={"fs.s3a.secret.key": "TOPSECRET"}, report=True, run_id="x"
        )
    assert "fs.s3a.secret.key" in result.run.record.parameters
    assert "TOPSECRET" not in str(result.run.record) + json.dumps(result.summary()) + caplog.text
    assert "TOPSECRET" not in Path(str(result.report)).read_text()
    assert read_run(str(tmp_path), spark=spark).parameters["spark_conf"] == {"fs.s3a.secret.key": ""}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["delta", "parquet"])
def test_review_columns_may_hold_fields_of_any_name(
    spark: SparkSession, df: DataFrame, tmp_path: Path, kind: str
) -> None:
    odd = "array<struct<`a b,c;=`: string, `d``e.f`: map<string, struct<`{g}`: int>>>>"
    rows = df.withColumn("odd", F.lit(None).cast(odd)).withColumn("plain", F.lit("x"))
    rows.write.parquet(str(tmp_path / "in"))
    options = {"format": kind, "report": True}
    audit(spark, str(tmp_path / "in"), tmp_path / "out", **options, review_columns=["plain"])
    result = audit(spark, str(tmp_path / "in"), tmp_path / "out", **options, review_columns=["odd"])
    assert result.failed_report is None
    kept = result.issues().schema["odd"].dataType.simpleString()
    assert kept == rows.schema["odd"].dataType.simpleString()
