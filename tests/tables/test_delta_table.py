"""A Delta table that is changed in place: one commit each, told by its mark, tried again after a conflict."""

from pathlib import Path
from typing import Any

import pytest
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from cl_spark import ConfigurationError, InputError, OutputError
from cl_spark.tables.delta_table import Commit, DeltaTable, create_table, find_table_mark, read_created

pytestmark = pytest.mark.slow


@pytest.fixture
def table(spark: SparkSession, tmp_path: Path) -> DeltaTable:
    path = str(tmp_path / "it's a table")
    spark.range(4).withColumn("label", F.lit("a")).write.format("delta").save(path)
    return DeltaTable.open(spark, path, "labels")


def change(table: DeltaTable, mark: str, **values: str) -> None:
    source = table.spark.createDataFrame([(1, "b", "new")], "_id long, _label string, more string")
    table.merge(source, {"id": "_id"}, "t.label = 'a'", {"label": "_label", "more": "more"}, mark)


def test_a_merge_is_one_commit_that_adds_columns_and_carries_its_mark(table: DeltaTable) -> None:
    change(table, "mark [x]")
    assert table.find_latest() == 1
    assert table.list_commits("mark [x]", "mark [y]") == [Commit(1, "mark [x]", None)]
    assert table.list_commits("mark [y]") == []
    assert sorted(map(tuple, table.read(1).collect()), key=str) == [
        (0, "a", None),
        (1, "b", "new"),
        (2, "a", None),
        (3, "a", None),
    ]
    assert table.read(0).columns == ["id", "label"] == table.read(0).columns
    assert table.schema.names == ["id", "label", "more"]
    assert table.restore(0) == 2
    assert table.list_commits("mark [x]") == [Commit(1, "mark [x]", None), Commit(2, None, 0)]
    assert table.schema.names == ["id", "label"]
    assert not table.spark.sql("SHOW VIEWS LIKE 'cl_spark_*'").collect()


class Losing:
    """A session whose first statements lose to another writer."""

    def __init__(self, spark: SparkSession, times: int) -> None:
        self._spark, self.times = spark, times

    def __getattr__(self, name: str) -> Any:
        return getattr(self._spark, name)

    def sql(self, statement: str) -> Any:
        if statement.startswith("MERGE") and self.times:
            self.times -= 1
            raise PySparkException("[DELTA_CONCURRENT_APPEND] ConcurrentAppendException")
        return self._spark.sql(statement)


def test_a_merge_is_tried_again_after_a_conflict(table: DeltaTable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cl_spark.tables.write_conflicts.time.sleep", lambda _: None)
    change(DeltaTable(Losing(table.spark, 3), table.name, "labels"), "mark [x]")  # type: ignore[arg-type]
    assert table.find_latest() == 1
    never = DeltaTable(Losing(table.spark, 99), table.name, "labels")  # type: ignore[arg-type]
    with pytest.raises(OutputError, match="cannot change"):
        change(never, "mark [y]")


def test_what_is_no_delta_table_or_version_is_refused(
    spark: SparkSession, table: DeltaTable, tmp_path: Path
) -> None:
    for name in (str(tmp_path / "nowhere"), "no_such_table"):
        with pytest.raises(ConfigurationError, match="no Delta table"):
            DeltaTable.open(spark, name, "labels")
    with pytest.raises(InputError, match="version 7"):
        table.read(7)
    with pytest.raises(OutputError, match="version 7"):
        table.restore(7)


def test_a_new_table_carries_its_mark(spark: SparkSession, tmp_path: Path) -> None:
    rows, path = spark.range(3).toDF("id"), str(tmp_path / "new")
    spark.sql("DROP TABLE IF EXISTS marked_table")
    for name in (path, "marked_table"):
        assert find_table_mark(spark, name) is None
        create_table(rows, name, "delta", "mark [x]")
        assert find_table_mark(spark, name) == "mark [x]"
        with pytest.raises(OutputError, match="cannot write"):
            create_table(rows, name, "delta", "mark [y]")
    spark.sql("DROP TABLE marked_table")
    rows.write.format("delta").save(f"{path}_of_others")
    assert find_table_mark(spark, f"{path}_of_others") == ""
    create_table(rows, str(tmp_path / "plain"), "parquet", "")
    assert spark.read.parquet(str(tmp_path / "plain")).count() == 3


def test_a_parquet_table_carries_its_mark_where_it_was_written(spark: SparkSession, tmp_path: Path) -> None:
    place = str(tmp_path / "it's [new]")
    assert find_table_mark(spark, place, "parquet") is None
    create_table(spark.range(0).toDF("id"), place, "parquet", "mark [x]")
    assert find_table_mark(spark, place, "parquet") == "mark [x]"
    rows = read_created(spark, place, "parquet")
    rows.write.parquet(str(tmp_path / "copy"))
    assert find_table_mark(spark, str(tmp_path / "copy"), "parquet") == ""
    create_table(rows, place + " too", "parquet", "mark [y]")
    assert find_table_mark(spark, place + " too", "parquet") == "mark [y]"
    # a directory of tables, plain files, and a Delta table without any
    spark.range(0).write.format("delta").save(str(tmp_path / "delta"))
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("a")
    for other in (tmp_path, tmp_path / "texts", tmp_path / "delta"):
        assert find_table_mark(spark, str(other), "parquet") == ""
    (tmp_path / "empty").mkdir()
    assert find_table_mark(spark, str(tmp_path / "empty"), "parquet") is None


def test_a_writer_that_was_killed_before_its_commit_is_in_nobodys_way(
    spark: SparkSession, tmp_path: Path
) -> None:
    (tmp_path / "begun" / "_delta_log" / "_staged_commits").mkdir(parents=True)
    path = str(tmp_path / "begun")
    assert find_table_mark(spark, path) is None
    create_table(spark.range(3).toDF("id"), path, "delta", "mark [x]")
    assert find_table_mark(spark, path) == "mark [x]"
