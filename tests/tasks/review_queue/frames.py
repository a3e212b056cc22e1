"""An audited table to review: 200 rows of 4 classes, with a text and a source."""

from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from cl_spark import Run
from tests.frames import audit

OPTIONS: dict[str, Any] = {
    "filter_by": "predicted_neq_given",
    "review_columns": ["note", "source"],
}
"""Many issues, and what reviewers see."""


def with_notes(df: DataFrame) -> DataFrame:
    """Predictions with a text for reviewers."""
    return df.withColumn("note", F.concat(F.lit("note "), "id"))


def audited(spark: SparkSession, df: DataFrame, home: Path, **values: Any) -> Run:
    """A finished audit of a table."""
    path = str(home / "in")
    df.write.parquet(path)
    return audit(spark, path, home / "out", **{**OPTIONS, **values}).run
