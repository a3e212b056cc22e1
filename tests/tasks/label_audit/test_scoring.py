"""New rows judged by a finished run, in whatever batches they come, as the run itself would have."""

from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from cl_spark import ConfigurationError, InputError, LabelAudit, OutputError, read_run
from cl_spark.errors import SourceChangedError
from cl_spark.tables.results import ResultTables
from cl_spark.tasks.label_audit.config import AuditConfig
from cl_spark.tasks.label_audit.frozen import FrozenRun, check_all_judged
from cl_spark.tasks.label_audit.scoring import score_new, score_stream
from cl_spark.tasks.label_audit.streams import find_stream
from cl_spark.tasks.label_audit.tables import SCORED, SCORED_REJECTED
from cl_spark.tasks.label_audit.task import run_audit
from tests.frames import predictions
from tests.oracle.datasets import dataset

pytestmark = [pytest.mark.matrix, pytest.mark.tables]
DATA = dataset(91, 300, 4)
NAMES = ["ant", "bee", "cat", "dog"]


@pytest.fixture(scope="module")
def df(spark: SparkSession) -> DataFrame:
    frame = predictions(spark, DATA.labels, DATA.probs)
    return frame.withColumn("label", F.element_at(F.array(*map(F.lit, NAMES)), F.col("label") + 1)).cache()


@pytest.fixture(scope="module")
def location(spark: SparkSession, df: DataFrame, tmp_path_factory: pytest.TempPathFactory) -> str:
    home = tmp_path_factory.mktemp("frozen")
    df.where("id < 200").write.format("delta").save(f"{home}/in")
    run_audit(
        spark, AuditConfig(predictions=f"{home}/in", output=f"{home}/out", class_names=NAMES, run_id="base")
    )
    return f"{home}/out"


def judged(rows: DataFrame) -> list[Any]:
    return sorted(
        tuple(row)
        for row in rows.select("id", "given_label", "predicted_label", "label_quality", "is_issue").collect()
    )


def expected(location: str, spark: SparkSession, df: DataFrame) -> list[Any]:
    thresholds = FrozenRun.of(read_run(location, spark=spark)).thresholds
    with LabelAudit(df, class_names=NAMES, thresholds=thresholds) as audit:
        issues = {row.id for row in audit.find_label_issues(filter_by="confident_learning").collect()}
        return sorted((*row, row.id in issues) for row in audit.label_quality_scores().collect())


def test_the_rows_of_the_run_are_judged_as_in_the_run(
    spark: SparkSession, df: DataFrame, location: str, tmp_path: Path
) -> None:
    old = df.where("id < 200")
    old.write.parquet(str(tmp_path / "same"))
    batch, scored, issues, rejected = score_new(spark, location, str(tmp_path / "same"), run_id="base")
    with LabelAudit(old, class_names=NAMES) as audit:
        flagged = {row.id for row in audit.find_label_issues(filter_by="confident_learning").collect()}
        scores = {row.id: row.label_quality for row in audit.label_quality_scores().collect()}
    rows = read_run(location, spark=spark).tables.read_run(SCORED, batch).collect()
    assert {row.id: row.label_quality for row in rows} == scores
    assert {row.id for row in rows if row.is_issue} == flagged
    assert (scored, issues, rejected) == (200, len(flagged), 0)
    rates = read_run(location, spark=spark).table("confident_joint").collect()
    rates = {(row.given_label, row.true_label): row.inverse_noise_rate for row in rates}
    assert all(row.inverse_noise_rate == rates.get((row.given_label, row.predicted_label)) for row in rows)


@pytest.mark.slow
def test_new_rows_are_judged_alike_in_any_batches(
    spark: SparkSession, df: DataFrame, location: str, tmp_path: Path
) -> None:
    new = df.where("id >= 200").unionByName(df.limit(1).selectExpr("-1L as id", "'?' as label", "pred_probs"))
    new.withColumn("day", F.col("id") % 3).write.partitionBy("day").parquet(str(tmp_path / "new"))
    tables = read_run(location, spark=spark).tables
    counts = [
        score_new(spark, location, str(tmp_path / "new"), batch=f"d{day}", where=f"day = {day}")
        for day in (-1, 0, 1, 2)
    ]
    assert sum(scored for _, scored, _, _ in counts) == 100
    assert sum(rejected for *_, rejected in counts) == 1
    again = score_new(spark, location, str(tmp_path / "new"), batch="d0", where="day = 0")
    assert again == counts[1]
    rows = tables.read(SCORED).where("run_id like 'd%'")
    assert judged(rows) == expected(location, spark, df.where("id >= 200"))
    assert tables.read(SCORED_REJECTED).where("run_id like 'd%'").first().reason == "unknown class name"


