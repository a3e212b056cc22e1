"""Runs that can be trusted: what is written when, what readers see, history, gates and slices."""

import re
import shutil
import subprocess
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from cl_spark import (
    ConfigurationError,
    InputError,
    LabelAudit,
    OutputError,
    RejectedRowsError,
    RunError,
    SourceChangedError,
    read_run,
)
from cl_spark.runs.gates import Gate, find_failed_gates, parse_gates
from cl_spark.runs.history import compare, find_baseline, set_baseline
from cl_spark.tables.finished_run import Run, finished_runs
from cl_spark.tables.location import identifier
from cl_spark.tables.results import ResultTables
from cl_spark.tables.schema import REJECTED, RUNS, Table
from cl_spark.tasks.label_audit.config import AuditConfig
from cl_spark.tasks.label_audit.tables import ISSUES, LABEL_SCORES
from cl_spark.tasks.label_audit.task import LABEL_AUDIT, AuditExecution, AuditResult, run_audit
from tests.frames import content, predictions
from tests.oracle.datasets import dataset

pytestmark = pytest.mark.matrix
DATA = dataset(83, 200, 4)


@pytest.fixture(scope="module")
def df(spark: SparkSession) -> DataFrame:
    frame = predictions(spark, DATA.labels, DATA.probs)
    return frame.withColumns(
        {"source": F.expr("if(id < 20, 'a', 'b')"), "day": F.expr("if(id % 50 = 0, null, id % 3)")}
    ).cache()


