"""Quantiles are those of numpy, to the last digit."""

import numpy as np
import pytest
from pyspark.sql import SparkSession

from cl_spark.tables import quantiles
from cl_spark.tables.quantiles import find_quantiles

pytestmark = pytest.mark.matrix

SHARES = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)


@pytest.mark.parametrize("kind", ["different", "ties", "one"])
def test_quantiles_are_those_of_numpy(
    spark: SparkSession, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quantiles, "ACCURACY", 50)  # so that bounds leave rows out
    values = {
        "different": np.random.default_rng(0).normal(size=999),
        "ties": np.random.default_rng(0).integers(0, 4, size=500).astype(float),
        "one": np.array([3.5]),
    }[kind]
    df = spark.createDataFrame([(float(x),) for x in values], "x double").repartition(3)
    assert find_quantiles(df, "x", SHARES) == pytest.approx(np.quantile(values, SHARES).tolist(), rel=1e-15)