@pytest.mark.slow
def test_changes_of_a_table_are_scored_as_they_are_now(
    spark: SparkSession, df: DataFrame, location: str, tmp_path: Path
) -> None:
    path = str(tmp_path / "table")
    writer = df.where("id < 10").write.format("delta").option("delta.enableChangeDataFeed", "true")
    writer.save(path)  # version 0
    df.where("id between 200 and 220").write.format("delta").mode("append").save(path)
    spark.sql(f"UPDATE delta.`{path}` SET label = 'ant' WHERE id in (3, 210)")
    spark.sql(f"UPDATE delta.`{path}` SET label = 'bee' WHERE id = 3")
    spark.sql(f"DELETE FROM delta.`{path}` WHERE id in (4, 211)")
    batch, scored, _, rejected = score_new(spark, location, path, changes_since=1)
    assert (scored, rejected) == (21, 0)
    rows = read_run(location, spark=spark).tables.read_run(SCORED, batch)
    now = spark.read.format("delta").load(path).where("id >= 200 or id = 3")
    assert judged(rows) == expected(location, spark, now)
    with pytest.raises(InputError, match="changes_since: cannot read the changes"):
        score_new(spark, location, path, changes_since=99)


def test_changed_rows_without_an_id_are_rejected(
    spark: SparkSession, df: DataFrame, location: str, tmp_path: Path
) -> None:
    path = str(tmp_path / "table")
    writer = df.where("id < 2").write.format("delta").option("delta.enableChangeDataFeed", "true")
    writer.save(path)  # version 0
    for first in (200, 202):
        new = df.where(f"id between {first} and {first + 1}")
        nulls = new.withColumn("id", F.expr("if(id % 2 = 0, id, null)"))
        nulls.write.format("delta").mode("append").save(path)
    batch, scored, _, rejected = score_new(spark, location, path, changes_since=1)
    assert (scored, rejected) == (2, 2)
    rows = read_run(location, spark=spark).tables.read_run(SCORED_REJECTED, batch).collect()
    assert [(row.id, row.reason) for row in rows] == [(None, "null id")] * 2


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["delta", "parquet"])
def test_batches_of_no_scored_or_no_rejected_rows_end_well(
    spark: SparkSession, df: DataFrame, tmp_path: Path, kind: str
) -> None:
    out, path = f"{tmp_path}/out", f"{tmp_path}/in"
    df.write.parquet(path)
    df.withColumn("label", F.lit("?")).write.parquet(f"{tmp_path}/unknown")
    options: dict[str, Any] = {"predictions": path, "output": out, "class_names": NAMES, "format": kind}
    run_audit(spark, AuditConfig(**options, rank_by="confidence_weighted_entropy"))
    tables = ResultTables.at(spark, out)
    assert score_new(spark, out, f"{tmp_path}/unknown", batch="all") == ("all", 0, 0, 300)
    assert tables.read_run(SCORED, "all").columns == tables.read(SCORED).drop("run_id").columns
    assert tables.read_run(SCORED_REJECTED, "all").count() == 300
    assert score_new(spark, out, path, batch="none", where="id < 0") == ("none", 0, 0, 0)
    assert score_new(spark, out, path, batch="good", where="id < 9")[1] == 9
    assert score_new(spark, out, f"{tmp_path}/unknown", batch="good", where="id < 9") == ("good", 0, 0, 9)
    assert tables.read_run(SCORED, "good").isEmpty()
    assert {row.run_id for row in tables.read(SCORED_REJECTED).select("run_id").collect()} == {"all", "good"}


