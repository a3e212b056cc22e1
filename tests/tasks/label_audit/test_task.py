"""The label audit as a run: the tables it writes, where they go, and what it reads."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from cl_spark import LabelAudit, read_run
from cl_spark.errors import (
    ConfigurationError,
    InputError,
    RejectedRowsError,
    SourceChangedError,
)
from cl_spark.tables.input_table import read_source
from cl_spark.tables.results import ResultTables
from cl_spark.tables.schema import RUNS
from cl_spark.tasks.label_audit.config import AuditConfig
from cl_spark.tasks.label_audit.tables import ISSUES, LABEL_SCORES
from cl_spark.tasks.label_audit.task import run_audit
from tests.frames import EVERY_TABLE

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[3]


def config(**values: Any) -> AuditConfig:
    return AuditConfig.model_validate({"sample": "digits", **values})


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


def test_results_may_go_into_a_schema_of_the_catalog(spark: SparkSession) -> None:
    spark.sql("CREATE SCHEMA results_of_audits")
    result = run_audit(spark, config(output="spark_catalog.results_of_audits", run_id="x"))
    assert spark.table("results_of_audits.issues").count() == result.num_issues
    named = run_audit(spark, config(output="results_of_audits"))
    assert spark.table("results_of_audits.runs").count() == 2
    assert named.num_issues == result.num_issues
    with pytest.raises(ConfigurationError, match="takes format delta"):
        run_audit(spark, config(output="results_of_audits", format="parquet"))


def test_a_relative_path_of_a_delta_table_gives_its_latest_rows(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for rows in (5, 3):
        spark.range(rows).write.format("delta").mode("overwrite").save(str(tmp_path / "table"))
    monkeypatch.chdir(tmp_path)
    source = read_source(spark, "./table", "predictions")
    assert (source.version, source.df.count()) == (1, 3)
    spark.range(4).write.parquet(str(tmp_path / "files"))
    files = read_source(spark, "./files", "predictions")
    assert (files.version, files.df.count()) == (None, 4)
    assert re.fullmatch(r"\d+ files, [0-9A-F]+", files.state() or "")


def test_input_may_be_a_path_or_a_table_in_parquet_or_delta(spark: SparkSession, tmp_path: Path) -> None:
    sample = spark.read.parquet(str(ROOT / "cl_spark" / "sample" / "digits.parquet"))
    sample.write.parquet(str(tmp_path / "p"))
    sample.write.format("delta").save(str(tmp_path / "d"))
    sample.select("id", "label").write.format("delta").save(str(tmp_path / "l"))
    sample.write.mode("overwrite").format("delta").saveAsTable("digits_table")
    found = set()
    for source in (str(tmp_path / "p"), str(tmp_path / "d"), "digits_table"):
        result = run_audit(
            spark, AuditConfig(predictions=source, output=str(tmp_path / "o"), format="parquet")
        )
        found.add(result.num_issues)
        version = result.tables.read_run(RUNS, result.run_id).first().source_version
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
    with pytest.raises(ConfigurationError, match=r"output: .*/file' is no directory this user may write to"):
        run_audit(spark, config(output=str(tmp_path / "file"), format="parquet"))


def test_log_records_carry_the_run(
    spark: SparkSession, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", logger="cl_spark"):
        run_audit(spark, config(output=str(tmp_path / "o"), format="parquet", run_id="logged"))
    records = [record for record in caplog.records if record.name == "cl_spark.runs.steps"]
    assert {record.run_id for record in records} == {"logged"}
    assert "finished in" in records[-1].getMessage()


def test_rows_that_lack_a_part_of_their_key_are_counted_by_its_column(
    spark: SparkSession, df: DataFrame, tmp_path: Path
) -> None:
    nan = F.lit(float("nan"))
    columns = {"part": F.when(F.col("id") < 3, nan).otherwise(F.col("id") / 2)}
    rows = df.withColumns({**columns, "id": F.expr("if(id = 1 or id = 7, null, id)")})
    rows.write.parquet(f"{tmp_path}/in")
    options = {"output": f"{tmp_path}/out", "format": "parquet", "id_col": ["id", "part"]}
    with pytest.raises(RejectedRowsError, match=r"null id: id: 2 .*null id: part: 2 "):
        run_audit(spark, AuditConfig(predictions=f"{tmp_path}/in", **options))
    result = run_audit(spark, AuditConfig(predictions=f"{tmp_path}/in", **options, max_rejected_fraction=0.5))
    assert result.rejected == {"null id: id": 2, "null id: part": 2}
    reasons = result.tables.read("rejected").groupBy("reason").count().collect()
    assert {row.reason: row["count"] for row in reasons} == result.rejected
    single = run_audit(
        spark,
        AuditConfig(
            predictions=f"{tmp_path}/in", **{**options, "id_col": ["part"]}, max_rejected_fraction=0.5
        ),
    )
    assert single.rejected == {"null id": 3}, "NaN is no id of several rows"


def test_ids_that_are_not_checked_multiply_no_row(spark: SparkSession, df: DataFrame, tmp_path: Path) -> None:
    df.withColumn("id", F.expr("id div 2")).write.parquet(f"{tmp_path}/in")
    options: dict[str, Any] = {
        "predictions": f"{tmp_path}/in", "output": f"{tmp_path}/out", "format": "parquet",
        "check_ids": False, "filter_by": "predicted_neq_given",
    }  # fmt: skip
    result = run_audit(spark, AuditConfig(**options, label_scores=True))
    assert result.tables.read(LABEL_SCORES).count() == result.num_examples == 200
    assert (
        result.issues().count()
        == result.num_issues
        == df.where("label != array_position(pred_probs, array_max(pred_probs)) - 1").count()
    )
    with pytest.raises(SourceChangedError, match="several rows share an id"):
        run_audit(spark, AuditConfig(**options, review_columns=["source"], run_id="review"))
    with pytest.raises(InputError, match="no finished run 'review'"):
        read_run(f"{tmp_path}/out", "review", spark=spark)


def test_scores_that_are_fewer_than_the_examples_are_no_run(
    spark: SparkSession, table: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stands for input that changes between the scan and the scores, which read it again."""
    scores = LabelAudit.label_quality_scores
    monkeypatch.setattr(
        LabelAudit, "label_quality_scores", lambda *args, **more: scores(*args, **more).limit(199)
    )
    options: dict[str, Any] = {"predictions": table, "output": f"{tmp_path}/out", "format": "parquet"}
    with pytest.raises(SourceChangedError, match=r"200 examples and \d+ issues at first, later 199 scores"):
        run_audit(spark, AuditConfig(**options, label_scores=True))
