"""A stream keeps its run, its checkpoint and its name, whatever happens between two starts."""

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pyspark.errors import StreamingQueryException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from cl_spark import ConfigurationError
from cl_spark.tables.results import ResultTables
from cl_spark.tables.schema import Table
from cl_spark.tasks.label_audit.config import AuditConfig
from cl_spark.tasks.label_audit.scoring import score_new, score_stream
from cl_spark.tasks.label_audit.tables import SCORED, SCORED_REJECTED, STREAMS
from cl_spark.tasks.label_audit.task import run_audit

pytestmark = [pytest.mark.matrix, pytest.mark.tables]


@pytest.fixture(scope="module")
def location(spark: SparkSession, table: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    home = tmp_path_factory.mktemp("streams")
    run_audit(spark, AuditConfig(predictions=table, output=f"{home}/out", run_id="first"))
    more_classes = F.concat("pred_probs", F.array(F.lit(0.0)))
    spark.read.parquet(table).withColumn("pred_probs", more_classes).write.parquet(f"{home}/five")
    return f"{home}/out"


@pytest.fixture
def tables(spark: SparkSession, location: str) -> ResultTables:
    return ResultTables.at(spark, location)


def add_rows(df: DataFrame, path: Path, first: int, last: int) -> str:
    df.where(f"id between {first} and {last}").write.format("delta").mode("append").save(str(path))
    return str(path)


def audit_later(spark: SparkSession, location: str, run_id: str) -> None:
    """Make the latest run one that would reject all rows of the streams: it has five classes, they four."""
    five = str(Path(location).parent / "five")
    run_audit(spark, AuditConfig(predictions=five, output=location, run_id=run_id))


class BreaksOff:
    """Appends to tables but for one, where it breaks off."""

    def __init__(self, append_once: Callable[..., None], at: Table) -> None:
        self.append_once, self.at = append_once, at

    def __get__(self, tables: ResultTables, kind: type) -> Callable[..., None]:
        return partial(self, tables)

    def __call__(self, tables: ResultTables, table: Table, *arguments: Any) -> None:
        if table is self.at:
            raise RuntimeError("killed")
        self.append_once(tables, table, *arguments)


def frozen_runs(tables: ResultTables, name: str) -> set[str]:
    rows = tables.read_run(SCORED, name).unionByName(tables.read_run(SCORED_REJECTED, name), True)
    return {row.frozen_run for row in rows.select("frozen_run").distinct().collect()}


@pytest.mark.slow
def test_a_restarted_stream_scores_with_its_first_run(
    spark: SparkSession, df: DataFrame, location: str, tables: ResultTables, tmp_path: Path
) -> None:
    path, checkpoint = add_rows(df, tmp_path / "in", 0, 9), str(tmp_path / "checkpoint")
    score_stream(spark, location, path, checkpoint, "pinned", run_id="first")(True).awaitTermination()
    audit_later(spark, location, "second")
    add_rows(df, tmp_path / "in", 10, 19)
    # with a slash, or as it was named first: it is the same directory
    score_stream(spark, location, path, f"{checkpoint}/", "pinned")(True).awaitTermination()
    score_stream(spark, location, path, checkpoint, "pinned", run_id="first")(True).awaitTermination()
    assert tables.read_run(SCORED, "pinned").count() == 20
    assert frozen_runs(tables, "pinned") == {"first"}
    with pytest.raises(ConfigurationError, match="run_id: stream 'pinned' scores with run 'first' since"):
        score_stream(spark, location, path, checkpoint, "pinned", run_id="second")


def test_a_stream_killed_before_it_has_a_checkpoint_keeps_its_run(
    spark: SparkSession, df: DataFrame, location: str, tables: ResultTables, tmp_path: Path
) -> None:
    path, checkpoint = add_rows(df, tmp_path / "in", 0, 9), str(tmp_path / "checkpoint")
    score_stream(spark, location, path, checkpoint, "early", run_id="first")
    audit_later(spark, location, "third")
    score_stream(spark, location, path, checkpoint, "early")(True).awaitTermination()
    assert frozen_runs(tables, "early") == {"first"}


def test_a_stream_does_not_go_on_with_another_attempt_at_its_run(
    spark: SparkSession, df: DataFrame, location: str, tables: ResultTables, tmp_path: Path
) -> None:
    path, checkpoint = add_rows(df, tmp_path / "in", 0, 9), str(tmp_path / "checkpoint")
    audit_later(spark, location, "nightly")
    score_stream(spark, location, path, checkpoint, "steady", run_id="nightly")
    score_stream(spark, location, path, checkpoint, "steady")
    older = tables.read_run(STREAMS, "steady").drop("of_attempt")  # as earlier versions recorded a stream
    tables.append_once(STREAMS, older, "older", "test", 0)
    audit_later(spark, location, "nightly")
    with pytest.raises(ConfigurationError, match=r"run 'nightly', .* 'steady' .* has been run again since"):
        score_stream(spark, location, path, checkpoint, "steady")
    score_stream(spark, location, path, checkpoint, "older")


@pytest.mark.classic
@pytest.mark.parametrize(("broken_at", "written"), [(SCORED, 0), (SCORED_REJECTED, 20)])
def test_a_first_batch_that_broke_off_is_finished_with_its_run(
    broken_at: Table,
    written: int,
    spark: SparkSession,
    df: DataFrame,
    location: str,
    tables: ResultTables,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """20 rows in were 20 scored and 20 rejected."""
    name = f"broken-{written}"
    path, checkpoint = add_rows(df, tmp_path / "in", 0, 19), str(tmp_path / "checkpoint")
    with monkeypatch.context() as patch:
        patch.setattr(ResultTables, "append_once", BreaksOff(ResultTables.append_once, broken_at))
        broken = score_stream(spark, location, path, checkpoint, name, run_id="first")(True)
        with pytest.raises(StreamingQueryException, match="killed"):
            broken.awaitTermination()
    assert (tmp_path / "checkpoint" / "metadata").exists()
    assert (tables.read_run(SCORED, name).count() if tables.has(SCORED) else 0) == written
    audit_later(spark, location, f"after-{name}")
    score_stream(spark, location, path, checkpoint, name)(True).awaitTermination()
    counts = [tables.read_run(table, name).count() for table in (SCORED, SCORED_REJECTED)]
    assert counts == [20, 0]
    assert frozen_runs(tables, name) == {"first"}


@pytest.mark.slow
def test_names_and_checkpoints_belong_to_one_stream(
    spark: SparkSession, df: DataFrame, table: str, location: str, tables: ResultTables, tmp_path: Path
) -> None:
    path, checkpoint = add_rows(df, tmp_path / "in", 0, 9), str(tmp_path / "checkpoint")
    score_new(spark, location, table, batch="batch", where="id < 3")
    with pytest.raises(ConfigurationError, match=r"name: .* has a batch 'batch' of new rows already"):
        score_stream(spark, location, path, checkpoint, "batch")
    assert not (tmp_path / "checkpoint").exists()
    score_stream(spark, location, path, checkpoint, "stream", run_id="first")(True).awaitTermination()
    with pytest.raises(ConfigurationError, match="batch: 'stream' is a stream in"):
        score_new(spark, location, table, batch="stream")
    with pytest.raises(ConfigurationError, match=r"has its progress in .*checkpoint', not in .*other'"):
        score_stream(spark, location, path, str(tmp_path / "other"), "stream")
    with pytest.raises(ConfigurationError, match="holds the progress of another stream than 'twin'"):
        score_stream(spark, location, path, checkpoint, "twin")
    shutil.rmtree(checkpoint)
    with pytest.raises(ConfigurationError, match="no longer holds the progress of stream 'stream'"):
        score_stream(spark, location, path, checkpoint, "stream")
    for name in ("../x", "a/b", "a b"):
        with pytest.raises(ConfigurationError, match=r"name: .* cannot be a name"):
            score_stream(spark, location, path, str(tmp_path / "third"), name)
        with pytest.raises(ConfigurationError, match=r"batch: .* cannot be a name"):
            score_new(spark, location, table, batch=name)
    assert tables.read_run(SCORED, "stream").count() == 10
    assert tables.read_run(STREAMS, "batch").isEmpty()
