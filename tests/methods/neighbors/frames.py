"""Tables of features for tests."""

from typing import Any

import numpy as np
import pandas as pd
from pyspark.sql import DataFrame, SparkSession

from cl_spark.kernels.arrays import Float64s


def make_clusters(seed: int, rows: int, dimension: int, copies: int = 0) -> Float64s:
    """Make rows around some centers; the last ones are copies of the first."""
    random = np.random.default_rng(seed)
    centers = random.normal(size=(max(rows // 50, 2), dimension))
    found = centers[random.integers(0, len(centers), rows)] + 0.3 * random.normal(size=(rows, dimension))
    return np.concatenate([found[: rows - copies], found[:copies]])


def to_features(
    spark: SparkSession, rows: Any, *, partitions: int = 3, element: str = "double", **columns: Any
) -> DataFrame:
    """Make a table of rows with ids from 0, in no order."""
    order = np.random.default_rng(1).permutation(len(rows))
    frame = pd.DataFrame(
        {"id": np.arange(len(rows)), "features": np.asarray(rows, dtype=float).tolist(), **columns}
    )
    kinds = {"id": "long", "features": f"array<{element}>"}
    kinds |= dict.fromkeys(columns, "string")
    schema = ", ".join(f"{name} {kind}" for name, kind in kinds.items())
    return spark.createDataFrame(frame.iloc[order], schema).repartition(partitions)
