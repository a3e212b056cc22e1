"""Rows that can be used, and why others cannot."""

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from cl_spark.evidence import usable_rows
from cl_spark.evidence.storage import Storage
from cl_spark.evidence.usable_rows import FAULT, UsableRows, choose_reason

pytestmark = pytest.mark.matrix


@pytest.mark.parametrize("many", [0, 10**9])
def test_every_row_is_accepted_or_rejected_with_one_reason(
    many: int, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usable_rows, "MANY_ROWS", many)
    rows = [(1, "a"), (2, None), (None, "b"), (None, None), (3, "c"), (3, None), (3, "d")]
    df = spark.createDataFrame(rows, "`the id` int, text string")
    faults = [(F.isnull("`the id`"), "null id"), (F.isnull("text"), "null text")]
    usable = UsableRows(df.withColumn(FAULT, choose_reason(faults)), ["the id"], Storage())
    assert usable.rejected_counts == {"id of several rows": 3, "null id": 2, "null text": 1}
    assert (usable.num_read, usable.num_rejected, usable.num_accepted) == (7, 6, 1)
    assert usable.accepted().columns == ["the id", "text"]
    assert [tuple(row) for row in usable.accepted().collect()] == [(1, "a")]
    rejected = {tuple(row) for row in usable.rejected().collect()}
    assert rejected == {
        (2, None, "null text"), (None, "b", "null id"), (None, None, "null id"),
        (3, "c", "id of several rows"), (3, None, "id of several rows"), (3, "d", "id of several rows"),
    }  # fmt: skip


def test_all_rows_of_a_sound_table_are_accepted(spark: SparkSession) -> None:
    df = spark.range(4).withColumn(FAULT, F.lit(None).cast("string"))
    usable = UsableRows(df, ["id"], Storage())
    assert (usable.rejected_counts, usable.num_accepted) == ({}, 4)
    assert usable.accepted().columns == ["id"]
    assert usable.rejected().count() == 0
