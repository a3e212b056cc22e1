"""Input tables: older states, and what tells two states apart."""

from pathlib import Path

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from cl_spark import (
    InputError,
)
from cl_spark.tables.input_table import read_source
from cl_spark.tables.location import holds_delta
from cl_spark.tables.schema import RUNS
from tests.frames import audit, content

pytestmark = [pytest.mark.matrix, pytest.mark.tables]


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


def test_an_error_of_a_delta_tables_history_does_not_make_it_plain_files(
    spark: SparkSession, tmp_path: Path
) -> None:
    path = tmp_path / "table"
    spark.range(5).write.format("delta").save(str(path))
    log = path / "_delta_log" / f"{0:020}.json"
    log.write_text("{broken")
    for checksum in (log.with_suffix(".crc"), log.parent / f".{log.name}.crc"):
        checksum.unlink(missing_ok=True)
    with pytest.raises(InputError, match="predictions: cannot read"):
        read_source(spark, str(path), "predictions")


def test_a_delta_table_in_a_directory_named_like_a_partition_is_a_table(
    spark: SparkSession, tmp_path: Path
) -> None:
    path = str(tmp_path / "model=a")
    spark.range(5).write.format("delta").save(path)
    spark.sql(f"DELETE FROM delta.`{path}` WHERE id < 2")
    found = read_source(spark, path, "predictions")
    assert (found.version, found.df.count(), found.df.columns) == (1, 3, ["id"])
    assert holds_delta(path)
