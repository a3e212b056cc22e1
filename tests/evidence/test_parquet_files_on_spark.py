"""Files that tasks read themselves hold for them what Spark reads there; where they might not, Spark reads
them.
"""

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from cl_spark import AuditConfig, LabelAudit, run_audit
from cl_spark.tables.input_table import read_source
from tests.frames import predictions
from tests.oracle.datasets import dataset

pytestmark = [pytest.mark.matrix, pytest.mark.classic]
DATA = dataset(71, 240, 4)
NAMES = ["ant", "bee", "cat", "dö e"]
ENTRIES = "transform(pred_probs, (p, k) -> named_struct('k', int(k), 'p', p))"

TABLES: dict[str, tuple[list[str], dict[str, Any]]] = {
    "double": (["id", "label", "pred_probs"], {}),
    "float": (["int(id) id", "label", "cast(pred_probs AS array<float>) pred_probs"], {}),
    "names": (
        ["id", "element_at(array('ant', 'bee', 'cat', 'dö e'), label + 1) label", "pred_probs"],
        {"class_names": NAMES},
    ),
    "two ids": (
        ["id % 7 a", "concat('x ', id) `b é`", "tinyint(label) label", "pred_probs"],
        {"id_col": ["a", "b é"]},
    ),
    "struct": (["id", "label", f"{ENTRIES} pred_probs"], {"num_classes": 4}),
    "swapped": (
        ["id", "label", "transform(pred_probs, (p, k) -> named_struct('p', float(p), 'k', k)) pred_probs"],
        {"num_classes": 4},
    ),
    "map": (["id", "bigint(label) label", f"map_from_entries({ENTRIES}) pred_probs"], {"num_classes": 4}),
    "slices": (["id", "label", "pred_probs", "id % 3 part"], {"slice_by": ["part"]}),
}


def answers(df: DataFrame, *, read_files: bool, **arguments: Any) -> list[pd.DataFrame]:
    with LabelAudit(df, read_files=read_files, **arguments) as audit:
        assert (audit.predictions.files is not None) == read_files
        found = [audit.find_label_issues().orderBy("rank").toPandas()]
        scores = audit.label_quality_scores(method="confidence_weighted_entropy")
        found.append(scores.orderBy(*audit.predictions.id_columns).toPandas())
        found.append(audit.rejected().groupBy("reason").count().orderBy("reason").toPandas())
        if audit.predictions.slice_by:
            found.append(audit.slice_health().orderBy("slice_value").toPandas())
        return found


@pytest.mark.slow
@pytest.mark.parametrize("kind", TABLES)
def test_tasks_read_what_spark_reads(spark: SparkSession, tmp_path: Path, kind: str) -> None:
    columns, arguments = TABLES[kind]
    path = tmp_path / "a b,c"
    df = predictions(spark, DATA.labels, DATA.probs).selectExpr(*columns)
    nothing = df.limit(3).withColumn("label", F.lit(None).cast(df.schema["label"].dataType))
    df.unionByName(nothing).write.option("parquet.block.size", 4096).parquet(str(path))
    table = spark.read.parquet(str(path))
    for ours, theirs in zip(
        answers(table, read_files=True, check_ids=False, **arguments),
        answers(table, read_files=False, check_ids=False, **arguments),
        strict=True,
    ):
        pd.testing.assert_frame_equal(ours, theirs)


