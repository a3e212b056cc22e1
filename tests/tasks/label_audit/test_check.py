"""Looking at the first rows of an input: what an audit would refuse is refused here too."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from cl_spark import DoubtfulInputError, EmptyTableError, RejectedRowsError
from cl_spark.tasks.label_audit.check import Checked, check
from cl_spark.tasks.label_audit.config import AuditConfig
from tests.frames import predictions

pytestmark = pytest.mark.slow

NAMES = ["ant", "bee", "cow", "dog"]


@pytest.fixture(scope="module")
def named(df: DataFrame) -> DataFrame:
    """The predictions of the session, their labels as names."""
    return df.withColumn("label", F.get(F.array(*map(F.lit, NAMES)), F.col("label")))


def checked(spark: SparkSession, rows: DataFrame, path: Path, **values: Any) -> Checked:
    rows.write.parquet(str(path / "in"))
    options = {"predictions": str(path / "in"), "output": str(path / "out"), "format": "parquet", **values}
    return check(spark, AuditConfig(**options))


@pytest.mark.parametrize("label_col", ["label", "Label"])
def test_unknown_classes_are_named(
    spark: SparkSession, named: DataFrame, tmp_path: Path, label_col: str
) -> None:
    label = F.expr("CASE WHEN id IN (3, 5) THEN 'Cow' WHEN id = 9 THEN 'emu' ELSE label END")
    found = checked(
        spark, named.withColumn("label", label), tmp_path, label_col=label_col, class_names=NAMES,
        max_rejected_fraction=0.1,
    )  # fmt: skip
    assert found.unknown_classes == ["Cow", "emu"]
    assert (found.accepted, found.rows) == (197, 200)


def test_more_rejected_rows_than_allowed_are_refused_and_unknown_classes_named(
    spark: SparkSession, named: DataFrame, tmp_path: Path
) -> None:
    renamed = named.withColumn("label", F.expr("if(label = 'cow', 'Cow', label)"))
    told = (
        r"cannot be used, and max_rejected_fraction is 0.01: unknown class name: \d+ .*Nothing was written. "
        r".*Labels that are no class: 'Cow'. .*no label is 'cow': give class_names as column 'label' spells"
    )
    with pytest.raises(RejectedRowsError, match=told):
        checked(spark, renamed, tmp_path, class_names=NAMES)


def test_labels_are_named_where_none_is_a_class(
    spark: SparkSession, named: DataFrame, tmp_path: Path
) -> None:
    told = r"unknown class name: 200\).*; labels of 'label': '[A-Z]{3}', '[A-Z]{3}', '[A-Z]{3}', '[A-Z]{3}'$"
    with pytest.raises(EmptyTableError, match=told):
        checked(spark, named.withColumn("label", F.upper("label")), tmp_path, class_names=NAMES)


def test_warnings_about_the_first_rows_are_told_and_fail_where_they_should(
    spark: SparkSession, tmp_path: Path
) -> None:
    labels = np.arange(300) % 3
    rows = predictions(spark, labels, np.eye(3)[(labels + 1) % 3] * 0.7 + 0.1)
    found = checked(spark, rows, tmp_path)
    assert [warning.code for warning in found.warnings] == ["class_order_permuted"]
    config = AuditConfig(predictions=str(tmp_path / "in"), output=str(tmp_path / "out"), on_warning="fail")
    with pytest.raises(DoubtfulInputError, match="Reorder pred_probs to"):
        check(spark, config)
    assert not (tmp_path / "out").exists()


def test_nothing_is_written_below_evidence_path(spark: SparkSession, df: DataFrame, tmp_path: Path) -> None:
    found = checked(spark, df, tmp_path, evidence_path=str(tmp_path / "evidence"))
    assert found.accepted == 200
    assert not (tmp_path / "evidence").exists()