@pytest.fixture(scope="module")
def table(df: DataFrame, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = str(tmp_path_factory.mktemp("input") / "predictions")
    df.write.parquet(path)
    return path


def audit(spark: SparkSession, predictions: str, output: Path | str, **values: Any) -> AuditResult:
    return run_audit(
        spark,
        AuditConfig(**{"predictions": predictions, "output": str(output), "format": "parquet", **values}),
    )


# Bad input --------------------------------------------------------------------------------------------------


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


# Writing ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["delta", "parquet"])
def test_a_run_that_breaks_off_never_happened_and_its_rerun_heals_it(
    spark: SparkSession, table: str, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, write, broken = str(tmp_path / "out"), ResultTables.write, []
    audit(spark, table, out, format=kind, run_id="other")
    undisturbed = audit(spark, table, out, format=kind, run_id="x", label_scores=True)
    before = content(undisturbed.tables, "x"), content(undisturbed.tables, "other")

    def breaking(self: ResultTables, table: Table, rows: DataFrame, run_id: str) -> None:
        write(self, table, rows, run_id)
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
                with pytest.raises(InputError, match="no finished run 'x'"):
                    read_run(out, "x", spark=spark)
        assert read_run(out, spark=spark).run_id in ("other", "x")
    again = audit(spark, table, out, format=kind, run_id="x", label_scores=True)
    assert (content(again.tables, "x"), content(again.tables, "other")) == before
    without = audit(spark, table, out, format=kind, run_id="x")
    assert without.tables.read_run(LABEL_SCORES, "x").count() == 0, (
        "rows of a table that is not written again must go"
    )


@pytest.mark.slow
def test_two_writers_of_the_same_delta_tables_both_succeed(
    spark: SparkSession, table: str, tmp_path: Path
) -> None:
    out, found, failures = str(tmp_path / "out"), {}, []

    def one(run_id: str) -> None:
        try:
            found[run_id] = audit(spark, table, out, format="delta", run_id=run_id).num_issues
        except Exception as error:
            failures.append(error)

    for number in range(3):  # the first pair makes the tables
        pair = [threading.Thread(target=one, args=(f"{name}{number}",)) for name in "ab"]
        [thread.start() for thread in pair]
        [thread.join() for thread in pair]
    assert not failures
    tables = ResultTables(spark, out, "delta")
    assert finished_runs(tables).count() == len(found) == 6
    for run_id, number in found.items():
        assert tables.read_run(ISSUES, run_id).count() == number > 0


@pytest.mark.slow
def test_writers_may_make_the_same_table_at_once(spark: SparkSession, tmp_path: Path) -> None:
    rows = spark.range(3).selectExpr("id", "'x' as reason", "'{}' as row")
    for number in range(5):
        tables, failures = ResultTables(spark, f"{tmp_path}/{number}", "delta"), []

        def one(name: str, tables: ResultTables = tables, failures: list[Exception] = failures) -> None:
            try:
                tables.write(REJECTED, rows, name)
            except Exception as error:
                failures.append(error)

        writers = [threading.Thread(target=one, args=(name,)) for name in "abc"]
        [writer.start() for writer in writers]
        [writer.join() for writer in writers]
        assert not failures
        assert {(row.run_id, row.id) for row in tables.read(REJECTED).collect()} == {
            (n, i) for n in "abc" for i in range(3)
        }


@pytest.mark.slow
def test_delta_tables_explain_themselves(spark: SparkSession, table: str, tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    audit(spark, table, out, format="delta")
    described = {
        row.col_name: row.comment for row in spark.sql(f"DESCRIBE TABLE delta.`{out}/issues`").collect()
    }
    assert described["rank"].startswith("1 is the most suspicious")
    assert described["id"].startswith("The example")
    detail = spark.sql(f"DESCRIBE DETAIL delta.`{out}/issues`").first()
    assert detail.properties["cl_spark.source"] == table
    assert detail.partitionColumns == ["run_id"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["delta", "parquet"])
def test_tables_of_earlier_versions_stay_readable_and_take_new_runs(
    spark: SparkSession, tmp_path: Path, kind: str
) -> None:
    """The fixture holds an audit of the sample by the version before gates, baselines and column comments."""
    out = str(tmp_path / "out")
    shutil.copytree(Path(__file__).parent / "fixtures" / "runs_without_gates" / kind, out)
    old = read_run(out, spark=spark)
    assert (old.run_id, old.record.baseline, old.issues.count()) == ("old", None, old.record.num_issues)
    new = run_audit(
        spark, AuditConfig(sample="digits", output=out, format=kind, run_id="new", gates=["issues_new <= 0"])
    )
    assert not new.failed_gates, "the same sample has the same issues"
    assert {row.run_id: row.baseline for row in finished_runs(new.tables).collect()} == {
        "old": None,
        "new": True,
    }
    assert (
        compare(old, read_run(out, "new", spark=spark), LABEL_AUDIT).persisting.count()
        == old.record.num_issues
    )
    set_baseline(new.tables, "old", False)
    assert baseline_of(new.tables, "sample digits", "new") is None


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


# Sources ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_an_older_state_gives_the_same_run(spark: SparkSession, df: DataFrame, tmp_path: Path) -> None:
    path, out = str(tmp_path / "in"), str(tmp_path / "out")
    df.write.format("delta").save(path)
    first = audit(spark, path, out, run_id="first")
    df.withColumn("label", F.lit(0)).write.format("delta").mode("overwrite").save(path)
    history = {row.version: row.timestamp for row in spark.sql(f"DESCRIBE HISTORY delta.`{path}`").collect()}
    later = audit(spark, path, out, run_id="later")
    again = [
        audit(spark, path, out, source_version=0),
        audit(spark, path, out, source_timestamp=f"{history[0]}"),
    ]
    expected = content(first.tables, "first")
    for result in again:
        assert content(first.tables, result.run_id) == expected
    assert content(first.tables, later.run_id)["runs"] != expected["runs"]
    with pytest.raises(InputError, match="has no version 7; its latest is 1"):
        audit(spark, path, out, source_version=7)
    with pytest.raises(InputError, match="begins after '2001-01-01'"):
        audit(spark, path, out, source_timestamp="2001-01-01")


def test_files_are_told_apart_by_a_digest(spark: SparkSession, df: DataFrame, tmp_path: Path) -> None:
    path, out = str(tmp_path / "in"), str(tmp_path / "out")
    df.write.parquet(path)
    versions = [
        audit(spark, path, out).tables.read(RUNS).orderBy("started").tail(1)[0].source_version
        for _ in range(2)
    ]
    df.limit(1).withColumn("id", F.lit(5000).cast("long")).write.mode("append").parquet(path)
    versions += [audit(spark, path, out).tables.read(RUNS).orderBy("started").tail(1)[0].source_version]
    assert versions[0] == versions[1] != versions[2]
    with pytest.raises(InputError, match="is no Delta table"):
        audit(spark, path, out, source_version=0)


def baseline_of(tables: ResultTables, source: str, run_id: str) -> Run | None:
    """The baseline of a run of a source."""
    return find_baseline(tables, Run(run_id, Row(source=source, task="label_audit"), tables))


# History, gates, slices -------------------------------------------------------------------------------------


def test_gates_compare_with_the_run_before_that_is_not_excluded(
    spark: SparkSession, table: str, tmp_path: Path
) -> None:
    out = str(tmp_path / "out")
    first = audit(spark, table, out, run_id="1", gates=["issues_new <= 0", "overall_health > 0.999"])
    assert [gate.split(":")[0] for gate in first.failed_gates] == ["overall_health > 0.999"], (
        "nothing to compare with"
    )
    more = audit(
        spark,
        table,
        out,
        run_id="2",
        filter_by="predicted_neq_given",
        gates=["issues_new <= 0", "health_drop <= 0"],
    )
    ids = [{row.id for row in one.issues().collect()} for one in (first, more)]
    assert more.failed_gates == [f"issues_new <= 0: it is {len(ids[1] - ids[0])}, since run 1"]
    tables = first.tables
    change = compare(read_run(out, "1", spark=spark), read_run(out, "2", spark=spark), LABEL_AUDIT)
    assert {row.id for row in change.new.collect()} == ids[1] - ids[0]
    assert {row.id for row in change.resolved.collect()} == ids[0] - ids[1]
    assert {row.id for row in change.persisting.collect()} == ids[0] & ids[1]
    source = read_run(out, "1", spark=spark).record.source
    assert baseline_of(tables, source, "3").run_id == "2"  # type: ignore[union-attr]
    set_baseline(tables, "2", False)
    assert baseline_of(tables, source, "3").run_id == "1"  # type: ignore[union-attr]
    set_baseline(tables, "2", True)
    assert baseline_of(tables, source, "3").run_id == "2"  # type: ignore[union-attr]
    assert baseline_of(tables, "another source", "3") is None
    run = read_run(out, "2", spark=spark)
    gates = [Gate.parse("class_health.examples >= 1000"), Gate.parse("num_examples >= 1")]
    failed = find_failed_gates(gates, LABEL_AUDIT, run, None)
    assert len(failed) == 1
    assert re.search(r"not so for 4 classes: \d \(\d+\)", failed[0])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("health >= 1", "'health' is no metric"),
        ("overall_health = 1", "no comparison"),
        ("", "no comparison"),
    ],
)
def test_gates_that_mean_nothing_are_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        parse_gates([text], LABEL_AUDIT)


def test_slices_add_up_and_have_wilson_intervals(df: DataFrame) -> None:
    from scipy.stats import binomtest

    with LabelAudit(df, slice_by=["source", "day"]) as made:
        slices = made.slice_health().toPandas()
        issues = made.num_label_issues()
    for _, rows in slices.groupby("slice_column"):
        assert rows.examples.sum() == 200
        assert rows.off_diagonal_issues.sum() == issues > 0
    assert slices.slice_value.isna().sum() == 1
    for row in slices.itertuples():
        interval = binomtest(row.examples - row.off_diagonal_issues, row.examples).proportion_ci(
            method="wilson"
        )
        assert np.allclose([row.lower, row.upper], [interval.low, interval.high])
    with LabelAudit(df) as made, pytest.raises(ConfigurationError, match="pass slice_by"):
        made.slice_health()


def test_slice_columns_may_come_with_the_labels(df: DataFrame) -> None:
    with LabelAudit(
        df.select("id", "pred_probs"), labels=df.select("id", "label", "source"), slice_by=["source"]
    ) as made:
        assert {row.slice_value: row.examples for row in made.slice_health().collect()} == {"a": 20, "b": 180}