def test_other_tables_are_read_by_spark(spark: SparkSession, tmp_path: Path) -> None:
    df = predictions(spark, DATA.labels, DATA.probs)
    tables = {
        "ids whose meaning may differ": df.withColumn("id", F.timestamp_seconds("id")),
        "values to cast": df.withColumn("pred_probs", F.expr("cast(pred_probs AS array<decimal(10, 8)>)")),
        "an odd name": df.withColumnRenamed("id", "i.d"),
    }
    for name, table in tables.items():
        table.write.parquet(str(tmp_path / name))
        id_col = table.columns[0]
        with LabelAudit(spark.read.parquet(str(tmp_path / name)), read_files=True, id_col=id_col) as audit:
            assert audit.predictions.files is None, name
    df.withColumn("label", F.col("label") % 4).write.partitionBy("label").parquet(
        str(tmp_path / "partitioned")
    )
    with LabelAudit(spark.read.parquet(str(tmp_path / "partitioned")), read_files=True) as audit:
        assert audit.predictions.files is None, "the label is in the names of directories"
        assert audit.num_examples == 240
    with LabelAudit(df, read_files=True) as audit:
        assert audit.predictions.files is None, "no files at all"


def test_files_that_differ_are_read_by_spark(spark: SparkSession, tmp_path: Path) -> None:
    df = predictions(spark, DATA.labels, DATA.probs)
    path = str(tmp_path / "in")
    df.where("id < 100").write.parquet(path)
    df.where("id >= 100").withColumn("id", F.col("id").cast("int")).write.mode("append").parquet(path)
    with LabelAudit(spark.read.schema(df.schema).parquet(path), read_files=True) as audit:
        assert audit.predictions.files is None


def test_splits_are_of_whole_row_groups_and_tell_how_many_rows_there_are(
    spark: SparkSession, tmp_path: Path
) -> None:
    path = tmp_path / "in.parquet"
    frame = predictions(spark, DATA.labels, DATA.probs).toPandas()
    frame["label"] = frame["label"].astype("int32")
    frame.to_parquet(path, row_group_size=50)
    with LabelAudit(spark.read.parquet(str(path)), read_files=True) as audit:
        files = audit.predictions.files
        assert files is not None
        assert files.num_rows == 240
        read = [group for split in files.splits for _, groups in split for group in groups]
        assert read == list(range(pq.read_metadata(path).num_row_groups))
        assert len(files.splits) > 1
        assert audit.num_examples == 240


def test_a_task_reads_many_small_files(spark: SparkSession, tmp_path: Path) -> None:
    path = str(tmp_path / "in")
    predictions(spark, DATA.labels, DATA.probs).repartition(60).write.parquet(path)
    df = spark.read.parquet(path)
    with LabelAudit(df, read_files=True) as audit, LabelAudit(df) as same:
        files = audit.predictions.files
        assert files is not None
        assert len(files.splits) < 10
        assert sorted(file for split in files.splits for file, _ in split) == sorted(
            map(str, Path(path).glob("*.parquet"))
        )
        ours, theirs = (each.find_label_issues().orderBy("rank").collect() for each in (audit, same))
        assert ours == theirs
        assert len(ours) > 0


def test_of_delta_tables_files_are_read_where_they_are_the_rows(spark: SparkSession, tmp_path: Path) -> None:
    path = str(tmp_path / "table")
    df = predictions(spark, DATA.labels, DATA.probs)
    df.where("id < 200").write.format("delta").save(path)
    df.where("id >= 200").write.format("delta").mode("append").save(path)
    spark.sql(f"DELETE FROM delta.`{path}` WHERE id < 20")  # its files are still there
    source = read_source(spark, path, "predictions")
    assert source.is_of_plain_files()
    with LabelAudit(source.df, read_files=True) as audit:
        assert audit.predictions.files is not None
        assert audit.predictions.files.num_rows == 220 == audit.num_examples
    with LabelAudit(read_source(spark, path, "predictions", version=0).df, read_files=True) as audit:
        assert audit.num_examples == 200
    spark.sql(f"ALTER TABLE delta.`{path}` SET TBLPROPERTIES ('delta.enableDeletionVectors' = 'true')")
    spark.sql(f"DELETE FROM delta.`{path}` WHERE id % 2 = 0")
    assert not read_source(spark, path, "predictions").is_of_plain_files()
    result = run_audit(spark, AuditConfig(predictions=path, output=str(tmp_path / "out"), format="parquet"))
    assert result.num_examples == 110