def test_rows_that_are_not_all_written_are_an_error_and_leave_no_batch(
    spark: SparkSession, df: DataFrame, location: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stands for input that changes between the scan and the writing."""
    df.write.parquet(f"{tmp_path}/in")
    add_rates = FrozenRun._add_rates
    monkeypatch.setattr(FrozenRun, "_add_rates", lambda *arguments: add_rates(*arguments).limit(7))
    with pytest.raises(SourceChangedError, match="300 rows at first, later 7 scored and 0 rejected"):
        score_new(spark, location, f"{tmp_path}/in", batch="lossy")
    assert read_run(location, spark=spark).tables.read_run(SCORED, "lossy").isEmpty()
    with pytest.raises(SourceChangedError, match="5 rows at first, later 2 scored and 2 rejected"):
        check_all_judged(5, 2, 2)


def test_new_rows_with_ids_of_another_type_are_refused(
    spark: SparkSession, df: DataFrame, location: str, tmp_path: Path
) -> None:
    """Delta would make 7 of the text 007."""
    new, text_ids = f"{tmp_path}/new", f"{tmp_path}/text"
    df.where("id < 9").withColumn("id", F.col("id").cast("int")).write.parquet(new)
    df.where("id < 9").withColumn("id", F.format_string("%03d", "id")).write.parquet(text_ids)
    df.where("id = 9").write.parquet(f"{tmp_path}/first")
    score_new(spark, location, f"{tmp_path}/first", batch="typed")
    told = "hold 'id' as bigint, and the new rows have string: choose another output, or cast the column"
    with pytest.raises(ConfigurationError, match=told):
        score_new(spark, location, text_ids, batch="typed")
    with pytest.raises(ConfigurationError, match=told):
        score_stream(spark, location, text_ids, f"{tmp_path}/c", "typed-stream")
    assert find_stream(ResultTables.at(spark, location), "typed-stream") is None
    tables = ResultTables.at(spark, location)
    assert [row.id for row in tables.read_run(SCORED, "typed").collect()] == [9]
    if spark.version < "4":  # whose Delta tables take whole numbers of their own width alone
        with pytest.raises(ConfigurationError, match="the new rows have int"):
            score_new(spark, location, new, batch="narrow")
    else:
        assert score_new(spark, location, new, batch="narrow")[1] == 9, "whole numbers of any width are alike"


@pytest.fixture(scope="module")
def in_parquet(spark: SparkSession, df: DataFrame, tmp_path_factory: pytest.TempPathFactory) -> str:
    home = tmp_path_factory.mktemp("parquet")
    df.write.parquet(f"{home}/in")
    run_audit(
        spark,
        AuditConfig(predictions=f"{home}/in", output=f"{home}/out", class_names=NAMES, format="parquet"),
    )
    return f"{home}/out"


@pytest.mark.parametrize("fails", ["while it writes", "while it counts"])
def test_a_batch_that_cannot_be_replaced_stays_in_parquet(
    spark: SparkSession, in_parquet: str, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    path, batch = f"{Path(in_parquet).parent}/in", fails.replace(" ", "-")
    tables = ResultTables.at(spark, in_parquet)
    score_new(spark, in_parquet, path, batch=batch, where="id < 9")
    before = judged(tables.read_run(SCORED, batch))
    add_rates = FrozenRun._add_rates
    broken = F.raise_error(F.lit("torn")).cast("double")
    change = {
        "while it writes": lambda rows: rows.withColumn("label_quality", broken),
        "while it counts": lambda rows: rows.limit(7),
    }[fails]
    with monkeypatch.context() as patched:
        patched.setattr(FrozenRun, "_add_rates", lambda *arguments: change(add_rates(*arguments)))
        with pytest.raises(OutputError if fails == "while it writes" else SourceChangedError):
            score_new(spark, in_parquet, path, batch=batch)
    assert judged(tables.read_run(SCORED, batch)) == before
    assert tables.read(SCORED).where(F.col("run_id") == batch).count() == 9
    assert score_new(spark, in_parquet, path, batch=batch, where="id < 5")[1] == 5
    assert tables.read_run(SCORED, batch).count() == 5


@pytest.mark.slow
def test_a_stream_scores_what_arrives_and_a_new_start_goes_on(
    spark: SparkSession, df: DataFrame, location: str, tmp_path: Path
) -> None:
    path, checkpoint = str(tmp_path / "in"), str(tmp_path / "checkpoint")
    for start in (200, 250):
        df.where(f"id >= {start} and id < {start + 50}").write.format("delta").mode("append").save(path)
        score_stream(spark, location, path, checkpoint, "arriving")(True).awaitTermination()
    tables = read_run(location, spark=spark).tables
    assert judged(tables.read_run(SCORED, "arriving")) == expected(location, spark, df.where("id >= 200"))
    # a new checkpoint is a new stream: its rows are not taken for those of the first
    score_stream(spark, location, path, str(tmp_path / "other"), "arriving-again")(True).awaitTermination()
    assert tables.read_run(SCORED, "arriving-again").count() == 100


def test_streams_go_to_delta_only(
    spark: SparkSession, df: DataFrame, in_parquet: str, tmp_path: Path
) -> None:
    with pytest.raises(OutputError, match="once to Delta only"):
        score_stream(spark, in_parquet, f"{Path(in_parquet).parent}/in", f"{tmp_path}/c", "s")
    with (
        LabelAudit(df, class_names=NAMES, thresholds=[0.5]) as audit,
        pytest.raises(ConfigurationError, match="1 were given"),
    ):
        audit.confident_thresholds()
