"""Audited photos with tags: who has which tag is known."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from cl_spark import MultilabelAuditConfig, Run, run_multilabel_audit
from cl_spark.tables.pandas_frames import to_spark

NAMES = ["bird", "car", "dog", "sea"]
NUM_PHOTOS = 240
IDS = ["id", "class"]


def photos() -> pd.DataFrame:
    """Photos with given and true tags, and a model that is mostly right; the last two cannot be used."""
    rng = np.random.default_rng(8)
    true = rng.random((NUM_PHOTOS, 4)) < [0.2, 0.3, 0.4, 0.5]
    given = true ^ (rng.random((NUM_PHOTOS, 4)) < 0.06)
    probs = 1 / (1 + np.exp(-rng.normal(np.where(true, 2.0, -2.0), 1.2)))
    frame = pd.DataFrame(
        {"id": range(NUM_PHOTOS), "url": [f"http://host/{i}.png" for i in range(NUM_PHOTOS)]}
    )
    frame["labels"] = [np.array(NAMES)[row].tolist() for row in given]
    frame["true_labels"] = [np.array(NAMES)[row].tolist() for row in true]
    frame["pred_probs"] = probs.round(4).tolist()
    frame.at[NUM_PHOTOS - 1, "labels"] = ["bird", "cow"]
    frame.at[NUM_PHOTOS - 2, "labels"] = None
    return frame


def photo_frame(spark: SparkSession) -> DataFrame:
    """The photos as a Spark DataFrame."""
    return to_spark(photos(), spark)


def audit_photos(spark: SparkSession, df: DataFrame, home: Path, **values: Any) -> Run:
    """A finished audit of photos."""
    df.write.parquet(str(home / "in"))
    keys = {
        "predictions": str(home / "in"), "output": str(home / "out"), "format": "parquet", "run_id": "night",
        "class_names": NAMES, "review_columns": ["url"], "max_rejected_fraction": 0.1,
    }  # fmt: skip
    return run_multilabel_audit(spark, MultilabelAuditConfig.model_validate({**keys, **values})).run


def answer_by_truth(queue: DataFrame, truth: DataFrame) -> DataFrame:
    """The true single labels of the rows of a queue, as answers of one person."""
    has = F.array_contains("true_labels", F.col("class"))
    said = F.when(has, "present").otherwise("absent").alias("answer")
    rows = queue.select(*IDS).join(truth.select("id", "true_labels"), "id")
    return rows.select(*IDS, F.lit("ann").alias("annotator"), said)
