"""Training data for tests: arrays to DataFrames."""

from typing import Any

import numpy as np
import pandas as pd
from pyspark.sql import DataFrame, SparkSession


def blobs(num_examples: int = 120, num_classes: int = 3, seed: int = 0) -> tuple[Any, Any]:
    """Features in three dimensions, a cloud per class, and the labels in turn."""
    random = np.random.default_rng(seed)
    labels = np.arange(num_examples) % num_classes
    centers = random.normal(0, 3, (num_classes, 3))
    return centers[labels] + random.normal(0, 1, (num_examples, 3)), labels


def training_frame(
    spark: SparkSession, features: Any, labels: Any, *, partitions: int = 3, seed: int = 0, **columns: Any
) -> DataFrame:
    """Training data with ids 0.., its rows shuffled over partitions so that order bugs show."""
    order = np.random.default_rng(seed).permutation(len(labels))
    frame = pd.DataFrame({"id": order, "label": np.asarray(labels)[order]})
    frame["features"] = np.asarray(features)[order].tolist()
    for name, values in columns.items():
        frame[name] = np.asarray(values)[order]
    return spark.createDataFrame(frame).repartition(partitions)
