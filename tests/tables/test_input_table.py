"""Input tables: older states, and what tells two states apart."""

from pathlib import Path

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from cl_spark import (
    InputError,
)
from cl_spark.tables.input_table import read_changes, read_source
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


@pytest.fixture
def changing(spark: SparkSession, tmp_path: Path) -> str:
    """The path of a Delta table with a change feed: ids 0 to 3, of days 0 and 1; all but id 0 are inserted in
    version 1.
    """
    path = str(tmp_path / "changing")
    df = spark.range(4).withColumn("day", F.col("id") % 2)
    writer = df.where("id = 0").write.format("delta").option("delta.enableChangeDataFeed", "true")
    writer.partitionBy("day").save(path)
    df.where("id > 0").write.format("delta").mode("append").save(path)
    return path


def changed_ids(df: DataFrame) -> list[int]:
    return sorted(row.id for row in df.collect())


def test_changes_of_a_partition_directory_are_those_of_its_rows(spark: SparkSession, changing: str) -> None:
    assert changed_ids(read_changes(spark, f"{changing}/day=1", 1, ["id"])) == [1, 3]
    with pytest.raises(InputError, match=r"predictions: .* is a pattern in the Delta table .*: name the"):
        read_changes(spark, f"{changing}/day=*", 1, ["id"])


@pytest.mark.slow
def test_a_row_that_moved_to_another_partition_is_a_change_there(spark: SparkSession, changing: str) -> None:
    spark.sql(f"UPDATE delta.`{changing}` SET day = 0 WHERE id = 1")
    assert changed_ids(read_changes(spark, f"{changing}/day=1", 1, ["id"])) == [3]
    assert changed_ids(read_changes(spark, f"{changing}/day=0", 1, ["id"])) == [1, 2]


def test_changes_end_with_the_version_that_was_the_latest(spark: SparkSession, changing: str) -> None:
    changes = read_changes(spark, changing, 1, ["id"])
    row = spark.createDataFrame([(9, 0)], "id long, day long")
    row.write.format("delta").mode("append").save(changing)
    assert changed_ids(changes) == [1, 2, 3]
    with pytest.raises(InputError, match=r"changes_since: .* since version 3: its latest version is 2"):
        read_changes(spark, changing, 3, ["id"])


def test_changes_of_what_is_no_delta_table_are_an_error(spark: SparkSession, tmp_path: Path) -> None:
    spark.range(1).write.parquet(str(tmp_path / "in"))
    with pytest.raises(InputError, match=r"changes_since: cannot read the changes of .*DELTA"):
        read_changes(spark, str(tmp_path / "in"), 0, ["id"])


def test_a_row_whose_id_was_changed_has_only_the_new_one(spark: SparkSession, changing: str) -> None:
    spark.sql(f"UPDATE delta.`{changing}` SET id = if(id = 1, 11, 4 - id) WHERE id > 0")
    # ids 1, 2, 3 became 11, 2, 1: an id that a row gave up is there if another took it in the same version
    assert changed_ids(read_changes(spark, changing, 1, ["id"])) == [1, 2, 11]
